//! The whole agent in one process, between a master and a runner that the test plays.

#![expect(clippy::panic, reason = "tests fail by panicking, also in what they share")]

mod launches;
mod logs;
mod registration;
mod service;
mod stage;
mod watch;
mod wire;
