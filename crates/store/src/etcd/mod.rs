//! Records in etcd, shared by any number of masters of which one leads.

mod location;

pub use location::{EtcdLocation, EtcdTls, Password};
