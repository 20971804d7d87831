//! The clusters that `muster login` remembered: read by every client on this machine, and written
//! by the command line alone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use muster_tls::{MACHINE, TlsError, Trust};
use serde::{Deserialize, Serialize};

use crate::MasterAddresses;

/// The remembered clusters, by name, as they are in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All of them.
    #[serde(default)]
    pub contexts: BTreeMap<String, ClusterContext>,
}

/// A remembered cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterContext {
    /// Addresses of its masters, joined by commas.
    pub masters: String,
    /// Its CA, as PEM, or `system` for those of this machine.
    pub ca: String,
    /// The credential that it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The file of the certificate that it is shown. It stays where it is, as it is renewed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// The file of that certificate's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
}

/// The contexts cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContextsError {
    /// The file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// It holds tokens, and is not its owner's alone.
    #[error("{0} can be read by others: chmod 600 it")]
    Exposed(PathBuf),
    /// It is no file of contexts.
    #[error("{0} makes no sense: {1}")]
    Malformed(PathBuf, String),
    /// There is no home to have it in.
    #[error("there is no place for contexts: neither XDG_CONFIG_HOME nor HOME is set")]
    NoPlace,
}

/// There is no context of a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no context {0:?}")]
pub struct NoSuchContext(pub String);

impl Contexts {
    /// The file of the contexts; none where neither `XDG_CONFIG_HOME` nor `HOME` is set.
    pub fn file() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
        Some(config.join("muster/contexts.toml"))
    }

    /// Reads them; none where there is no file.
    pub fn load() -> Result<Contexts, ContextsError> {
        match Contexts::file() {
            Some(path) => Contexts::read(&path),
            None => Ok(Contexts::default()),
        }
    }

    /// Reads a file of them, which must be its owner's alone; none where there is no file.
    pub fn read(path: &Path) -> Result<Contexts, ContextsError> {
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

    /// The context of a client: the named one, else the one that has a given address, else the
    /// chosen one.
    pub fn choose(&self, name: Option<&str>, masters: Option<&str>) -> Result<Option<&ClusterContext>, NoSuchContext> {
        match (name, masters) {
            (Some(name), _) => self.get(name).map(Some),
            (None, Some(masters)) => Ok(self.at(masters)),
            (None, None) => self.current.as_deref().map(|name| self.get(name)).transpose(),
        }
    }

    /// One by its name.
    pub fn get(&self, name: &str) -> Result<&ClusterContext, NoSuchContext> {
        self.contexts.get(name).ok_or_else(|| NoSuchContext(name.to_owned()))
    }

    /// The chosen one, if it has one of these addresses, else the first that does.
    fn at(&self, masters: &str) -> Option<&ClusterContext> {
        let chosen = self.current.iter().filter_map(|name| self.contexts.get(name));
        chosen.chain(self.contexts.values()).find(|context| shares_an_address(&context.masters, masters))
    }
}

impl ClusterContext {
    /// Whether it is of the same cluster, as far as can be told.
    pub fn is_like(&self, other: &ClusterContext) -> bool {
        self.ca == other.ca || shares_an_address(&self.masters, &other.masters)
    }

    /// The trust that is remembered.
    pub fn trust(&self) -> Result<Trust, TlsError> {
        trust_of(&self.ca)
    }
}

impl std::fmt::Debug for ClusterContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| muster_types::REDACTED);
        f.debug_struct("ClusterContext").field("masters", &self.masters).field("token", &token).finish_non_exhaustive()
    }
}

/// The trust in a CA as it is remembered: PEM, or `system` for those of this machine.
pub fn trust_of(ca: &str) -> Result<Trust, TlsError> {
    if ca == MACHINE { Trust::in_machine() } else { Trust::in_ca(ca).map(Trust::or_own_certificates) }
}

fn shares_an_address(one: &str, other: &str) -> bool {
    let addresses = |text: &str| text.parse::<MasterAddresses>().map(|parsed| parsed.addresses().to_vec());
    let (Ok(one), Ok(other)) = (addresses(one), addresses(other)) else { return false };
    other.iter().any(|address| one.contains(address))
}
