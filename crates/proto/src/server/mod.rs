//! What a server does with every call, whichever service it is for: a master's and a worker's
//! answer alike.

mod call_deadline;
mod calls_only;
mod too_large;

pub use call_deadline::EndAtDeadline;
pub use calls_only::CallsOnly;
pub use too_large::{NameTooLarge, status_of_read};

/// Largest request of a client, unpacked: a spec of 64 KiB, or ten thousand numbers, with room.
pub const MAX_REQUEST: usize = 1 << 20;

/// All that is done around the services of a server, the outermost first.
pub type Guarded<S> = CallsOnly<EndAtDeadline<NameTooLarge<S>>>;

/// All that is done around the services of a server.
pub fn guarded<S>(services: S) -> Guarded<S> {
    CallsOnly(EndAtDeadline(NameTooLarge(services)))
}
