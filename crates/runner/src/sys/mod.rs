//! What the standard library and rustix do not offer safely: the whole of this project's `unsafe`.

pub(crate) mod clone;
pub(crate) mod daemon;
pub(crate) mod peer;
pub(crate) mod privilege;
pub(crate) mod shared;
pub(crate) mod signals;
pub(crate) mod strings;
pub(crate) mod user;
pub(crate) mod wait;

pub(crate) use clone::{CloneFailure, ClonePlan, CloneStep, Cloned, Cloner, UserNamespaces};
