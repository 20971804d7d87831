//! The ids of spans: random, but that of an attempt.

use std::cell::Cell;

use muster_types::{AttemptKey, TraceContext};
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use sha2::{Digest as _, Sha256};

thread_local! {
    /// The id of the next span of this thread.
    static NEXT: Cell<Option<SpanId>> = const { Cell::new(None) };
}

/// Makes the ids of spans.
#[derive(Debug, Default)]
pub(crate) struct SpanIds(RandomIdGenerator);

impl SpanIds {
    /// Makes one span, whose id is this. The library asks for the id on the thread that makes the
    /// span, and once.
    pub(crate) fn with<T>(id: Option<u64>, make: impl FnOnce() -> T) -> T {
        NEXT.set(id.map(|id| SpanId::from_bytes(id.to_be_bytes())));
        let made = make();
        NEXT.set(None);
        made
    }
}

impl IdGenerator for SpanIds {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

/// The span of an attempt below another span. Every master finds the same id, so that one makes the
/// span that another has announced.
pub(crate) fn of_attempt(parent: &TraceContext, attempt: &AttemptKey) -> TraceContext {
    let digest = Sha256::digest(format!("{parent} {attempt}"));
    let bytes = digest.first_chunk().copied().unwrap_or_default();
    let span = u64::from_be_bytes(bytes).max(1);
    TraceContext::new(parent.trace(), span, parent.is_sampled()).unwrap_or(*parent)
}

#[cfg(test)]
mod tests {
    use muster_types::{AttemptNumber, DriverUid};

    use super::*;

    #[test]
    fn every_attempt_has_a_span_of_its_own_that_every_master_finds() {
        let parent = TraceContext::new(7, 8, true).unwrap();
        let of = |number| of_attempt(&parent, &AttemptKey::Driver(DriverUid(9), AttemptNumber(number)));
        assert_eq!(of(1).trace(), 7);
        assert!(of(1).is_sampled() && of(1) != of(2) && of(1) == of(1));
        // A master of another version finds it, too.
        assert_eq!(format!("{:016x}", of(1).span()), "0b08ab90366af8c5");
    }

    #[test]
    fn an_id_is_of_one_span_alone() {
        let ids = SpanIds::default();
        assert_eq!(SpanIds::with(Some(5), || ids.new_span_id()), SpanId::from_bytes(5_u64.to_be_bytes()));
        SpanIds::with(Some(6), || ());
        assert_ne!(ids.new_span_id(), SpanId::from_bytes(6_u64.to_be_bytes()));
    }
}
