//! The command line: muster.

mod args;
mod complete;
mod output;
mod parse;
