//! What people see, as text.

use muster_client::v1::{
    Cluster, Driver, DriverAttempt, DriverSpec, Event, Master, Outcome, PendingReason, Recovery, Resources, Worker,
    driver, event, pending_reason, worker,
};
use prost_types::Timestamp;

use super::*;

const CLOCK: DisplayClock = DisplayClock(1_700_000_192_000);

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_700_000_000 + seconds, nanos: 0 })
}

fn failed() -> Driver {
    let outcome = Outcome { exit_code: Some(3), reason: "EXITED".into(), ..Outcome::default() };
    let attempt = DriverAttempt {
        attempt: 1,
        worker: "w1".into(),
        state: driver::State::Failed as i32,
        assign_time: at(0),
        start_time: at(1),
        end_time: at(5),
        outcome: Some(outcome.clone()),
        ..DriverAttempt::default()
    };
    let command = muster_client::v1::Command {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), "exit 3".into()],
        ..Default::default()
    };
    Driver {
        driver_id: "job".into(),
        uid: "u-1".into(),
        state: driver::State::Failed as i32,
        spec: Some(DriverSpec {
            command: Some(command),
            resources: Some(Resources { cores: 1, memory_bytes: 256 << 20, ..Resources::default() }),
            ..DriverSpec::default()
        }),
        attempts: vec![attempt],
        create_time: at(0),
        end_time: at(5),
        outcome: Some(outcome),
        ..Driver::default()
    }
}

fn waiting() -> Driver {
    let reason =
        pending_reason::Reason { reason: "CORES".into(), workers: 2, message: "4 cores wanted, 1 is free".into() };
    let pending = PendingReason {
        reasons: vec![reason],
        nearest_worker: "w2".into(),
        nearest_message: "3 cores short".into(),
        never_fits: true,
    };
    Driver {
        driver_id: "big".into(),
        state: driver::State::Pending as i32,
        pending: Some(pending),
        create_time: at(192),
        ..Driver::default()
    }
}

#[test]
fn a_list_says_why_things_wait_and_how_they_ended() {
    let text = table(&[failed(), waiting()], false, CLOCK, Screen::PLAIN);
    assert_eq!(
        text,
        "\
ID   STATE    ATTEMPT  WORKER  EXIT  AGE    WHY
job  FAILED   1        w1      3     3m12s  -
big  PENDING  -        -       -     0ms    CORES: 4 cores wanted, 1 is free
"
    );
}

#[test]
fn a_wide_list_has_a_cell_for_every_heading() {
    for cells in [failed().cells(CLOCK), waiting().cells(CLOCK)] {
        assert_eq!(cells.len(), <Driver as TableRow>::HEADINGS.len());
    }
    assert_eq!(Worker::default().cells(CLOCK).len(), <Worker as TableRow>::HEADINGS.len());
    let executor = muster_client::v1::Executor::default();
    assert_eq!(executor.cells(CLOCK).len(), <muster_client::v1::Executor as TableRow>::HEADINGS.len());
    let application = muster_client::v1::Application::default();
    assert_eq!(application.cells(CLOCK).len(), <muster_client::v1::Application as TableRow>::HEADINGS.len());
}

#[test]
fn a_page_shows_every_attempt() {
    assert_eq!(
        driver_page(&failed(), false, CLOCK, Screen::PLAIN),
        "\
Driver        job
Uid           u-1
State         FAILED (exit code 3)
Command       /bin/sh -c 'exit 3'
Resources     1 core, 256MiB
Restart       never
Created       2023-11-14T22:13:20Z (3m12s ago)
Ended         2023-11-14T22:13:25Z (3m7s ago)

Attempts:
  ATTEMPT  STATE   WORKER  PID  EXIT  STARTED               ENDED                 RAN  REASON
  1        FAILED  w1      -    3     2023-11-14T22:13:21Z  2023-11-14T22:13:25Z  4s   -
"
    );
}

#[test]
fn a_page_says_all_about_waiting() {
    let text = driver_page(&waiting(), false, CLOCK, Screen::PLAIN);
    assert!(text.contains("Waits for     CORES: 4 cores wanted, 1 is free\n"), "{text}");
    assert!(text.contains("nearest is w2: 3 cores short") && text.contains("no worker known could take it"), "{text}");
}

#[test]
fn a_page_of_what_is_unreachable_says_how_it_is_closed() {
    let advice = "muster worker forget-attempt job/1\n";
    let page = |driver: &Driver| driver_page(driver, false, CLOCK, Screen::PLAIN);
    let unreachable = Driver { state: driver::State::Unreachable as i32, outcome: None, ..failed() };
    assert!(page(&unreachable).contains(advice), "{}", page(&unreachable));
    assert!(!page(&failed()).contains("forget-attempt"));
    let state = muster_client::v1::executor::State::Unreachable as i32;
    let executor =
        muster_client::v1::Executor { application_id: "app".into(), executor_id: 7, state, ..Default::default() };
    let page = executor_page(&executor, CLOCK, Screen::PLAIN);
    assert!(page.contains("muster worker forget-attempt app/7\n"), "{page}");
}

#[test]
fn a_cluster_of_several_masters_shows_them_in_line() {
    let master = |address: &str, leads| Master {
        address: address.into(),
        version: "1".into(),
        since: at(0),
        leads,
        ..Default::default()
    };
    let cluster = Cluster {
        name: "c".into(),
        leader: "a:1".into(),
        epoch: "2.7".into(),
        generation: 2,
        standbys: vec!["b:2".into()],
        masters: vec![master("a:1", true), master("b:2", false)],
        recovery: Some(Recovery { awaited_workers: 2, deadline: at(240) }),
        notices: vec!["the store is full".into()],
        quarantined_records: vec!["driver x".into()],
        ..Cluster::default()
    };
    assert_eq!(
        cluster_page(&cluster, CLOCK, Screen::PLAIN),
        "\
Cluster       c
Leader        a:1
Epoch         2.7
Generation    2
Commit        0
Workers       none
Recovery      2 workers awaited; those that are silent are lost in 48s
Drivers       none
Applications  none
Quarantined   driver x
Notices       the store is full

Masters:
  ADDRESS  VERSION  ROLE       SINCE
  a:1      1        leads      2023-11-14T22:13:20Z (3m12s ago)
  b:2      1        stands by  2023-11-14T22:13:20Z (3m12s ago)
"
    );
    let alone = Cluster { masters: Vec::new(), ..cluster };
    let page = cluster_page(&alone, CLOCK, Screen::PLAIN);
    assert!(page.contains("Standbys      b:2") && !page.contains("Masters:"), "an older master says less: {page}");
}

#[test]
fn a_revoked_worker_is_seen_in_the_list() {
    let worker = Worker { name: "w1".into(), state: worker::State::Lost as i32, ..Worker::default() };
    let revoked = Worker { name: "w2".into(), revoked: true, ..worker.clone() };
    let listed = table(&[worker, revoked], false, CLOCK, Screen::PLAIN);
    let states: Vec<&str> = listed.lines().skip(1).map(|line| &line[line.find("LOST").unwrap_or(0)..][..13]).collect();
    assert_eq!(states, ["LOST         ", "LOST, revoked"], "{listed}");
}

#[test]
fn an_event_is_one_line() {
    let worker =
        muster_client::v1::WorkerEvent { name: "w1".into(), state: worker::State::Alive as i32, ..Default::default() };
    let event = Event {
        time: at(0),
        message: "registered".into(),
        subject: Some(event::Subject::Worker(worker)),
        ..Event::default()
    };
    assert_eq!(
        event_line(&event, Screen::PLAIN),
        "2023-11-14T22:13:20.000Z  worker w1                     ALIVE         registered\n"
    );
}

#[test]
fn endings_are_sentences() {
    let killed = Outcome { signal: Some(9), reason: "OUT_OF_MEMORY".into(), ..Outcome::default() };
    assert_eq!(ending(&killed), "signal KILL, OUT_OF_MEMORY");
    let missing = Outcome { reason: "NOT_FOUND".into(), message: "no program /nope".into(), ..Outcome::default() };
    assert_eq!(ending(&missing), "NOT_FOUND: no program /nope");
}
