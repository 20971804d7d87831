//! The environment of a process, and the values of its variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use muster_types::{AttemptKey, Launch, plain_label};

use crate::accounts::Account;

/// Variables of the agent's own environment that are passed on: never its `MUSTER_*`, never a
/// secret.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];
/// Those that tell of the worker's own user.
const OF_USER: [&str; 4] = ["PATH", "HOME", "USER", "TMPDIR"];
/// The PATH of programs of another user, and of all if the agent itself has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What all processes of this worker are told.
#[derive(Debug, Clone, Default)]
pub struct WorkerVariables {
    /// Name of the worker.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Reachable name of the machine.
    pub host: String,
    /// Address of the worker's service.
    pub address: String,
    /// File with the cluster's CA, where connections are over TLS.
    pub ca_file: Option<PathBuf>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Worker-defined variables.
    pub variables: BTreeMap<String, String>,
    /// The variables of the agent's own environment that are passed on.
    pub passed_on: Vec<(String, String)>,
}

impl WorkerVariables {
    /// The variables of the agent's own environment that are passed on.
    pub fn of_agent() -> Vec<(String, String)> {
        let own = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
        PASSED_ON.into_iter().filter_map(own).collect()
    }
}

/// The environment that every program begins with: what the agent passes on. What is of the
/// worker's own user is the account's for a program that runs as one, and its PATH is the usual
/// one, since the worker's may lead to directories that are its user's alone.
pub(super) fn base_environment(account: Option<&Account>, passed_on: &[(String, String)]) -> Vec<(String, String)> {
    let is_kept = |name: &str| account.is_none() || !OF_USER.contains(&name);
    let mut base: Vec<_> = passed_on.iter().filter(|(name, _)| is_kept(name)).cloned().collect();
    if !base.iter().any(|(name, _)| name == "PATH") {
        base.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    if let Some(Account { name, home, .. }) = account {
        let own = [("HOME", home), ("USER", name), ("LOGNAME", name)];
        base.extend(own.map(|(variable, value)| (variable.to_owned(), value.clone())));
    }
    base
}

/// What is known of the cluster by the time of a launch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterVariables {
    /// Addresses of masters, separated by commas.
    pub masters: String,
    /// Name of the cluster.
    pub cluster: String,
}

/// Where the files of one attempt are.
#[derive(Debug, Clone)]
pub struct AttemptPaths {
    /// The attempt's own directory, which is its work directory unless another is named.
    pub own: PathBuf,
    /// The work directory.
    pub work_dir: PathBuf,
    /// Standard output.
    pub stdout: PathBuf,
    /// Standard error.
    pub stderr: PathBuf,
    /// Scratch directory of the application; for executors only.
    pub scratch: Option<PathBuf>,
    /// The file of RESOURCES_FILE.
    pub resources_file: PathBuf,
}

/// One attempt, with everything that its variables are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct VariableScope<'a> {
    /// The launch.
    pub(super) launch: &'a Launch,
    /// The worker.
    pub(super) worker: &'a WorkerVariables,
    /// The paths of the attempt.
    pub(super) places: &'a AttemptPaths,
}

impl VariableScope<'_> {
    /// The value of a variable. The worker's own names come first, so that no profile can claim
    /// another work directory.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let VariableScope { launch, worker, places } = self;
        let path = |path: &PathBuf| Some(path.to_string_lossy().into_owned());
        match name {
            "CORES" => Some(launch.resources.cores.to_string()),
            "MEMORY_BYTES" => Some(launch.resources.memory.to_string()),
            "HOSTNAME" => Some(worker.host.clone()),
            "WORKER_ID" => Some(worker.name.clone()),
            "WORK_DIR" => path(&places.work_dir),
            "RESOURCES_FILE" => path(&places.resources_file),
            "SCRATCH_DIR" => places.scratch.as_ref().and_then(path),
            _ => self.defined_variable(name),
        }
    }

    fn defined_variable(&self, name: &str) -> Option<String> {
        let label = || worker_label(&self.worker.labels, name.strip_prefix("LABEL_")?);
        self.launch
            .variables
            .get(name)
            .cloned()
            .or_else(|| self.worker.variables.get(name).cloned())
            .or_else(label)
            .or_else(|| self.identity_variable(name))
    }

    /// Variables that the master usually fills in, in case it did not.
    fn identity_variable(&self, name: &str) -> Option<String> {
        match (self.launch.attempt, name) {
            (AttemptKey::Driver(..), "DRIVER_ID") | (AttemptKey::Executor(..), "APP_ID") => {
                Some(self.launch.id.clone())
            }
            (AttemptKey::Driver(_, attempt), "ATTEMPT") => Some(attempt.to_string()),
            (AttemptKey::Executor(_, executor), "EXECUTOR_ID") => Some(executor.to_string()),
            _ => None,
        }
    }

    /// The `MUSTER_*` variables of the environment, which replace whatever the command sets.
    pub(super) fn muster_environment(&self, cluster: &ClusterVariables) -> Vec<(String, String)> {
        let VariableScope { launch, worker, places } = self;
        let mut list: Vec<(&str, String)> = vec![
            ("MUSTER_MASTER", cluster.masters.clone()),
            ("MUSTER_CLUSTER", cluster.cluster.clone()),
            ("MUSTER_WORKER", worker.name.clone()),
            ("MUSTER_WORKER_UID", worker.uid.clone()),
            ("MUSTER_HOST", worker.host.clone()),
            ("MUSTER_WORK_DIR", places.work_dir.to_string_lossy().into_owned()),
            ("MUSTER_CORES", launch.resources.cores.to_string()),
            ("MUSTER_MEMORY_BYTES", launch.resources.memory.to_string()),
            ("MUSTER_MARK", launch.attempt.to_string()),
        ];
        let ca_file = worker.ca_file.as_ref().map(|path| path.to_string_lossy().into_owned());
        list.extend(ca_file.map(|path| ("MUSTER_CA_FILE", path)));
        if !launch.resources.addresses.is_empty() {
            list.push(("MUSTER_RESOURCES_FILE", places.resources_file.to_string_lossy().into_owned()));
        }
        match launch.attempt {
            AttemptKey::Driver(uid, attempt) => {
                list.push(("MUSTER_ATTEMPT", attempt.to_string()));
                list.push(("MUSTER_DRIVER", launch.id.clone()));
                list.push(("MUSTER_DRIVER_UID", uid.to_string()));
                let token = launch.token.as_ref().map(|token| token.expose().to_owned());
                list.extend(token.map(|token| ("MUSTER_TOKEN", token)));
            }
            AttemptKey::Executor(uid, executor) => {
                let attempt = launch.variables.get("ATTEMPT").cloned();
                list.extend(attempt.map(|attempt| ("MUSTER_ATTEMPT", attempt)));
                list.push(("MUSTER_APPLICATION", launch.id.clone()));
                list.push(("MUSTER_APPLICATION_UID", uid.to_string()));
                list.push(("MUSTER_EXECUTOR_ID", executor.to_string()));
                let profile = launch.variables.get("PROFILE_ID").cloned();
                list.extend(profile.map(|profile| ("MUSTER_PROFILE_ID", profile)));
                let scratch = places.scratch.as_ref().map(|path| path.to_string_lossy().into_owned());
                list.extend(scratch.map(|scratch| ("MUSTER_SCRATCH_DIR", scratch)));
            }
        }
        list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// `LABEL_zone` is the label `zone`. `LABEL_ZONE_A` is the label `zone-a`: the names of environment
/// variables are written without lower case, `-` and `.`.
fn worker_label(labels: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let by_plain_name = || labels.iter().find(|(label, _)| plain_label(label) == name).map(|(_, value)| value);
    labels.get(name).or_else(by_plain_name).cloned()
}

#[cfg(test)]
mod tests {
    use muster_agent::runner_protocol::ProcessCredentials;

    use super::*;

    #[test]
    fn a_program_of_an_account_is_told_nothing_of_the_workers_user() {
        let own = ["PATH", "HOME", "USER", "TMPDIR", "LANG"].map(|name| (name.to_owned(), format!("root's {name}")));
        let credentials = ProcessCredentials { uid: 7, gid: 7, groups: Vec::new() };
        let account = Account { name: "ann".into(), home: "/home/ann".into(), credentials };
        let given: BTreeMap<_, _> = base_environment(Some(&account), &own).into_iter().collect();
        let given: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let known = [
            ("HOME", "/home/ann"),
            ("LANG", "root's LANG"),
            ("LOGNAME", "ann"),
            ("PATH", DEFAULT_PATH),
            ("USER", "ann"),
        ];
        assert_eq!(given, known);
        assert_eq!(base_environment(None, &own), own);
    }
}
