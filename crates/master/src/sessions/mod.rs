//! Sessions of applications: each opening is a stream of what happens to the application, numbered,
//! with a bounded ring from which a session that broke resumes without a gap.

mod broken;
mod registry;
mod wire;

pub(crate) use registry::{OpenedSession, SessionEnding, SessionItem, Sessions};
pub(crate) use wire::executor_to_wire;
