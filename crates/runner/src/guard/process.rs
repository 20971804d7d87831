//! The guard's process: it looks, acts and waits.
//!
//! It has one thread, opens nothing that a user chose, and allocates next to nothing after its
//! first look. Standard input is the memory that it shares with the runner. Standard output is the
//! socket on which each wakes the other, and whose end says that the runner is gone. The working
//! directory is the group of the leased trees.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use muster_agent::guard::{Decision, Guard, GuardEffect};
use muster_types::Time;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::GuardRequest;
use super::table::Table;
use crate::clock;
use crate::sys::{privilege, signals};
use crate::timers::ClockTimers;
use crate::tree::{Brake, BrakeSite};

/// Time between two kills of what a dead runner has left.
const LEFT_PAUSE: Duration = Duration::from_millis(20);

/// Runs until the runner is gone and nothing leased is left of it.
pub(crate) fn run(wanted: &GuardRequest) -> io::Result<()> {
    signals::reset_and_block();
    let _ = rustix::process::setsid();
    // The priority is set before the first answer, after which the runner moves the guard into the
    // cgroups of limits.
    let priority = privilege::run_first();
    let table = Table::of(rustix::stdio::stdin().try_clone_to_owned()?)?;
    let socket = rustix::stdio::stdout().try_clone_to_owned()?;
    let brake = Brake::new(site(wanted)?);
    let mut process =
        Process { table, socket, brake, guard: Guard::new(wanted.kill_after), timers: ClockTimers::new()? };
    // The first look brings everything that a look touches into memory.
    let mut decision = process.look();
    protect(priority);
    while process.wait(decision)? {
        decision = process.look();
    }
    process.end_all();
    Ok(())
}

fn site(wanted: &GuardRequest) -> io::Result<BrakeSite> {
    let here = || open(".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    Ok(match wanted.how.as_str() {
        "cgroup2" => BrakeSite::Cgroup2(here()?),
        "freezer" => BrakeSite::Freezer(here()?),
        prefix => BrakeSite::Marks(prefix.to_owned()),
    })
}

/// Protects the process as far as the machine permits.
fn protect(priority: io::Result<()>) {
    for (what, done) in [
        ("lock its memory", privilege::lock_memory()),
        ("be scheduled first", priority),
        ("be spared when memory is short", privilege::refuse_oom().1),
    ] {
        if let Err(error) = done {
            // There may be no reader.
            let _ = writeln!(io::stderr(), "the guard cannot {what}: {error}");
        }
    }
}

struct Process {
    table: Table,
    socket: OwnedFd,
    brake: Brake,
    guard: Guard,
    timers: ClockTimers,
}

impl Process {
    fn look(&mut self) -> Decision {
        let decision = self.guard.look(self.table.read(), self.brake.is_frozen(), clock::now());
        match decision.effect {
            GuardEffect::Open => drop(self.brake.open()),
            GuardEffect::Freeze => drop(self.brake.close()),
            GuardEffect::KillUnfrozen => {
                self.brake.close();
                self.brake.kill_unfrozen();
            }
            GuardEffect::KillAll => {
                self.brake.kill_all();
                self.brake.close();
            }
        }
        let is_closed = decision.effect != GuardEffect::Open;
        let is_news =
            self.table.seen() != Some(self.guard.seen().unwrap_or(Time(0))) || self.table.is_closed() != is_closed;
        if is_news {
            self.table.acknowledge(self.guard.seen(), is_closed);
            // A runner that does not read has been woken often enough.
            let _ = rustix::net::send(
                &self.socket,
                &[0],
                rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL,
            );
        }
        decision
    }

    /// Waits. Returns false when the runner is gone.
    fn wait(&self, decision: Decision) -> io::Result<bool> {
        self.timers.arm(decision.next)?;
        let mut ready = [
            PollFd::new(&self.socket, PollFlags::IN),
            PollFd::new(&self.timers.deadline, PollFlags::IN),
            PollFd::new(&self.timers.steps, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.timers.drain();
        let mut buffer = [0; 64];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer[..], rustix::net::RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Ok(false),
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }

    /// Ends what the runner has left, which must not outlive it.
    fn end_all(&self) {
        while !self.brake.is_empty() {
            self.brake.kill_all();
            thread::sleep(LEFT_PAUSE);
        }
    }
}
