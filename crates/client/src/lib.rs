//! Finds the leader, retries by verdict, watches that resume.

pub use muster_proto::{FILE_DESCRIPTOR_SET, v1};
