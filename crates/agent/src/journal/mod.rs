//! The journal's format: the worker's only memory, as bytes. The runner owns the file; here are its
//! records and what they add up to.
//!
//! A file is a header (the incarnation that wrote it) and records, each as length (4 bytes, little
//! endian), CRC-32 of the body, body (protobuf). The rest of the preallocated file is zeros: a
//! length of zero is the end. A record that is cut or does not match its sum is the end too: it was
//! being written when its writer died, and nothing was done that depended on it.

mod memory;
mod record;

pub use memory::{JournalState, JournaledAttempt};
pub use record::{HEADER_LENGTH, Record, append_header, append_record, read_header, read_records};
