//! The shell around the link machine: it dials and carries messages, and lets nothing wait behind
//! slow work.

mod actor;
mod convert;
mod dial;
mod outgoing;
mod sent_at;

pub(crate) use dial::explained;

pub use actor::{LinkActor, LinkEvent, LinkHandle, WorkerProfile};
