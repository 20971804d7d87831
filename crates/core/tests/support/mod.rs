//! What the tests of the core share: a world of one core and its durable records, specs, workers' words, and text of what follows.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(missing_docs, reason = "test support")]

pub mod specs;
pub mod text;
pub mod words;
pub mod world;
