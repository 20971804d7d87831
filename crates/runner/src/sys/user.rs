//! Becoming another user, in a child that shares the runner's memory.
//!
//! libc's functions of the same names change the user of *every* thread of the process whose memory
//! they run in, which is the runner's; so these are the bare system calls, which change the caller.
#![expect(unsafe_code, reason = "raw system calls and fork")]

use std::ptr;

use muster_agent::runner_protocol::ProcessCredentials;
use muster_types::Exit;
use rustix::process::{Resource, Rlimit, getrlimit};

use super::daemon::{self, Side};

/// The most descriptors of a program: more than servers and Java's executors open, and far from
/// what a machine has.
const NOFILE_MOST: u64 = 65_536;

/// What a program may read of another's new files: nothing, beyond its group.
const UMASK: libc::mode_t = 0o027;

/// From the kernel's headers: the third version of the call, whose sets have 64 bits.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// The kernel's own unprivileged user, whom every machine has.
pub(crate) const NOBODY: u32 = 65_534;

/// The limits of a program that runs as another user than the runner. Its cgroup limits the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserLimits {
    nofile: libc::rlimit,
}

impl UserLimits {
    /// The runner's own, but never more than a program may have.
    pub(crate) fn of_runner() -> UserLimits {
        UserLimits::at_most(getrlimit(Resource::Nofile))
    }

    fn at_most(Rlimit { current, maximum }: Rlimit) -> UserLimits {
        let bounded = |limit: Option<u64>| limit.unwrap_or(NOFILE_MOST).min(NOFILE_MOST);
        UserLimits { nofile: libc::rlimit { rlim_cur: bounded(current), rlim_max: bounded(maximum) } }
    }
}

/// Becomes the user for good: what is executed cannot gain a right by a file either. A program that
/// is to be root keeps root's rights. Returns false, with the error in errno, if it could not.
///
/// It is `no_new_privs` that takes from files what they could give, the user of a set-uid program
/// as well as the capabilities of an attribute. The bounding set bounds only the latter, so it
/// stays as it is: emptying it takes a call for each of 41 capabilities, each call copies the
/// credentials, and together they took four times as long as everything else here.
///
/// # Safety
/// To be called where the caller alone is to change: in a child before exec. System calls on
/// numbers and on what lives in the arguments; none allocates or locks.
pub(super) unsafe fn become_for_good(user: &ProcessCredentials, limits: &UserLimits) -> bool {
    // SAFETY: as above.
    unsafe {
        if !set_ids(user) {
            return false;
        }
        if user.uid != 0 && !(drop_capabilities() && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
            return false;
        }
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits.nofile) != 0
            || libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) != 0
        {
            return false;
        }
        libc::umask(UMASK);
    }
    true
}

/// # Safety
/// As [`become_for_good`].
unsafe fn set_ids(user: &ProcessCredentials) -> bool {
    let ProcessCredentials { uid, gid, groups } = user;
    let list = if groups.is_empty() { ptr::null() } else { groups.as_ptr() };
    // SAFETY: the list has the length that is given.
    unsafe {
        libc::syscall(libc::SYS_setgroups, groups.len(), list) == 0
            && libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) == 0
            && libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) == 0
    }
}

/// The change of user has cleared what applies now; this clears what would be inherited as well.
///
/// # Safety
/// As [`become_for_good`].
unsafe fn drop_capabilities() -> bool {
    let header = [CAPABILITY_VERSION, 0];
    let none = [0u32; 6];
    // SAFETY: the two arrays are what the call reads: a version and a process, and two times three
    // words.
    unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) == 0 }
}

/// Tries, in a process of its own, whether programs can be started as another user. To be called
/// before any thread is started.
pub(crate) fn can_become_others() -> bool {
    let nobody = ProcessCredentials { uid: NOBODY, gid: NOBODY, groups: Vec::new() };
    let limits = UserLimits::of_runner();
    match daemon::fork() {
        // SAFETY: the child is a process of its own, which does nothing else.
        Ok(Side::Child) => daemon::leave(i32::from(!unsafe { become_for_good(&nobody, &limits) })),
        Ok(Side::Parent(child)) => super::wait::reap(child).is_ok_and(|exit| exit == Exit::Code(0)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine of a test may have less than a program may.
    #[test]
    fn a_program_has_no_more_descriptors_than_its_runner_and_than_is_usual() {
        let limits = |current, maximum| {
            let nofile = UserLimits::at_most(Rlimit { current, maximum }).nofile;
            (nofile.rlim_cur, nofile.rlim_max)
        };
        assert_eq!(limits(None, None), (NOFILE_MOST, NOFILE_MOST));
        assert_eq!(limits(Some(1_024), Some(1 << 20)), (1_024, NOFILE_MOST));
        assert_eq!(limits(Some(256), Some(512)), (256, 512));
    }
}
