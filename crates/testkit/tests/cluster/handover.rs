//! Leaders that go away in order.

use std::time::Duration;

use muster_proto::v1::StepDownRequest;
use muster_testkit::{Casting, Ensemble, Load};

#[tokio::test]
async fn a_leader_that_steps_down_loses_no_call() {
    let ensemble = Ensemble::start(Casting::default()).await;
    let mut load = Load::start(ensemble.client(), &ensemble.judge, Duration::from_millis(10));
    let (mut leader, mut epoch) = ensemble.leader().await;
    for _ in 0..5 {
        ensemble.wait_for_masters(3).await;
        load.wait_for_more(20).await;
        let answer = ensemble.client().step_down(StepDownRequest::default()).await.expect("another takes over");
        let old = leader;
        (leader, epoch) = ensemble.leader_after(epoch).await;
        assert_ne!(leader, old);
        assert_eq!(answer.leader, ensemble.address(&leader));
    }
    load.wait_for_more(20).await;
    let loaded = load.stop().await;
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    loaded.judge(&ensemble).await;
}
