//! The commit loop: the only mutator. It asks the core, makes transactions durable, and releases what depends on them, in order.

mod ask;
mod decisions;
mod inbox;
mod pack;
mod release;
mod run;

pub use ask::{Ask, Reply};
pub use decisions::Decisions;
pub use inbox::{LinkInputs, Mailbox, inbox};
pub use pack::Bounds;
pub use release::Outlets;
pub use run::{CommitLoop, Ended};
