//! A checker outside Muster. It reads what drivers have recorded themselves (`muster-recorder`),
//! and tells which copies ran and whether two overlapped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_os::proc;
use muster_proto::v1::Command;

use crate::Submit;

/// One copy of a driver that executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The attempt number that the program was told.
    pub attempt: u32,
    /// The process id as the program saw it.
    pub pid: u32,
    /// Whether it wrote its end.
    pub ended: bool,
    /// Whether another copy, executing or frozen, still existed when it started.
    pub beside_another: bool,
}

/// The checker.
#[derive(Debug, Clone)]
pub struct HistoryChecker {
    recorder: PathBuf,
    dir: PathBuf,
}

impl HistoryChecker {
    /// A checker in this folder, with the recorder at this path.
    pub fn new(dir: &Path, recorder: PathBuf) -> HistoryChecker {
        let dir = dir.join("history");
        std::fs::create_dir_all(&dir).expect("a folder can be made");
        HistoryChecker { recorder, dir }
    }

    /// A driver that runs for this many milliseconds.
    pub fn lasting(&self, millis: u64) -> Submit {
        self.submit(vec!["--millis".to_owned(), millis.to_string()])
    }

    /// A driver that runs until [`HistoryChecker::open`] is called with this name.
    pub fn until(&self, gate: &str) -> Submit {
        self.submit(vec!["--until".to_owned(), self.gate(gate).display().to_string()])
    }

    /// Ends the drivers that wait for this gate.
    pub fn open(&self, gate: &str) {
        std::fs::write(self.gate(gate), "").expect("a file can be written");
    }

    fn gate(&self, name: &str) -> PathBuf {
        self.dir.join(format!("gate-{name}"))
    }

    fn submit(&self, args: Vec<String>) -> Submit {
        let dir = self.dir.display().to_string();
        let args = std::iter::once(dir).chain(args).collect();
        let mut submit = Submit::program(&["/bin/true"]).resources(1, 16 << 20);
        submit.spec().command =
            Some(Command { program: self.recorder.display().to_string(), args, ..Command::default() });
        submit
    }

    /// All copies by driver, in the order in which they started.
    ///
    /// # Panics
    ///
    /// When two copies of one driver overlapped, when one attempt ran twice, or when a line is not
    /// one of the recorder's.
    pub fn copies(&self) -> BTreeMap<String, Vec<Copy>> {
        let text = std::fs::read_to_string(self.dir.join("lives")).unwrap_or_default();
        // A line that is being written has no line end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        read(whole).unwrap_or_else(|verdict| panic!("{verdict}"))
    }

    /// How many lines a driver has written: it grows for as long as a copy executes.
    pub fn lines(&self, id: &str) -> usize {
        let text = std::fs::read_to_string(self.dir.join("lives")).unwrap_or_default();
        text.lines().filter(|line| line.split(' ').nth(1) == Some(id)).count()
    }

    /// Processes of a driver that exist on this machine, found by their environment.
    pub fn alive(&self, id: &str) -> Vec<i32> {
        let (dir, name) = (self.dir.display().to_string(), format!("MUSTER_DRIVER={id}"));
        let holds = |pid, file, part: &str| proc::has_word(pid, file, |word| word == part.as_bytes());
        proc::pids().filter(|&pid| holds(pid, "cmdline", &dir) && holds(pid, "environ", &name)).collect()
    }
}

/// Reads the recorded lives. The error says which rule they break.
fn read(text: &str) -> Result<BTreeMap<String, Vec<Copy>>, String> {
    let mut copies: BTreeMap<String, Vec<Copy>> = BTreeMap::new();
    let mut locked = None;
    for line in text.lines() {
        let [what, id, attempt, pid] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("a strange line: {line:?}"));
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("a strange line: {line:?}"));
        let (attempt, pid) = (number(attempt)?, number(pid)?);
        let of = copies.entry(id.to_owned()).or_default();
        if what == "locked" {
            locked = Some((id, attempt));
            continue;
        }
        if what == "start" {
            if let Some(copy) = of.iter().find(|copy| copy.attempt >= attempt) {
                return Err(format!("{id}: attempt {attempt} started after {copy:?}"));
            }
            let beside_another = locked.take_if(|other| *other == (id, attempt)).is_some();
            of.push(Copy { attempt, pid, ended: false, beside_another });
            continue;
        }
        let Some(last) = of.last_mut() else { return Err(format!("{id}: {what} before any start")) };
        if last.attempt != attempt {
            return Err(format!(
                "{id}: attempt {attempt} executes beside attempt {}: two copies overlapped",
                last.attempt
            ));
        }
        if last.ended {
            return Err(format!("{id}: attempt {attempt} goes on after its end"));
        }
        match what {
            "tick" => {}
            "end" => last.ended = true,
            _ => return Err(format!("a strange line: {line:?}")),
        }
    }
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_after_the_other_is_sound() {
        let copies = read("start a 1 5\ntick a 1 5\nstart b 1 6\nstart a 2 7\nend b 1 6\nend a 2 7\n").unwrap();
        assert_eq!(copies["a"].iter().map(|copy| copy.ended).collect::<Vec<_>>(), [false, true]);
        assert_eq!(copies["b"].len(), 1);
    }

    #[test]
    fn two_copies_that_execute_at_once_are_seen() {
        for text in [
            "start a 1 5\nstart a 2 7\ntick a 1 5\n",
            "start a 1 5\nstart a 2 7\nend a 1 5\n",
            "start a 1 5\nstart a 1 6\n",
            "start a 2 5\nstart a 1 6\n",
            "start a 1 5\nend a 1 5\ntick a 1 5\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_copy_that_starts_beside_a_frozen_one_is_marked() {
        let copies = read("start a 1 5\nlocked a 2 7\nstart a 2 7\n").unwrap();
        assert_eq!(copies["a"].iter().map(|copy| copy.beside_another).collect::<Vec<_>>(), [false, true]);
    }
}
