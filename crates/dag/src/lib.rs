//! An application's decisions, without I/O: jobs, their stages, tasks and attempts.
//!
//! [`Scheduler`] is a synchronous state machine: `handle` takes an input and the time, and
//! `drain` returns the effects. The driver side of the sdk carries them out. A caller adds
//! stages with a job; a stage runs when its parents have their outputs; a task of it is launched on
//! an executor with free cores, in the order of pools, jobs and stages; an attempt that fails is
//! followed by another. `docs/design/tasks.md` has the reasons.

mod attempt;
mod config;
mod effect;
mod exclusion;
mod executor;
mod histogram;
mod ids;
mod input;
pub mod invariants;
mod job;
mod locality;
mod loss;
mod output;
mod place;
mod pool;
mod scheduler;
mod spec;
mod speculation;
mod stage;
mod timers;
mod views;

pub use config::*;
pub use effect::*;
pub use ids::{JobId, StageId, TaskAttemptId, TaskId};
pub use input::*;
pub use locality::Locality;
pub use loss::*;
pub use scheduler::Scheduler;
pub use spec::*;
pub use views::StageProgress;
