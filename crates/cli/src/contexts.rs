//! The clusters that `muster login` remembered.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_client::{BearerToken, MACHINE, MasterAddresses, OwnCertificate, Trust};
use serde::{Deserialize, Serialize};

use crate::args::{ConnectionArgs, DEFAULT_MASTER};
use crate::failure::CommandFailure;
use crate::similar::similar;

/// The remembered clusters, by name, as they are in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, ClusterContext>,
}

/// A remembered cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterContext {
    /// Addresses of its masters, joined by commas.
    pub(crate) masters: String,
    /// Its CA, as PEM, or `system` for those of this machine.
    pub(crate) ca: String,
    /// The credential that it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// The files of the certificate that it is shown, and of its key. They stay where they are, as
    /// they are renewed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
}

/// Where a command goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The addresses, as they were written.
    pub(crate) masters: String,
    /// The masters that are trusted; connections are in the clear without.
    pub(crate) trust: Option<Trust>,
    /// The credential that they are shown.
    pub(crate) token: Option<BearerToken>,
}

/// The contexts cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextsError {
    #[error("{0}: {1}")]
    File(PathBuf, #[source] io::Error),
    #[error("{0} can be read by others: chmod 600 it")]
    Exposed(PathBuf),
    #[error("{0} makes no sense: {1}")]
    Malformed(PathBuf, String),
    #[error("there is no place for contexts: neither XDG_CONFIG_HOME nor HOME is set")]
    NoPlace,
}

impl Contexts {
    /// Reads them; none where there is no file.
    pub(crate) fn load() -> Result<Contexts, ContextsError> {
        match path() {
            Some(path) => read(&path),
            None => Ok(Contexts::default()),
        }
    }

    /// Changes them, one command at a time, and writes them, readable by their owner alone. Returns
    /// where they are.
    pub(crate) fn change(
        change: impl FnOnce(&mut Contexts) -> Result<(), CommandFailure>,
    ) -> Result<PathBuf, CommandFailure> {
        let path = path().ok_or(ContextsError::NoPlace)?;
        let failed = |error| ContextsError::File(path.clone(), error);
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let lock = fs::File::create(path.with_extension("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut contexts = read(&path)?;
        change(&mut contexts)?;
        write(&path, &contexts)?;
        Ok(path)
    }

    /// Remembers a cluster under a name and chooses it. A name that was not asked for is not taken
    /// from another cluster.
    pub(crate) fn remember(&mut self, name: String, is_given: bool, new: ClusterContext) -> Result<(), CommandFailure> {
        if let Some(old) = self.contexts.get(&name).filter(|old| !is_given && !old.is_like(&new)) {
            return Err(CommandFailure::Usage(format!(
                "the context {name} is another cluster, at {}; give this one a name of its own, with --context",
                old.masters
            )));
        }
        self.contexts.insert(name.clone(), new);
        self.current = Some(name);
        Ok(())
    }

    /// Exchanges the CAs of a context, unless another command has done so meanwhile.
    pub(crate) fn exchange_ca(&mut self, name: &str, before: &str, ca: String) -> Result<(), CommandFailure> {
        self.get(name)?;
        match self.contexts.get_mut(name) {
            Some(context) if context.ca == before => context.ca = ca,
            _ => {
                let text = format!("the context {name} was changed meanwhile; do it again if that is meant");
                return Err(CommandFailure::State(text));
            }
        }
        Ok(())
    }

    /// The chosen one, if it has one of these addresses, else the first that does.
    fn at(&self, masters: &str) -> Option<&ClusterContext> {
        let chosen = self.current.iter().filter_map(|name| self.contexts.get(name));
        chosen.chain(self.contexts.values()).find(|context| shares_an_address(&context.masters, masters))
    }

    /// One by its name.
    pub(crate) fn get(&self, name: &str) -> Result<&ClusterContext, CommandFailure> {
        self.contexts.get(name).ok_or_else(|| CommandFailure::NotFound {
            kind: "context",
            id: name.to_owned(),
            similar: similar(name, self.contexts.keys().map(String::as_str)),
        })
    }

    /// Where a command goes: what the command line and the environment say stands above the
    /// context, which is the named one, else the one that has a given address, else the chosen one.
    fn target(&self, connection: &ConnectionArgs) -> Result<(String, Option<&ClusterContext>), CommandFailure> {
        let given = connection.masters();
        let context = match (connection.context(), &given) {
            (Some(name), _) => Some(self.get(&name)?),
            (None, Some(given)) => self.at(given),
            (None, None) => self.current.as_ref().map(|name| self.get(name)).transpose()?,
        };
        let masters = given.or_else(|| context.map(|context| context.masters.clone()));
        Ok((masters.unwrap_or_else(|| DEFAULT_MASTER.to_owned()), context))
    }
}

impl ClusterContext {
    /// Whether it is of the same cluster, as far as can be told.
    fn is_like(&self, other: &ClusterContext) -> bool {
        self.ca == other.ca || shares_an_address(&self.masters, &other.masters)
    }
}

impl Target {
    /// Where a command with these arguments goes.
    pub(crate) fn of(connection: &ConnectionArgs) -> Result<Target, CommandFailure> {
        let contexts = match Contexts::load() {
            Ok(contexts) => contexts,
            // Contexts that cannot be read keep nobody from a master that is named. A program of a
            // cluster has a name for it, and its account may have a foreign home.
            Err(_) if connection.masters().is_some() && connection.context().is_none() => Contexts::default(),
            Err(error) => return Err(error.into()),
        };
        let (masters, context) = contexts.target(connection)?;
        let trust = match connection.ca() {
            Some(file) => Some(trust_in(&file)?),
            // What is in the file was verified when it was written.
            None => context.map(|context| trust_of(&context.ca)).transpose()?,
        };
        let given = connection.client_certificate()?;
        let is_certificate_given = given.is_some();
        let certificate = match given {
            None => context.and_then(|context| context.client_cert.clone().zip(context.client_key.clone())),
            given => given,
        };
        let trust = match (trust, certificate) {
            (Some(trust), Some((certificate, key))) => Some(showing(&trust, certificate, key)?),
            // In the clear nobody is shown one.
            (trust, _) => trust,
        };
        let token = match connection.token()? {
            // What is given stands above what is remembered, and a token would speak first.
            None if is_certificate_given => Ok(None),
            None => context.and_then(|context| context.token.as_deref()).map(BearerToken::new).transpose(),
            given => Ok(given),
        };
        let token = token.map_err(|error| CommandFailure::Usage(format!("the token of the context: {error}")))?;
        Ok(Target { masters, trust, token })
    }

    /// A cluster in the clear.
    pub(crate) fn in_the_clear(masters: &str) -> Target {
        Target { masters: masters.to_owned(), trust: None, token: None }
    }
}

/// The trust that is remembered.
pub(crate) fn trust_of(ca: &str) -> Result<Trust, CommandFailure> {
    let trust = if ca == MACHINE { Trust::in_machine() } else { Trust::in_ca(ca).map(Trust::or_own_certificates) };
    trust.map_err(|error| bad_ca(if ca == MACHINE { "this machine" } else { "the context" }, &error))
}

/// The same trust, by who shows a certificate.
pub(crate) fn showing(trust: &Trust, certificate: PathBuf, key: PathBuf) -> Result<Trust, CommandFailure> {
    let own = OwnCertificate::open(certificate, key);
    let own = own.map_err(|error| CommandFailure::Usage(format!("the client's certificate: {error}")))?;
    Ok(trust.showing_own(Arc::new(own)))
}

pub(crate) fn trust_in(file: &Path) -> Result<Trust, CommandFailure> {
    Trust::named(file).map_err(|error| bad_ca(&file.display().to_string(), &error))
}

fn bad_ca(place: &str, error: &muster_client::TlsError) -> CommandFailure {
    CommandFailure::Usage(format!("the CA of {place} makes no sense: {error}"))
}

fn shares_an_address(one: &str, other: &str) -> bool {
    let addresses = |text: &str| text.parse::<MasterAddresses>().map(|parsed| parsed.addresses().to_vec());
    let (Ok(one), Ok(other)) = (addresses(one), addresses(other)) else { return false };
    other.iter().any(|address| one.contains(address))
}

/// The file of the contexts.
fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(config.join("muster/contexts.toml"))
}

fn read(path: &Path) -> Result<Contexts, ContextsError> {
    let failed = |error| ContextsError::File(path.to_owned(), error);
    let text = match fs::read_to_string(path) {
        // A home that is no directory, such as /dev/null, holds no contexts.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Contexts::default());
        }
        text => text.map_err(failed)?,
    };
    if path.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(ContextsError::Exposed(path.to_owned()));
    }
    toml::from_str(&text).map_err(|error| ContextsError::Malformed(path.to_owned(), error.message().to_owned()))
}

fn write(path: &Path, contexts: &Contexts) -> Result<(), ContextsError> {
    let text =
        toml::to_string(contexts).map_err(|error| ContextsError::Malformed(path.to_owned(), error.to_string()))?;
    muster_os::file::replace_private(path, text).map_err(|error| ContextsError::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn found(contexts: &Contexts, connection: &ConnectionArgs) -> (String, Option<String>) {
        let (masters, context) = contexts.target(connection).unwrap();
        (masters, context.map(|context| context.ca.clone()))
    }

    fn contexts() -> Contexts {
        let context = |masters: &str| ClusterContext {
            masters: masters.to_owned(),
            ca: masters.to_owned(),
            token: None,
            client_cert: None,
            client_key: None,
        };
        let contexts = [("lab", "lab:7077"), ("shop", "a:1,b:2")];
        Contexts {
            current: Some("shop".to_owned()),
            contexts: contexts.map(|(name, masters)| (name.to_owned(), context(masters))).into(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_others_cannot() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config/muster/contexts.toml");
        assert_eq!(read(&path).unwrap(), Contexts::default());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, &contexts()).unwrap();
        assert_eq!(read(&path).unwrap(), contexts());
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(ContextsError::Exposed(_))));
        write(&path, &contexts()).unwrap();
        assert_eq!(read(&path).unwrap(), contexts(), "a new file takes its place");
        fs::write(&path, "contexts = 7").unwrap();
        assert!(matches!(read(&path), Err(ContextsError::Malformed(..))));
    }

    #[test]
    fn an_address_stands_above_the_context_and_finds_its_own() {
        let target =
            |masters: Option<&str>| found(&contexts(), &ConnectionArgs::of_masters(masters.map(str::to_owned)));
        assert_eq!(target(None), ("a:1,b:2".to_owned(), Some("a:1,b:2".to_owned())));
        assert_eq!(target(Some("b:2")), ("b:2".to_owned(), Some("a:1,b:2".to_owned())));
        assert_eq!(target(Some("lab")), ("lab".to_owned(), Some("lab:7077".to_owned())), "the port is the default");
        assert_eq!(target(Some("b:3")), ("b:3".to_owned(), None));
        let nothing = found(&Contexts::default(), &ConnectionArgs::default());
        assert_eq!(nothing, (DEFAULT_MASTER.to_owned(), None));
        let twins = Contexts {
            contexts: ["one", "two"]
                .map(|name| {
                    (
                        name.to_owned(),
                        ClusterContext {
                            masters: "a:1".to_owned(),
                            ca: name.to_owned(),
                            token: None,
                            client_cert: None,
                            client_key: None,
                        },
                    )
                })
                .into(),
            current: Some("two".to_owned()),
        };
        let chosen = found(&twins, &ConnectionArgs::of_masters(Some("a:1".to_owned())));
        assert_eq!(chosen.1.as_deref(), Some("two"), "the chosen one stands above others with the address");
        let gone = Contexts { current: Some("shup".to_owned()), ..contexts() };
        let failure = gone.target(&ConnectionArgs::default()).unwrap_err().to_string();
        assert_eq!(failure, "there is no context 'shup'; did you mean shop?");
    }

    #[test]
    fn a_name_is_not_taken_from_another_cluster_unless_it_was_given() {
        let new = |masters: &str, ca: &str| ClusterContext {
            masters: masters.to_owned(),
            ca: ca.to_owned(),
            token: None,
            client_cert: None,
            client_key: None,
        };
        let mut all = contexts();
        let refused = all.remember("lab".to_owned(), false, new("z:1", "new")).unwrap_err().to_string();
        assert!(refused.contains("another cluster, at lab:7077") && refused.contains("--context"), "{refused}");
        assert_eq!(all, contexts());
        all.remember("lab".to_owned(), false, new("lab:7077", "new")).unwrap();
        assert_eq!(all.get("lab").unwrap().ca, "new", "its CA was replaced");
        all.remember("shop".to_owned(), true, new("z:1", "new")).unwrap();
        assert_eq!(all.current.as_deref(), Some("shop"));
    }
}
