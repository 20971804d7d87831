//! What a server does with every call of every service. The servers of masters and of workers do
//! the same.

mod call_deadline;
mod calls;
mod head;
mod health;
mod http_port;
mod known_hosts;
pub mod metrics;
mod too_large;
mod whole_request;

use std::sync::Arc;

pub use call_deadline::EndAtDeadline;
pub use calls::{CallMetrics, CountCalls, code_of, code_word};
pub use head::CheckHead;
pub use health::{HealthHandler, health};
pub use http_port::{HttpPages, HttpPort};
pub use known_hosts::KnownHosts;
pub use too_large::{NameTooLarge, status_of_read};
pub use whole_request::{AwaitRequest, failure_of_body};

/// Largest request of a client, unpacked: a spec of 64 KiB, or ten thousand numbers, with room.
pub const MAX_REQUEST: usize = 1 << 20;

/// Largest list of a request's headers: ours are small, but a client's tracing may add some.
pub const MAX_HEADERS: usize = 16 << 10;
/// Lists above this size are not read: the HTTP/2 library itself answers 431, without a status of
/// gRPC, and ends the connection when they go far beyond. Between both limits a call is refused
/// with an error message.
pub const MAX_HEADERS_READ: u32 = 32 << 10;
/// The header of a call that a standby has forwarded; such a call is not forwarded again.
pub const FORWARDED: &str = "muster-forwarded";
/// The header with the chain of certificates that the caller of a forwarded call has shown. It is
/// believed of a connection alone whose other side is a master.
pub const FORWARDED_CERTIFICATE: &str = "muster-caller-bin";

/// The layers around the services of a server, the outermost first.
pub type Guarded<S> = CheckHead<EndAtDeadline<AwaitRequest<NameTooLarge<S>>>>;

/// Puts all layers around the services of a server that may be called by these names.
pub fn guarded<S>(services: S, hosts: Arc<KnownHosts>) -> Guarded<S> {
    CheckHead { inner: EndAtDeadline(AwaitRequest(NameTooLarge(services))), hosts }
}

/// Counts the calls of a server, refused ones too: this layer lies outside of all others.
pub fn counted<S>(services: S, calls: Arc<CallMetrics>) -> CountCalls<S> {
    CountCalls { inner: services, calls }
}
