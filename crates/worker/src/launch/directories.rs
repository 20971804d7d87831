//! Where the files of an attempt are, and how they are made with few system calls.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use muster_os::{PrivateDirectoryError, make_readable, make_traversable};
use muster_types::{AllocatedResources, ApplicationUid, AttemptKey, Launch};
use serde::Serialize;

use super::environment::AttemptPaths;
use crate::accounts::{Account, Accounts};
use crate::attempts::AgentFacts;
use crate::config::Directories;

/// Name of the file with the facts of an attempt, in its log directory.
const FACTS: &str = ".facts";

/// Makes directories, and remembers which scratch directories exist.
#[derive(Debug)]
pub struct AttemptDirectories {
    directories: Directories,
    scratch_made: Mutex<BTreeSet<ApplicationUid>>,
    /// Whose the work and scratch directories may be.
    accounts: Accounts,
}

impl AttemptDirectories {
    /// Makes the work and log directories.
    pub fn make(directories: Directories, accounts: Accounts) -> Result<AttemptDirectories, PrivateDirectoryError> {
        // Others may have to reach what is in them; private directories have modes of their own.
        if accounts.has_others() {
            make_traversable(&directories.work)?;
        } else {
            make_readable(&directories.work)?;
        }
        make_readable(&directories.logs)?;
        Ok(AttemptDirectories { directories, scratch_made: Mutex::default(), accounts })
    }

    /// The worker's directories.
    pub fn directories(&self) -> &Directories {
        &self.directories
    }

    /// The accounts that programs run as.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The log directory of an attempt.
    pub fn log_dir(&self, attempt: &AttemptKey) -> PathBuf {
        self.directories.logs.join(attempt.to_string())
    }

    /// The scratch directory of an application.
    pub fn scratch_dir(&self, application: ApplicationUid) -> PathBuf {
        self.directories.work.join(format!("scratch-{application}"))
    }

    /// The paths of a launch. The work directory is the attempt's own; one that is named may hold
    /// variables, whose values are made of these paths.
    pub fn places(&self, launch: &Launch) -> AttemptPaths {
        let key = launch.attempt.to_string();
        let own = self.directories.work.join(&key);
        let logs = self.directories.logs.join(&key);
        let scratch = match launch.attempt {
            AttemptKey::Executor(application, _) => Some(self.scratch_dir(application)),
            AttemptKey::Driver(..) => None,
        };
        AttemptPaths {
            resources_file: own.join(".muster-resources.json"),
            work_dir: own.clone(),
            own,
            stdout: logs.join("stdout"),
            stderr: logs.join("stderr"),
            scratch,
        }
    }

    /// Makes the directories of a launch, which are the account's if it is given. Its work and log
    /// directories must be fresh: nothing of another attempt may be found there, nor what another
    /// program has put there in advance. On failure, returns the path that could not be made.
    pub fn create(
        &self,
        launch: &Launch,
        places: &AttemptPaths,
        account: Option<&Account>,
    ) -> Result<(), (PathBuf, io::Error)> {
        let key = launch.attempt.to_string();
        let own = self.directories.work.join(&key);
        let mode = if self.accounts.has_others() { 0o700 } else { 0o755 };
        make_fresh_dir(&own, mode).map_err(|error| (own.clone(), error))?;
        let logs = self.directories.logs.join(&key);
        // It stays the worker's, so that a program can neither remove nor replace its logs.
        make_fresh_dir(&logs, mode).map_err(|error| (logs.clone(), error))?;
        let facts = AgentFacts { leased: launch.leased, log_limit: launch.log_limit };
        if facts != AgentFacts::default() {
            write_facts(&logs, facts).map_err(|error| (logs, error))?;
        }
        if let (AttemptKey::Executor(application, _), Some(scratch)) = (launch.attempt, &places.scratch) {
            self.create_scratch(application, scratch, account).map_err(|error| (scratch.clone(), error))?;
        }
        if !launch.resources.addresses.is_empty() {
            write_resources(&places.resources_file, &launch.resources_component, &launch.resources)
                .map_err(|error| (places.resources_file.clone(), error))?;
            give(account, &places.resources_file)?;
        }
        // Last: from here on nothing of the worker's rights may open a path below it.
        give(account, &own)
    }

    fn create_scratch(&self, application: ApplicationUid, path: &Path, account: Option<&Account>) -> io::Result<()> {
        let mut made = self.scratch_made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if made.contains(&application) {
            return Ok(());
        }
        make_dir_if_missing(path, 0o700)?;
        if let Some(account) = account {
            account.give(path)?;
        }
        made.insert(application);
        Ok(())
    }

    /// The facts that an earlier agent wrote down of an attempt, or the usual ones.
    pub fn facts(&self, attempt: &AttemptKey) -> AgentFacts {
        read_facts(&self.log_dir(attempt)).unwrap_or_default()
    }

    /// Removes the scratch directory of an application of which nothing runs here.
    pub fn remove_scratch(&self, application: ApplicationUid) -> io::Result<()> {
        let mut made = self.scratch_made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        made.remove(&application);
        match muster_os::remove_tree(&self.scratch_dir(application)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

fn give(account: Option<&Account>, path: &Path) -> Result<(), (PathBuf, io::Error)> {
    account.map_or(Ok(()), |account| account.give(path)).map_err(|error| (path.to_owned(), error))
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)
}

fn make_dir_if_missing(path: &Path, mode: u32) -> io::Result<()> {
    match make_dir(path, mode) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// A directory that exists was prepared by an agent that died before the runner heard of the
/// attempt, or another program made it. Nothing ever ran in it, and the attempt must find nothing
/// of it.
fn make_fresh_dir(path: &Path, mode: u32) -> io::Result<()> {
    match make_dir(path, mode) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            muster_os::remove_tree(path)?;
            make_dir(path, mode)
        }
        result => result,
    }
}

/// Facts that are not the usual ones are kept beside the logs, for the next agent. Most launches
/// write nothing.
fn write_facts(logs: &Path, facts: AgentFacts) -> io::Result<()> {
    write_new(&logs.join(FACTS), format!("{} {}\n", u8::from(facts.leased), facts.log_limit).as_bytes())
}

fn read_facts(logs: &Path) -> Option<AgentFacts> {
    let text = muster_os::file::read_small(&logs.join(FACTS)).ok()?;
    let (leased, log_limit) = text.trim().split_once(' ')?;
    Some(AgentFacts { leased: leased == "1", log_limit: log_limit.parse().ok()? })
}

/// Writes a file of a fresh directory. What is there already was put there by another program, and
/// may be a link.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    File::create_new(path)?.write_all(content)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceEntry<'a> {
    id: ResourceEntryId<'a>,
    addresses: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceEntryId<'a> {
    component_name: &'a str,
    resource_name: &'a str,
}

/// The form that Spark's executors read:
/// `[{"id":{"componentName":…,"resourceName":"gpu"},"addresses":["0"]}]`.
fn write_resources(path: &Path, component: &str, resources: &AllocatedResources) -> io::Result<()> {
    let entries: Vec<ResourceEntry<'_>> = resources
        .addresses
        .iter()
        .map(|(name, addresses)| ResourceEntry {
            id: ResourceEntryId { component_name: component, resource_name: name },
            addresses: addresses.iter().map(AsRef::as_ref).collect(),
        })
        .collect();
    write_new(path, &serde_json::to_vec(&entries)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_new_file_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let (other, link) = (root.path().join("other"), root.path().join("link"));
        fs::write(&other, "other").expect("written");
        std::os::unix::fs::symlink(&other, &link).expect("linked");
        let error = write_new(&link, b"1 4096\n").expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&other).expect("readable"), "other");
    }
}
