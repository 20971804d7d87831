//! Ring 4 with several masters: real masters, agents, runners and a real etcd, lost one after the other or all at once, under load, and a judge
//! outside Muster that says whether the promise held.
//!
//! The tests need an etcd server (`make etcd`) and, where parts are cut from each other, root with network namespaces: they fail without, and never skip.

mod crashes;
mod handover;
