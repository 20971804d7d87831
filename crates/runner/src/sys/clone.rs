//! Starting a process the fast way: `clone3` with shared memory and a suspended parent, straight
//! into its cgroup.
//!
//! The standard library forks when it has anything to do between fork and exec, and a fork copies
//! page tables; here the child borrows the memory of the spawning thread, which sleeps until the
//! child executes or ends. So the child may read everything that was prepared and may write its
//! failure where the parent finds it; it must not allocate, lock or unwind. Where `clone3` is
//! refused (old kernels, some sandboxes) the same is done with `clone`, and the child joins its
//! cgroup by itself.
#![expect(unsafe_code, reason = "raw system calls, a hand-made stack, and a child that shares memory")]

use std::ffi::{CStr, CString, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::{io, mem, ptr};

use muster_agent::runner_protocol::ProcessCredentials;

use super::privilege::OOM_FILE;
use super::strings::CStringArray;
use super::user::{self, UserLimits};

/// Everything that the child needs, made before it exists.
pub(crate) struct ClonePlan<'a> {
    /// The directory that the child enters.
    pub(crate) work_dir: CString,
    /// The file of standard output, opened for append.
    pub(crate) stdout: CString,
    /// The file of standard error, opened for append.
    pub(crate) stderr: CString,
    /// Paths to try in order.
    pub(crate) candidates: Vec<CString>,
    /// The program's name and its arguments.
    pub(crate) argv: CStringArray,
    /// `NAME=VALUE`.
    pub(crate) envp: CStringArray,
    /// Becomes standard input.
    pub(crate) null: BorrowedFd<'a>,
    /// Files of cgroups into which the child writes `0`, which means itself.
    pub(crate) joins: Vec<OwnedFd>,
    /// Checked last before exec: whether the start is no longer wanted.
    pub(crate) cancelled: &'a AtomicBool,
    /// Checked last before exec: `CLOCK_BOOTTIME` in nanoseconds after which the child must not
    /// start.
    pub(crate) lease_end: Option<&'a AtomicU64>,
    /// Whether the kernel ends the child with the thread that started it.
    pub(crate) dies_with_parent: bool,
    /// The OOM score that the child writes for itself, if it would inherit another one.
    pub(crate) oom_score: Option<&'a CStr>,
    /// The user that the child becomes; without, it stays the runner's.
    pub(crate) credentials: Option<&'a ProcessCredentials>,
    /// Set together with that user.
    pub(crate) limits: UserLimits,
    /// The namespaces that the child enters; without, it stays in the runner's.
    pub(crate) namespaces: Option<&'a UserNamespaces>,
}

/// Namespaces of one user.
#[derive(Debug)]
pub(crate) struct UserNamespaces {
    pub(crate) mounts: OwnedFd,
    /// Of System V IPC and POSIX message queues.
    pub(crate) ipc: OwnedFd,
}

/// Where a child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloneStep {
    /// It could not be cloned.
    Clone = 1,
    /// It could not give up the runner's OOM score.
    OomScore,
    /// It could not join a cgroup.
    Join,
    /// Its standard output cannot be opened.
    Stdout,
    /// Its standard error cannot be opened.
    Stderr,
    /// It could not enter its user's namespaces.
    Namespaces,
    /// It could not become its user, or be held to that.
    User,
    /// Its work directory cannot be entered.
    WorkDir,
    /// It was no longer wanted.
    Cancelled,
    /// Its lease had ended.
    LeaseOver,
    /// It cannot be executed.
    Exec,
}

const CHILD_STEPS: [CloneStep; 10] = [
    CloneStep::OomScore,
    CloneStep::Join,
    CloneStep::Stdout,
    CloneStep::Stderr,
    CloneStep::Namespaces,
    CloneStep::User,
    CloneStep::WorkDir,
    CloneStep::Cancelled,
    CloneStep::LeaseOver,
    CloneStep::Exec,
];

/// Why there is no process.
#[derive(Debug)]
pub(crate) struct CloneFailure {
    pub(crate) step: CloneStep,
    pub(crate) error: io::Error,
}

/// A process that has executed (or was killed just before).
#[derive(Debug)]
pub(crate) struct Cloned {
    /// In the PID namespace of the runner.
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// From the kernel's headers; libc's constant is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Enough for the child, which only prepares an exec, without deep calls.
const STACK_BYTES: usize = 64 * 1024;
const GUARD_BYTES: usize = 4096;

struct Stack {
    base: *mut c_void,
}

impl Stack {
    fn new() -> io::Result<Stack> {
        let length = STACK_BYTES + GUARD_BYTES;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new anonymous mapping; nothing else knows it.
        let base = unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Stack { base };
        // SAFETY: the first page of our own mapping.
        if unsafe { libc::mprotect(base, GUARD_BYTES, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    fn bottom(&self) -> *mut c_void {
        self.base.wrapping_byte_add(GUARD_BYTES)
    }

    /// The top is page-aligned, which satisfies both calling conventions.
    fn top(&self) -> *mut c_void {
        self.bottom().wrapping_byte_add(STACK_BYTES)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and no child uses it: every clone waits until its child is off
        // this stack.
        unsafe { libc::munmap(self.base, STACK_BYTES + GUARD_BYTES) };
    }
}

// SAFETY: the mapping belongs to the value alone.
unsafe impl Send for Stack {}

/// Starts processes, one at a time.
pub(crate) struct Cloner {
    stack: Stack,
    has_clone3: bool,
}

/// What parent and child share while the parent sleeps.
struct CloneShared<'a> {
    plan: &'a ClonePlan<'a>,
    /// Used without `clone3`: the file of the cgroup that the child joins before all others; -1 if
    /// none.
    cgroup_procs: RawFd,
    step: AtomicI32,
    errno: AtomicI32,
}

impl Cloner {
    pub(crate) fn new() -> io::Result<Cloner> {
        Ok(Cloner { stack: Stack::new()?, has_clone3: true })
    }

    /// Starts a process. Returns when it has executed, has failed, or was killed before either.
    /// Hangs as long as a path of the plan hangs. The pid is written to `current` before the child
    /// runs, so that it is not taken for an unassigned process; the caller clears it.
    pub(crate) fn spawn(
        &mut self,
        plan: &ClonePlan<'_>,
        cgroup: Option<BorrowedFd<'_>>,
        current: &AtomicI32,
    ) -> Result<Cloned, CloneFailure> {
        let mut shared = CloneShared { plan, cgroup_procs: -1, step: AtomicI32::new(0), errno: AtomicI32::new(0) };
        let cloned = match self.try_clone3(&shared, cgroup, current) {
            Err(error) if is_refused(&error) => {
                self.has_clone3 = false;
                let procs = cgroup
                    .map(open_procs)
                    .transpose()
                    .map_err(|error| CloneFailure { step: CloneStep::Join, error })?;
                shared.cgroup_procs = procs.as_ref().map_or(-1, AsRawFd::as_raw_fd);
                self.clone_plain(&shared, current)
            }
            other => other,
        }
        .map_err(|error| CloneFailure { step: CloneStep::Clone, error })?;

        let step = shared.step.load(Ordering::SeqCst);
        match CHILD_STEPS.into_iter().find(|known| *known as i32 == step) {
            None => Ok(cloned),
            Some(step) => {
                // It has ended by itself; its status adds nothing to the step.
                let _ = super::wait::reap(cloned.pid);
                Err(CloneFailure { step, error: io::Error::from_raw_os_error(shared.errno.load(Ordering::SeqCst)) })
            }
        }
    }

    fn try_clone3(
        &self,
        shared: &CloneShared<'_>,
        cgroup: Option<BorrowedFd<'_>>,
        current: &AtomicI32,
    ) -> io::Result<Cloned> {
        if !self.has_clone3 {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        let mut pidfd: RawFd = -1;
        // SAFETY: plain numbers; zero means absent.
        let mut args: libc::clone_args = unsafe { mem::zeroed() };
        args.flags =
            (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::CLONE_PARENT_SETTID).cast_unsigned().into();
        if let Some(cgroup) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd().cast_unsigned().into();
        }
        args.pidfd = (&raw mut pidfd) as u64;
        args.parent_tid = current.as_ptr() as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        args.stack = self.stack.bottom() as u64;
        args.stack_size = STACK_BYTES as u64;
        // SAFETY: the stack is free (one child at a time, and the call returns only when the child
        // has left it), `args`, `pidfd`, `current` and `shared` outlive the call, and `run_child`
        // neither returns nor unwinds.
        let pid = unsafe { clone3(&args, run_child, ptr::from_ref(shared).cast_mut().cast()) };
        if pid < 0 {
            return Err(io::Error::from_raw_os_error(i32::try_from(-pid).unwrap_or(libc::EINVAL)));
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Cloned { pid: pid as i32, pidfd })
    }

    fn clone_plain(&self, shared: &CloneShared<'_>, current: &AtomicI32) -> io::Result<Cloned> {
        extern "C" fn enter(shared: *mut c_void) -> c_int {
            run_child(shared)
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
        let argument = ptr::from_ref(shared).cast_mut().cast();
        // SAFETY: as in `try_clone3`.
        let pid = unsafe { libc::clone(enter, self.stack.top(), flags, argument, current.as_ptr()) };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        // Nothing else reaps `current`, so the pid is still this child's.
        // SAFETY: takes and gives numbers.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if pidfd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Cloned { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd as RawFd) } })
    }
}

/// Whether `clone3` itself was refused, or its way into a cgroup; `clone` may still work.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::E2BIG | libc::EINVAL))
}

fn open_procs(cgroup: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, openat};
    Ok(openat(cgroup, c"cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// `clone3` whose child calls `entry(argument)` on its own stack. Returns the pid, or the negated
/// errno.
///
/// # Safety
/// `args` names a free stack, `entry` never returns, and everything pointed to outlives the call.
unsafe fn clone3(args: &libc::clone_args, entry: extern "C" fn(*mut c_void) -> !, argument: *mut c_void) -> isize {
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the system call changes rax, rcx and r11 alone; the child starts here on an empty,
    // aligned stack and never comes back.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") ptr::from_ref(args),
            in("rsi") mem::size_of::<libc::clone_args>(),
            in("r8") entry,
            in("r9") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the system call changes x0 alone; the child starts here on an empty, aligned stack
    // and never comes back.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x10",
            "blr x9",
            "brk 1",
            "2:",
            inlateout("x0") ptr::from_ref(args) => result,
            in("x1") mem::size_of::<libc::clone_args>(),
            in("x8") libc::SYS_clone3,
            in("x9") entry,
            in("x10") argument,
            lateout("x30") _,
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = (args, entry, argument);
        result = -(libc::ENOSYS as isize);
    }
    result
}

/// The child's whole life before exec. It shares memory with the parent, whose thread sleeps.
extern "C" fn run_child(shared: *mut c_void) -> ! {
    // SAFETY: the parent passed a `CloneShared` that it keeps until this process has executed or
    // ended.
    let shared = unsafe { &*shared.cast::<CloneShared<'_>>() };
    let (step, errno) = prepare_and_exec(shared);
    shared.errno.store(errno, Ordering::SeqCst);
    shared.step.store(step as i32, Ordering::SeqCst);
    // SAFETY: ends this process without running what belongs to the parent.
    unsafe { libc::_exit(127) }
}

/// Returns only if it failed.
fn prepare_and_exec(shared: &CloneShared<'_>) -> (CloneStep, c_int) {
    let plan = shared.plan;
    // SAFETY: system calls that take numbers and C strings that live in `plan`; none allocates or
    // locks.
    unsafe {
        libc::setsid();
        if plan.dies_with_parent {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        if plan.oom_score.is_some_and(|score| !write_oom_score(score)) {
            return (CloneStep::OomScore, errno());
        }
        if shared.cgroup_procs >= 0 && !join(shared.cgroup_procs) {
            return (CloneStep::Join, errno());
        }
        for cgroup in &plan.joins {
            if !join(cgroup.as_raw_fd()) {
                return (CloneStep::Join, errno());
            }
        }
        libc::dup2(plan.null.as_raw_fd(), libc::STDIN_FILENO);
        if let Err(errno) = open_output(&plan.stdout, libc::STDOUT_FILENO, plan.credentials) {
            return (CloneStep::Stdout, errno);
        }
        if let Err(errno) = open_output(&plan.stderr, libc::STDERR_FILENO, plan.credentials) {
            return (CloneStep::Stderr, errno);
        }
        // After the output files, which lie where the runner sees them, and before the first path
        // that a program may have made.
        if let Some(UserNamespaces { mounts, ipc }) = plan.namespaces
            && (libc::setns(mounts.as_raw_fd(), libc::CLONE_NEWNS) != 0
                || libc::setns(ipc.as_raw_fd(), libc::CLONE_NEWIPC) != 0)
        {
            return (CloneStep::Namespaces, errno());
        }
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
        // From here on a path decides, which a program may have made: through `/proc/self/fd` it
        // would reach the runner's descriptors, of which the child needs none any more. It has a
        // table of its own.
        close_from(3);
        if let Some(credentials) = plan.credentials {
            if !user::become_for_good(credentials, &plan.limits) {
                return (CloneStep::User, errno());
            }
            if plan.dies_with_parent {
                // The change of user took it away.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            }
        }
        if libc::chdir(plan.work_dir.as_ptr()) != 0 {
            return (CloneStep::WorkDir, errno());
        }
    }
    // The order matters: an attempt that was held under an ended lease is cancelled before a later
    // lease is written, so a child that reads the later lease also sees the cancellation.
    if plan.lease_end.is_some_and(|end| boot_nanos() >= end.load(Ordering::SeqCst)) {
        return (CloneStep::LeaseOver, libc::ETIME);
    }
    if plan.cancelled.load(Ordering::SeqCst) {
        return (CloneStep::Cancelled, libc::ECANCELED);
    }
    (CloneStep::Exec, exec(plan))
}

/// Closes all descriptors from this one on. An old kernel does not know the call; there, as many
/// are closed one by one as the runner may have.
///
/// # Safety
/// System calls on numbers.
unsafe fn close_from(first: u32) {
    // SAFETY: numbers, and a value of our own that is written.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32) == 0 {
            return;
        }
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        for fd in first..u32::try_from(limit.rlim_cur).unwrap_or(MOST_CLOSED).min(MOST_CLOSED) {
            libc::close(fd.cast_signed());
        }
    }
}

/// The most descriptors that are closed one by one.
const MOST_CLOSED: u32 = 1 << 16;

/// Tries the candidates as `execvp` would: it remembers a refused permission, and any error other
/// than a missing file ends the search.
fn exec(plan: &ClonePlan<'_>) -> c_int {
    let mut failure = libc::ENOENT;
    for candidate in &plan.candidates {
        // SAFETY: C strings and null-terminated arrays that live in `plan`.
        unsafe { libc::execve(candidate.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => failure = libc::EACCES,
            other => return other,
        }
    }
    failure
}

/// # Safety
/// A system call on a number and a static byte.
unsafe fn join(cgroup: RawFd) -> bool {
    // SAFETY: one static byte.
    unsafe { libc::write(cgroup, c"0".as_ptr().cast(), 1) == 1 }
}

/// The kernel applies it to this process alone, although the memory is shared, because the parent
/// waits as for a `vfork`.
///
/// # Safety
/// System calls on C strings and numbers.
unsafe fn write_oom_score(score: &CStr) -> bool {
    let length = score.count_bytes();
    // SAFETY: C strings that outlive the calls; exec closes the descriptor.
    unsafe {
        let file = libc::open(OOM_FILE.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        file >= 0 && libc::write(file, score.as_ptr().cast(), length) == length.cast_signed()
    }
}

/// Only a regular file is taken, and is opened without waiting: a program that runs as the same
/// user may have put a pipe or a link there. The file is given to the child's user, so that a
/// program can open its `/dev/stdout`; its directory is not, so it cannot be removed or replaced.
/// One that has a second name might be anybody's and is given to nobody.
///
/// # Safety
/// System calls on a C string and numbers.
unsafe fn open_output(path: &CString, target: RawFd, owner: Option<&ProcessCredentials>) -> Result<(), c_int> {
    let kind = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT;
    let flags = kind | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    // SAFETY: a C string that outlives the call.
    let fd = unsafe { libc::open(path.as_ptr(), flags, 0o640) };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: plain numbers.
    let mut found: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: writes the value that it is given.
    if unsafe { libc::fstat(fd, &mut found) } != 0 {
        return Err(errno());
    }
    if found.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(libc::EINVAL);
    }
    if let Some(owner) = owner.filter(|owner| (owner.uid, owner.gid) != (found.st_uid, found.st_gid)) {
        if found.st_nlink != 1 {
            return Err(libc::EMLINK);
        }
        // SAFETY: numbers.
        if unsafe { libc::fchown(fd, owner.uid, owner.gid) } != 0 {
            return Err(errno());
        }
    }
    // SAFETY: numbers; the copy is not closed by exec, the original is. The program must not find a
    // file that does not wait.
    let is_open = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_APPEND) == 0 && libc::dup2(fd, target) >= 0 };
    if is_open { Ok(()) } else { Err(errno()) }
}

fn errno() -> c_int {
    // SAFETY: the thread's own errno, which the child borrows from its sleeping parent.
    unsafe { *libc::__errno_location() }
}

fn boot_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the value it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
