//! Attempts of drivers: launch, reports and close.

mod close;
mod launch;
mod report;
