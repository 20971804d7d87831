//! The services for people, programs and applications. Each call is validated and then answered by
//! the commit loop or from the read view; its errors come from one common table.

mod access;
mod applications;
mod audited;
mod backup;
mod cluster;
mod drivers;
mod leader;
mod lists;
mod logs;
mod master;
mod owned;
mod raw_watch;
mod render;
mod roles;
mod session;
pub(crate) mod submit;
mod tokens;
mod watch;
mod workers;

pub(crate) use access::AccessApi;
pub(crate) use applications::ApplicationApi;
pub(crate) use logs::LogSources;
pub(crate) use master::MasterApi;
pub(crate) use raw_watch::RawWatch;

use muster_types::Caller;
use tonic::Extensions;

/// Who makes a call, as the layer around the services found.
fn caller_of(extensions: &Extensions) -> Caller {
    extensions.get().cloned().unwrap_or(Caller::Anonymous)
}
