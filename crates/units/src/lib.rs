//! Sizes and lengths of time as people write them: one syntax for the flags, the environment and
//! the files of every program.
//!
//! - A size is a number of bytes, or a number with `K`, `M`, `G` or `T`, which are powers of 1,024
//!   (`KiB` and `Ki` mean the same as `K`): `4096`, `256M`, `1.5GiB`. `GB` is refused: half of its
//!   users mean 10⁹ bytes and half 2³⁰.
//! - A length of time is whole numbers with `ms`, `s`, `m`, `h` or `d`: `500ms`, `1h30m`. A number
//!   without a unit is refused, except `0`.
//!
//! An error states the reason and gives a valid example. The caller adds the name of the flag or
//! key and the refused text.

mod cores;
mod size;
mod span;

pub use cores::{ParseCoresError, whole_cores};
pub use size::{ByteSize, ParseByteSizeError};
pub use span::{ParseTimeSpanError, TimeSpan};

/// The rules in short, for the end of a `--help`.
pub const HELP: &str = "\
Sizes are bytes, or a number with K, M, G or T (powers of 1024): 4096, 256M, 1.5GiB. GB is refused.
Times are whole numbers with ms, s, m, h or d: 500ms, 10s, 1h30m; only 0 goes without a unit.";
