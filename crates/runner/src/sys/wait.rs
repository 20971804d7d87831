//! Waiting for children in two steps: first to see how one ended, later to reap it.
#![expect(unsafe_code, reason = "rustix does not say which child a wait for any child found")]

use std::{io, mem};

use muster_types::Exit;

fn wait(kind: libc::idtype_t, id: libc::id_t, options: libc::c_int) -> io::Result<Option<libc::siginfo_t>> {
    // SAFETY: plain numbers; a pid of zero means that no child has ended.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    loop {
        // SAFETY: writes the value it is given.
        if unsafe { libc::waitid(kind, id, &mut info, options | libc::WEXITED) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: waitid has filled it, or left the zeros.
    Ok(if unsafe { info.si_pid() } == 0 { None } else { Some(info) })
}

fn id(pid: i32) -> libc::id_t {
    pid.cast_unsigned()
}

/// How a child ended; `None` while it runs. The child stays a zombie.
pub(crate) fn look(pid: i32) -> io::Result<Option<Exit>> {
    let info = wait(libc::P_PID, id(pid), libc::WNOHANG | libc::WNOWAIT)?;
    Ok(info.as_ref().map(exit_of))
}

fn exit_of(info: &libc::siginfo_t) -> Exit {
    // SAFETY: waitid has filled it.
    let status = unsafe { info.si_status() };
    if info.si_code == libc::CLD_EXITED { Exit::Code(status) } else { Exit::Signal(status) }
}

/// Reaps a child that has ended (or is about to end by itself), and says how it ended.
pub(crate) fn reap(pid: i32) -> io::Result<Exit> {
    Ok(wait(libc::P_PID, id(pid), 0)?.as_ref().map_or(Exit::None, exit_of))
}

/// A child that has ended, which stays a zombie; `None` if there is none.
pub(crate) fn look_for_any() -> Option<i32> {
    let info = wait(libc::P_ALL, 0, libc::WNOHANG | libc::WNOWAIT).ok()??;
    // SAFETY: waitid has filled it.
    Some(unsafe { info.si_pid() })
}
