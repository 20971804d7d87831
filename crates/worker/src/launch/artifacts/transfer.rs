//! The copying of an artifact into its place.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_os::file::create_fresh;
use sha2::{Digest, Sha256};

use super::FetchError;

/// Largest artifact: a bound against servers that never stop sending.
const ARTIFACT_LIMIT: u64 = 64 << 30;
/// What must come within a time that is spent waiting for it, so that a server that sends a byte
/// now and then, and so is never silent, does not hold one of the few places for an hour.
const LEAST_BYTES: u64 = 64 << 10;
const LEAST_WINDOW: Duration = Duration::from_secs(60);
/// Bytes that are read and written at once.
pub(super) const PIECE: usize = 256 << 10;

pub(super) fn watched(from: impl Read + 'static) -> Box<dyn Read> {
    let began = Instant::now();
    Box::new(NotTooSlow::new(from, move || began.elapsed()))
}

/// A source that has failed when it is slower than the least rate. Only the time of its reads
/// counts, and not that of a disk that is written to meanwhile.
pub(super) struct NotTooSlow<R, C> {
    from: R,
    clock: C,
    waited: Duration,
    came: u64,
}

impl<R: Read, C: Fn() -> Duration> NotTooSlow<R, C> {
    /// The clock says how much time has passed since any beginning.
    pub(super) fn new(from: R, clock: C) -> NotTooSlow<R, C> {
        NotTooSlow { from, clock, waited: Duration::ZERO, came: 0 }
    }
}

impl<R: Read, C: Fn() -> Duration> Read for NotTooSlow<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = (self.clock)();
        let count = self.from.read(buffer)?;
        self.waited += (self.clock)().saturating_sub(began);
        self.came += count as u64;
        if self.waited >= LEAST_WINDOW {
            if self.came < LEAST_BYTES && count > 0 {
                let slow = "it sends less than 64 KiB a minute";
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, slow));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(count)
    }
}

/// Copies in pieces, counting and hashing them. A failure leaves no part of a file behind: on a
/// full disk it would take the room of others until it is cleaned up.
pub(super) fn transfer(
    from: Box<dyn Read>,
    target: &Path,
    expected: Option<&[u8; 32]>,
    cancelled: &AtomicBool,
) -> Result<File, FetchError> {
    copy(from, target, expected, cancelled).inspect_err(|_| {
        // This fails if the file was never made.
        let _ = fs::remove_file(target);
    })
}

pub(super) fn copy(
    mut from: Box<dyn Read>,
    target: &Path,
    expected: Option<&[u8; 32]>,
    cancelled: &AtomicBool,
) -> Result<File, FetchError> {
    let failed = |error| FetchError::Write(target.to_owned(), error);
    let mut file = create_fresh(target, 0o666).map_err(failed)?;
    let mut hash = expected.map(|_| Sha256::new());
    let mut piece = vec![0; PIECE];
    let mut size: u64 = 0;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(FetchError::Cancelled);
        }
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Err(FetchError::Broken(error)),
            Err(error) => return Err(FetchError::Read(error)),
        };
        size += count as u64;
        if size > ARTIFACT_LIMIT {
            return Err(FetchError::TooLarge);
        }
        file.write_all(&piece[..count]).map_err(failed)?;
        if let Some(hash) = &mut hash {
            hash.update(&piece[..count]);
        }
    }
    match (hash, expected) {
        (Some(hash), Some(expected)) => {
            let found = hash.finalize();
            if found[..] == expected[..] { Ok(file) } else { Err(FetchError::Hash { found: hex(&found) }) }
        }
        _ => Ok(file),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
