//! What a server does with every call, whichever service it is for: a master's and a worker's
//! answer alike.

mod too_large;

pub use too_large::{NameTooLarge, status_of_read};

/// Largest request of a client, unpacked: a spec of 64 KiB, or ten thousand numbers, with room.
pub const MAX_REQUEST: usize = 1 << 20;

/// All that is done around the services of a server.
pub fn guarded<S>(services: S) -> NameTooLarge<S> {
    NameTooLarge(services)
}
