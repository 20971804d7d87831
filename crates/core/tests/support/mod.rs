//! Code shared by the tests of the core: a world of one core and its durable records, specs,
//! messages of workers from words, and effects as text.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(missing_docs, unreachable_pub, reason = "shared by the tests alone")]

pub mod machine;
pub mod specs;
pub mod text;
pub mod words;
pub mod world;
