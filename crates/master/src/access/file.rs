//! The access file: who has which token or role, and what each may do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use muster_proto::fresh_token::FreshToken;
use muster_types::{Principal, Role, RoleBindings, TokenDigest, TokenGrant, TokenId, WallTime, check_token_name};
use serde::Deserialize;

/// The most bytes of the file: some thousands of tokens.
const MAX_BYTES: u64 = 4 << 20;
/// Its name beside the CA.
pub(crate) const ACCESS_FILE: &str = "access.toml";
/// The file beside the CA with the token of the first administrator, and who that is.
pub(crate) const FIRST_TOKEN_FILE: &str = "admin.token";
const FIRST_NAME: &str = "admin";

/// Why an access file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessFileError {
    /// It cannot be read or written.
    #[error("cannot use the access file {0}")]
    File(PathBuf, #[source] io::Error),
    /// It is not there.
    #[error(
        "the access file {0} is missing: `muster-master token --access-file {0} --name NAME --role admin` makes one"
    )]
    Missing(PathBuf),
    /// Others than its owner may change it.
    #[error("the access file {0} can be changed by others than its owner: chmod go-w it")]
    Exposed(PathBuf),
    /// Another user, who has this number, owns it.
    #[error("the access file {0} is another user's ({1}), who may let anybody in: chown it")]
    Planted(PathBuf, u32),
    /// It is larger than what is read.
    #[error("the access file {0} is larger than {MAX_BYTES} bytes")]
    TooLarge(PathBuf),
    /// It is not understood.
    #[error("the access file {0} makes no sense: {1}")]
    Malformed(PathBuf, String),
    /// There are no random numbers for a new token.
    #[error("no random numbers for a token: {0}")]
    Random(getrandom::Error),
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenEntry {
    pub(super) digest: TokenDigest,
    /// Of the user or the worker.
    pub(super) name: String,
    pub(super) grant: TokenGrant,
    pub(super) expires: Option<WallTime>,
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccessTable {
    /// All tokens by their ids.
    pub(super) tokens: BTreeMap<TokenId, TokenEntry>,
    /// The roles of users that certificates and JWTs name.
    pub(super) bindings: RoleBindings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTable {
    #[serde(default)]
    tokens: Vec<WireToken>,
    #[serde(default)]
    bindings: Vec<WireBinding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireToken {
    id: String,
    digest: String,
    name: String,
    role: String,
    expires: Option<toml::value::Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireBinding {
    user: Option<String>,
    group: Option<String>,
    role: String,
}

impl AccessTable {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<AccessTable, AccessFileError> {
        let text = read(path).map_err(|error| match error {
            AccessFileError::File(path, error) if error.kind() == io::ErrorKind::NotFound => {
                AccessFileError::Missing(path)
            }
            error => error,
        });
        AccessTable::parse(&text?).map_err(|sentence| AccessFileError::Malformed(path.to_owned(), sentence))
    }

    /// Reads the text of a file. The error names the place, and nothing of a digest.
    fn parse(text: &str) -> Result<AccessTable, String> {
        let wire: WireTable = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let mut tokens = BTreeMap::new();
        for (index, token) in wire.tokens.into_iter().enumerate() {
            let wrong = |sentence: String| format!("token {}: {sentence}", index + 1);
            let no_id = |_| wrong("its id is not twelve digits in hexadecimal".to_owned());
            let id: TokenId = token.id.parse().map_err(no_id)?;
            let digest = token.digest.parse::<TokenDigest>();
            let digest = digest.map_err(|error| wrong(format!("its digest is {error}")))?;
            check_token_name(&token.name).map_err(wrong)?;
            let grant = token.role.parse::<TokenGrant>();
            let grant = grant.map_err(|error| wrong(format!("its role is {error}")))?;
            let no_time = || wrong("it expires at a time with a date and a zone, as 2030-12-31T23:59:59Z".to_owned());
            let expires = token.expires.map(|time| instant(&time).ok_or_else(no_time)).transpose()?;
            let entry = TokenEntry { digest, name: token.name, grant, expires };
            if tokens.insert(id, entry).is_some() {
                return Err(wrong(format!("another token has the id {}", token.id)));
            }
        }
        let mut bindings = RoleBindings::default();
        for (index, binding) in wire.bindings.into_iter().enumerate() {
            let wrong = |sentence: String| format!("binding {}: {sentence}", index + 1);
            let principal = match (binding.user, binding.group) {
                (Some(user), None) => Principal::User(user),
                (None, Some(group)) => Principal::Group(group),
                _ => return Err(wrong("it names a user or a group, and one of them".to_owned())),
            };
            principal.check().map_err(wrong)?;
            let role = binding.role.parse::<Role>().map_err(|error| wrong(format!("its role is {error}")))?;
            if bindings.0.contains_key(&principal) {
                return Err(wrong(format!("another binding is of {principal}")));
            }
            bindings.0.insert(principal, role);
        }
        Ok(AccessTable { tokens, bindings })
    }
}

/// Adds a new token to a file, which is made if there is none, and returns it. Comments in the file
/// stay.
pub fn add_token(
    path: &Path,
    name: &str,
    grant: TokenGrant,
    expires: Option<WallTime>,
) -> Result<muster_types::Secret, AccessFileError> {
    let malformed = |sentence| AccessFileError::Malformed(path.to_owned(), sentence);
    let failed = |error| AccessFileError::File(path.to_owned(), error);
    check_token_name(name).map_err(malformed)?;
    let before = match read(path) {
        Err(AccessFileError::File(_, error)) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let new = FreshToken::random().map_err(AccessFileError::Random)?;
    let mut entry = String::new();
    if !before.is_empty() {
        entry.push_str(if before.ends_with('\n') { "\n" } else { "\n\n" });
    }
    let (name, role) = (toml::Value::String(name.to_owned()), grant.as_str());
    // Writing to a string cannot fail.
    let _ = write!(entry, "[[tokens]]\nid = \"{}\"\ndigest = \"{}\"\n", new.id, new.digest.expose());
    let _ = write!(entry, "name = {name}\nrole = \"{role}\"\n");
    if let Some(expires) = expires {
        let _ = writeln!(entry, "expires = {}", text_of(expires));
    }
    AccessTable::parse(&format!("{before}{entry}")).map_err(malformed)?;
    muster_os::file::replace_private(path, format!("{before}{entry}")).map_err(failed)?;
    Ok(new.bearer)
}

/// Makes the access file beside a new CA, with the token of a first administrator in a file of its
/// own. What is there already stays. Returns where that token is.
///
/// # Errors
/// Those of [`add_token`].
pub fn add_first_token(pki: &Path) -> Result<PathBuf, AccessFileError> {
    let (access, token) = (pki.join(ACCESS_FILE), pki.join(FIRST_TOKEN_FILE));
    let failed = |error| AccessFileError::File(token.clone(), error);
    if !access.try_exists().map_err(|error| AccessFileError::File(access.clone(), error))? {
        let new = add_token(&access, FIRST_NAME, TokenGrant::User(Role::Admin), None)?;
        muster_os::file::replace_private(&token, format!("{}\n", new.expose())).map_err(failed)?;
    }
    Ok(token)
}

fn read(path: &Path) -> Result<String, AccessFileError> {
    let failed = |error| AccessFileError::File(path.to_owned(), error);
    // What is judged is what is read, also if the file is replaced meanwhile.
    let file = muster_os::file::open_named(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(AccessFileError::Planted(path.to_owned(), meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(AccessFileError::Exposed(path.to_owned()));
    }
    if meta.len() > MAX_BYTES {
        return Err(AccessFileError::TooLarge(path.to_owned()));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, MAX_BYTES), &mut text).map_err(failed)?;
    Ok(text)
}

fn instant(time: &toml::value::Datetime) -> Option<WallTime> {
    // In TOML, what has a zone has a date and a time.
    time.offset?;
    let stamp: prost_types::Timestamp = time.to_string().parse().ok()?;
    let millis = stamp.seconds.checked_mul(1000)?.checked_add(i64::from(stamp.nanos / 1_000_000))?;
    u64::try_from(millis).ok().map(WallTime)
}

fn text_of(time: WallTime) -> String {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::token::{Bearer, is_of};
    use super::*;

    #[test]
    fn a_token_that_is_added_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.toml");
        let expires = Some(WallTime(1_900_000_000_000));
        for name in ["", "a b", "a\u{7f}", "system:master", "a".repeat(129).as_str()] {
            let refused = add_token(&path, name, TokenGrant::Worker, None);
            assert!(matches!(refused, Err(AccessFileError::Malformed(..))) && !path.exists(), "{name:?}");
        }
        let ann = add_token(&path, "ann", TokenGrant::User(Role::Operator), expires).unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"# a comment").unwrap();
        add_token(&path, "lab", TokenGrant::Worker, None).unwrap();
        let table = AccessTable::load(&path).unwrap();
        let Some(Bearer::Token { id, secret }) = Bearer::parse(ann.expose()) else { panic!() };
        let entry = &table.tokens[&id];
        assert!(is_of(entry.digest, secret));
        assert_eq!(
            (entry.name.as_str(), entry.grant, entry.expires),
            ("ann", TokenGrant::User(Role::Operator), expires)
        );
        assert_eq!(table.tokens.len(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("# a comment") && !text.contains(secret), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o620, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(AccessTable::load(&path), Err(AccessFileError::Exposed(_))), "{mode:o}");
        }
    }

    #[test]
    fn a_role_is_bound_to_a_user_or_to_a_group() {
        let text =
            "[[bindings]]\nuser = 'jwt:ann'\nrole = 'viewer'\n[[bindings]]\ngroup = 'jwt:ops'\nrole = 'operator'";
        let bindings = AccessTable::parse(text).unwrap().bindings;
        assert_eq!(bindings.role_of("jwt:ann", &[]), Some(Role::Viewer));
        assert_eq!(bindings.role_of("jwt:ann", &["jwt:ops".to_owned()]), Some(Role::Operator));
        assert_eq!(bindings.role_of("jwt:ops", &["jwt:ann".to_owned()]), None);
    }

    #[test]
    fn a_file_that_is_missing_is_made_by_a_command() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.toml");
        let refused = AccessTable::load(&path).unwrap_err().to_string();
        let command = format!("`muster-master token --access-file {} --name NAME --role admin`", path.display());
        assert!(refused.contains(&command), "{refused}");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_as_a_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Its beginning makes sense.
        file.as_file().write_all(&b"\n".repeat(5 << 20)).unwrap();
        assert!(matches!(AccessTable::load(file.path()), Err(AccessFileError::TooLarge(_))));
    }

    #[test]
    fn each_fault_is_named() {
        let entry = |id: &str, name: &str, role: &str, more: &str| {
            let digest = format!("sha256:{}", "0".repeat(64));
            format!("[[tokens]]\nid = '{id}'\ndigest = '{digest}'\nname = '{name}'\nrole = '{role}'\n{more}\n")
        };
        let good = entry("0123456789ab", "ann", "viewer", "");
        assert_eq!(AccessTable::parse(&good).unwrap().tokens.len(), 1);
        for (text, fault) in [
            (entry("x", "ann", "viewer", ""), "token 1: its id"),
            (good.replace("sha256", "md5"), "token 1: its digest"),
            (entry("0123456789ab", "system:master", "viewer", ""), "`system:`"),
            (entry("0123456789ab", "cert:ann", "viewer", ""), "`cert:`"),
            (entry("0123456789ab", "", "viewer", ""), "a name has"),
            (entry("0123456789ab", "a b", "viewer", ""), "a name has"),
            (entry("0123456789ab", &"a".repeat(129), "viewer", ""), "a name has"),
            (entry("0123456789ab", "ann", "root", ""), "its role is not one of viewer"),
            (entry("0123456789ab", "ann", "viewer", "expires = 2030-01-01"), "with a date and a zone"),
            (entry("0123456789ab", "ann", "viewer", "expires = 2030-01-01T00:00:00"), "with a date and a zone"),
            (entry("0123456789ab", "ann", "viewer", "groups = []"), "unknown field `groups`"),
            (format!("{good}{good}"), "token 2: another token has the id"),
            ("tokens = 7".to_owned(), "invalid type"),
            ("[[bindings]]\nrole = 'viewer'".to_owned(), "binding 1: it names a user or a group"),
            ("[[bindings]]\nuser = 'jwt:ann'\ngroup = 'jwt:ann'\nrole = 'viewer'".to_owned(), "a user or a group"),
            ("[[bindings]]\nuser = 'system:ann'\nrole = 'viewer'".to_owned(), "begins with `cert:` or `jwt:`"),
            ("[[bindings]]\nuser = 'jwt:ann'\nrole = 'worker'".to_owned(), "its role is not one of viewer"),
            (
                "[[bindings]]\nuser = 'jwt:ann'\nrole = 'viewer'\n".repeat(2),
                "binding 2: another binding is of user jwt:ann",
            ),
        ] {
            let error = AccessTable::parse(&text).unwrap_err();
            assert!(error.contains(fault), "{error}");
        }
    }
}
