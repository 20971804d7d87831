//! Attempts of drivers: launched, heard of, closed.

mod close;
mod launch;
mod report;
