//! What the main loop waits for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use muster_types::Time;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::timers::ClockTimers;

/// What is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadySource {
    /// A connection waits.
    Listener,
    /// A signal arrived.
    Signals,
    /// The spawner has finished a job.
    Spawner,
    /// A deadline has passed, or the wall clock stepped: only the clocks must be checked.
    Clock,
    /// A connection can be read or written; its number.
    Connection(u32),
    /// A child has ended; its pid.
    Child(i32),
    /// The guard wakes us, or is gone.
    Guard,
}

const KIND_SHIFT: u32 = 32;

impl ReadySource {
    fn encode(self) -> u64 {
        let (kind, number): (u64, u32) = match self {
            ReadySource::Listener => (0, 0),
            ReadySource::Signals => (1, 0),
            ReadySource::Spawner => (2, 0),
            ReadySource::Clock => (3, 0),
            ReadySource::Connection(number) => (4, number),
            ReadySource::Child(pid) => (5, pid.cast_unsigned()),
            ReadySource::Guard => (6, 0),
        };
        kind << KIND_SHIFT | u64::from(number)
    }

    fn decode(data: u64) -> ReadySource {
        let number = data as u32;
        match data >> KIND_SHIFT {
            0 => ReadySource::Listener,
            1 => ReadySource::Signals,
            2 => ReadySource::Spawner,
            4 => ReadySource::Connection(number),
            5 => ReadySource::Child(number.cast_signed()),
            6 => ReadySource::Guard,
            _ => ReadySource::Clock,
        }
    }
}

/// Most events that one wait takes; the next wait takes the rest.
const EVENTS: usize = 256;

/// An epoll with the timers.
pub(super) struct Poll {
    epoll: OwnedFd,
    timers: ClockTimers,
    armed: Option<Time>,
    events: Vec<Event>,
}

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        let poll = Poll {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            timers: ClockTimers::new()?,
            armed: None,
            events: Vec::with_capacity(EVENTS),
        };
        poll.watch(&poll.timers.deadline, ReadySource::Clock)?;
        poll.watch(&poll.timers.steps, ReadySource::Clock)?;
        Ok(poll)
    }

    /// Waits until a descriptor can be read.
    pub(super) fn watch(&self, fd: impl AsFd, ready: ReadySource) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(ready.encode()), EventFlags::IN)?)
    }

    /// Waits for the end of a child, which is reported once.
    pub(super) fn watch_child(&self, pidfd: impl AsFd, pid: i32) -> io::Result<()> {
        let data = EventData::new_u64(ReadySource::Child(pid).encode());
        Ok(epoll::add(&self.epoll, pidfd, data, EventFlags::IN | EventFlags::ONESHOT)?)
    }

    /// Waits until a connection can be written too, or no longer waits for that.
    pub(super) fn watch_writing(&self, fd: impl AsFd, number: u32, wanted: bool) -> io::Result<()> {
        let flags = if wanted { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(ReadySource::Connection(number).encode()), flags)?)
    }

    /// Stops waiting for a descriptor that stays open.
    pub(super) fn forget(&self, fd: impl AsFd) {
        // This fails if it is not watched, which does not matter.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Sets the moment at which a wait ends although nothing is ready.
    pub(super) fn arm(&mut self, deadline: Option<Time>) -> io::Result<()> {
        if self.armed == deadline {
            return Ok(());
        }
        self.timers.arm(deadline)?;
        self.armed = deadline;
        Ok(())
    }

    /// Waits until something is ready.
    pub(super) fn wait(&mut self) -> io::Result<Vec<ReadySource>> {
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<ReadySource> = self.events.iter().map(|event| ReadySource::decode(event.data.u64())).collect();
        if ready.contains(&ReadySource::Clock) && self.timers.drain() {
            self.armed = None;
        }
        Ok(ready)
    }
}
