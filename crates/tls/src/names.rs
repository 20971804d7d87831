//! The names of roles. They are within `.internal`, which no public CA may sign.

/// What every master's certificate holds.
pub const MASTER: &str = "master.muster.internal";
