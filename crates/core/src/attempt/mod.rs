//! Attempts of drivers: launch, reports and close.

mod close;
mod launch;
mod report;

pub(crate) use launch::push_attempt;
