//! The account that programs run as.
//!
//! Names are looked up in the machine's directories, which may hang: before there is an async
//! thread.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{io, thread};

use muster_agent::runner_protocol::ProcessCredentials;
use nix::unistd::{Gid, Uid, User, getgrouplist, setfsgid, setfsuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// The accounts of which a worker of root takes the first that exists: the package's, then the one
/// that every machine has.
const USUAL: [&str; 2] = ["muster-run", "nobody"];

/// The kernel's own unprivileged user and group, for a machine without a list of users.
const NOBODY: u32 = 65_534;

/// The user of whom no file needs to tell.
const ROOT: &str = "root";

/// An account that is not the worker's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its home directory.
    pub home: String,
    /// Its numbers.
    pub credentials: ProcessCredentials,
}

/// Why programs cannot run as an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is none of this name.
    #[error("an account of this machine, which has no such")]
    Unknown,
    /// The machine's directories do not answer.
    #[error("an account that can be looked up, which failed: {0}")]
    LookUp(io::Error),
    /// Only root starts programs as another user.
    #[error("the worker's own user, since a worker that is not root cannot run programs as another")]
    NotRoot,
    /// The machine does not let the runner become another user.
    #[error(
        "programs are to run as {0}, and this machine does not let the runner become another user: to run them as \
         root, start the worker with --run-as root"
    )]
    NotPossible(String),
    /// The account cannot reach the work directories.
    #[error(
        "programs are to run as {0}, which cannot enter {1}: let others pass the directories above it (chmod o+x), \
         name another --work-dir, or another user with --run-as"
    )]
    Unreachable(String, String, #[source] io::Error),
}

impl Account {
    /// The account of this name or number, or without one the usual account of a worker of root;
    /// `None` if programs run as the worker's own user.
    pub fn find(name: Option<&str>) -> Result<Option<Account>, AccountError> {
        let own = rustix::process::geteuid();
        match name {
            // These need no list of users, which a container may lack.
            Some(ROOT) if own.is_root() => Ok(None),
            Some(name) if name.parse() == Ok(own.as_raw()) => Ok(None),
            Some(name) => {
                let user = look_up(name)?.ok_or(AccountError::Unknown)?;
                match user.uid.as_raw() {
                    uid if uid == own.as_raw() => Ok(None),
                    _ if !own.is_root() => Err(AccountError::NotRoot),
                    _ => Account::of(user).map(Some),
                }
            }
            None if own.is_root() => Account::usual().map(Some),
            None => Ok(None),
        }
    }

    fn usual() -> Result<Account, AccountError> {
        for name in USUAL {
            // A name that root has taken for itself is no account for programs.
            if let Some(user) = look_up(name)?.filter(|user| !user.uid.is_root()) {
                return Account::of(user);
            }
        }
        let credentials = ProcessCredentials { uid: NOBODY, gid: NOBODY, groups: Vec::new() };
        Ok(Account { name: NOBODY.to_string(), home: "/".to_owned(), credentials })
    }

    fn of(user: User) -> Result<Account, AccountError> {
        let text = CString::new(user.name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&text, user.gid).map_err(|errno| AccountError::LookUp(errno.into()))?;
        Ok(Account {
            home: user.dir.to_string_lossy().into_owned(),
            credentials: ProcessCredentials {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                groups: groups.into_iter().map(Gid::as_raw).collect(),
            },
            name: user.name,
        })
    }

    /// Gives the calling thread, for good, the account's rights to files in place of the worker's,
    /// and takes every capability from it. The thread stays root's otherwise, so no program of the
    /// account can signal it.
    pub(crate) fn take_file_rights(&self) -> io::Result<()> {
        let ProcessCredentials { uid, gid, groups } = &self.credentials;
        let groups: Vec<_> = groups.iter().map(|group| rustix::process::Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups)?;
        let (gid, uid) = (Gid::from_raw(*gid), Uid::from_raw(*uid));
        // The calls return what was before, so the second ones say whether the first ones did it.
        setfsgid(gid);
        setfsuid(uid);
        if setfsgid(gid) != gid || setfsuid(uid) != uid {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // The others would still open what root's processes have open, below /proc.
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        Ok(set_capabilities(None, sets)?)
    }

    /// Gives a directory or file to the account, by its descriptor and not through a link.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let ProcessCredentials { uid, gid, .. } = self.credentials;
        std::os::unix::fs::fchown(file, Some(uid), Some(gid))
    }

    /// Tries, on a thread of its own, whether the account can enter a directory.
    pub(crate) fn check_reach(&self, directory: &Path) -> Result<(), AccountError> {
        let inside = directory.join(".");
        let tried = thread::scope(|scope| {
            let look = || self.take_file_rights().and_then(|()| std::fs::metadata(&inside).map(drop));
            scope.spawn(look).join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        });
        tried.map_err(|error| AccountError::Unreachable(self.name.clone(), directory.display().to_string(), error))
    }
}

fn look_up(name: &str) -> Result<Option<User>, AccountError> {
    let user = match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    user.map_err(|errno| AccountError::LookUp(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_of_root_runs_programs_as_root_only_if_that_is_said() {
        if muster_testenv::lacks("root", rustix::process::geteuid().is_root()) {
            return;
        }
        let usual = Account::find(None).expect("found").expect("another than root");
        assert!(usual.credentials.uid != 0 && !usual.credentials.groups.contains(&0), "{usual:?}");
        for root in ["root", "0"] {
            assert_eq!(Account::find(Some(root)).expect("found"), None);
        }
        let nobody = Account::find(Some("nobody")).expect("found");
        assert_eq!(nobody, Account::find(Some("65534")).expect("found"));
        assert_eq!(nobody.expect("another").credentials.uid, NOBODY);
        assert!(matches!(Account::find(Some("no-such-account")), Err(AccountError::Unknown)));
        assert!(matches!(Account::find(Some("4294967294")), Err(AccountError::Unknown)));
    }
}
