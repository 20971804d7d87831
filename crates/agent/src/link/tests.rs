//! Each test tells the machine what happens and compares the whole list of effects.

mod leases;
mod reports;
mod streams;
mod watch;
mod world;
