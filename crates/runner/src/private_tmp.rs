//! Temporary files and shared memory that are one user's alone. Every user has a namespace of
//! mounts, in which `/tmp` and `/var/tmp` are directories of its own on the disk of the work
//! directories, and `/dev/shm` is a file system of its own; and one of IPC, so that what System V
//! IPC and POSIX message queues make ends as well. They are made for the user's first program, and
//! each further one enters them: to copy a namespace takes the kernel a fifth of a start, to enter
//! one a hundredth. Once nothing of the user has run for a while, they go with all that was written
//! there.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use muster_types::Time;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount};

use crate::sys::UserNamespaces;
use crate::sys::daemon::unshare_mounts_and_ipc;
use crate::sys::user::NOBODY;

/// The directories that become a user's own on the disk, with the names of what they are there.
const ON_DISK: [(&str, &str); 2] = [("/tmp", "tmp"), ("/var/tmp", "var-tmp")];

/// The directory of which programs expect that it is in memory.
const IN_MEMORY: &str = "/dev/shm";

/// The file system of the message queues of a namespace of IPC.
const QUEUES: &str = "/dev/mqueue";

/// What share of the machine's memory a user's files in memory take at most, and its System V
/// shared memory as well. What an attempt writes counts to its own limit of memory; what it leaves
/// behind counts to nobody's while another attempt of the user runs.
const SHARE_OF_MEMORY: u64 = 4;

/// The most files in memory of one user: each takes about 1 KiB of the kernel.
const MOST_FILES: u64 = 65_536;

/// The most System V message queues of one user, which hold 16 KiB each.
const MOST_QUEUES: u64 = 1_024;

/// System V semaphores of one user: in a set, in all, operations of a call, and sets.
const SEMAPHORES: &str = "32000 32000 500 1024";

/// For how long the files of a user of whom nothing runs are kept: longer than a program that fails
/// waits at first to be run again, and than one job takes to follow another.
const KEPT: Duration = Duration::from_secs(10);

/// The most namespaces of which nothing runs, since each costs the kernel something at every mount
/// of the machine. Those that run something are as many as there are users of attempts.
const MOST_IDLE: usize = 16;

/// Namespaces that wait to be removed. More stay idle until there is room.
const REMOVALS: usize = 64;

/// A thread that makes system calls on short paths.
const STACK_BYTES: usize = 128 * 1024;

/// Every user's namespace.
#[derive(Debug)]
pub(crate) struct PrivateTmp {
    /// Holds a directory for each namespace; root's, closed to others.
    root: PathBuf,
    /// What begins the names of this runner's directories there: an earlier one's have another.
    prefix: String,
    state: Mutex<Spaces>,
    removals: SyncSender<Removal>,
}

#[derive(Debug, Default)]
struct Spaces {
    by_user: BTreeMap<u32, Space>,
    /// How many were made, which numbers them.
    made: u64,
}

/// One user's namespace.
#[derive(Debug)]
struct Space {
    /// Where its files are.
    home: PathBuf,
    /// Attempts that are, or will be, in it.
    attempts: usize,
    /// Since when there are none.
    idle_since: Time,
    /// The namespaces, once they were made. They are made under this lock, which hangs with the
    /// disk and holds up the starts of its user alone.
    namespaces: Arc<Mutex<Option<Arc<UserNamespaces>>>>,
}

/// What is left of a namespace that nobody enters any more.
#[derive(Debug)]
struct Removal {
    home: PathBuf,
    namespaces: Option<Arc<UserNamespaces>>,
}

impl PrivateTmp {
    /// Tries whether the machine lets users have such directories, with their files below `root`,
    /// and begins to remove what an earlier runner has left there.
    pub(crate) fn open(root: &Path, start: u64) -> io::Result<PrivateTmp> {
        make_private(root)?;
        let left = fs::read_dir(root)?.flatten().map(|entry| entry.file_name()).collect();
        let (removals, queue) = sync_channel(REMOVALS);
        let tried =
            PrivateTmp { root: root.to_owned(), prefix: format!("{start:x}"), state: Mutex::default(), removals };
        tried.acquire(NOBODY);
        let made = tried.namespaces(NOBODY);
        tried.release(NOBODY, Time(0));
        let cleaned = root.to_owned();
        thread::Builder::new()
            .name("private-tmp".into())
            .stack_size(STACK_BYTES)
            .spawn(move || clean(&cleaned, left, &queue))?;
        tried.sweep(Time(0) + KEPT);
        made.map(|_| tried)
    }

    /// Counts an attempt of a user before its program is started.
    pub(crate) fn acquire(&self, user: u32) {
        let mut state = self.state();
        if !state.by_user.contains_key(&user) {
            state.made += 1;
            let home = self.root.join(format!("{user}-{}-{}", self.prefix, state.made));
            let space = Space { home, attempts: 0, idle_since: Time(0), namespaces: Arc::default() };
            state.by_user.insert(user, space);
        }
        if let Some(space) = state.by_user.get_mut(&user) {
            space.attempts += 1;
        }
    }

    /// Takes back what [`PrivateTmp::acquire`] counted: nothing of the attempt is left.
    pub(crate) fn release(&self, user: u32, now: Time) {
        if let Some(space) = self.state().by_user.get_mut(&user) {
            space.attempts = space.attempts.saturating_sub(1);
            space.idle_since = now;
        }
    }

    /// The namespaces of a user for whom an attempt is counted. The first one to ask makes them.
    pub(crate) fn namespaces(&self, user: u32) -> io::Result<Arc<UserNamespaces>> {
        let (home, namespaces) = {
            let state = self.state();
            let space = state.by_user.get(&user).ok_or(io::ErrorKind::NotFound)?;
            (space.home.clone(), Arc::clone(&space.namespaces))
        };
        let mut namespaces = namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        match &*namespaces {
            Some(made) => Ok(Arc::clone(made)),
            None => {
                let made = Arc::new(make_namespaces(&home)?);
                *namespaces = Some(Arc::clone(&made));
                Ok(made)
            }
        }
    }

    /// Hands over for removal what has been idle for long, and the oldest of what is too much.
    pub(crate) fn sweep(&self, now: Time) {
        let mut state = self.state();
        let mut idle: Vec<(Time, u32)> = state.idle().collect();
        idle.sort_unstable();
        let surplus = idle.len().saturating_sub(MOST_IDLE);
        for (nth, (since, user)) in idle.into_iter().enumerate() {
            if nth >= surplus && now < since + KEPT {
                break;
            }
            let Some(space) = state.by_user.get(&user) else { continue };
            let namespaces = space.namespaces.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let removal = Removal { home: space.home.clone(), namespaces };
            if self.removals.try_send(removal).is_err() {
                break;
            }
            state.by_user.remove(&user);
        }
    }

    /// When to sweep again.
    pub(crate) fn next_sweep(&self) -> Option<Time> {
        self.state().idle().map(|(since, _)| since + KEPT).min()
    }

    fn state(&self) -> MutexGuard<'_, Spaces> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spaces {
    fn idle(&self) -> impl Iterator<Item = (Time, u32)> {
        self.by_user.iter().filter(|(_, space)| space.attempts == 0).map(|(user, space)| (space.idle_since, *user))
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && muster_os::is_directory(path)? => {
            fs::set_permissions(path, Permissions::from_mode(0o700))
        }
        made => made,
    }
}

/// Makes namespaces, on a thread of its own: a thread changes its own mounts alone, and the
/// namespaces outlive it by their descriptors.
fn make_namespaces(home: &Path) -> io::Result<UserNamespaces> {
    let home = home.to_owned();
    let maker = thread::Builder::new().name("mounts".into()).stack_size(STACK_BYTES).spawn(move || {
        for (_, name) in ON_DISK {
            let directory = home.join(name);
            DirBuilder::new().mode(0o700).recursive(true).create(&directory)?;
            // As everywhere: what is in it belongs to who made it. Only this user ever comes here.
            fs::set_permissions(&directory, Permissions::from_mode(0o1777))?;
        }
        unshare_mounts_and_ipc()?;
        // Later mounts of the machine are still seen, but ours are not passed on.
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        for (place, name) in ON_DISK {
            if is_place(place)? {
                mount_bind(home.join(name), place)?;
                mount_remount(place, MountFlags::BIND | flags, "")?;
            }
        }
        let page = rustix::param::page_size() as u64;
        let most_pages = machine_memory() / SHARE_OF_MEMORY / page;
        if is_place(IN_MEMORY)? {
            let size = most_pages * page;
            let options = CString::new(format!("mode=1777,size={size},nr_inodes={MOST_FILES}"))?;
            mount("tmpfs", IN_MEMORY, "tmpfs", flags, Some(options.as_c_str()))?;
        }
        bound_ipc(most_pages)?;
        if is_place(QUEUES)? {
            mount("mqueue", QUEUES, "mqueue", flags | MountFlags::NOEXEC, None)?;
        }
        let opened = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}")).map(OwnedFd::from);
        Ok(UserNamespaces { mounts: opened("mnt")?, ipc: opened("ipc")? })
    })?;
    maker.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

fn machine_memory() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram.saturating_mul(system.mem_unit.into())
}

/// Bounds what the calling thread's namespace of IPC may hold. The kernel sets almost no bounds.
fn bound_ipc(most_pages: u64) -> io::Result<()> {
    fs::write("/proc/sys/kernel/shmall", most_pages.to_string())?;
    fs::write("/proc/sys/kernel/msgmni", MOST_QUEUES.to_string())?;
    fs::write("/proc/sys/kernel/sem", SEMAPHORES)
}

/// Whether a machine has this directory. A link would lead to another of them, or elsewhere.
fn is_place(place: &str) -> io::Result<bool> {
    match muster_os::is_directory(Path::new(place)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found,
    }
}

/// Removes what an earlier runner has left, then what it is given. It may take long, and nobody
/// waits for it.
fn clean(root: &Path, left: Vec<OsString>, removals: &Receiver<Removal>) {
    let remove = |home: &Path| {
        match muster_os::remove_tree(home) {
            // It was never made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                // There may be no reader. The next runner tries again.
                let _ = writeln!(io::stderr(), "cannot remove {}: {error}", home.display());
            }
            Ok(()) => {}
        }
    };
    left.iter().for_each(|name| remove(&root.join(name)));
    for Removal { home, namespaces } in removals {
        // The kernel takes the mounts apart, which may wait for others that it has to tell.
        drop(namespaces);
        remove(&home);
    }
}
