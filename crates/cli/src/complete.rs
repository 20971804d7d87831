//! Ids, for shells that complete them.
use clap_complete::CompletionCandidate;
use std::ffi::OsStr;
pub(crate) fn drivers(_: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}
pub(crate) fn drivers_and_applications(_: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}
pub(crate) fn live_drivers_and_applications(_: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}
pub(crate) fn applications(_: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}
pub(crate) fn executors(_: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}
pub(crate) fn workers(_: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}
