//! Sessions of applications. A session is a stream of numbered events of one application. A bounded
//! ring lets a newer session resume without a gap, unless the older one broke before.

mod broken;
mod registry;
mod wire;

pub(crate) use registry::{OpenedSession, SessionEnding, SessionItem, Sessions};
pub(crate) use wire::executor_to_wire;
