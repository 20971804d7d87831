//! Tests of the crate as a whole.

mod backup;
mod conformance;
mod damage;
mod etcd;
mod full;
mod golden;
mod kill;
mod round_trip;
