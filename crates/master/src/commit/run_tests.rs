//! The loop with a core that only numbers its calls, and a store whose answers the test gives.

use std::sync::Mutex;

use muster_core::{Answer, CallId, Entropy, Input, Request, liveness};
use muster_store::{Deadline, DeadlineKeeper, LoadError};
use muster_types::{DriverUid, Now, Snapshot, Time};
use tokio::sync::mpsc;

use super::*;
use crate::commit::{CallReply, CommitTerms, InputSender, PendingCall, input_queue};
use crate::entropy::KernelEntropy;
use crate::events::{EventBroker, RetentionLimits, publisher};
use crate::link::Links;
use crate::sessions::Sessions;
use crate::view::View;

/// Writes one record per call and answers it. It writes nothing for a driver named `look`, and
/// panics on one named `poison`.
#[derive(Default)]
struct FakeCore {
    groups: Vec<Group>,
    calls: u128,
    placed: usize,
}

impl DecisionCore for FakeCore {
    fn handle(&mut self, _now: Now, _entropy: &mut dyn Entropy, input: Input) {
        let Input::Call(call, Request::ExplainDriver { driver }) = input else { return };
        assert_ne!(driver, "poison");
        self.calls += 1;
        let writes = if driver == "look" { Vec::new() } else { vec![Write::DeleteDriver(DriverUid(self.calls))] };
        let effects = vec![answer(call)];
        self.groups.push(Group { writes, events: Vec::new(), effects });
    }

    fn place(&mut self, _now: Now, _entropy: &mut dyn Entropy) {
        self.placed += 1;
    }

    fn drain(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.groups)
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}

fn answer(call: CallId) -> Effect {
    Effect::Reply(call, Ok(Answer::Targets(true, call.0)))
}

/// A store that passes each transaction to the test and returns the test's answer.
struct Scripted {
    offered: mpsc::Sender<Transaction>,
    answers: mpsc::Receiver<Result<(), CommitError>>,
}

impl Store for Scripted {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        Ok(Snapshot::default())
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        self.offered.send(transaction).await.unwrap();
        self.answers.recv().await.unwrap_or(Ok(()))
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        Ok(Commit(0))
    }
}

/// A running loop, and the test's ends of its channels.
struct Fixture {
    inputs: InputSender,
    offered: mpsc::Receiver<Transaction>,
    answers: mpsc::Sender<Result<(), CommitError>>,
    stop: watch::Sender<bool>,
    is_full: watch::Receiver<bool>,
    deadline: DeadlineKeeper,
    running: tokio::task::JoinHandle<(LoopEnd, Option<Scripted>)>,
}

impl Fixture {
    async fn start() -> Fixture {
        let (inputs, queue) = input_queue();
        let broker = Arc::new(EventBroker::new(1, Commit(0), Commit(0), []));
        let (publisher, publishing) = publisher(broker, 1);
        tokio::spawn(publishing);
        let sinks = EffectSinks {
            view: Arc::new(View::default()),
            publisher,
            links: Arc::new(Links::default()),
            sessions: Arc::new(Sessions::new(inputs.links.clone())),
            liveness: Arc::new(Mutex::new(liveness::LivenessTable::new())),
            deadline: Deadline::never(),
            metrics: Arc::default(),
            traces: Default::default(),
        };
        let (offers, offered) = mpsc::channel(8);
        let (answers, answered) = mpsc::channel(8);
        let store = Scripted { offered: offers, answers: answered };
        let decisions = Decisions::new(FakeCore::default(), KernelEntropy::open().unwrap());
        let retention = EventRetention::load(RetentionLimits::default(), Commit(0), []);
        let (stop, stopped) = watch::channel(false);
        let (full, is_full) = watch::channel(false);
        let (deadline_keeper, deadline) = Deadline::moving(Time(u64::MAX));
        let terms = CommitTerms { deadline, full };
        let commit_loop =
            CommitLoop::new(decisions, queue, sinks, retention, Bounds::LOCAL, terms, store, Commit(0), stopped);
        let (warm, warmed) = oneshot::channel();
        let running = tokio::spawn(commit_loop.run(warm));
        warmed.await.unwrap();
        Fixture { inputs, offered, answers, stop, is_full, deadline: deadline_keeper, running }
    }

    fn ask(&self, driver: &str) -> oneshot::Receiver<CallReply> {
        let (reply, answered) = oneshot::channel();
        let request = Request::ExplainDriver { driver: driver.into() };
        self.inputs.calls.try_send(PendingCall { request, reply }).unwrap();
        answered
    }

    async fn offer(&mut self) -> Transaction {
        self.offered.recv().await.unwrap()
    }

    async fn ended(self) -> LoopEnd {
        self.running.await.unwrap().0
    }
}

fn is_answered(reply: CallReply) -> bool {
    matches!(reply, CallReply::Answered { answer: Ok(Answer::Targets(true, _)), .. })
}

#[tokio::test]
async fn nothing_is_answered_before_its_commit_and_what_waits_goes_together() {
    let mut fixture = Fixture::start().await;
    let mut first = fixture.ask("a");
    assert_eq!(fixture.offer().await.commit, Commit(1));
    // While one commit is in flight the next batch gathers.
    let (second, mut third) = (fixture.ask("b"), fixture.ask("c"));
    tokio::task::yield_now().await;
    assert!(first.try_recv().is_err(), "not before the store has answered");
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(first.await.unwrap()));
    let transaction = fixture.offer().await;
    assert_eq!((transaction.commit, transaction.writes.len()), (Commit(2), 2));
    assert!(third.try_recv().is_err());
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(second.await.unwrap()));
    assert!(is_answered(third.await.unwrap()));
}

#[tokio::test]
async fn what_writes_nothing_is_answered_without_a_commit_but_not_before_what_it_saw() {
    let mut fixture = Fixture::start().await;
    assert!(is_answered(fixture.ask("look").await.unwrap()));
    let _first = fixture.ask("a");
    fixture.offer().await;
    let mut look = fixture.ask("look");
    tokio::task::yield_now().await;
    assert!(look.try_recv().is_err());
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(look.await.unwrap()));
}

#[tokio::test]
async fn a_caller_that_has_gone_away_changes_nothing() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    drop(fixture.ask("gone"));
    let third = fixture.ask("c");
    fixture.answers.send(Ok(())).await.unwrap();
    first.await.unwrap();
    // The loop had no chance to take the second call before it was dropped, because the test did
    // not await in between.
    assert_eq!(fixture.offer().await.writes, [Write::DeleteDriver(DriverUid(2))]);
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(third.await.unwrap()));
}

#[tokio::test]
async fn a_panic_costs_its_caller_and_nobody_elses_commit() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    let second = fixture.ask("b");
    let poison = fixture.ask("poison");
    let queued = fixture.ask("c");
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(first.await.unwrap()), "what was in flight is finished and released");
    assert!(matches!(poison.await.unwrap(), CallReply::Failed));
    assert!(matches!(second.await.unwrap(), CallReply::NotApplied));
    assert!(matches!(queued.await.unwrap(), CallReply::NotApplied));
    let LoopEnd::Torn(panicked) = fixture.ended().await else { panic!("torn") };
    let request = Request::ExplainDriver { driver: "poison".into() };
    assert_eq!(panicked.input, Some(crate::poison_inputs::InputDigest::of_request(&request)));
}

#[tokio::test]
async fn a_store_that_fails_leaves_the_outcome_unknown_and_ends_the_loop() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    fixture.answers.send(Err(CommitError::Closed)).await.unwrap();
    assert!(first.await.is_err(), "no answer at all: unknown");
    assert!(matches!(fixture.ended().await, LoopEnd::Fatal(CommitError::Closed)));
}

#[tokio::test]
async fn a_deposed_leader_tells_that_nothing_was_applied() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    let second = fixture.ask("b");
    fixture.answers.send(Err(CommitError::Superseded)).await.unwrap();
    assert!(matches!(first.await.unwrap(), CallReply::NotApplied));
    assert!(matches!(second.await.unwrap(), CallReply::NotApplied));
    assert!(matches!(fixture.ended().await, LoopEnd::Deposed(CommitError::Superseded)));
}

fn unanswered() -> CommitError {
    CommitError::Unanswered { source: "no answer".into() }
}

#[tokio::test]
async fn what_was_applied_unheard_is_found_by_offering_it_again() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    let offered = fixture.offer().await;
    fixture.answers.send(Err(unanswered())).await.unwrap();
    assert_eq!(fixture.offer().await, offered, "the same transaction under the same number");
    fixture.answers.send(Err(CommitError::Number { newest: Commit(1), offered: Commit(1) })).await.unwrap();
    assert!(is_answered(first.await.unwrap()));
    let second = fixture.ask("b");
    assert_eq!(fixture.offer().await.commit, Commit(2));
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(second.await.unwrap()));
}

#[tokio::test]
async fn a_number_that_is_taken_at_the_first_try_is_anothers() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    fixture.answers.send(Err(CommitError::Number { newest: Commit(1), offered: Commit(1) })).await.unwrap();
    assert!(matches!(first.await.unwrap(), CallReply::NotApplied));
    assert!(matches!(fixture.ended().await, LoopEnd::Deposed(_)));
}

#[tokio::test]
async fn deposed_with_an_outcome_unknown_only_what_was_never_sent_is_said_to_be_undone() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    let second = fixture.ask("b");
    fixture.answers.send(Err(unanswered())).await.unwrap();
    fixture.offer().await;
    // The first try may have been applied before the key was gone.
    fixture.answers.send(Err(CommitError::Superseded)).await.unwrap();
    assert!(first.await.is_err(), "no answer at all: unknown");
    assert!(matches!(second.await.unwrap(), CallReply::NotApplied));
    assert!(matches!(fixture.ended().await, LoopEnd::Unknown(CommitError::Superseded)));
}

#[tokio::test]
async fn past_its_deadline_a_leader_asks_no_more() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    // The loop does not wait for an answer either: a store may hang for longer than the term.
    fixture.deadline.end();
    assert!(first.await.is_err());
    assert!(matches!(fixture.ended().await, LoopEnd::Unknown(CommitError::Unanswered { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_full_store_is_waited_for() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    fixture.answers.send(Err(CommitError::NoSpace { source: "full".into() })).await.unwrap();
    fixture.is_full.wait_for(|full| *full).await.unwrap();
    fixture.offer().await;
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(first.await.unwrap()));
    assert!(!*fixture.is_full.borrow());
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_is_in_flight_and_hands_the_store_back() {
    let mut fixture = Fixture::start().await;
    let first = fixture.ask("a");
    fixture.offer().await;
    fixture.stop.send_replace(true);
    fixture.answers.send(Ok(())).await.unwrap();
    assert!(is_answered(first.await.unwrap()));
    let (ended, store) = fixture.running.await.unwrap();
    assert!(matches!(ended, LoopEnd::Stopped));
    assert!(store.is_some());
}
