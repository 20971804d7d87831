//! Members of etcd are killed: one, the one that leads, most of them.

use muster_client::errors;
use muster_testkit::{Casting, Ensemble, Load};
use tonic::Code;

use crate::PACE;
use crate::pair::{LEASED, ONCE, both_end, both_go_on, on_the_first_worker};

fn three_members() -> Casting {
    Casting { members: 3, ..Casting::default() }
}

#[tokio::test]
async fn the_leading_member_of_the_store_is_killed_under_load() {
    let mut ensemble = Ensemble::start(three_members()).await;
    let mut load = Load::start(ensemble.client(), &ensemble.judge, PACE);
    for _ in 0..3 {
        load.wait_for_more(10).await;
        let member = ensemble.etcd.leading_member().await;
        ensemble.etcd.kill_member(&member);
        load.wait_for_more(10).await;
        ensemble.etcd.start_member(&member);
        ensemble.etcd.wait_until_it_serves();
    }
    load.stop().await.judge(&ensemble).await;
}

#[tokio::test]
async fn a_store_without_majority_pauses_what_is_leased_and_all_resumes_by_itself() {
    let mut ensemble = on_the_first_worker(three_members()).await;
    for member in ["e1", "e2"] {
        ensemble.etcd.kill_member(member);
    }
    ensemble.wait_until_it_stands_still(LEASED).await;
    ensemble.wait_until_it_executes(ONCE).await;
    for master in ensemble.masters() {
        let refused = ensemble.plain(&master).submit_driver(ensemble.judge.lasting(1).id("refused").0).await;
        let status = refused.expect_err("nobody can accept it");
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(errors::reason_of(&status).is_some(), "{status:?}");
    }
    for member in ["e1", "e2"] {
        ensemble.etcd.start_member(member);
    }
    both_go_on(&ensemble).await;
    both_end(&ensemble, 1).await;
    assert!(!ensemble.judge.copies().contains_key("refused"), "what was refused ran");
}
