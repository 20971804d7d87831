//! The services for people, programs and applications: validation at the door, one request to the
//! commit loop or a look at the view, and the one table of errors.

mod applications;
mod backup;
mod cluster;
mod drivers;
mod leader;
mod lists;
mod logs;
mod master;
mod raw_watch;
mod render;
mod session;
pub(crate) mod submit;
mod watch;
mod workers;

pub(crate) use applications::ApplicationApi;
pub(crate) use logs::LogSources;
pub(crate) use master::MasterApi;
pub(crate) use raw_watch::RawWatch;
