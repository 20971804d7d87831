//! From settings to a configuration: what is not set is detected, and everything is checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, process};

use muster_config::{ConfigError, check_listen};
use muster_proto::BearerToken;
use muster_proto::text::{is_label_key, is_label_value, is_resource_name, is_variable_name, is_worker_name};
use muster_proto::v1;
use muster_tls::{JoinToken, NotAJoinToken, Trust};
use muster_types::{
    AllocatedResources, Hello, Incarnation, ResourceName, Session, WorkerName, WorkerUid, is_reserved_variable,
};
use muster_units::ByteSize;
use serde::Deserialize;

use super::{
    Directories, JoinArgs, JoinConfig, MasterTrust, WorkerConfig, WorkerRetention, WorkerSettings, detect,
    work_of_account,
};
use crate::accounts::{AccountError, Accounts, IdRange, IdRanges};
use crate::certificate;
use crate::launch::ArtifactNetworks;

/// Most addresses of one resource, as on the wire.
const ADDRESSES_LIMIT: usize = 1_024;

impl JoinArgs {
    /// Reads the files that are named.
    pub fn resolve(self) -> Result<JoinConfig, ConfigError> {
        let shown = self.state_dir.display().to_string();
        let state_dir =
            std::path::absolute(&self.state_dir).map_err(|error| ConfigError::value("state-dir", shown, error))?;
        Ok(JoinConfig {
            masters: masters(&self.master)?,
            trust: self.ca.map(trust).transpose()?,
            token: self.token_file.as_deref().map(token).transpose()?,
            state_dir,
        })
    }
}

impl WorkerSettings {
    /// Detects what is not set, and checks everything.
    pub fn resolve(self) -> Result<WorkerConfig, ConfigError> {
        let listen = self.listen;
        let state = std::path::absolute(&self.state_dir)
            .map_err(|error| ConfigError::value("state-dir", self.state_dir.display().to_string(), error))?;
        let token = self.token_file.as_deref().map(token).transpose()?;
        // With trust in its masters it serves them alone, over TLS.
        let has_trust = self.ca.is_some()
            || token.as_ref().is_some_and(|token| token.pin().is_some())
            || certificate::has_joined(&state);
        let remedy = "give --ca or a token that begins with mstj_, or --insecure-listen if that is meant";
        check_listen(listen, self.insecure_listen || has_trust, remedy)?;
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let accounts = self.accounts(&state)?;
        // The state directory is closed to other accounts.
        let usual_work = || if accounts.has_others() { work_of_account(&state) } else { state.join("work") };
        let directories = Directories {
            work: self.work_dir.clone().map_or_else(usual_work, absolute),
            logs: self.log_dir.clone().map_or_else(|| state.join("logs"), absolute),
            cache: state.join("cache"),
            state,
        };
        check_texts(&directories)?;
        let host = match &self.host {
            Some(host) => host.clone(),
            None if listen.ip().is_unspecified() => detect::hostname(),
            None => listen.ip().to_string(),
        };
        let config = WorkerConfig {
            masters: masters(&self.master)?,
            trust: self.ca.clone().map(|file| trust(absolute(file))).transpose()?,
            token,
            name: worker_name(self.name.clone().unwrap_or_else(detect::hostname))?,
            listen,
            http: self.http,
            advertise: self.advertise.clone(),
            host,
            labels: pairs("label", &self.label, LABEL, is_label_key, is_label_value)?,
            variables: self.variables()?,
            // After all that costs nothing, because it may run scripts.
            total: self.total()?,
            directories,
            accounts,
            artifact_networks: ArtifactNetworks {
                allow: self.artifact_allow.clone(),
                deny: self.artifact_deny.clone(),
            },
            runner_args: self.runner_arg.clone(),
            require_containment: self.require_containment,
            limits: self.limits,
            fence_kill_after: self.fence_kill_after.0,
            retention: self.retention()?,
            // Last, since a missing binary says the least about what people wrote.
            runner: runner(self.runner.clone())?,
            rejoin: self.rejoin,
            address_file: self.address_file,
            otlp: self.otlp,
        };
        check_hello(&config)?;
        Ok(config)
    }

    fn accounts(&self, state: &Path) -> Result<Accounts, ConfigError> {
        let granted = match self.owner_uids.as_deref() {
            Some(given) => {
                let range: Result<IdRange, _> = given.parse();
                let range = range.map_err(|error| ConfigError::value("owner-uids", given, error))?;
                Some(IdRanges::from(range))
            }
            None => None,
        };
        Accounts::find(&self.run_as, granted, state).map_err(|(given, error)| match error {
            AccountError::OwnerUidsUnused | AccountError::OwnerUidsNotRoot => {
                ConfigError::value("owner-uids", self.owner_uids.clone().unwrap_or_default(), error)
            }
            error => ConfigError::value("run-as", given, error),
        })
    }

    fn variables(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let variables = pairs("variable", &self.variable, VARIABLE, is_variable_name, |_| true)?;
        match variables.keys().find(|name| is_reserved_variable(name)) {
            Some(name) => Err(ConfigError::value("variable", name, "Muster gives this one itself; take another name")),
            None => Ok(variables),
        }
    }

    fn total(&self) -> Result<AllocatedResources, ConfigError> {
        let cores = match self.cores {
            Some(0) => return Err(ConfigError::value("cores", "0", "at least 1")),
            Some(cores) => cores,
            None => detect::cores(),
        };
        let memory = match self.memory {
            Some(ByteSize(0)) => return Err(ConfigError::value("memory", "0", "more than 0")),
            Some(memory) => memory.0,
            None => detect::memory(),
        };
        let mut addresses = BTreeMap::new();
        for (name, list) in pairs("resource", &self.resource, RESOURCE, is_resource_name, |_| true)? {
            let list = list.split(',').map(str::trim).filter(|address| !address.is_empty()).map(Arc::from).collect();
            addresses.insert(ResourceName::from(name), list);
        }
        for (name, path) in pairs("resource-script", &self.resource_script, RESOURCE, is_resource_name, |_| true)? {
            let list = run_script(&name, &path)?;
            addresses.insert(ResourceName::from(name), list);
        }
        for (name, list) in &addresses {
            check_addresses(name, list)?;
        }
        Ok(AllocatedResources { cores, memory, addresses })
    }

    fn retention(&self) -> Result<WorkerRetention, ConfigError> {
        if self.cleanup_interval.0.is_zero() {
            return Err(ConfigError::value("cleanup-interval", "0", "more than 0"));
        }
        Ok(WorkerRetention {
            interval: self.cleanup_interval.0,
            work_age: self.cleanup_age.0,
            log_age: self.log_keep.0,
            log_bytes: self.log_keep_size.0,
            cache_bytes: self.cache_keep_size.0,
        })
    }
}

/// Reads the worker's token.
fn token(file: &Path) -> Result<JoinToken, ConfigError> {
    let wrong = |error: &dyn fmt::Display| ConfigError::value("token-file", file.display().to_string(), error);
    let bearer = BearerToken::in_file(file).map_err(|error| wrong(&error))?;
    bearer.expose().parse().map_err(|error: NotAJoinToken| wrong(&error))
}

/// Reads the cluster's CA.
fn trust(file: PathBuf) -> Result<MasterTrust, ConfigError> {
    let trust = Trust::in_file(&file).map_err(|error| ConfigError::value("ca", file.display().to_string(), error))?;
    Ok(MasterTrust { file, trust })
}

fn masters(text: &str) -> Result<Vec<String>, ConfigError> {
    let list: Vec<String> = text
        .split(',')
        .map(|part| part.trim().trim_start_matches("http://").to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    let good = |address: &String| {
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if list.is_empty() || !list.iter().all(good) {
        return Err(ConfigError::value("master", text, "expected HOST:PORT, separated by commas"));
    }
    Ok(list)
}

fn worker_name(name: String) -> Result<WorkerName, ConfigError> {
    if !is_worker_name(&name) {
        return Err(ConfigError::value(
            "name",
            name,
            "expected 1 to 63 letters, digits, '-', '.' or '_', a letter or digit at both ends",
        ));
    }
    Ok(WorkerName::new(name))
}

fn pairs(
    flag: &'static str,
    list: &[String],
    expected: &str,
    is_name: impl Fn(&str) -> bool,
    is_value: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut pairs = BTreeMap::new();
    for text in list {
        let pair = text.split_once('=').filter(|(name, value)| is_name(name) && is_value(value));
        let (name, value) = pair.ok_or_else(|| ConfigError::value(flag, text, expected))?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(ConfigError::value(flag, text, "given twice"));
        }
    }
    Ok(pairs)
}

const LABEL: &str = "expected NAME=VALUE with a name of 1 to 63 letters, digits, '.', '_', '/' or '-', a letter or digit at \
                     both ends, and a value of at most 63 bytes without control characters";
const VARIABLE: &str = "expected NAME=VALUE with a name of 1 to 63 upper-case letters, digits or '_', a letter first";
const RESOURCE: &str =
    "expected NAME=VALUE with a name of 1 to 63 lower-case letters, digits, '_' or '-', a letter first";

/// Checks what a master would refuse, by the master's own rules: the worker would dial for ever.
fn check_hello(config: &WorkerConfig) -> Result<(), ConfigError> {
    let hello = Hello {
        incarnation: Incarnation { counter: 1, random: 0 },
        session: Session(1),
        ..config.hello(WorkerUid(0), config.advertise.as_deref().unwrap_or_default())
    };
    let checked = Hello::try_from(v1::Hello::from(&hello));
    checked.map(|_| ()).map_err(|error| ConfigError::rule(format!("no master would take this worker: {error}")))
}

/// Programs are told of paths in variables, and people in logs: so a path is a text, in one line.
fn check_texts(directories: &Directories) -> Result<(), ConfigError> {
    let Directories { state, work, logs, cache: _ } = directories;
    for (flag, path) in [("state-dir", state), ("work-dir", work), ("log-dir", logs)] {
        if path.to_str().is_none_or(|text| text.contains(char::is_control)) {
            let given = path.display().to_string().escape_debug().to_string();
            return Err(ConfigError::value(flag, given, "a path in UTF-8 without control characters"));
        }
    }
    Ok(())
}

fn check_addresses(name: &str, list: &[Arc<str>]) -> Result<(), ConfigError> {
    let mut seen = std::collections::BTreeSet::new();
    let good = |address: &Arc<str>| !address.is_empty() && address.len() <= 128;
    if list.is_empty()
        || list.len() > ADDRESSES_LIMIT
        || !list.iter().all(|address| good(address) && seen.insert(address))
    {
        return Err(ConfigError::value(
            "resource",
            name,
            "expected 1 to 1024 different addresses of at most 128 bytes",
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
struct ScriptOutput {
    name: String,
    addresses: Vec<String>,
}

fn run_script(name: &str, path: &str) -> Result<Vec<Arc<str>>, ConfigError> {
    let script = |expected: String| ConfigError::value("resource-script", format!("{name}={path}"), expected);
    let failed = |error: &dyn fmt::Display| script(format!("cannot run the resource script {path}: {error}"));
    let output = process::Command::new(path).output().map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&output.status));
    }
    let printed: ScriptOutput = serde_json::from_slice(&output.stdout)
        .map_err(|error| script(format!("the resource script must print {{\"name\":…,\"addresses\":[…]}}: {error}")))?;
    if printed.name != name {
        return Err(script(format!("printed the name {}, expected {name}", printed.name)));
    }
    Ok(printed.addresses.into_iter().map(Arc::from).collect())
}

fn runner(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let path = match given {
        Some(path) => path,
        None => {
            let own = std::env::current_exe().map_err(|error| ConfigError::value("runner", "", error))?;
            own.with_file_name("muster-runner")
        }
    };
    // A binary that is being replaced by an upgrade is found again under its own name.
    if !path.is_file() {
        return Err(ConfigError::value("runner", path.display().to_string(), "no such file"));
    }
    Ok(path)
}
