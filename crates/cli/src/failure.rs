//! The failures of commands, with their messages and exit codes.

use std::fmt;
use std::io;
use std::path::PathBuf;

use muster_client::errors::reason;
use muster_client::{CallError, ContextsError, Mismatch, Verdict};
use tonic::Code;

use crate::exit::ExitStatus;
use crate::output::JsonError;
use crate::parse::EnvFileError;
use crate::up::UpError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum CommandFailure {
    /// The master refused, or could not be asked.
    Server(Box<AnswerRefused>),
    /// Nothing has that name; the message lists similar names.
    NotFound {
        /// `driver`, `worker`, ….
        kind: &'static str,
        /// What was asked for.
        id: String,
        /// What may have been meant.
        similar: Vec<String>,
    },
    /// The arguments are wrong; the text says what would be right.
    Usage(String),
    /// The request does not suit the present state; the text says what would.
    State(String),
    /// The remembered clusters cannot be read or written.
    Contexts(ContextsError),
    /// The master at an address cannot be talked to as it was tried.
    Mismatch(String, Mismatch),
    /// The addresses of the masters make no sense.
    Masters(String),
    /// The time limit passed first; the text says what goes on.
    TimedOut(String),
    /// A file of variables cannot be read.
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

/// A call to the masters that failed.
#[derive(Debug)]
pub(crate) struct AnswerRefused {
    /// The error of the call.
    pub(crate) error: CallError,
    /// The request id of a mutation: asking again under it is safe.
    pub(crate) request_id: Option<String>,
    /// The addresses of all masters.
    pub(crate) masters: String,
}

impl AnswerRefused {
    /// Whether the change may have been made nevertheless.
    pub(crate) fn is_unknown(&self) -> bool {
        self.request_id.is_some() && self.error.verdict == Verdict::Unknown
    }
}

impl fmt::Display for AnswerRefused {
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

impl CommandFailure {
    /// What the process exits with.
    pub(crate) fn exit(&self) -> ExitStatus {
        match self {
            CommandFailure::Server(refusal) if refusal.is_unknown() => ExitStatus::PLATFORM,
            CommandFailure::Server(_) | CommandFailure::NotFound { .. } | CommandFailure::State(_) => {
                ExitStatus::FAILED
            }
            CommandFailure::Json(_)
            | CommandFailure::Contexts(_)
            | CommandFailure::Mismatch(..)
            | CommandFailure::System(_)
            | CommandFailure::File(_, _)
            | CommandFailure::Exists(_) => ExitStatus::FAILED,
            // A reader that goes away, such as head, has what it wanted.
            CommandFailure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::OK,
            CommandFailure::Output(_) => ExitStatus::FAILED,
            CommandFailure::Usage(_) | CommandFailure::Masters(_) | CommandFailure::EnvFile(_) => ExitStatus::USAGE,
            CommandFailure::TimedOut(_) => ExitStatus::TIMED_OUT,
            CommandFailure::Up(UpError::Interrupted) => ExitStatus::INTERRUPTED,
            CommandFailure::Up(UpError::ManyMasters(_)) => ExitStatus::USAGE,
            CommandFailure::Up(_) => ExitStatus::FAILED,
        }
    }

    /// Whether it is not reported.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, CommandFailure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether nothing has that name.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            CommandFailure::Server(refusal) => refusal.error.is_not_found(),
            CommandFailure::NotFound { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandFailure::Server(refusal) => refusal.fmt(f),
            CommandFailure::NotFound { kind, id, similar } => {
                write!(f, "there is no {kind} '{id}'")?;
                match similar.as_slice() {
                    [] if *kind == "context" => f.write_str("; `muster context list` shows what there is"),
                    [] => write!(f, "; `muster list {}` shows what there is", plural(kind)),
                    names => write!(f, "; did you mean {}?", names.join(" or ")),
                }
            }
            CommandFailure::Usage(text) | CommandFailure::State(text) | CommandFailure::TimedOut(text) => {
                f.write_str(text)
            }
            CommandFailure::Contexts(error) => error.fmt(f),
            CommandFailure::Mismatch(address, mismatch) => {
                write!(f, "the master at {address} {mismatch}")?;
                match mismatch {
                    Mismatch::NeedsTls => {
                        write!(f, "\n  `muster login {address} --ca-digest DIGEST` trusts it; its log shows the digest")
                    }
                    Mismatch::Plaintext => f.write_str("\n  leave out --ca, or choose another context"),
                    Mismatch::Refused(_) => Ok(()),
                    Mismatch::Clock(error) => write!(f, ": {error}"),
                    Mismatch::Untrusted(error) => write!(f, ": {error}\n  `muster login` again if its CA was replaced"),
                }
            }
            CommandFailure::Masters(text) => {
                write!(f, "'{text}' is not the address of a master; write HOST:PORT, such as 127.0.0.1:7077")
            }
            CommandFailure::EnvFile(error) => error.fmt(f),
            CommandFailure::Json(error) => {
                error.fmt(f)?;
                std::error::Error::source(error).map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            CommandFailure::File(path, error) => write!(f, "{}: {error}", path.display()),
            CommandFailure::Exists(path) => write!(f, "{} is there already; --force replaces it", path.display()),
            CommandFailure::Output(error) => write!(f, "standard output cannot be written: {error}"),
            CommandFailure::Up(error) => error.fmt(f),
            CommandFailure::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CommandFailure {}

/// The kind as `muster list` names it.
fn plural(kind: &str) -> &str {
    match kind {
        "application" => "applications",
        "executor" => "executors",
        "worker" | "host with a worker" => "workers",
        _ => "drivers",
    }
}

impl From<JsonError> for CommandFailure {
    fn from(error: JsonError) -> CommandFailure {
        CommandFailure::Json(error)
    }
}

impl From<ContextsError> for CommandFailure {
    fn from(error: ContextsError) -> CommandFailure {
        CommandFailure::Contexts(error)
    }
}

impl From<UpError> for CommandFailure {
    fn from(error: UpError) -> CommandFailure {
        CommandFailure::Up(error)
    }
}
