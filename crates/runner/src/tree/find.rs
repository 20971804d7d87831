//! Finding out, by trying, what the machine permits.
//!
//! The worker's cgroup is `<root>/muster/<name>`, where the name comes from the state directory's
//! path: a worker whose state directory was wiped finds what it ran before. Its directory is held
//! locked while the runner lives, so that two workers that happen to share a name (the same path in
//! two containers that see one hierarchy) never end each other's trees: the second is refused and
//! needs another `--cgroup-root`.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use muster_os::proc;
use muster_types::Capabilities;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open, statfs};

use super::cgroup::{make_dir, open_dir, read, remove, write};
use super::freezer::Freezer;
use super::limits::{LimitSource, Limiter};
use super::marks::Marks;
use super::v2::Cgroup2;
use super::{Holder, Survivors, Trees};

/// What the runner asks for.
#[derive(Debug, Clone)]
pub(crate) struct TreeRequest {
    /// Where the hierarchies are mounted, or a cgroup of the second version that was handed to us.
    pub(crate) root: PathBuf,
    /// The worker's name.
    pub(crate) name: String,
    /// How to hold trees.
    pub(crate) method: Method,
    /// Whether to enforce limits.
    pub(crate) limits: bool,
}

/// How to hold trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The best that works.
    Best,
    /// The second version, or else best effort.
    Cgroup2,
    /// The first version's freezer, or else best effort.
    Freezer,
    /// Best effort.
    None,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct FoundTrees {
    /// What holds and limits trees.
    pub(crate) trees: Trees,
    /// What the hello reports.
    pub(crate) capabilities: Capabilities,
    /// Held while the runner lives.
    pub(crate) cgroup_homes: Vec<CgroupHome>,
}

/// The worker's cgroup in one hierarchy, held locked, and those of guard and runner beside it. They
/// are removed when the runner ends in order. After a crash they stay, for the next runner.
#[derive(Debug)]
pub(crate) struct CgroupHome {
    shared: OwnedFd,
    name: String,
    _lock: OwnedFd,
    /// Whether it holds the trees: every program is then in a cgroup of its own in this hierarchy.
    holds_trees: bool,
    /// The cgroup in which the runner was started, if it is known.
    origin: Option<PathBuf>,
    /// The file by which the runner goes back there, once it is in a cgroup of its own.
    way_back: Option<OwnedFd>,
}

impl CgroupHome {
    /// Puts a guard beside the worker's cgroup, so that limits or a freezing that hit the runner do
    /// not hit the guard.
    pub(crate) fn admit_guard(&self, pid: u32) {
        // This is done as far as the machine permits: without it the guard works as well, but
        // shares the runner's fate.
        let _ = self.admit(&self.guard_name(), &pid.to_string());
    }

    /// Puts the runner beside the worker's cgroup, so that nothing that is done to the cgroup in
    /// which it was started stops it. This is done only where every program has a cgroup of its
    /// own: in a hierarchy of limits, a program without limits would stay in the runner's cgroup.
    fn admit_runner(&mut self) -> io::Result<()> {
        if !self.holds_trees {
            return Ok(());
        }
        let origin = self.origin.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let way_back = open(origin.join(PROCS), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        self.admit(&self.runner_name(), ITSELF)?;
        self.way_back = Some(way_back);
        Ok(())
    }

    fn hold_trees(&mut self, origin: Option<PathBuf>) {
        (self.holds_trees, self.origin) = (true, origin);
    }

    fn admit(&self, name: &str, pid: &str) -> io::Result<()> {
        make_dir(&self.shared, name)?;
        write(&self.shared, &format!("{name}/{PROCS}"), pid)
    }

    /// Whether programs are held here, and not only limits.
    pub(crate) fn holds_trees(&self) -> bool {
        self.holds_trees
    }

    fn guard_name(&self) -> String {
        format!("guard-{}", self.name)
    }

    fn runner_name(&self) -> String {
        format!("runner-{}", self.name)
    }
}

impl Drop for CgroupHome {
    fn drop(&mut self) {
        let _ = remove(&self.shared, &self.guard_name());
        // A cgroup with a process cannot be removed. If it stays, the next runner uses it.
        if let Some(way_back) = &self.way_back {
            let _ = rustix::io::write(way_back, ITSELF.as_bytes());
            let _ = remove(&self.shared, &self.runner_name());
        }
        // It stays if something is left in it.
        let _ = remove(&self.shared, &self.name);
    }
}

/// Moves the runner to cgroups of its own, as far as the machine permits. Programs leave them: each
/// has a cgroup of its own in the same hierarchies.
pub(crate) fn admit_runner(cgroup_homes: &mut [CgroupHome]) {
    for home in cgroup_homes {
        if let Err(error) = home.admit_runner() {
            // There may be no reader.
            let _ = writeln!(io::stderr(), "the runner cannot have a cgroup of its own: {error}");
        }
    }
}

/// Another runner uses the worker's cgroup.
#[derive(Debug)]
pub(crate) struct FindError {
    pub(crate) directory: PathBuf,
}

const CGROUP2_MAGIC: u64 = 0x6367_7270;
const CGROUP1_MAGIC: u64 = 0x0027_e0eb;

/// The controller of the first version that holds trees.
const FREEZER: &str = "freezer";

/// The directory that all workers of a machine share.
const SHARED: &str = "muster";

/// The file that lists the processes of a cgroup, and lets processes in.
const PROCS: &str = "cgroup.procs";

/// Stands for the process that writes it there.
const ITSELF: &str = "0";

/// Name of a cgroup that is made and removed to see whether that works.
const PROBE: &str = "probe";

/// Tries what works, best first.
pub(crate) fn find(wanted: &TreeRequest) -> Result<FoundTrees, FindError> {
    let mut cgroup_homes = Vec::new();
    let v2 = match wanted.method {
        Method::Best | Method::Cgroup2 => find_v2(wanted, &mut cgroup_homes)?,
        Method::Freezer | Method::None => None,
    };
    let holder = match (v2, wanted.method) {
        (Some(parent), _) => Holder::Cgroup2(Cgroup2::new(parent)),
        (None, Method::Best | Method::Freezer) => match find_v1(wanted, FREEZER, "freezer.state", &mut cgroup_homes)? {
            Some(parent) => Holder::Freezer(Freezer::new(parent)),
            None => Holder::Marks(Marks::new(wanted.name.clone())),
        },
        (None, Method::Cgroup2 | Method::None) => Holder::Marks(Marks::new(wanted.name.clone())),
    };
    let limiter = if wanted.limits { find_limits(wanted, &holder, &mut cgroup_homes)? } else { Limiter::default() };

    let freezes = can_freeze(&holder);
    let mut capabilities = Capabilities {
        tree: !matches!(holder, Holder::Marks(_)),
        freezer: freezes,
        tree_method: match holder {
            Holder::Cgroup2(_) => "cgroup2",
            Holder::Freezer(_) => "cgroup1-freezer",
            Holder::Marks(_) => "none",
        }
        .to_owned(),
        ..Capabilities::default()
    };
    limiter.describe(&mut capabilities);
    let leased = Holder::Marks(Marks::new(wanted.name.clone()));
    Ok(FoundTrees { trees: Trees { holder, leased, limiter, freezes }, capabilities, cgroup_homes })
}

fn has_magic(path: &Path, magic: u64) -> bool {
    statfs(path).is_ok_and(|found| found.f_type as u64 == magic)
}

/// The mount of the second version: the root itself, or `unified` beside the first version's
/// hierarchies.
fn v2_root(root: &Path) -> Option<PathBuf> {
    let unified = root.join("unified");
    [root.to_owned(), unified].into_iter().find(|path| has_magic(path, CGROUP2_MAGIC))
}

fn find_v2(wanted: &TreeRequest, cgroup_homes: &mut Vec<CgroupHome>) -> Result<Option<OwnedFd>, FindError> {
    let Some(root) = v2_root(&wanted.root) else { return Ok(None) };
    for base in bases(&root, "") {
        let Ok(parent) = make_parent(&base, &wanted.name, enable_controllers) else { continue };
        if can_kill(&parent) {
            let mut home = lock(&parent, &base, wanted)?;
            home.hold_trees(own_cgroup("").map(|own| below(&root, &own)));
            cgroup_homes.push(home);
            return Ok(Some(parent));
        }
    }
    Ok(None)
}

fn find_v1(
    wanted: &TreeRequest,
    controller: &str,
    file: &str,
    cgroup_homes: &mut Vec<CgroupHome>,
) -> Result<Option<OwnedFd>, FindError> {
    let root = wanted.root.join(controller);
    if !has_magic(&root, CGROUP1_MAGIC) {
        return Ok(None);
    }
    for base in bases(&root, controller) {
        let Ok(parent) = make_parent(&base, &wanted.name, |_| ()) else { continue };
        if has_file(&parent, file) {
            let mut home = lock(&parent, &base, wanted)?;
            if controller == FREEZER {
                home.hold_trees(own_cgroup(controller).map(|own| below(&root, &own)));
            }
            cgroup_homes.push(home);
            return Ok(Some(parent));
        }
    }
    Ok(None)
}

fn find_limits(
    wanted: &TreeRequest,
    holder: &Holder,
    cgroup_homes: &mut Vec<CgroupHome>,
) -> Result<Limiter, FindError> {
    let mut place = |v2_file: &str, controller: &str, v1_file: &str| -> Result<LimitSource, FindError> {
        if let Holder::Cgroup2(tree) = holder
            && has_file(tree.parent(), v2_file)
        {
            return Ok(LimitSource::V2);
        }
        Ok(find_v1(wanted, controller, v1_file, cgroup_homes)?.map_or(LimitSource::Absent, LimitSource::V1))
    };
    Ok(Limiter {
        memory: place("memory.max", "memory", "memory.limit_in_bytes")?,
        cpu: place("cpu.max", "cpu", "cpu.cfs_quota_us")?,
        pids: place("pids.max", "pids", "pids.max")?,
    })
}

/// Where the shared directory may be: at the top, or in the cgroup in which we run (which may be
/// all that was handed to us).
fn bases(root: &Path, controller: &str) -> Vec<PathBuf> {
    let mut bases = vec![root.to_owned()];
    if let Some(own) = own_cgroup(controller) {
        bases.push(below(root, &own));
    }
    bases
}

fn below(root: &Path, cgroup: &str) -> PathBuf {
    root.join(cgroup.trim_start_matches('/'))
}

/// The cgroup in which we run; the second version is asked for without a controller.
fn own_cgroup(controller: &str) -> Option<String> {
    proc::cgroups("self").into_iter().find(|place| place.has(controller)).map(|place| place.path)
}

fn make_parent(base: &Path, name: &str, prepare: impl Fn(&OwnedFd)) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = open(base, flags, Mode::empty())?;
    prepare(&base);
    make_dir(&base, SHARED)?;
    let shared = open_dir(&base, SHARED)?;
    prepare(&shared);
    make_dir(&shared, name)?;
    let parent = open_dir(&shared, name)?;
    prepare(&parent);
    Ok(parent)
}

/// Enables controllers for the cgroups below. The kernel refuses while processes are in the cgroup
/// itself; then that limit is absent here.
pub(super) fn enable_controllers(cgroup: &OwnedFd) {
    for controller in ["memory", "cpu", "pids"] {
        let _ = write(cgroup, "cgroup.subtree_control", &format!("+{controller}"));
    }
}

fn with_probe(parent: impl AsFd, probe: impl Fn(&OwnedFd) -> io::Result<()>) -> bool {
    let tried = make_dir(&parent, PROBE).and_then(|()| probe(&open_dir(&parent, PROBE)?));
    remove(&parent, PROBE).is_ok() && tried.is_ok()
}

/// `cgroup.kill` came later (5.14) than the second version itself.
fn can_kill(parent: &OwnedFd) -> bool {
    with_probe(parent, |probe| write(probe, "cgroup.kill", "1"))
}

/// An empty cgroup is enough for the test.
fn can_freeze(holder: &Holder) -> bool {
    match holder {
        Holder::Cgroup2(tree) => {
            let tried = tree.make(PROBE).and_then(|_| tree.freeze(PROBE)).and_then(|()| tree.thaw(PROBE));
            tree.clear(PROBE) == Survivors::Nothing && tried.is_ok()
        }
        Holder::Freezer(tree) => {
            let tried = tree.make(PROBE).and_then(|_| tree.freeze(PROBE)).and_then(|()| tree.thaw(PROBE));
            tree.clear(PROBE) == Survivors::Nothing && tried.is_ok()
        }
        Holder::Marks(_) => false,
    }
}

fn has_file(parent: impl AsFd, file: &str) -> bool {
    with_probe(parent, |probe| read(probe, file).map(|_| ()))
}

fn lock(parent: &OwnedFd, base: &Path, wanted: &TreeRequest) -> Result<CgroupHome, FindError> {
    let shared_path = base.join(SHARED);
    let directory = shared_path.join(&wanted.name);
    let failed = || FindError { directory: directory.clone() };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let shared = open(&shared_path, flags, Mode::empty()).map_err(|_| failed())?;
    let lock = open_dir(parent, ".").map_err(|_| failed())?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| failed())?;
    let name = wanted.name.clone();
    Ok(CgroupHome { shared, name, _lock: lock, holds_trees: false, origin: None, way_back: None })
}
