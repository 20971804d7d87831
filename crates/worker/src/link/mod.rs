//! The shell around the link machine: it dials, carries messages, and lets nothing wait behind
//! work.

mod actor;
mod convert;
mod dial;
mod outgoing;
mod sent_at;

pub use actor::{LinkActor, LinkEvent, LinkHandle, WorkerProfile};
