//! Sizes and lengths of time as people write them: one dialect for the flags, the environment and
//! the files of every program.
//!
//! - A size is a number of bytes, or a number with `K`, `M`, `G` or `T`, which are powers of 1,024
//!   (`KiB` and `Ki` say the same): `4096`, `256M`, `1.5GiB`. `GB` is refused: half of its readers
//!   mean 10⁹ and half 2³⁰.
//! - A length of time is whole numbers with `ms`, `s`, `m`, `h` or `d`: `500ms`, `1h30m`. A number
//!   without a unit is refused, but for `0`.
//!
//! An error says why and gives an example that works; whoever read the text names the flag or key
//! and quotes the text in front of it.

mod size;
mod span;

pub use size::{ByteSize, ParseByteSizeError};
pub use span::{ParseTimeSpanError, TimeSpan};

/// The dialect, for the end of a `--help`.
pub const HELP: &str = "\
Sizes are bytes, or a number with K, M, G or T (powers of 1024): 4096, 256M, 1.5GiB. GB is refused.
Times are whole numbers with ms, s, m, h or d: 500ms, 10s, 1h30m; only 0 goes without a unit.";
