//! The command line: muster.
