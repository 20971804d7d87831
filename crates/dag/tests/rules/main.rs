//! One test for each rule of the scheduler: inputs, and the effects that they have.

#![allow(clippy::panic, reason = "a test that cannot go on has failed")]

mod attempts;
mod barrier;
mod cancel;
mod exclusion;
mod locality;
mod losses;
mod pools;
mod prefetch;
mod rejections;
mod speculation;
mod stages;
mod support;
