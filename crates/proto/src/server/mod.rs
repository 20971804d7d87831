//! What a server does with every call, whichever service it is for: a master's and a worker's
//! answer alike.

mod call_deadline;
mod head;
mod too_large;
mod whole_request;

pub use call_deadline::EndAtDeadline;
pub use head::CheckHead;
pub use too_large::{NameTooLarge, status_of_read};
pub use whole_request::AwaitRequest;

/// Largest request of a client, unpacked: a spec of 64 KiB, or ten thousand numbers, with room.
pub const MAX_REQUEST: usize = 1 << 20;

/// Largest list of a request's headers: ours are small; a client's tracing may add some.
pub const MAX_HEADERS: usize = 16 << 10;
/// Larger lists are not read, which HTTP/2 itself answers (431), and clients that are told this
/// limit do not send. Up to here they are refused in words.
pub const MAX_HEADERS_READ: u32 = 32 << 10;
/// Says that a call was handed on by a standby: it is handed on no further.
pub const FORWARDED: &str = "muster-forwarded";

/// All that is done around the services of a server, the outermost first.
pub type Guarded<S> = CheckHead<EndAtDeadline<AwaitRequest<NameTooLarge<S>>>>;

/// All that is done around the services of a server.
pub fn guarded<S>(services: S) -> Guarded<S> {
    CheckHead(EndAtDeadline(AwaitRequest(NameTooLarge(services))))
}
