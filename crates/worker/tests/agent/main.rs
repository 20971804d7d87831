//! The whole agent in one process, between a master and a runner that the test plays.

mod launches;
mod logs;
mod registration;
mod stage;
