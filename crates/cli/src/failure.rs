//! What can go wrong, as it is said, and what the process exits with.

use std::fmt;
use std::io;
use std::path::PathBuf;

use muster_client::errors::reason;
use muster_client::{CallError, Verdict};
use tonic::Code;

use crate::exit::Exit;
use crate::output::JsonError;
use crate::parse::EnvFileError;
use crate::up::UpError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The master refused, or could not be asked.
    Server(Box<Refusal>),
    /// Nothing has that name; with names that are near it.
    NotFound {
        /// `driver`, `worker`, ….
        kind: &'static str,
        /// What was asked for.
        id: String,
        /// What may have been meant.
        similar: Vec<String>,
    },
    /// What was written cannot be done; says what would be right.
    Usage(String),
    /// What is asked for does not suit what there is; says what would.
    State(String),
    /// The addresses of the masters make no sense.
    Masters(String),
    /// Time passed first; says what goes on.
    TimedOut(String),
    /// A file of variables.
    EnvFile(EnvFileError),
    /// JSON could not be made.
    Json(JsonError),
    /// A file cannot be made or written.
    File(PathBuf, io::Error),
    /// The file is there already.
    Exists(PathBuf),
    /// Standard output cannot be written.
    Output(io::Error),
    /// A cluster could not be brought up or down.
    Up(UpError),
    /// The system refused something that never fails on a sound machine.
    System(io::Error),
}

/// An answer that is not what was wished for.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The call.
    pub(crate) error: CallError,
    /// The request id of a mutation: asking again under it is safe.
    pub(crate) request_id: Option<String>,
    /// All who could be asked.
    pub(crate) masters: String,
}

impl Refusal {
    /// Whether it may have been done all the same.
    pub(crate) fn is_unknown(&self) -> bool {
        self.request_id.is_some() && self.error.verdict == Verdict::Unknown
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let violations = self.error.violations();
        if !violations.is_empty() {
            f.write_str("the request is not right:")?;
            return violations.iter().try_for_each(|bad| write!(f, "\n  {}: {}", bad.field, bad.message));
        }
        if self.error.is_unreachable() {
            write!(f, "no master answers at {}", self.masters)?;
            f.write_str(
                "\n  name the masters with --master or MUSTER_MASTER; `muster up` starts a cluster on this machine",
            )?;
        } else if self.error.reason().is_none() && self.error.code() == Code::Unimplemented {
            write!(f, "{} does not know this request: it is another program, or another version", self.masters)?;
        } else if self.error.reason().is_none() {
            write!(f, "no answer from {}: {}", self.masters, self.error.status.message())?;
        } else {
            f.write_str(self.error.status.message())?;
            if self.error.reason().as_deref() == Some(reason::ALREADY_EXISTS) {
                f.write_str("; take another --id, or leave it out")?;
            }
        }
        match &self.request_id {
            Some(id) if self.is_unknown() => {
                write!(f, "\n  it is unknown whether this was done; asking again with --request-id {id} is safe")
            }
            _ => Ok(()),
        }
    }
}

impl Failure {
    /// What the process exits with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Server(refusal) if refusal.is_unknown() => Exit::PLATFORM,
            Failure::Server(_) | Failure::NotFound { .. } | Failure::State(_) => Exit::FAILED,
            Failure::Json(_) | Failure::System(_) | Failure::File(_, _) | Failure::Exists(_) => Exit::FAILED,
            // A reader that goes away, such as head, has what it wanted.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::OK,
            Failure::Output(_) => Exit::FAILED,
            Failure::Usage(_) | Failure::Masters(_) | Failure::EnvFile(_) => Exit::USAGE,
            Failure::TimedOut(_) => Exit::TIMED_OUT,
            Failure::Up(UpError::Interrupted) => Exit::INTERRUPTED,
            Failure::Up(UpError::ManyMasters(_)) => Exit::USAGE,
            Failure::Up(_) => Exit::FAILED,
        }
    }

    /// Whether it needs no words.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether nothing has that name.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Failure::Server(refusal) => refusal.error.is_not_found(),
            Failure::NotFound { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Server(refusal) => refusal.fmt(f),
            Failure::NotFound { kind, id, similar } => {
                write!(f, "there is no {kind} '{id}'")?;
                match similar.as_slice() {
                    [] => write!(f, "; `muster list {}` shows what there is", plural(kind)),
                    names => write!(f, "; did you mean {}?", names.join(" or ")),
                }
            }
            Failure::Usage(text) | Failure::State(text) | Failure::TimedOut(text) => f.write_str(text),
            Failure::Masters(text) => {
                write!(f, "'{text}' is not the address of a master; write HOST:PORT, such as 127.0.0.1:7077")
            }
            Failure::EnvFile(error) => error.fmt(f),
            Failure::Json(error) => {
                error.fmt(f)?;
                std::error::Error::source(error).map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            Failure::File(path, error) => write!(f, "{}: {error}", path.display()),
            Failure::Exists(path) => write!(f, "{} is there already; --force replaces it", path.display()),
            Failure::Output(error) => write!(f, "standard output cannot be written: {error}"),
            Failure::Up(error) => error.fmt(f),
            Failure::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

/// The word of `muster list`.
fn plural(kind: &str) -> &str {
    match kind {
        "application" => "applications",
        "executor" => "executors",
        "worker" => "workers",
        _ => "drivers",
    }
}

impl From<JsonError> for Failure {
    fn from(error: JsonError) -> Failure {
        Failure::Json(error)
    }
}

impl From<UpError> for Failure {
    fn from(error: UpError) -> Failure {
        Failure::Up(error)
    }
}
