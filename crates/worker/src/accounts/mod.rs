//! The accounts that programs run as.
//!
//! Names are looked up in the machine's directories, which may hang: before there is an async
//! thread.

mod id_ranges;
mod owner_uids;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::{io, thread};

use muster_agent::runner_protocol::ProcessCredentials;
use nix::unistd::{Gid, Uid, User, getgrouplist, setfsgid, setfsuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

pub use id_ranges::{IdRange, IdRanges};
pub use owner_uids::NoOwnerUid;
use owner_uids::OwnerUids;

/// The package's account, to which the numbers of owners' users are granted.
const PACKAGED: &str = "muster-run";

/// The accounts of which a worker of root takes the first that exists, where owners have no users:
/// the package's, then the one that every machine has.
const USUAL: [&str; 2] = [PACKAGED, "nobody"];

/// Where the machine grants numbers of users and groups.
const GRANTED: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// Whose the work is that has no owner, as a caller without credentials is named.
const NO_OWNER: &str = "system:local";

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
    /// The flag's value is none.
    #[error("USER or OWNER=USER,…, with at least one user, each once")]
    Form,
    /// The flag says two things.
    #[error("one --run-as for each owner, and one without an owner: this is another")]
    Twice,
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
    /// Users of owners are given, and `--run-as` puts one account in their place.
    #[error("no numbers where --run-as names the account of all owners who are not mapped")]
    OwnerUidsUnused,
    /// Only root starts programs as another user.
    #[error("no numbers, since a worker that is not root cannot run programs as another user")]
    OwnerUidsNotRoot,
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
                let account = match look_up(name)? {
                    Some(user) => Account::of(user)?,
                    None => Account::numbered(name).ok_or(AccountError::Unknown)?,
                };
                match account.credentials.uid {
                    uid if uid == own.as_raw() => Ok(None),
                    _ if !own.is_root() => Err(AccountError::NotRoot),
                    _ => Ok(Some(account)),
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
        Ok(Account::of_number(NOBODY))
    }

    /// An account that no list of users knows, if this is the number of one. The kernel takes a
    /// number of all ones for "no change", which would be root.
    fn numbered(text: &str) -> Option<Account> {
        text.parse().ok().filter(|number| *number != u32::MAX).map(Account::of_number)
    }

    fn of_number(number: u32) -> Account {
        let credentials = ProcessCredentials { uid: number, gid: number, groups: Vec::new() };
        Account { name: number.to_string(), home: "/".to_owned(), credentials }
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

    /// Gives a directory or file to the account, by its descriptor and not through a link. If a
    /// pipe has its place, the open does not wait for the other end.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file: File = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        let kind = file.metadata()?.file_type();
        if !kind.is_dir() && !kind.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a directory"));
        }
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

/// An account with the name that it was given by; the worker's own user without one.
#[derive(Debug, Clone)]
struct Choice {
    given: String,
    account: Option<Arc<Account>>,
}

impl Choice {
    fn find(given: &str) -> Result<Choice, AccountError> {
        Ok(Choice { given: given.to_owned(), account: Account::find(Some(given))?.map(Arc::new) })
    }

    /// Whether a submission means it. An account has a name beside the number that may be given.
    fn is(&self, wanted: &str) -> bool {
        self.given == wanted || self.account.as_ref().is_some_and(|account| account.name == wanted)
    }
}

/// As whom programs of owners run who are not mapped.
#[derive(Debug, Clone)]
enum Unmapped {
    /// All as one.
    One(Choice),
    /// Each owner's as a user of its own.
    Each(Arc<OwnerUids>),
}

/// The accounts of a worker's programs, by the owners of what they belong to. The default has all
/// run as the worker's own user.
#[derive(Debug, Clone)]
pub struct Accounts {
    unmapped: Unmapped,
    owners: BTreeMap<String, Vec<Choice>>,
}

/// Why an owner's program has no account.
#[derive(Debug, thiserror::Error)]
pub enum NoAccount {
    /// An owner asks for an account that it is not mapped to.
    #[error("this worker runs nothing of {owner} as {wanted}: its --run-as has {has} for it")]
    NotMapped {
        /// The owner, for people.
        owner: String,
        /// What it asks for.
        wanted: String,
        /// What it may ask for.
        has: String,
    },
    /// There is no user for the owner.
    #[error(transparent)]
    NoUid(#[from] NoOwnerUid),
}

impl Default for Accounts {
    fn default() -> Accounts {
        let own = Choice { given: String::new(), account: None };
        Accounts { unmapped: Unmapped::One(own), owners: BTreeMap::new() }
    }
}

impl Accounts {
    /// Looks up what `--run-as` gives, with the numbers for owners that are given, or that the
    /// machine grants. On failure, returns the value of `--run-as` as well.
    pub fn find(
        given: &[String],
        owner_uids: Option<IdRanges>,
        state_dir: &Path,
    ) -> Result<Accounts, (String, AccountError)> {
        let mut accounts = Accounts::default();
        let mut usual = None;
        for value in given {
            let failed = |error| (value.clone(), error);
            // No account has such a sign in its name, and an owner may have any.
            match value.rsplit_once('=') {
                None if usual.is_some() => return Err(failed(AccountError::Twice)),
                None => usual = Some(value.as_str()),
                Some((owner, list)) => {
                    let names: BTreeSet<_> = list.split(',').collect();
                    if owner.is_empty() || names.contains("") || names.len() != list.split(',').count() {
                        return Err(failed(AccountError::Form));
                    }
                    let choices = list.split(',').map(Choice::find).collect::<Result<_, _>>().map_err(failed)?;
                    if accounts.owners.insert(owner.to_owned(), choices).is_some() {
                        return Err(failed(AccountError::Twice));
                    }
                }
            }
        }
        let failed = |error| (usual.unwrap_or_default().to_owned(), error);
        accounts.unmapped = match (usual, owner_uids) {
            (Some(_), Some(_)) => return Err(failed(AccountError::OwnerUidsUnused)),
            (None, Some(_)) if !rustix::process::geteuid().is_root() => {
                return Err(failed(AccountError::OwnerUidsNotRoot));
            }
            (Some(name), None) => Unmapped::One(Choice::find(name).map_err(failed)?),
            (None, given) => {
                let numbers = match given {
                    Some(ranges) => Some(ranges),
                    None => granted().map_err(failed)?,
                };
                match numbers {
                    Some(ranges) => Unmapped::Each(Arc::new(OwnerUids::new(ranges, state_dir))),
                    None => {
                        let account = Account::find(None).map_err(failed)?.map(Arc::new);
                        Unmapped::One(Choice { given: String::new(), account })
                    }
                }
            }
        };
        Ok(accounts)
    }

    /// Reads which owners have users. To be called once the state directory is locked.
    pub fn load(&self) -> Result<(), NoOwnerUid> {
        match &self.unmapped {
            Unmapped::Each(uids) => uids.load(),
            Unmapped::One(_) => Ok(()),
        }
    }

    /// The account of an owner's programs, which may have asked for one; `None` is the worker's own
    /// user. This may write a file.
    pub fn of(&self, owner: Option<&str>, run_as: Option<&str>) -> Result<Option<Arc<Account>>, NoAccount> {
        let mapped = owner.and_then(|owner| self.owners.get(owner)).map(Vec::as_slice);
        let choices = match (mapped, &self.unmapped) {
            (Some(choices), _) => choices,
            (None, Unmapped::One(choice)) => std::slice::from_ref(choice),
            (None, Unmapped::Each(uids)) => match run_as {
                None => return Ok(Some(Arc::new(Account::of_number(uids.of(owner.unwrap_or(NO_OWNER))?)))),
                Some(_) => &[],
            },
        };
        let chosen = match run_as {
            None => choices.first(),
            Some(wanted) => choices.iter().find(|choice| choice.is(wanted)),
        };
        let not_mapped = || {
            let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
            let names: Vec<_> = choices.iter().map(|choice| or(&choice.given, ITS_DEFAULT)).collect();
            NoAccount::NotMapped {
                owner: or(owner.unwrap_or_default(), "who has no credentials"),
                wanted: run_as.unwrap_or_default().to_owned(),
                has: or(&names.join(", "), ITS_DEFAULT),
            }
        };
        chosen.map(|choice| choice.account.clone()).ok_or_else(not_mapped)
    }

    /// Every account that is not the worker's own user. Those of owners are the first and the last
    /// that may be.
    pub fn others(&self) -> impl Iterator<Item = Account> {
        let unmapped: Vec<Account> = match &self.unmapped {
            Unmapped::One(choice) => choice.account.as_deref().cloned().into_iter().collect(),
            Unmapped::Each(uids) => uids.ranges().ends().map(Account::of_number).collect(),
        };
        let mapped = self.owners.values().flatten().filter_map(|choice| choice.account.as_deref().cloned());
        unmapped.into_iter().chain(mapped)
    }

    /// Whether a program may run as another user than the worker.
    pub fn has_others(&self) -> bool {
        self.others().next().is_some()
    }

    /// Whether a program may run as the worker's own user.
    pub fn allow_own(&self) -> bool {
        let is_own = |choice: &Choice| choice.account.is_none();
        let unmapped = matches!(&self.unmapped, Unmapped::One(choice) if is_own(choice));
        unmapped || self.owners.values().flatten().any(is_own)
    }

    /// Whether no two owners' programs run as the same user, and none as the worker's own.
    pub fn separate_owners(&self) -> bool {
        let Unmapped::Each(uids) = &self.unmapped else { return false };
        let mut taken = BTreeSet::new();
        self.owners.values().all(|choices| {
            let numbers: Option<BTreeSet<u32>> =
                choices.iter().map(|choice| Some(choice.account.as_ref()?.credentials.uid)).collect();
            // One owner may be mapped to an account twice, by its name and its number.
            numbers.is_some_and(|numbers| {
                numbers.into_iter().all(|number| !uids.ranges().contains(number) && taken.insert(number))
            })
        })
    }
}

const ITS_DEFAULT: &str = "its default";

/// The numbers of owners' users that this machine grants to the package's account, if it does.
fn granted() -> Result<Option<IdRanges>, AccountError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let Some(user) = look_up(PACKAGED)? else { return Ok(None) };
    let [users, groups] = GRANTED.map(Path::new);
    let ranges = IdRanges::granted(users, groups, PACKAGED, user.uid.as_raw()).map_err(AccountError::LookUp)?;
    Ok(Some(ranges).filter(|ranges| ranges.numbers().next().is_some()))
}

impl From<Account> for Accounts {
    /// All programs run as this one.
    fn from(account: Account) -> Accounts {
        let choice = Choice { given: account.name.clone(), account: Some(Arc::new(account)) };
        Accounts { unmapped: Unmapped::One(choice), owners: BTreeMap::new() }
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
        let numbered = Account::find(Some("4294967294")).expect("found").expect("another");
        assert_eq!((numbered.credentials.uid, numbered.credentials.gid), (u32::MAX - 1, u32::MAX - 1));
        assert!(matches!(Account::find(Some("4294967295")), Err(AccountError::Unknown)), "no change of user");
    }

    #[test]
    fn what_another_program_put_in_its_place_is_not_given_away() {
        let root = tempfile::tempdir().expect("a directory");
        let (pipe, link) = (root.path().join("pipe"), root.path().join("link"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("linked");
        let own = rustix::process::geteuid().as_raw();
        for place in [&pipe, &link] {
            assert!(Account::of_number(own).give(place).is_err(), "{}", place.display());
        }
    }

    fn mapping(given: &[&str]) -> Result<Accounts, (String, AccountError)> {
        let given: Vec<_> = given.iter().map(|value| (*value).to_owned()).collect();
        Accounts::find(&given, None, Path::new("/no/such/directory"))
    }

    fn with_uids(given: &[&str], state_dir: &Path) -> Result<Accounts, (String, AccountError)> {
        let given: Vec<_> = given.iter().map(|value| (*value).to_owned()).collect();
        let range: IdRange = "80000:9".parse().expect("a range");
        Accounts::find(&given, Some(range.into()), state_dir)
    }

    #[test]
    fn every_owner_who_is_not_mapped_has_a_user_of_its_own() {
        if muster_testenv::lacks("root", rustix::process::geteuid().is_root()) {
            return;
        }
        let state = tempfile::tempdir().expect("a directory");
        let accounts = with_uids(&["ann=70001"], state.path()).expect("found");
        let uid = |owner| accounts.of(owner, None).expect("one").expect("another").credentials.uid;
        assert_eq!(
            [Some("ann"), Some("bob"), None, Some("eve"), Some("bob")].map(uid),
            [70_001, 80_000, 80_001, 80_002, 80_000]
        );
        assert_eq!(uid(Some(NO_OWNER)), uid(None), "the same without credentials");
        let groups = &accounts.of(Some("bob"), None).expect("one").expect("another").credentials;
        assert_eq!((groups.gid, groups.groups.as_slice()), (80_000, &[][..]));
        let refused = accounts.of(Some("bob"), Some("80001")).expect_err("another's").to_string();
        assert_eq!(refused, "this worker runs nothing of bob as 80001: its --run-as has its default for it");
        assert!(!accounts.allow_own() && accounts.has_others() && accounts.separate_owners());
        for shared in [&["ann=root"][..], &["ann=80003"], &["ann=70001", "bob=70002,70001"]] {
            assert!(!with_uids(shared, state.path()).expect("found").separate_owners(), "{shared:?}");
        }
        assert!(!mapping(&["nobody"]).expect("found").separate_owners());
        assert!(matches!(with_uids(&["nobody"], state.path()), Err((_, AccountError::OwnerUidsUnused))));
    }

    /// A name from a certificate may be any text.
    #[test]
    fn an_owner_is_mapped_whatever_signs_its_name_has() {
        if muster_testenv::lacks("root", rustix::process::geteuid().is_root()) {
            return;
        }
        let accounts = mapping(&["cert:CN=ann,OU=a=b=70001,70002", "cert:CN=ann=70003"]).expect("found");
        let uid = |owner, run_as| accounts.of(Some(owner), run_as).expect("one").expect("another").credentials.uid;
        assert_eq!(uid("cert:CN=ann,OU=a=b", None), 70_001);
        assert_eq!(uid("cert:CN=ann,OU=a=b", Some("70002")), 70_002);
        assert_eq!(uid("cert:CN=ann", None), 70_003);
    }

    #[test]
    fn an_owner_has_the_accounts_that_it_is_mapped_to_and_no_other() {
        if muster_testenv::lacks("root", rustix::process::geteuid().is_root()) {
            return;
        }
        let accounts = mapping(&["ann=70001,70002,root", "nobody", "cert:bob=70003"]).expect("found");
        let of = |owner: Option<&str>, run_as: Option<&str>| {
            let uid = |account: Option<Arc<Account>>| account.map_or(0, |account| account.credentials.uid);
            accounts.of(owner, run_as).map(uid).map_err(|error| error.to_string())
        };
        assert_eq!(of(Some("ann"), None), Ok(70_001));
        assert_eq!(of(Some("ann"), Some("70002")), Ok(70_002));
        assert_eq!(of(Some("ann"), Some("root")), Ok(0));
        assert_eq!(of(Some("cert:bob"), None), Ok(70_003));
        for owner in [None, Some("eve")] {
            assert_eq!((of(owner, None), of(owner, Some("nobody"))), (Ok(NOBODY), Ok(NOBODY)));
        }
        let refused = of(Some("ann"), Some("nobody")).expect_err("it is another's");
        assert_eq!(refused, "this worker runs nothing of ann as nobody: its --run-as has 70001, 70002, root for it");
        for (owner, run_as) in [(None, "root"), (Some("eve"), "70001"), (Some("cert:bob"), "70001"), (None, "")] {
            assert!(of(owner, Some(run_as)).is_err(), "{owner:?} {run_as}");
        }
        assert!(accounts.allow_own() && accounts.has_others());
        assert!(!mapping(&["ann=70001"]).expect("found").allow_own());
    }

    #[test]
    fn what_maps_twice_or_nothing_is_refused() {
        for given in [&["root", "root"][..], &["ann=root", "ann=root"], &["=root"], &["ann="], &["ann=root,root"]] {
            let (value, error) = mapping(given).expect_err("refused");
            assert_eq!(value, given[given.len() - 1]);
            assert!(matches!(error, AccountError::Twice | AccountError::Form), "{error}");
        }
    }
}
