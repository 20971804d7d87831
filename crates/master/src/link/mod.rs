//! Workers' links: one bidirectional stream each.
//!
//! A link has three tasks. The *reader* reads the stream, answers heartbeats at once, and queues
//! the rest; the *forwarder* hands the rest to the commit loop in order; the *writer* writes to the
//! worker. So a heartbeat never waits behind a commit, and a stuck peer fills its own queues and
//! loses its own link only.

mod downlink;
mod expiry;
mod reader;
mod registry;
mod service;
mod uplink;
mod verdict;
mod writer;

pub(crate) use downlink::Goodbye;
pub(crate) use expiry::expire_silent;
pub(crate) use registry::Links;
pub(crate) use service::LinkService;
