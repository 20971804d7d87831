//! Distributed traces: what a program of ours does becomes spans, which are exported over OTLP.
//!
//! Off, which is the default, nothing is made and nothing is kept. On, a finished span goes into a
//! bounded queue that a thread of its own exports; what finds no room, and what no collector takes,
//! is lost. Nothing ever waits for a collector.
//!
//! The attempt of a driver or executor has one span, whose id follows from its name and its trace:
//! the master that launches it, the worker and the program make theirs below it, and it is the
//! leader of the day that makes the span itself, once the end is durable.

mod export;
mod flags;
mod ids;
mod span;

pub use export::{Traces, TracesError};
pub use flags::OtlpFlags;
pub use span::{SpanKind, TraceSpan};
