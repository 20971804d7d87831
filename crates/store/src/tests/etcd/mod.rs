//! The store in etcd, on real servers.

mod doubt;
mod election;
mod fake;
mod members;
mod opening;
mod proxy;
pub(crate) mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::conformance::{Reopen, candidacy, new_cluster, run_all};
use crate::{Candidate, EtcdCandidate, EtcdLocation, EtcdStore, Leader};
use server::Etcd;

/// A prefix of a server.
pub(crate) struct Prefix(pub(crate) EtcdLocation);

impl Reopen for Prefix {
    type Candidate = EtcdCandidate;

    async fn open(&self) -> EtcdCandidate {
        EtcdCandidate::open(&self.0, new_cluster(), candidacy()).await.unwrap()
    }
}

impl Prefix {
    async fn lead(&self) -> (EtcdCandidate, Leader<EtcdStore>) {
        let mut candidate = self.open().await;
        let leader = soon("it leads", candidate.campaign()).await.unwrap();
        (candidate, leader)
    }
}

/// The time limit of a condition, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Panics if the future does not complete in time.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_conforms() {
    let etcd = Etcd::start().await;
    let number = AtomicU64::new(0);
    run_all(|| Prefix(etcd.location(&format!("conformance/{}", number.fetch_add(1, Ordering::Relaxed))))).await;
}
