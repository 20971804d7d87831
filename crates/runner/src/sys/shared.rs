//! A page of memory that two processes see.
#![expect(unsafe_code, reason = "a shared mapping")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::{io, ptr};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

const BYTES: usize = 4096;

/// Numbers in one page.
pub(crate) const WORDS: usize = BYTES / 8;

/// A page of numbers, each of which is read and written whole.
#[derive(Debug)]
pub(crate) struct SharedPage {
    memory: OwnedFd,
    base: *mut AtomicU64,
}

// SAFETY: the mapping is of atomics, and lives as long as the value.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// A new page, all zero.
    pub(crate) fn new() -> io::Result<SharedPage> {
        let memory = memfd_create("muster-guard", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, BYTES as u64)?;
        SharedPage::of(memory)
    }

    /// The page of another process.
    pub(crate) fn of(memory: OwnedFd) -> io::Result<SharedPage> {
        if rustix::fs::fstat(&memory)?.st_size != BYTES as i64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of a file that is as long as it and that nobody shortens.
        let base = unsafe { libc::mmap(ptr::null_mut(), BYTES, access, libc::MAP_SHARED, memory.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(SharedPage { memory, base: base.cast() })
    }

    /// The numbers.
    pub(crate) fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: the mapping is page-aligned, as long as the array, and any bytes are numbers.
        unsafe { &*self.base.cast::<[AtomicU64; WORDS]>() }
    }
}

impl AsFd for SharedPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: our own mapping; every borrow of it has ended.
        unsafe { libc::munmap(self.base.cast(), BYTES) };
    }
}
