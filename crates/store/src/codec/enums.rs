//! Enums: one table each, for both directions. A missing variant does not compile.

use super::{DecodeError, proto};
use muster_types as domain;

/// Enums that are stored as a number.
pub(super) trait StoredEnum: Sized {
    /// To the number.
    fn to_number(self) -> i32;

    /// From the number.
    fn from_number(number: i32, field: &'static str) -> Result<Self, DecodeError>;
}

macro_rules! stored_enum {
    ($name:ident { $($variant:ident),* $(,)? }) => {
        impl StoredEnum for domain::$name {
            fn to_number(self) -> i32 {
                match self {
                    $(domain::$name::$variant => proto::$name::$variant as i32,)*
                }
            }

            fn from_number(number: i32, field: &'static str) -> Result<Self, DecodeError> {
                match proto::$name::try_from(number) {
                    $(Ok(proto::$name::$variant) => Ok(domain::$name::$variant),)*
                    Ok(proto::$name::Unspecified) | Err(_) => Err(DecodeError::Field(field)),
                }
            }
        }
    };
}

stored_enum!(DriverState {
    Pending,
    Launching,
    Running,
    Killing,
    BackingOff,
    Unreachable,
    Unconfirmed,
    Finished,
    Failed,
    Killed,
    Lost,
    CrashLoop,
});
stored_enum!(ApplicationState { Waiting, Running, Disconnected, Ending, Finished, Failed, Killed });
stored_enum!(ExecutorState { Launching, Running, Killing, Unreachable, Exited, Killed, Failed, Lost });
stored_enum!(WorkerState { Alive, Disconnected, Unconfirmed, Lost, Forgotten });
stored_enum!(Role { Viewer, Submitter, Operator, Admin });
stored_enum!(RestartCondition { Never, OnFailure, Always });
stored_enum!(WorkerLostPolicy { Rerun, Wait });
stored_enum!(SessionLostPolicy { End, Keep });
stored_enum!(Fault { Program, Platform, User });
stored_enum!(KilledBy { Application, Operator, Preemption, Drain, Lease, Fence });
stored_enum!(Reason {
    Exited,
    OutOfMemory,
    Killed,
    NeverStarted,
    NotFound,
    NotExecutable,
    SpawnFailed,
    ArtifactFailed,
    WorkDirFailed,
    UnknownVariable,
    LogLimit,
    LeaseEnded,
    Drained,
    Lost,
    Forgotten,
    OwnerEnded,
    Refused,
    NoUser,
});
