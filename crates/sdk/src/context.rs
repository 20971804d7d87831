//! What a program learns about itself from its worker.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use muster_client::{
    BearerToken, Client, ConnectOptions, MasterAddresses, NotAToken, OwnCertificate, ParseMastersError, TlsError, Trust,
};
use muster_types::{AttemptNumber, ExecutorId, Secret, TraceContext};

/// What a program knows about itself, from its `MUSTER_*` environment. Outside of a cluster (client
/// mode) only the masters are known, and they may be the default.
#[derive(Debug, Clone)]
pub struct Context {
    /// The addresses of the masters.
    pub masters: MasterAddresses,
    /// The masters that are trusted, where connections are over TLS.
    pub trust: Option<Trust>,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the worker; empty outside of a cluster.
    pub worker: String,
    /// Reachable name of this machine: where executors find the driver.
    pub host: String,
    /// Name of this driver, in cluster mode.
    pub driver: Option<String>,
    /// Number of its attempt: a fencing token for the systems to which it writes, because it only
    /// grows.
    pub attempt: Option<AttemptNumber>,
    /// The token that lets it act for its driver.
    pub token: Option<Secret>,
    /// The credential of calls.
    pub bearer: Option<BearerToken>,
    /// The span that it runs for: its calls go on below it.
    pub trace: Option<TraceContext>,
    /// Name of the application, in an executor.
    pub application: Option<String>,
    /// Number of the executor.
    pub executor: Option<ExecutorId>,
    /// Work directory.
    pub work_dir: Option<PathBuf>,
    /// Cores that it may use; 0 outside of a cluster.
    pub cores: u32,
    /// Bytes of memory that it may use; 0 outside of a cluster.
    pub memory: u64,
}

/// A variable has an invalid value.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// `MUSTER_MASTER` is no list of addresses.
    #[error("MUSTER_MASTER makes no sense")]
    Masters(#[source] ParseMastersError),
    /// The file of `MUSTER_CA_FILE` cannot be read or holds no CA.
    #[error("MUSTER_CA_FILE, {0}, makes no sense")]
    Ca(PathBuf, #[source] TlsError),
    /// The files of `MUSTER_CLIENT_CERT` and `MUSTER_CLIENT_KEY` are no certificate and its key.
    #[error("MUSTER_CLIENT_CERT and MUSTER_CLIENT_KEY make no sense")]
    Certificate(#[source] TlsError),
    /// `MUSTER_TOKEN` is no token.
    #[error("MUSTER_TOKEN makes no sense")]
    Token(#[source] NotAToken),
    /// The file of `MUSTER_TOKEN_FILE` cannot be read or holds no token.
    #[error("MUSTER_TOKEN_FILE, {0}, makes no sense")]
    TokenFile(PathBuf, #[source] std::io::Error),
    /// A variable that must be a number is not one.
    #[error("{name} makes no sense")]
    Number {
        /// The variable.
        name: &'static str,
        /// Why.
        source: std::num::ParseIntError,
    },
}

/// The variables that are read, by name.
type Variables = BTreeMap<String, String>;

impl Context {
    /// Reads the environment of this process. Fails when a variable has an invalid value.
    pub fn from_env() -> Result<Context, ContextError> {
        // A variable that is not Unicode is none of ours.
        let ours =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Context::from_variables(
            ours.filter(|(name, _)| name.starts_with("MUSTER_") || name == TraceContext::VARIABLE).collect(),
        )
    }

    fn from_variables(mut variables: Variables) -> Result<Context, ContextError> {
        let mut text = |name: &str| variables.remove(name).filter(|value| !value.is_empty());
        let masters = match text("MUSTER_MASTER") {
            Some(text) => text.parse().map_err(ContextError::Masters)?,
            None => MasterAddresses::default(),
        };
        let trust = text("MUSTER_CA_FILE").map(|path| trust(PathBuf::from(path))).transpose()?;
        let certificate = text("MUSTER_CLIENT_CERT").zip(text("MUSTER_CLIENT_KEY"));
        let trust = match (trust, certificate) {
            (Some(trust), Some((certificate, key))) => Some(showing(&trust, certificate, key)?),
            (trust, _) => trust,
        };
        let (cluster, worker) = (text("MUSTER_CLUSTER"), text("MUSTER_WORKER"));
        let (host, driver) = (text("MUSTER_HOST"), text("MUSTER_DRIVER"));
        let (token, application) = (text("MUSTER_TOKEN"), text("MUSTER_APPLICATION"));
        let token_file = text("MUSTER_TOKEN_FILE").map(PathBuf::from);
        let token = token.map(Secret::new);
        let bearer = bearer(token.as_ref(), token_file)?;
        // A user's own token is no attempt's.
        let token = token.filter(|_| driver.is_some());
        // What the W3C has ignored is not worth a program's start.
        let trace = text(TraceContext::VARIABLE).and_then(|text| text.parse().ok());
        let work_dir = text("MUSTER_WORK_DIR").map(PathBuf::from);
        let attempt = number(text("MUSTER_ATTEMPT"), "MUSTER_ATTEMPT")?;
        let executor = number(text("MUSTER_EXECUTOR_ID"), "MUSTER_EXECUTOR_ID")?;
        let cores = number(text("MUSTER_CORES"), "MUSTER_CORES")?;
        let memory = number(text("MUSTER_MEMORY_BYTES"), "MUSTER_MEMORY_BYTES")?;
        Ok(Context {
            masters,
            trust,
            cluster: cluster.unwrap_or_default(),
            worker: worker.unwrap_or_default(),
            host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
            driver,
            attempt: attempt.map(AttemptNumber),
            token,
            bearer,
            trace,
            application,
            executor: executor.map(ExecutorId),
            work_dir,
            cores: cores.unwrap_or(0),
            memory: memory.unwrap_or(0),
        })
    }

    /// A client of the cluster. It must be called within a tokio runtime.
    pub fn client(&self) -> Client {
        let (trust, token) = (self.trust.clone(), self.bearer.clone());
        let options = ConnectOptions { trust, token, trace: self.trace, ..ConnectOptions::default() };
        Client::with_options(self.masters.clone(), options)
    }
}

fn trust(path: PathBuf) -> Result<Trust, ContextError> {
    Trust::named(&path).map_err(|error| ContextError::Ca(path, error))
}

/// The same trust, by a program with a certificate of its own.
fn showing(trust: &Trust, certificate: String, key: String) -> Result<Trust, ContextError> {
    let own = OwnCertificate::open(certificate.into(), key.into()).map_err(ContextError::Certificate)?;
    Ok(trust.showing_own(Arc::new(own)))
}

/// The credential of calls: what a worker gave to its attempt, or a user to its program.
fn bearer(token: Option<&Secret>, file: Option<PathBuf>) -> Result<Option<BearerToken>, ContextError> {
    match (token, file) {
        (Some(token), _) => BearerToken::new(token.expose()).map(Some).map_err(ContextError::Token),
        (None, Some(path)) => {
            BearerToken::in_file(&path).map(Some).map_err(|error| ContextError::TokenFile(path, error))
        }
        (None, None) => Ok(None),
    }
}

fn number<T>(text: Option<String>, name: &'static str) -> Result<Option<T>, ContextError>
where
    T: std::str::FromStr<Err = std::num::ParseIntError>,
{
    text.map(|text| text.parse()).transpose().map_err(|source| ContextError::Number { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Result<Context, ContextError> {
        Context::from_variables(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_driver_learns_who_it_is() {
        let context = context(&[
            ("MUSTER_MASTER", "a:1,b:2"),
            ("MUSTER_DRIVER", "d"),
            ("MUSTER_ATTEMPT", "3"),
            ("MUSTER_TOKEN", "sesame"),
            ("MUSTER_MEMORY_BYTES", "536870912"),
        ])
        .unwrap();
        assert_eq!(context.masters.to_string(), "a:1,b:2");
        assert_eq!((context.attempt, context.memory), (Some(AttemptNumber(3)), 536_870_912));
        assert!(!format!("{context:?}").contains("sesame"));
    }

    #[test]
    fn outside_of_a_cluster_there_are_defaults() {
        let context = context(&[("MUSTER_TOKEN", "")]).unwrap();
        assert_eq!((context.masters, context.host.as_str()), (MasterAddresses::default(), "127.0.0.1"));
        assert!(context.token.is_none() && context.driver.is_none());
    }

    #[test]
    fn a_program_goes_on_in_the_trace_that_it_is_told_of() {
        let trace = TraceContext::new(1, 2, true).unwrap();
        let heard = |text: &str| context(&[("TRACEPARENT", text)]).unwrap().trace;
        assert_eq!((heard(&trace.to_string()), heard("nonsense"), heard("")), (Some(trace), None, None));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let error = context(&[("MUSTER_CORES", "many")]).unwrap_err();
        assert_eq!(error.to_string(), "MUSTER_CORES makes no sense");
        assert!(context(&[("MUSTER_MASTER", ":")]).is_err());
    }
}
