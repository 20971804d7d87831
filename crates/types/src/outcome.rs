//! How processes end, and whose doing it was.

/// Whose doing an outcome was. Only `Program` counts in restart windows and failure limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The program's own: its exit code, its crash, its own memory.
    Program,
    /// Muster's or a machine's.
    Platform,
    /// Somebody asked for it.
    User,
}

/// How a main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It never ran, or nobody saw how it ended.
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
    /// The process could not be started, for a reason of the machine.
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
    /// What it belonged to ended.
    OwnerEnded,
    /// The worker cannot take it (an incarnation that has passed, a lease that does not stand).
    Refused,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Reason; 17] = [
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
        }
    }

    /// The reason of a stable word.
    pub fn from_word(word: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// How an attempt ended. Made only when nothing of its tree is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How the main process ended.
    pub exit: Exit,
    /// The kernel ended it for exceeding its memory.
    pub out_of_memory: bool,
    /// Whose doing it was.
    pub fault: Fault,
    /// Why.
    pub reason: Reason,
    /// A sentence for people; empty when the rest says it all.
    pub message: String,
}

impl Outcome {
    /// The main process ended by itself.
    pub fn exited(exit: Exit) -> Outcome {
        Outcome { exit, out_of_memory: false, fault: Fault::Program, reason: Reason::Exited, message: String::new() }
    }

    /// It never ran, or nobody saw how it ended.
    pub fn without_exit(fault: Fault, reason: Reason, message: impl Into<String>) -> Outcome {
        Outcome { exit: Exit::None, out_of_memory: false, fault, reason, message: message.into() }
    }

    /// Ended by itself with exit code 0.
    pub fn is_success(&self) -> bool {
        self.reason == Reason::Exited && self.exit == Exit::Code(0)
    }
}
