//! The location of an etcd, and the credentials for it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::OpenError;

/// `etcd://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…]/PREFIX[?OPTION=VALUE[&…]]`; `etcds://` for
/// TLS.
///
/// Options: `ca`, `cert` and `key` are paths of PEM files; `allow_lossy=true` accepts etcd versions
/// that are known to lose data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdLocation {
    /// `HOST:PORT` of each member.
    pub endpoints: Vec<String>,
    /// What every key begins with: a slash, then words with slashes between them.
    pub prefix: String,
    /// The files for TLS; `None` without encryption.
    pub tls: Option<EtcdTls>,
    /// The user.
    pub user: Option<String>,
    /// The password of the user.
    pub password: Option<Password>,
    /// Whether versions that can lose data when a member is killed are accepted.
    pub allow_lossy: bool,
}

/// Files for TLS. The authorities that the machine trusts are not used, so `ca` must be named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EtcdTls {
    /// Authority that signed the servers' certificates.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A password, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(text: String) -> Password {
        Password(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const PORT: u16 = 2379;

impl EtcdLocation {
    /// The same with a user and a password, where the location names none.
    #[must_use]
    pub fn or_credentials(self, user: Option<String>, password: Option<Password>) -> EtcdLocation {
        EtcdLocation { user: self.user.or(user), password: self.password.or(password), ..self }
    }
}

/// The location without its password and options.
impl fmt::Display for EtcdLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls.is_some() { "etcds://" } else { "etcd://" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write!(f, "{}{}", self.endpoints.join(","), self.prefix)
    }
}

impl FromStr for EtcdLocation {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<EtcdLocation, OpenError> {
        // The error leaves out the text, which may hold a password.
        parse(text).map_err(|reason| OpenError::EtcdLocation { reason })
    }
}

fn parse(text: &str) -> Result<EtcdLocation, &'static str> {
    let (secure, rest) = match text.split_once("://") {
        Some(("etcd", rest)) => (false, rest),
        Some(("etcds", rest)) => (true, rest),
        _ => return Err("it begins with etcd:// or etcds://"),
    };
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // The last `@` counts, because a password may hold another.
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        None => (None, None),
        Some(("", _)) => return Err("a user stands before the @"),
        Some((user, "")) => (Some(decoded(user)?), None),
        Some((user, password)) => (Some(decoded(user)?), Some(Password(decoded(password)?))),
    };
    let mut location = EtcdLocation {
        endpoints: hosts.split(',').map(endpoint).collect::<Result<_, _>>()?,
        prefix: checked_prefix(prefix)?,
        tls: secure.then(EtcdTls::default),
        user,
        password,
        allow_lossy: false,
    };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        take_option(&mut location, option)?;
    }
    match &location.tls {
        Some(EtcdTls { cert, key, .. }) if cert.is_some() != key.is_some() => Err("cert and key come together"),
        Some(EtcdTls { ca: None, .. }) => Err("etcds:// needs ?ca=FILE, the authority of the servers' certificates"),
        _ => Ok(location),
    }
}

fn take_option(location: &mut EtcdLocation, option: &str) -> Result<(), &'static str> {
    let (name, value) = option.split_once('=').ok_or("an option is NAME=VALUE")?;
    let value = decoded(value)?;
    if name == "allow_lossy" {
        location.allow_lossy = value.parse().map_err(|_| "allow_lossy is true or false")?;
        return Ok(());
    }
    if !matches!(name, "ca" | "cert" | "key") {
        return Err("the options are ca, cert, key and allow_lossy");
    }
    let tls = location.tls.as_mut().ok_or("ca, cert and key are for etcds://")?;
    let file = match name {
        "ca" => &mut tls.ca,
        "cert" => &mut tls.cert,
        _ => &mut tls.key,
    };
    *file = Some(PathBuf::from(value));
    Ok(())
}

fn endpoint(host: &str) -> Result<String, &'static str> {
    let is_name = |host: &str| {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        }
    };
    let wrong = "each endpoint is HOST or HOST:PORT";
    match host.rsplit_once(':') {
        Some((name, port)) if is_name(name) => match port.parse::<u16>() {
            Ok(1..) => Ok(host.to_owned()),
            Ok(0) | Err(_) => Err(wrong),
        },
        _ if is_name(host) => Ok(format!("{host}:{PORT}")),
        _ => Err(wrong),
    }
}

/// Checks a prefix, and returns it with a slash before it.
fn checked_prefix(text: &str) -> Result<String, &'static str> {
    let text = text.trim_end_matches('/');
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    if text.is_empty() {
        return Err("a prefix follows the endpoints: etcd://HOST:PORT/PREFIX");
    }
    if text.len() > 200 || !text.split('/').all(is_word) {
        return Err("the prefix is words of letters, digits, '-', '.' and '_' with slashes between them");
    }
    Ok(format!("/{text}"))
}

/// Decodes percent-encoding.
fn decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("a % is followed by two hexadecimal digits");
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| "a % is followed by two hexadecimal digits")?);
    }
    String::from_utf8(bytes).map_err(|_| "it is text in UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<EtcdLocation>().unwrap_err().to_string()
    }

    #[test]
    fn a_location_names_members_and_a_prefix() {
        let location: EtcdLocation = "etcd://h1:2379,h2,[::1]:99/muster/prod/".parse().unwrap();
        assert_eq!(location.endpoints, ["h1:2379", "h2:2379", "[::1]:99"]);
        assert_eq!(location.prefix, "/muster/prod");
        assert_eq!((location.tls, location.user, location.password), (None, None, None));
    }

    #[test]
    fn a_password_is_read_and_never_printed() {
        let location: EtcdLocation = "etcd://me:p%40ss%3aword@h/p".parse().unwrap();
        assert_eq!(location.user.as_deref(), Some("me"));
        assert_eq!(location.password.as_ref().unwrap().reveal(), "p@ss:word");
        assert_eq!(location.to_string(), "etcd://me@h:2379/p");
        assert!(!format!("{location:?}").contains("ss:word"));
        assert!(!refused("etcd://me:secret@h:x/p").contains("secret"));
        let error = "etd://me:secret@h/p".parse::<crate::Location>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn credentials_of_the_location_come_first() {
        let location: EtcdLocation = "etcd://h/p".parse().unwrap();
        let given = location.or_credentials(Some("me".into()), Some(Password::new("x".into())));
        assert_eq!(given.user.as_deref(), Some("me"));
        assert_eq!(given.or_credentials(Some("you".into()), None).user.as_deref(), Some("me"));
    }

    #[test]
    fn tls_is_files() {
        let location: EtcdLocation = "etcds://h/p?ca=/a&cert=/b%20c&key=/d&allow_lossy=true".parse().unwrap();
        let tls = location.tls.unwrap();
        assert_eq!((tls.ca, tls.cert, tls.key), (Some("/a".into()), Some("/b c".into()), Some("/d".into())));
        assert!(location.allow_lossy);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("etcd://h", "a prefix follows"),
            ("etcd://h/", "a prefix follows"),
            ("etcd:///p", "each endpoint is"),
            ("etcd://h:0/p", "each endpoint is"),
            ("etcd://h,,g/p", "each endpoint is"),
            ("etcd://h/a//b", "the prefix is words"),
            ("etcd://h/a b", "the prefix is words"),
            ("etcd://:x@h/p", "a user stands"),
            ("etcd://u:%x@h/p", "two hexadecimal"),
            ("etcd://h/p?ca=/x", "are for etcds"),
            ("etcds://h/p", "needs ?ca=FILE"),
            ("etcds://h/p?ca=/x&cert=/y", "come together"),
            ("etcd://h/p?x=y", "the options are"),
            ("etcd://h/p?allow_lossy=1", "true or false"),
        ] {
            assert!(refused(text).contains(said), "{text}: {}", refused(text));
        }
    }
}
