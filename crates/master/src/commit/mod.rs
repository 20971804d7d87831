//! The commit loop: the only mutator. It asks the core, makes transactions durable, and releases what depends on them, in order.

mod ask;
mod decisions;
mod durable;
mod inbox;
mod pack;
mod release;
mod run;

pub(crate) use ask::{Ask, Reply};
pub(crate) use decisions::Decisions;
pub(crate) use durable::Terms;
pub(crate) use inbox::{LinkInputs, Mailbox, inbox};
pub(crate) use pack::Bounds;
pub(crate) use release::Outlets;
pub(crate) use run::{CommitLoop, Ended};
