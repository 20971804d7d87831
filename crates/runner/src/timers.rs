//! The two timers on which the runner's loop and the guard wait.

use std::io;
use std::os::fd::OwnedFd;

use muster_types::Time;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::clock;

/// A time that never comes: nearly the end of the kernel's clock.
const NEVER: Timespec = Timespec { tv_sec: 1 << 33, tv_nsec: 0 };

/// A timer for deadlines by `CLOCK_BOOTTIME`, and one that fires when the wall clock is set.
pub(crate) struct ClockTimers {
    pub(crate) deadline: OwnedFd,
    pub(crate) steps: OwnedFd,
}

impl ClockTimers {
    pub(crate) fn new() -> io::Result<ClockTimers> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timers = ClockTimers {
            deadline: timerfd_create(TimerfdClockId::Boottime, flags)?,
            steps: timerfd_create(TimerfdClockId::Realtime, flags)?,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timers.steps, flags, &once(NEVER))?;
        Ok(timers)
    }

    /// Sets the next deadline; `None` disarms the timer.
    pub(crate) fn arm(&self, deadline: Option<Time>) -> io::Result<()> {
        // Zero disarms the timer.
        let value = clock::timespec(deadline.map_or(Time(0), |time| time.max(Time(1))));
        timerfd_settime(&self.deadline, TimerfdTimerFlags::ABSTIME, &once(value))?;
        Ok(())
    }

    /// Reads both, so that neither is ready any more. Returns whether the deadline had come.
    pub(crate) fn drain(&self) -> bool {
        let mut count = [0; 8];
        // A step is reported as an error of the read.
        let _ = rustix::io::read(&self.steps, &mut count);
        rustix::io::read(&self.deadline, &mut count).is_ok()
    }
}

fn once(value: Timespec) -> Itimerspec {
    Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value }
}
