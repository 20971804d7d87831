//! Whether anything that an earlier runner of this state directory started can still run.
//!
//! The master closes the attempts of an earlier incarnation only on proof that nothing of them is
//! left (I-CLOSE). The file `runs` in the state directory names the runs for which that proof is
//! missing, one per line, the present run among them. Each of these proves the end of a run:
//!
//! - its cgroup is the one that we have just emptied;
//! - it was the first process of a PID namespace of its own: the kernel has ended the rest with it,
//!   and the lock of the state directory, which is ours now, shows that it has ended;
//! - it was in a PID namespace, such as a container, whose first process was the worker itself and
//!   held a lock (`process-one.lock`) that it no longer holds;
//! - the machine was booted again, and both that run and the present one see all of its processes.
//!   In a container another boot proves nothing: its volume may have been moved to another machine.
//!
//! A run that ended in order, with everything that it ran, removes its line.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use muster_agent::runner_protocol::PROCESS_ONE_LOCK_NAME;
use muster_os::PidNamespace;
use rustix::fs::{FlockOperation, flock};

use crate::tree::CgroupId;

const NAME: &str = "runs";

/// Most lines that are kept. Beyond them, the file says for good that an unknown run may have left
/// something.
const MAX_RUNS: usize = 64;

/// A process that exits gives its locks back shortly before the kernel kills the rest of its PID
/// namespace.
const EXIT_TIME: Duration = Duration::from_secs(1);

/// One run of a runner: the facts by which the end of everything that it started can be proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunRecord {
    /// The PID namespace that the runner was started in.
    pub(crate) namespace: PidNamespace,
    /// The cgroup that held its trees, if one did.
    pub(crate) cgroup: Option<CgroupId>,
    /// Whether it was the first process of a PID namespace of its own.
    pub(crate) is_first_process: bool,
    /// Whether the first process of its PID namespace held `process-one.lock`.
    pub(crate) is_witnessed: bool,
}

/// The holder of `process-one.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LockHolder {
    Nobody,
    /// The first process of this namespace.
    First(PidNamespace),
    /// A process that has not written its namespace.
    Unknown,
}

/// The file `runs`.
#[derive(Debug)]
pub(crate) struct EarlierRuns {
    path: PathBuf,
    /// The runs that may have left something; `None` is a run of which nothing is known.
    left: Vec<Option<RunRecord>>,
}

impl EarlierRuns {
    /// Finds the runs that may have left something, and records the present run, before anything is
    /// started. `is_first_run` says that this state directory never had a run.
    pub(crate) fn begin(
        state_dir: &Path,
        present: Option<(PidNamespace, bool)>,
        cgroup: Option<CgroupId>,
        is_first_run: bool,
    ) -> io::Result<EarlierRuns> {
        let path = state_dir.join(NAME);
        let on_record = match fs::read_to_string(&path) {
            Ok(text) => text.lines().map(parse).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_first_run => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![None],
            Err(error) => return Err(error),
        };
        let holder = holder(&state_dir.join(PROCESS_ONE_LOCK_NAME))?;
        let present = present.map(|(namespace, is_first_process)| {
            let is_witnessed = holder == LockHolder::First(namespace.clone());
            RunRecord { namespace, cgroup, is_first_process, is_witnessed }
        });
        let (mut left, by_exit) = unproven(on_record, present.as_ref(), &holder);
        if by_exit {
            thread::sleep(EXIT_TIME);
        }
        if left.len() >= MAX_RUNS {
            left = vec![None];
        }
        let runs = EarlierRuns { path, left };
        runs.write(&[present])?;
        Ok(runs)
    }

    /// Whether nothing of any earlier run is left.
    pub(crate) fn have_ended(&self) -> bool {
        self.left.is_empty()
    }

    /// The present run has ended with everything that it ran: removes its line.
    pub(crate) fn end(self) {
        // If this fails, the run only counts as not ended.
        let _ = self.write(&[]);
    }

    fn write(&self, present: &[Option<RunRecord>]) -> io::Result<()> {
        let lines: BTreeSet<String> = self.left.iter().chain(present).map(line).collect();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        muster_os::file::replace_synced(&self.path, text)
    }
}

/// The runs whose end is not proven, and whether the end of another run is proven only by the exit
/// of a first process, which may still be under way.
fn unproven(
    on_record: Vec<Option<RunRecord>>,
    present: Option<&RunRecord>,
    holder: &LockHolder,
) -> (Vec<Option<RunRecord>>, bool) {
    let mut by_exit = false;
    let left = on_record.into_iter().filter(|line| {
        let (Some(run), Some(present)) = (line, present) else { return true };
        match proof(run, present, holder) {
            Some(Proof::Exit) => by_exit = true,
            Some(Proof::Gone) => {}
            None => return true,
        }
        false
    });
    let left = left.collect();
    (left, by_exit)
}

/// What shows that a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Nothing that it ran is left.
    Gone,
    /// The process whose exit ends everything that it ran has begun to exit.
    Exit,
}

fn proof(run: &RunRecord, present: &RunRecord, holder: &LockHolder) -> Option<Proof> {
    let (then, now) = (&run.namespace, &present.namespace);
    if then.boot_id != now.boot_id {
        return (then.is_of_machine() && now.is_of_machine()).then_some(Proof::Gone);
    }
    if run.cgroup.is_some() && run.cgroup == present.cgroup {
        return Some(Proof::Gone);
    }
    let first_has_ended = run.is_witnessed
        && then != now
        && match holder {
            LockHolder::Nobody => true,
            LockHolder::First(namespace) => namespace != then,
            LockHolder::Unknown => false,
        };
    (run.is_first_process || first_has_ended).then_some(Proof::Exit)
}

/// Tries the lock, and gives it back at once.
fn holder(path: &Path) -> io::Result<LockHolder> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockHolder::Nobody),
        Err(error) => return Err(error),
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(LockHolder::Nobody);
    }
    let text = fs::read_to_string(path)?;
    Ok(text.parse().map_or(LockHolder::Unknown, LockHolder::First))
}

fn line(run: &Option<RunRecord>) -> String {
    let Some(run) = run else { return "unknown".to_owned() };
    let cgroup = run.cgroup.map_or_else(|| "-".to_owned(), |cgroup| cgroup.to_string());
    let first = if run.is_first_process { "first" } else { "-" };
    let witnessed = if run.is_witnessed { "witnessed" } else { "-" };
    format!("{} {cgroup} {first} {witnessed}", run.namespace)
}

/// A line that cannot be read stands for a run of which nothing is known.
fn parse(line: &str) -> Option<RunRecord> {
    let mut words = line.rsplitn(4, ' ');
    let flag = |word: Option<&str>, name| match word {
        Some("-") => Some(false),
        Some(word) if word == name => Some(true),
        Some(_) | None => None,
    };
    let is_witnessed = flag(words.next(), "witnessed")?;
    let is_first_process = flag(words.next(), "first")?;
    let cgroup = match words.next()? {
        "-" => None,
        cgroup => Some(cgroup.parse().ok()?),
    };
    Some(RunRecord { namespace: words.next()?.parse().ok()?, cgroup, is_first_process, is_witnessed })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: u64 = 0xefff_fffc;

    fn namespace(boot_id: &str, inode: u64) -> PidNamespace {
        PidNamespace { boot_id: boot_id.to_owned(), inode, first_started: 5 }
    }

    fn bare(boot_id: &str, inode: u64) -> RunRecord {
        RunRecord { namespace: namespace(boot_id, inode), cgroup: None, is_first_process: false, is_witnessed: false }
    }

    #[test]
    fn what_proves_the_end_of_a_run() {
        use LockHolder::{First, Nobody, Unknown};
        let in_cgroup = |inode, cgroup| RunRecord { cgroup: Some(CgroupId::V2(cgroup)), ..bare("b", inode) };
        let in_freezer = RunRecord { cgroup: Some(CgroupId::Freezer(30)), ..bare("b", 7) };
        let first = RunRecord { is_first_process: true, ..bare("b", MACHINE) };
        let pod = |inode| RunRecord { is_witnessed: true, ..bare("b", inode) };
        let holds = |inode| First(namespace("b", inode));
        for (run, present, holder, expected) in [
            (bare("b", MACHINE), bare("b", MACHINE), Nobody, None),
            (bare("b", MACHINE), bare("c", MACHINE), Nobody, Some(Proof::Gone)),
            (bare("b", 7), bare("c", 7), Nobody, None),
            (bare("b", MACHINE), bare("c", 7), Nobody, None),
            (bare("b", 7), bare("b", 8), Nobody, None),
            (in_cgroup(7, 30), in_cgroup(7, 30), Nobody, Some(Proof::Gone)),
            (in_cgroup(7, 30), in_cgroup(7, 31), Nobody, None),
            (in_cgroup(7, 30), bare("b", 7), Nobody, None),
            (bare("b", 7), in_cgroup(7, 30), Nobody, None),
            (in_cgroup(7, 30), in_freezer, Nobody, None),
            (in_cgroup(7, 30), bare("c", 8), Nobody, None),
            (in_cgroup(MACHINE, 30), bare("c", MACHINE), Nobody, Some(Proof::Gone)),
            (first.clone(), bare("b", MACHINE), Nobody, Some(Proof::Exit)),
            (RunRecord { namespace: namespace("b", 7), ..first }, bare("c", 8), Nobody, None),
            (pod(7), pod(8), holds(8), Some(Proof::Exit)),
            (pod(7), bare("b", 8), Nobody, Some(Proof::Exit)),
            (pod(7), bare("b", 8), holds(7), None),
            (pod(7), bare("b", 8), Unknown, None),
            (pod(7), pod(7), holds(7), None),
            (pod(7), pod(7), Nobody, None),
            (pod(7), RunRecord { namespace: namespace("c", 8), ..pod(8) }, First(namespace("c", 8)), None),
        ] {
            assert_eq!(proof(&run, &present, &holder), expected, "{run:?} before {present:?}, held by {holder:?}");
        }
        // The same inode at a later time is another namespace.
        let mut later = pod(7);
        later.namespace.first_started = 6;
        let holder = First(later.namespace.clone());
        assert_eq!(proof(&pod(7), &later, &holder), Some(Proof::Exit));
    }

    #[test]
    fn a_run_is_on_record_until_its_end_is_proven() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |run: &RunRecord, first| {
            let present = Some((run.namespace.clone(), run.is_first_process));
            EarlierRuns::begin(dir.path(), present, run.cgroup, first).unwrap()
        };
        assert!(begin(&bare("b", 7), true).have_ended());
        assert!(!begin(&bare("b", 7), false).have_ended(), "it may have left something");
        let swept = RunRecord { cgroup: Some(CgroupId::Freezer(3)), ..bare("b", 7) };
        assert!(!begin(&swept, false).have_ended(), "a cgroup says nothing of what was not in it");
        begin(&swept, false).end();
        assert!(!begin(&bare("b", 7), false).have_ended(), "the first is still on record");
        for run in [&swept, &bare("b", 7), &swept, &bare("b", 7)] {
            begin(run, false);
        }
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap().lines().count(), 2, "each once");
    }

    #[test]
    fn what_ended_in_order_is_off_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let present = || Some((namespace("b", 7), false));
        EarlierRuns::begin(dir.path(), present(), None, true).unwrap().end();
        assert!(EarlierRuns::begin(dir.path(), present(), None, false).unwrap().have_ended());
    }

    #[test]
    fn of_what_is_not_known_nothing_is_proven() {
        let present = || Some((namespace("c", MACHINE), false));
        let dir = tempfile::tempdir().unwrap();
        assert!(
            !EarlierRuns::begin(dir.path(), present(), Some(CgroupId::V2(3)), false).unwrap().have_ended(),
            "no file"
        );
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "b 7 5 - - nonsense\n").unwrap();
        assert!(
            !EarlierRuns::begin(dir.path(), present(), Some(CgroupId::V2(3)), false).unwrap().have_ended(),
            "garbled"
        );
        let dir = tempfile::tempdir().unwrap();
        assert!(EarlierRuns::begin(dir.path(), None, None, true).unwrap().have_ended());
        assert!(!EarlierRuns::begin(dir.path(), present(), None, false).unwrap().have_ended(), "no /proc then");
    }

    #[test]
    fn the_record_is_bounded_and_forgets_nothing_that_may_be_left() {
        let dir = tempfile::tempdir().unwrap();
        for inode in 0..200 {
            let runs = EarlierRuns::begin(dir.path(), Some((namespace("b", inode), false)), None, inode == 0).unwrap();
            assert_eq!(runs.have_ended(), inode == 0);
        }
        assert!(fs::read_to_string(dir.path().join(NAME)).unwrap().lines().count() <= MAX_RUNS);
    }

    #[test]
    fn who_holds_the_lock_is_read_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PROCESS_ONE_LOCK_NAME);
        assert_eq!(holder(&path).unwrap(), LockHolder::Nobody);
        let lock = File::create(&path).unwrap();
        fs::write(&path, namespace("b", 7).to_string()).unwrap();
        assert_eq!(holder(&path).unwrap(), LockHolder::Nobody, "its text alone says nothing");
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        assert_eq!(holder(&path).unwrap(), LockHolder::First(namespace("b", 7)));
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(holder(&path).unwrap(), LockHolder::Unknown);
    }
}
