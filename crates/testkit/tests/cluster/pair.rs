//! Two drivers on one worker, one leased and one not, and a second worker that is free: what the table of loss is about.

use muster_proto::v1::driver::State;
use muster_proto::v1::{Driver, RestartCondition};
use muster_testkit::{Casting, Ensemble};

/// The driver that is leased.
pub(crate) const LEASED: &str = "leased";
/// The one that is not.
pub(crate) const ONCE: &str = "once";

/// Both run on `w1`; then `w2` joins.
pub(crate) async fn on_the_first_worker(casting: Casting) -> Ensemble {
    let mut ensemble = Ensemble::start(Casting { workers: 1, ..casting }).await;
    let leased = ensemble.judge.until("end").id(LEASED).restart(RestartCondition::OnFailure).leased();
    ensemble.submit(leased).await;
    ensemble.submit(ensemble.judge.until("end").id(ONCE).restart(RestartCondition::Never)).await;
    for id in [LEASED, ONCE] {
        ensemble.wait_for_state(id, State::Running).await;
        ensemble.wait_until_it_executes(id).await;
    }
    ensemble.start_worker("w2");
    ensemble.wait_for_worker("w2", "life", |_| true).await;
    ensemble
}

/// Waits until the leased driver runs as its second attempt on the other worker.
pub(crate) async fn it_runs_elsewhere(ensemble: &Ensemble) {
    let is = |driver: &Driver| {
        driver.state() == State::Running && driver.attempts.last().is_some_and(|attempt| attempt.worker == "w2")
    };
    let driver = ensemble.wait_for_driver(LEASED, "its second copy", is).await;
    assert_eq!(driver.attempts.len(), 2, "{driver:?}");
    ensemble.wait_until_it_executes(LEASED).await;
}

/// Waits until both run as the attempts that they were, and execute.
pub(crate) async fn both_go_on(ensemble: &Ensemble) {
    for id in [LEASED, ONCE] {
        it_goes_on(ensemble, id).await;
    }
}

/// Waits until a driver runs as its first attempt, and executes.
pub(crate) async fn it_goes_on(ensemble: &Ensemble, id: &str) {
    let driver = ensemble.wait_for_state(id, State::Running).await;
    assert_eq!(driver.attempts.len(), 1, "{driver:?}");
    ensemble.wait_until_it_executes(id).await;
}

/// Lets both end, and judges: this many copies of the leased one, one of the other, none left.
pub(crate) async fn both_end(ensemble: &Ensemble, leased_copies: usize) {
    ensemble.judge.open("end");
    for id in [LEASED, ONCE] {
        ensemble.wait_for_state(id, State::Finished).await;
    }
    judge(ensemble, leased_copies);
}

/// This many copies of the leased one ran and the last of them ended, one ran of the other, and none is left.
pub(crate) fn judge(ensemble: &Ensemble, leased_copies: usize) {
    let copies = ensemble.judge.copies();
    assert_eq!(copies[LEASED].len(), leased_copies, "{copies:?}");
    assert_eq!(copies[LEASED].iter().filter(|copy| copy.ended).count(), 1, "{copies:?}");
    assert_eq!(copies[ONCE].len(), 1, "{copies:?}");
    for id in [LEASED, ONCE] {
        assert!(ensemble.judge.alive(id).is_empty(), "a copy of {id} is left");
    }
}
