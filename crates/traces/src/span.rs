//! One span.

use std::borrow::Cow;
use std::time::SystemTime;

use muster_types::{AttemptKey, Exit, Fault, Outcome, TraceContext};
use opentelemetry::trace::{Span as _, Status};
use opentelemetry::{KeyValue, Value};

pub use opentelemetry::trace::SpanKind;

/// A span, or nothing where traces are off. It ends when it is dropped, if it is not ended before.
#[derive(Debug, Default)]
pub struct TraceSpan(pub(crate) Option<opentelemetry_sdk::trace::Span>);

impl TraceSpan {
    /// What is below it names this; `None` where traces are off.
    pub fn context(&self) -> Option<TraceContext> {
        let context = self.0.as_ref()?.span_context();
        let (trace, span) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        TraceContext::new(u128::from_be_bytes(trace), u64::from_be_bytes(span), context.is_sampled())
    }

    /// Says more of it: never a secret, an argument or a part of an environment.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// It has failed, for this reason.
    pub fn fail(&mut self, message: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(message));
        }
    }

    /// Says which attempt it is about.
    pub fn set_attempt(&mut self, attempt: &AttemptKey) {
        if self.0.is_none() {
            return;
        }
        match attempt {
            AttemptKey::Driver(uid, number) => {
                self.set("muster.driver.uid", uid.to_string());
                self.set("muster.attempt", i64::from(number.0));
            }
            AttemptKey::Executor(uid, executor) => {
                self.set("muster.application.uid", uid.to_string());
                self.set("muster.executor.id", i64::from(executor.0));
            }
        }
    }

    /// Says how its attempt ended. Of an end without success the reason is told, and nothing of its
    /// sentence, in which names of files and addresses are.
    pub fn set_outcome(&mut self, outcome: &Outcome) {
        if self.0.is_none() {
            return;
        }
        self.set("muster.end.reason", outcome.reason.as_str());
        let fault = match outcome.fault {
            Fault::Program => "PROGRAM",
            Fault::Platform => "PLATFORM",
            Fault::User => "USER",
        };
        self.set("muster.end.fault", fault);
        match outcome.exit {
            Exit::Code(code) => self.set("process.exit.code", i64::from(code)),
            Exit::Signal(signal) => self.set("muster.exit.signal", i64::from(signal)),
            Exit::None => {}
        }
        if !outcome.is_success() {
            self.set("error.type", outcome.reason.as_str());
            self.fail(outcome.reason.as_str());
        }
    }

    /// Ends it at this time.
    pub fn end_at(mut self, time: SystemTime) {
        if let Some(mut span) = self.0.take() {
            span.end_with_timestamp(time);
        }
    }
}
