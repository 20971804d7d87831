//! How processes end, and who is responsible.

/// Who is responsible for an outcome. Only `Program` counts in restart windows and failure limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The program: its exit code, its crash, its use of memory.
    Program,
    /// Muster or a machine.
    Platform,
    /// A user who asked for the end.
    User,
}

/// How a main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It never ran, or its exit was not observed.
    None,
}

/// A stable word for why something ended. The wire carries the word in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It ended by itself.
    Exited,
    /// It exceeded its memory.
    OutOfMemory,
    /// A kill was asked for.
    Killed,
    /// A kill arrived before it was started.
    NeverStarted,
    /// The program does not exist.
    NotFound,
    /// The program cannot be executed.
    NotExecutable,
    /// The process could not be started because of the machine.
    SpawnFailed,
    /// An artifact could not be fetched, or is not what it should be.
    ArtifactFailed,
    /// Its directories or files could not be made.
    WorkDirFailed,
    /// A variable in its command is not known on its worker.
    UnknownVariable,
    /// Its output exceeded its bound where logs cannot be bounded in place.
    LogLimit,
    /// Its lease ran out.
    LeaseEnded,
    /// Its worker drained.
    Drained,
    /// Its worker is lost, or came back without it.
    Lost,
    /// Its worker was forgotten by an operator.
    Forgotten,
    /// The driver or application that it belonged to ended.
    OwnerEnded,
    /// The worker cannot take it: the incarnation has passed, or the lease is not valid.
    Refused,
    /// The worker has no user left for the owner of what it belongs to, and takes none of that
    /// owner's.
    NoUser,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Reason; 18] = [
        Reason::Exited,
        Reason::OutOfMemory,
        Reason::Killed,
        Reason::NeverStarted,
        Reason::NotFound,
        Reason::NotExecutable,
        Reason::SpawnFailed,
        Reason::ArtifactFailed,
        Reason::WorkDirFailed,
        Reason::UnknownVariable,
        Reason::LogLimit,
        Reason::LeaseEnded,
        Reason::Drained,
        Reason::Lost,
        Reason::Forgotten,
        Reason::OwnerEnded,
        Reason::Refused,
        Reason::NoUser,
    ];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Exited => "EXITED",
            Reason::OutOfMemory => "OUT_OF_MEMORY",
            Reason::Killed => "KILLED",
            Reason::NeverStarted => "NEVER_STARTED",
            Reason::NotFound => "NOT_FOUND",
            Reason::NotExecutable => "NOT_EXECUTABLE",
            Reason::SpawnFailed => "SPAWN_FAILED",
            Reason::ArtifactFailed => "ARTIFACT_FAILED",
            Reason::WorkDirFailed => "WORK_DIR_FAILED",
            Reason::UnknownVariable => "UNKNOWN_VARIABLE",
            Reason::LogLimit => "LOG_LIMIT",
            Reason::LeaseEnded => "LEASE_ENDED",
            Reason::Drained => "DRAINED",
            Reason::Lost => "LOST",
            Reason::Forgotten => "FORGOTTEN",
            Reason::OwnerEnded => "OWNER_ENDED",
            Reason::Refused => "REFUSED",
            Reason::NoUser => "NO_USER",
        }
    }

    /// The reason of a stable word.
    pub fn from_word(word: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// How an attempt ended. It exists only once nothing of the process tree is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How the main process ended.
    pub exit: Exit,
    /// Whether the kernel ended it because it exceeded its memory.
    pub out_of_memory: bool,
    /// Who is responsible.
    pub fault: Fault,
    /// Why.
    pub reason: Reason,
    /// A sentence for people; empty when the other fields say everything.
    pub message: String,
}

impl Outcome {
    /// The main process ended by itself.
    pub fn exited(exit: Exit) -> Outcome {
        Outcome { exit, out_of_memory: false, fault: Fault::Program, reason: Reason::Exited, message: String::new() }
    }

    /// It never ran, or its exit was not observed.
    pub fn without_exit(fault: Fault, reason: Reason, message: impl Into<String>) -> Outcome {
        Outcome { exit: Exit::None, out_of_memory: false, fault, reason, message: message.into() }
    }

    /// Ended by itself with exit code 0.
    pub fn is_success(&self) -> bool {
        self.reason == Reason::Exited && self.exit == Exit::Code(0)
    }
}
