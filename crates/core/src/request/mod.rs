//! What clients ask of drivers.

mod driver;
mod kill;
