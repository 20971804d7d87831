//! Transactions whose outcome is unknown for a while.

use muster_types::{Commit, Verdict, Write};

use super::proxy::Proxy;
use super::server::Etcd;
use super::{Prefix, soon};
use crate::conformance::Sample;
use crate::{CommitError, EtcdLocation, Store, Transaction};

fn events(commit: u64) -> Transaction {
    let record = Sample::new(commit).events(Commit(commit));
    Transaction { commit: Commit(commit), writes: vec![Write::PutEvents(record)] }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_asked_for_at_another_member_and_it_applies_once() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::to(etcd.endpoint(0)).await;
    let endpoints = vec![proxy.endpoint.clone(), etcd.endpoint(0)];
    let prefix = Prefix(EtcdLocation { endpoints, ..etcd.location("p") });
    let (_candidate, mut leader) = prefix.lead().await;
    leader.store.load().await.unwrap();
    leader.store.commit(events(1)).await.unwrap();
    proxy.mute(true);
    soon("it is answered elsewhere", leader.store.commit(events(2))).await.unwrap();
    assert!(proxy.held() > 0, "the first answer was held back");
    leader.store.commit(events(3)).await.unwrap();
    assert!(leader.deadline.stands(crate::clock::boottime()), "the lease is kept elsewhere too");
    let snapshot = leader.store.load().await.unwrap();
    assert!(snapshot.events.iter().map(|record| record.commit.0).eq(1..=3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_applied_before_its_term_ended_is_not_said_to_be_refused() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::to(etcd.endpoint(0)).await;
    let prefix =
        Prefix(EtcdLocation { endpoints: vec![proxy.endpoint.clone(), etcd.endpoint(0)], ..etcd.location("p") });
    let (_candidate, mut leader) = prefix.lead().await;
    leader.store.load().await.unwrap();
    proxy.mute(true);
    let committing = tokio::spawn(async move { leader.store.commit(events(1)).await });
    let mut client = etcd.client().await;
    soon("it is applied", async {
        // Field 1, the number 1.
        while client.get("/p/m/head", None).await.unwrap().kvs()[0].value() != [8, 1] {}
    })
    .await;
    let options = etcd_client::DeleteOptions::new().with_prefix();
    client.delete("/p/l/", Some(options)).await.unwrap();
    // The first attempt is never answered; the next goes elsewhere.
    let error = soon("it hears that the term is over", committing).await.unwrap();
    let error = error.unwrap_err();
    assert!(matches!(error, CommitError::Overtaken), "{error:?}");
    assert_eq!((error.verdict(), error.may_repeat()), (Verdict::Unknown, false));
}
