//! The commit loop, which alone changes state. It asks the core for decisions, makes them durable,
//! and then releases their effects, in order.

mod decisions;
mod durable;
mod input_queue;
mod pack;
mod pending_call;
mod release;
mod run;

pub(crate) use decisions::Decisions;
pub(crate) use durable::CommitTerms;
pub(crate) use input_queue::{InputSender, LinkInputs, input_queue};
pub(crate) use pack::Bounds;
pub(crate) use pending_call::{CallReply, PendingCall};
pub(crate) use release::EffectSinks;
pub(crate) use run::{CommitLoop, LoopEnd};
