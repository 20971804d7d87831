//! The runner's side of the guard: it starts the guard, starts it again, tells it of leases, and
//! knows whether it answers.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_agent::fence::Fence;
use muster_types::{Now, Time};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use super::GuardRequest;
use super::table::Table;
use crate::tree::{BrakeSite, CgroupHome};

/// A guard that has not taken what it was told in this time does not count, and nothing leased
/// starts.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A guard that still has not taken it is stopped or starved: it is replaced.
const REPLACE_AFTER: Duration = Duration::from_secs(5);

/// Time between two starts, if guards die at once.
const START_PAUSE: Duration = Duration::from_secs(1);

/// Lines that may be logged.
const LINES: u32 = 200;

/// The guard, as the runner knows it.
#[derive(Debug)]
pub(crate) struct Keeper {
    table: Table,
    request: GuardRequest,
    group: Option<OwnedFd>,
    running: Option<Running>,
    /// Sockets of guards that have ended, until [`Keeper::take_ended`].
    ended: Vec<OwnedFd>,
    /// Whether the running guard is in all its cgroups.
    is_admitted: bool,
    started: Option<Time>,
    /// The newest term and renewal that were written.
    stated: Option<(u64, Time)>,
    /// Since when the guard has not taken what was written.
    unanswered: Option<Time>,
    /// The newest term of which the guard was told that everything is stopped.
    stopped: u64,
    /// Lines that may still be logged.
    lines: u32,
    said: &'static str,
}

#[derive(Debug)]
struct Running {
    child: Child,
    socket: OwnedFd,
}

impl Keeper {
    pub(crate) fn new(site: BrakeSite, kill_after: Duration) -> io::Result<Keeper> {
        let (how, group) = match site {
            BrakeSite::Cgroup2(group) => ("cgroup2".to_owned(), Some(group)),
            BrakeSite::Freezer(group) => ("freezer".to_owned(), Some(group)),
            BrakeSite::Marks(prefix) => (prefix, None),
        };
        Ok(Keeper {
            table: Table::new()?,
            request: GuardRequest { how, kill_after },
            group,
            running: None,
            ended: Vec::new(),
            is_admitted: false,
            started: None,
            stated: None,
            unanswered: None,
            stopped: 0,
            lines: LINES,
            said: "",
        })
    }

    /// Makes sure that there is a guard. Returns true if a new one was started: its socket must be
    /// watched.
    pub(crate) fn keep(&mut self, cgroup_homes: &[CgroupHome], now: Now) -> bool {
        if self.unanswered.is_some_and(|since| now.time.since(since) >= REPLACE_AFTER) {
            self.end_guard("the guard does not answer and is replaced");
        }
        self.admit(cgroup_homes);
        let is_early = self.started.is_some_and(|started| now.time.since(started) < START_PAUSE);
        if self.running.is_some() || is_early {
            return false;
        }
        self.started = Some(now.time);
        self.table.forget_guard();
        match self.start() {
            Ok(running) => {
                let pid = running.child.id();
                cgroup_homes.iter().filter(|home| home.holds_trees()).for_each(|home| home.admit_guard(pid));
                self.running = Some(running);
                self.is_admitted = false;
                self.unanswered = Some(now.time);
                true
            }
            Err(error) => {
                if self.lines > 0 {
                    self.lines -= 1;
                    // There may be no reader.
                    let _ = writeln!(io::stderr(), "cannot start the guard: {error}");
                }
                false
            }
        }
    }

    /// Moves the guard into the cgroups of limits once it answers, since it has then set its
    /// priority as far as it can. The first version of cgroups may refuse a real-time priority
    /// inside a cgroup, and does not move a process that has one; such a guard is not touched by
    /// limits of others.
    fn admit(&mut self, cgroup_homes: &[CgroupHome]) {
        let Some(running) = self.running.as_ref().filter(|_| !self.is_admitted && self.table.seen().is_some()) else {
            return;
        };
        let pid = running.child.id();
        cgroup_homes.iter().filter(|home| !home.holds_trees()).for_each(|home| home.admit_guard(pid));
        self.is_admitted = true;
    }

    fn start(&self) -> io::Result<Running> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("muster-runner").args(self.request.arguments()).env_clear();
        command.stdin(Stdio::from(self.table.as_fd().try_clone_to_owned()?)).stdout(Stdio::from(theirs));
        if let Some(group) = &self.group {
            command.current_dir(format!("/proc/self/fd/{}", group.as_raw_fd()));
        }
        Ok(Running { child: command.spawn()?, socket: ours })
    }

    /// Whether a guard was ever started.
    pub(crate) fn was_started(&self) -> bool {
        self.started.is_some()
    }

    /// The socket to wait for; `None` while there is no guard.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.socket.as_fd())
    }

    /// The sockets that are no longer watched for anything. A process that is being started has
    /// copies of them, so they are taken out of the watch before they are closed.
    pub(crate) fn take_ended(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.ended)
    }

    /// Reads the guard's wake-ups, and notices its end.
    pub(crate) fn hear(&mut self) {
        let mut buffer = [0; 64];
        loop {
            let Some(running) = &self.running else { return };
            match recv(&running.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length)) if length > 0 => {}
                Err(Errno::AGAIN | Errno::INTR) => return,
                Ok(_) | Err(_) => return self.end_guard("the guard is gone and is replaced"),
            }
        }
    }

    /// Whether a child that has ended is the guard.
    pub(crate) fn is_guard(&self, pid: i32) -> bool {
        self.running.as_ref().is_some_and(|running| running.child.id().cast_signed() == pid)
    }

    /// The guard's process has ended.
    pub(crate) fn ended(&mut self) {
        self.end_guard("the guard has ended and is replaced");
    }

    /// Logs a message, but never twice in a row and not for ever: the log is small.
    fn say(&mut self, message: &'static str) {
        if self.said != message && self.lines > 0 {
            self.lines -= 1;
            self.said = message;
            // There may be no reader.
            let _ = writeln!(io::stderr(), "{message}");
        }
    }

    fn end_guard(&mut self, reason: &'static str) {
        if let Some(mut running) = self.running.take() {
            self.say(reason);
            // It is our child and not reaped, so the number still belongs to it; it may be gone
            // already.
            let _ = running.child.kill();
            // The runner does not wait for it: a guard that hangs in the kernel would hold up the
            // fence. It no longer counts as the guard, so it is reaped with the strays when it has
            // ended.
            let _ = running.child.try_wait();
            self.ended.push(running.socket);
        }
        self.unanswered = None;
        self.table.forget_guard();
    }

    /// Tells the guard of the newest renewal, and of the terms whose attempts are all stopped.
    /// Nothing is started or thawed under a renewal before this.
    pub(crate) fn tell(&mut self, fence: &Fence, stopped: u64, now: Now) {
        let Some(renewal) = fence.renewal() else { return self.note_answer(Time(0)) };
        let is_newer = self.stated.is_none_or(|(_, sent)| sent != renewal.sent);
        let is_news = is_newer || stopped > self.stopped;
        // The statement is written first, unless it is about the new term: the guard must not see
        // the new term without it.
        let fits = self.stated.is_some_and(|(term, _)| stopped <= term);
        if stopped > self.stopped && fits {
            self.table.write_stopped(stopped);
        }
        if is_newer {
            self.table.write(fence.term(), renewal);
            self.stated = Some((fence.term(), renewal.sent));
            self.unanswered.get_or_insert(now.time);
        }
        if stopped > self.stopped && !fits {
            self.table.write_stopped(stopped);
        }
        self.stopped = stopped.max(self.stopped);
        self.note_answer(renewal.sent);
        if is_news {
            self.wake_guard();
        }
    }

    fn note_answer(&mut self, sent: Time) {
        if self.table.seen() == Some(sent) {
            self.unanswered = None;
        }
    }

    fn wake_guard(&self) {
        if let Some(running) = &self.running {
            // A guard that does not read has been woken often enough.
            let _ = send(&running.socket, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    /// The newest term of which the guard was told that everything is stopped.
    pub(crate) fn stopped(&self) -> u64 {
        self.stopped
    }

    /// Whether something leased may be started now: the guard answers, its brake is open, and
    /// nothing of an earlier term is left to stop.
    pub(crate) fn lets_start(&mut self, fence: &Fence, now: Now) -> bool {
        let answers = self.running.is_some()
            && self.table.seen().is_some()
            && self.unanswered.is_none_or(|since| now.time.since(since) < ANSWER_LIMIT);
        let is_late = self.started.is_some_and(|started| now.time.since(started) >= ANSWER_LIMIT);
        if !answers && is_late {
            self.say("the guard does not answer: nothing leased is started until it does");
        }
        answers && !self.table.is_closed() && self.stopped >= fence.ended_term()
    }

    /// What a guard would read now.
    #[cfg(test)]
    pub(crate) fn written(&self) -> Option<muster_agent::guard::Written> {
        self.table.read()
    }

    /// When to look at the guard although it sends nothing.
    pub(crate) fn next_look(&self) -> Option<Time> {
        match (&self.running, self.unanswered) {
            (Some(_), since) => since.map(|since| since + REPLACE_AFTER),
            (None, _) => self.started.map(|started| started + START_PAUSE),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Nothing is left for it to do; it may be gone already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
