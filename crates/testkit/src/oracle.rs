//! What drivers have recorded themselves: a check outside Muster of what ran, how often, and
//! whether two copies overlapped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file to which drivers append `start ID ATTEMPT` and `end ID ATTEMPT` under a lock.
#[derive(Debug, Clone)]
pub struct Oracle {
    path: PathBuf,
}

/// One run of a driver: its start, and perhaps its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The attempt number that the program was told.
    pub attempt: u32,
    /// Whether it wrote its end.
    pub ended: bool,
}

impl Oracle {
    /// An oracle in this folder.
    pub fn new(dir: &Path) -> Oracle {
        Oracle { path: dir.join("oracle") }
    }

    /// A shell program that writes its start, does `work`, and writes its end.
    pub fn program(&self, work: &str) -> Vec<String> {
        let file = self.path.display();
        let say = |what: &str| format!("flock {file}.lock -c \"echo {what} $MUSTER_DRIVER $MUSTER_ATTEMPT >> {file}\"");
        vec!["/bin/sh".into(), "-c".into(), format!("{}; {work}; {}", say("start"), say("end"))]
    }

    /// All runs by driver, in the order in which they started.
    ///
    /// # Panics
    ///
    /// When two copies of one driver overlapped, or a line is not one of the oracle's.
    pub fn runs(&self) -> BTreeMap<String, Vec<Run>> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for line in text.lines() {
            let [what, id, attempt] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("a strange line: {line}") };
            let attempt: u32 = attempt.parse().expect("an attempt is a number");
            let of = runs.entry(id.to_owned()).or_default();
            match what {
                "start" => {
                    assert!(of.iter().all(|run| run.attempt < attempt), "{id} started attempt {attempt} after {of:?}");
                    of.push(Run { attempt, ended: false });
                }
                "end" => {
                    let last = of.last_mut().expect("an end follows a start");
                    assert_eq!(last.attempt, attempt, "{id}: two copies overlapped");
                    assert!(!last.ended, "{id}: attempt {attempt} ended twice");
                    last.ended = true;
                }
                other => panic!("a strange line: {other}"),
            }
        }
        runs
    }
}
