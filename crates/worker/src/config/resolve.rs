//! From settings to a configuration: defaults filled in, everything checked.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, process};

use muster_types::{AllocatedResources, ResourceName, WorkerName};
use muster_units::{ByteSize, ParseByteSizeError, ParseTimeSpanError, TimeSpan};
use serde::Deserialize;

use super::{Directories, WorkerConfig, WorkerRetention, WorkerSettings, detect};

/// Addresses of one resource, as the wire bounds them.
const ADDRESSES_LIMIT: usize = 1_024;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The file cannot be read.
    #[error("cannot read {0}")]
    ReadFile(PathBuf, #[source] io::Error),
    /// The file is not what it should be.
    // The cause draws a picture of several lines; its message says it in one.
    #[error("cannot parse {path}: {}", .1.message(), path = .0.display())]
    ParseFile(PathBuf, Box<toml::de::Error>),
    /// A value is wrong; what would be right is said.
    #[error("--{flag} {value}: {expected}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A size is wrong.
    #[error("--{flag} {value}")]
    Size {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// Why.
        source: ParseByteSizeError,
    },
    /// A length of time is wrong.
    #[error("--{flag} {value}")]
    Span {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// Why.
        source: ParseTimeSpanError,
    },
    /// A resource script cannot be run.
    #[error("cannot run the resource script {0}")]
    RunScript(String, #[source] io::Error),
    /// What a resource script printed is not what it should be.
    #[error("the resource script {0} must print {{\"name\":…,\"addresses\":[…]}}")]
    ScriptOutput(String, #[source] serde_json::Error),
}

fn wrong(flag: &'static str, value: impl Into<String>, expected: impl Into<String>) -> SettingError {
    SettingError::Value { flag, value: value.into(), expected: expected.into() }
}

/// Where a worker keeps its state unless it is told.
const STATE_DIR: &str = "/var/lib/muster/worker";

impl WorkerSettings {
    /// Adds what the file at `path` says to what is not set.
    pub fn or_file(self, path: &Path) -> Result<WorkerSettings, SettingError> {
        let text = fs::read_to_string(path).map_err(|error| SettingError::ReadFile(path.to_owned(), error))?;
        let file = toml::from_str(&text).map_err(|error| SettingError::ParseFile(path.to_owned(), Box::new(error)))?;
        Ok(self.or(file))
    }

    /// What process 1 of a container needs: the state directory, and the bound of the programs'
    /// grace.
    pub fn of_process_one(&self) -> Result<(PathBuf, Duration), SettingError> {
        let state = self.state_dir.clone().unwrap_or_else(|| PathBuf::from(STATE_DIR));
        Ok((state, self.stop_grace()?))
    }

    fn stop_grace(&self) -> Result<Duration, SettingError> {
        length("stop-grace", self.stop_grace.as_deref().unwrap_or("25s"))
    }

    /// Fills in defaults and checks everything.
    pub fn resolve(self) -> Result<WorkerConfig, SettingError> {
        // Of use to process 1 alone, and wrong for everyone if it is wrong.
        self.stop_grace()?;
        let listen = listen(self.listen.as_deref(), self.insecure_listen.unwrap_or(false))?;
        let state = self.state_dir.clone().unwrap_or_else(|| PathBuf::from(STATE_DIR));
        let state = std::path::absolute(&state)
            .map_err(|error| wrong("state-dir", state.display().to_string(), error.to_string()))?;
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let directories = Directories {
            work: self.work_dir.clone().map_or_else(|| state.join("work"), absolute),
            logs: self.log_dir.clone().map_or_else(|| state.join("logs"), absolute),
            cache: state.join("cache"),
            state,
        };
        let host = match &self.host {
            Some(host) => host.clone(),
            None if listen.ip().is_unspecified() => detect::hostname(),
            None => listen.ip().to_string(),
        };
        Ok(WorkerConfig {
            masters: masters(self.master.as_deref().unwrap_or("127.0.0.1:7077"))?,
            name: worker_name(self.name.clone().unwrap_or_else(detect::hostname))?,
            listen,
            advertise: self.advertise.clone(),
            host,
            total: self.total()?,
            labels: pairs("label", &self.label, |name| !name.is_empty())?,
            variables: pairs("variable", &self.variable, is_variable_name)?,
            directories,
            runner_args: self.runner_arg.clone(),
            require_containment: self.require_containment.unwrap_or(false),
            limits: on_or_off("limits", self.limits.as_deref().unwrap_or("on"))?,
            fence_kill_after: length("fence-kill-after", self.fence_kill_after.as_deref().unwrap_or("10m"))?,
            retention: self.retention()?,
            // Last: that a binary is missing says the least of what people wrote.
            runner: runner(self.runner.clone())?,
            rejoin: self.rejoin.unwrap_or(false),
            address_file: self.address_file,
        })
    }

    fn total(&self) -> Result<AllocatedResources, SettingError> {
        let cores = match self.cores {
            Some(0) => return Err(wrong("cores", "0", "at least 1")),
            Some(cores) => cores,
            None => detect::cores(),
        };
        let memory = match &self.memory {
            Some(text) => match bytes("memory", text)? {
                0 => return Err(wrong("memory", text, "more than 0")),
                memory => memory,
            },
            None => detect::memory(),
        };
        let mut addresses = BTreeMap::new();
        for (name, list) in pairs("resource", &self.resource, is_resource_name)? {
            let list = list.split(',').map(str::trim).filter(|address| !address.is_empty()).map(Arc::from).collect();
            addresses.insert(ResourceName::from(name), list);
        }
        for (name, path) in pairs("resource-script", &self.resource_script, is_resource_name)? {
            let list = run_script(&name, &path)?;
            addresses.insert(ResourceName::from(name), list);
        }
        for (name, list) in &addresses {
            check_addresses(name, list)?;
        }
        Ok(AllocatedResources { cores, memory, addresses })
    }

    fn retention(&self) -> Result<WorkerRetention, SettingError> {
        let interval = length("cleanup-interval", self.cleanup_interval.as_deref().unwrap_or("30m"))?;
        if interval.is_zero() {
            return Err(wrong("cleanup-interval", "0", "more than 0"));
        }
        Ok(WorkerRetention {
            interval,
            work_age: length("cleanup-age", self.cleanup_age.as_deref().unwrap_or("7d"))?,
            log_age: length("log-keep", self.log_keep.as_deref().unwrap_or("7d"))?,
            log_bytes: bytes("log-keep-size", self.log_keep_size.as_deref().unwrap_or("10GiB"))?,
            cache_bytes: bytes("cache-keep-size", self.cache_keep_size.as_deref().unwrap_or("10GiB"))?,
        })
    }
}

fn bytes(flag: &'static str, text: &str) -> Result<u64, SettingError> {
    let size: Result<ByteSize, _> = text.parse();
    size.map(|size| size.0).map_err(|source| SettingError::Size { flag, value: text.to_owned(), source })
}

fn length(flag: &'static str, text: &str) -> Result<Duration, SettingError> {
    let span: Result<TimeSpan, _> = text.parse();
    span.map(|span| span.0).map_err(|source| SettingError::Span { flag, value: text.to_owned(), source })
}

fn on_or_off(flag: &'static str, text: &str) -> Result<bool, SettingError> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(wrong(flag, text, "expected on or off")),
    }
}

fn listen(text: Option<&str>, insecure: bool) -> Result<SocketAddr, SettingError> {
    let text = text.unwrap_or("127.0.0.1:0");
    let address = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut list| list.next())
        .ok_or_else(|| wrong("listen", text, "expected IP:PORT"))?;
    if !address.ip().is_loopback() && !insecure {
        return Err(wrong(
            "listen",
            text,
            "reachable from other machines while there are no credentials yet; add --insecure-listen if that is meant",
        ));
    }
    Ok(address)
}

fn masters(text: &str) -> Result<Vec<String>, SettingError> {
    let list: Vec<String> = text
        .split(',')
        .map(|part| part.trim().trim_start_matches("http://").to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    let good = |address: &String| {
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if list.is_empty() || !list.iter().all(good) {
        return Err(wrong("master", text, "expected HOST:PORT, separated by commas"));
    }
    Ok(list)
}

fn worker_name(name: String) -> Result<WorkerName, SettingError> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let outer = |c: char| c.is_ascii_alphanumeric();
    if name.len() > 63 || !name.starts_with(outer) || !name.ends_with(outer) || !name.chars().all(inner) {
        return Err(wrong(
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
    good: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, String>, SettingError> {
    let mut pairs = BTreeMap::new();
    for text in list {
        let pair = text.split_once('=').filter(|(name, _)| good(name));
        let (name, value) = pair.ok_or_else(|| wrong(flag, text, "expected NAME=VALUE with a valid name"))?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(wrong(flag, text, "given twice"));
        }
    }
    Ok(pairs)
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_resource_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

fn check_addresses(name: &str, list: &[Arc<str>]) -> Result<(), SettingError> {
    let mut seen = std::collections::BTreeSet::new();
    let good = |address: &Arc<str>| !address.is_empty() && address.len() <= 128;
    if list.is_empty()
        || list.len() > ADDRESSES_LIMIT
        || !list.iter().all(|address| good(address) && seen.insert(address))
    {
        return Err(wrong("resource", name, "expected 1 to 1024 different addresses of at most 128 bytes"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct ScriptOutput {
    name: String,
    addresses: Vec<String>,
}

fn run_script(name: &str, path: &str) -> Result<Vec<Arc<str>>, SettingError> {
    let output =
        process::Command::new(path).output().map_err(|error| SettingError::RunScript(path.to_owned(), error))?;
    if !output.status.success() {
        let error = io::Error::other(format!("{}", output.status));
        return Err(SettingError::RunScript(path.to_owned(), error));
    }
    let printed: ScriptOutput =
        serde_json::from_slice(&output.stdout).map_err(|error| SettingError::ScriptOutput(path.to_owned(), error))?;
    if printed.name != name {
        return Err(wrong("resource-script", path, format!("printed the name {}, expected {name}", printed.name)));
    }
    Ok(printed.addresses.into_iter().map(Arc::from).collect())
}

fn runner(given: Option<PathBuf>) -> Result<PathBuf, SettingError> {
    let path = match given {
        Some(path) => path,
        None => {
            let own = std::env::current_exe().map_err(|error| wrong("runner", "", error.to_string()))?;
            own.with_file_name("muster-runner")
        }
    };
    // A binary that is being replaced by an upgrade is found again under its own name.
    if !path.is_file() {
        return Err(wrong("runner", path.display().to_string(), "no such file"));
    }
    Ok(path)
}
