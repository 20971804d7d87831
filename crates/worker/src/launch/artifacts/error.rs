//! Why an artifact could not be fetched, and whether to try again.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use muster_proto::artifact::ArtifactSourceError;

/// Tries of one artifact. The pauses between them sum to 40 s at most. A server that is silent for
/// longer also costs its time-outs, and a kill ends everything.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why an artifact could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file name leaves the work directory, is empty, or has control characters.
    #[error("the file name is empty, leaves the work directory or has a control character")]
    FileName,
    /// Nothing can be fetched from such an address. A master refuses it at submission.
    #[error("its address {0}")]
    Source(ArtifactSourceError),
    /// The request failed, and whether it will always fail. Only the kind of failure is given,
    /// since a message may repeat the address.
    #[error("the request failed: {0}")]
    Request(&'static str, bool),
    /// The server answered with an error, and perhaps said when to ask again.
    #[error("the server answered {0}")]
    Status(u16, Option<Duration>),
    /// The transfer broke.
    #[error("the transfer broke")]
    Broken(#[source] io::Error),
    /// The file cannot be opened or read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// The file in the work directory cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// The content has another hash than expected.
    #[error("its SHA-256 is {found}, another than expected")]
    Hash {
        /// What was fetched, in hexadecimal digits.
        found: String,
    },
    /// It is larger than anything that is fetched.
    #[error("larger than 64 GiB")]
    TooLarge,
    /// The attempt was killed meanwhile.
    #[error("the attempt was killed")]
    Cancelled,
}

impl FetchError {
    /// Whether no repetition and no other machine can help: the submission is wrong.
    pub(in crate::launch) fn is_permanent(&self) -> bool {
        match self {
            FetchError::FileName | FetchError::Source(_) | FetchError::Hash { .. } | FetchError::TooLarge => true,
            FetchError::Request(_, permanent) => *permanent,
            FetchError::Status(code, _) => !is_passing(*code),
            // Another machine may have a file that this one lacks, but the address is wrong all the
            // same. A file system that fails is the machine's fault.
            FetchError::Read(error) => says_that_path_is_wrong(error),
            FetchError::Broken(_) | FetchError::Write(..) | FetchError::Cancelled => false,
        }
    }

    /// How long to wait before the next try; `None` if there is none.
    pub(super) fn retry_after(&self, tries: u32) -> Option<Duration> {
        let back_off = FIRST_PAUSE * 2u32.saturating_pow(tries.saturating_sub(1));
        match self {
            _ if self.is_permanent() || tries >= TRIES => None,
            FetchError::Write(..) | FetchError::Cancelled => None,
            FetchError::Status(_, asked) => Some(asked.unwrap_or(back_off).min(LONGEST_PAUSE)),
            _ => Some(back_off.min(LONGEST_PAUSE)),
        }
    }
}

/// Whether a system call failed because of the path that it was given, and not because of the
/// machine.
pub(in crate::launch) fn says_that_path_is_wrong(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    ) || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Whether a status says that the same request may succeed later.
fn is_passing(code: u16) -> bool {
    matches!(code, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}
