//! The clusters that `muster login` remembered.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_client::{BearerToken, ClusterContext, Contexts, ContextsError, MACHINE, OwnCertificate, TlsError, Trust};

use crate::args::{ConnectionArgs, DEFAULT_MASTER};
use crate::failure::CommandFailure;
use crate::similar::similar;

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

/// Changes the contexts, one command at a time, and writes them, readable by their owner alone.
/// Returns where they are.
pub(crate) fn change(
    change: impl FnOnce(&mut Contexts) -> Result<(), CommandFailure>,
) -> Result<PathBuf, CommandFailure> {
    let path = Contexts::file().ok_or(ContextsError::NoPlace)?;
    let failed = |error| ContextsError::File(path.clone(), error);
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    let lock = fs::File::create(path.with_extension("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut contexts = Contexts::read(&path)?;
    change(&mut contexts)?;
    write(&path, &contexts)?;
    Ok(path)
}

/// Remembers a cluster under a name and chooses it. A name that was not asked for is not taken from
/// another cluster.
pub(crate) fn remember(
    contexts: &mut Contexts,
    name: String,
    is_given: bool,
    new: ClusterContext,
) -> Result<(), CommandFailure> {
    if let Some(old) = contexts.contexts.get(&name).filter(|old| !is_given && !old.is_like(&new)) {
        return Err(CommandFailure::Usage(format!(
            "the context {name} is another cluster, at {}; give this one a name of its own, with --context",
            old.masters
        )));
    }
    contexts.contexts.insert(name.clone(), new);
    contexts.current = Some(name);
    Ok(())
}

/// Exchanges the CAs of a context, unless another command has done so meanwhile.
pub(crate) fn exchange_ca(contexts: &mut Contexts, name: &str, before: &str, ca: String) -> Result<(), CommandFailure> {
    get(contexts, name)?;
    match contexts.contexts.get_mut(name) {
        Some(context) if context.ca == before => context.ca = ca,
        _ => {
            let text = format!("the context {name} was changed meanwhile; do it again if that is meant");
            return Err(CommandFailure::State(text));
        }
    }
    Ok(())
}

/// One by its name; the failure lists similar names.
pub(crate) fn get<'a>(contexts: &'a Contexts, name: &str) -> Result<&'a ClusterContext, CommandFailure> {
    contexts.get(name).map_err(|_| no_context(contexts, name))
}

fn no_context(contexts: &Contexts, name: &str) -> CommandFailure {
    CommandFailure::NotFound {
        kind: "context",
        id: name.to_owned(),
        similar: similar(name, contexts.contexts.keys().map(String::as_str)),
    }
}

/// Where a command goes: what the command line and the environment say stands above the context.
fn target<'a>(
    contexts: &'a Contexts,
    connection: &ConnectionArgs,
) -> Result<(String, Option<&'a ClusterContext>), CommandFailure> {
    let given = connection.masters();
    let context = contexts.choose(connection.context().as_deref(), given.as_deref());
    let context = context.map_err(|error| no_context(contexts, &error.0))?;
    let masters = given.or_else(|| context.map(|context| context.masters.clone()));
    Ok((masters.unwrap_or_else(|| DEFAULT_MASTER.to_owned()), context))
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
        let (masters, context) = target(&contexts, connection)?;
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
    let place = if ca == MACHINE { "this machine" } else { "the context" };
    muster_client::trust_of(ca).map_err(|error| bad_ca(place, &error))
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

fn bad_ca(place: &str, error: &TlsError) -> CommandFailure {
    CommandFailure::Usage(format!("the CA of {place} makes no sense: {error}"))
}

fn write(path: &Path, contexts: &Contexts) -> Result<(), ContextsError> {
    let text =
        toml::to_string(contexts).map_err(|error| ContextsError::Malformed(path.to_owned(), error.to_string()))?;
    muster_os::file::replace_private(path, text).map_err(|error| ContextsError::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn found(contexts: &Contexts, connection: &ConnectionArgs) -> (String, Option<String>) {
        let (masters, context) = super::target(contexts, connection).unwrap();
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
        assert_eq!(Contexts::read(&path).unwrap(), Contexts::default());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, &contexts()).unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), contexts());
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Contexts::read(&path), Err(ContextsError::Exposed(_))));
        write(&path, &contexts()).unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), contexts(), "a new file takes its place");
        fs::write(&path, "contexts = 7").unwrap();
        assert!(matches!(Contexts::read(&path), Err(ContextsError::Malformed(..))));
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
        let failure = super::target(&gone, &ConnectionArgs::default()).unwrap_err().to_string();
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
        let refused = remember(&mut all, "lab".to_owned(), false, new("z:1", "new")).unwrap_err().to_string();
        assert!(refused.contains("another cluster, at lab:7077") && refused.contains("--context"), "{refused}");
        assert_eq!(all, contexts());
        remember(&mut all, "lab".to_owned(), false, new("lab:7077", "new")).unwrap();
        assert_eq!(get(&all, "lab").unwrap().ca, "new", "its CA was replaced");
        remember(&mut all, "shop".to_owned(), true, new("z:1", "new")).unwrap();
        assert_eq!(all.current.as_deref(), Some("shop"));
    }
}
