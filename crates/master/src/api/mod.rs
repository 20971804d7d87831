//! The services for people, programs and applications: validation at the door, one wish to the commit loop or a look at the view,
//! and the one table of errors.

mod applications;
mod ask;
mod cluster;
mod drivers;
mod lists;
mod logs;
mod master;
mod raw_watch;
mod session;
mod show;
mod watch;
mod workers;

pub use applications::ApplicationApi;
pub use logs::LogSources;
pub use master::MasterApi;
pub use raw_watch::RawWatch;
