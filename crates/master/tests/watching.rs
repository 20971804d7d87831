//! Watches and sessions, through real gRPC.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use common::worker::{FakeWorker, exited};
use common::*;
use muster_proto::errors::metadata_of;
use muster_proto::v1;
use muster_types::AttemptState;
use tonic::{Code, Streaming};
use v1::driver::State;

type Watch = Streaming<v1::WatchEventsResponse>;

async fn watch(client: &mut Client, request: v1::WatchEventsRequest) -> Watch {
    client.watch_events(request).await.unwrap().into_inner()
}

/// The names of the next `count` driver events, with the last token.
async fn drivers(watch: &mut Watch, count: usize) -> (Vec<String>, String) {
    let (mut names, mut token) = (Vec::new(), String::new());
    while names.len() < count {
        let response = soon("events", watch.message()).await.unwrap().unwrap();
        for event in response.events {
            assert!(!event.resume_token.is_empty());
            if let Some(v1::event::Subject::Driver(driver)) = event.subject {
                names.push(driver.driver_id);
                token = event.resume_token;
            }
        }
    }
    (names, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_behind_every_event_without_gap_or_repeat() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let names: Vec<String> = (0..20).map(|number| format!("d{number:02}")).collect();
    for name in &names {
        submit(&mut client, name).await;
    }
    let oldest = v1::WatchEventsRequest { from_oldest: true, ..Default::default() };
    let mut all = watch(&mut client, oldest.clone()).await;
    assert_eq!(drivers(&mut all, 20).await.0, names);
    for seen in [1, 7, 19] {
        let mut first = watch(&mut client, oldest.clone()).await;
        let (_, token) = drivers(&mut first, seen).await;
        // One response may carry more events than were asked for, so the token of the event itself
        // is used.
        let token = token_of(&mut client, &names[seen - 1]).await.unwrap_or(token);
        let mut rest = watch(&mut client, v1::WatchEventsRequest { resume_token: token, ..Default::default() }).await;
        assert_eq!(drivers(&mut rest, 20 - seen).await.0, names[seen..]);
    }
    // The watch goes on with new events.
    submit(&mut client, "later").await;
    assert_eq!(drivers(&mut all, 1).await.0, ["later"]);
}

/// The token behind the first event of a driver.
async fn token_of(client: &mut Client, name: &str) -> Option<String> {
    let mut all = watch(client, v1::WatchEventsRequest { from_oldest: true, ..Default::default() }).await;
    loop {
        let response = soon("events", all.message()).await.unwrap().unwrap();
        for event in response.events {
            if matches!(&event.subject, Some(v1::event::Subject::Driver(driver)) if driver.driver_id == name) {
                return Some(event.resume_token);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_list_or_a_read_misses_nothing_that_follows() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    submit(&mut client, "before").await;
    let list = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap().into_inner();
    let read = client.get_driver(v1::GetDriverRequest { driver_id: "before".into() }).await.unwrap().into_inner();
    submit(&mut client, "after").await;
    for resume_token in [list.resume_token, read.resume_token] {
        let mut rest = watch(&mut client, v1::WatchEventsRequest { resume_token, ..Default::default() }).await;
        assert_eq!(drivers(&mut rest, 1).await.0, ["after"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_names_a_driver_hears_of_it_alone() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    submit(&mut client, "mine").await;
    submit(&mut client, "other").await;
    let named = v1::WatchEventsRequest { driver_ids: vec!["mine".into()], ..Default::default() };
    let mut live = watch(&mut client, named.clone()).await;
    for name in ["other", "mine"] {
        client.kill_driver(v1::KillDriverRequest { driver_id: name.into(), ..Default::default() }).await.unwrap();
    }
    assert_eq!(drivers(&mut live, 1).await.0, ["mine"]);
    let mut kept = watch(&mut client, v1::WatchEventsRequest { from_oldest: true, ..named }).await;
    assert_eq!(drivers(&mut kept, 2).await.0, ["mine", "mine"]);

    let unknown = v1::WatchEventsRequest { driver_ids: vec!["nobody".into()], ..Default::default() };
    assert_failure(&client.watch_events(unknown).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_compacted_or_of_the_future_or_of_another_history_is_out_of_range() {
    let master = Master::start(&["--max-event-commits", "3"]).await;
    let mut client = master.client().await;
    let first = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap().into_inner().resume_token;
    for number in 0..10 {
        submit(&mut client, &format!("d{number}")).await;
    }
    let status = eventually("the first token is compacted", async || {
        let request = v1::WatchEventsRequest { resume_token: first.clone(), ..Default::default() };
        client.watch_events(request).await.err()
    })
    .await;
    assert_failure(&status, Code::OutOfRange, "COMPACTED");
    // A watch can begin at the oldest place that the error names, once the window stands still: it
    // moves on shortly after the last commit.
    let mut rest = eventually("the oldest place is one to begin at", async || {
        let request = v1::WatchEventsRequest { resume_token: first.clone(), ..Default::default() };
        let status = client.watch_events(request).await.unwrap_err();
        let resume_token = metadata_of(&status)["oldest"].clone();
        let request = v1::WatchEventsRequest { resume_token, ..Default::default() };
        client.watch_events(request).await.ok().map(tonic::Response::into_inner)
    })
    .await;
    drivers(&mut rest, 1).await;

    for (generation, commit) in [(1, 1_000_000), (2, 1)] {
        let token = muster_proto::ResumeToken::after(generation, muster_types::Commit(commit)).to_string();
        let request = v1::WatchEventsRequest { resume_token: token, ..Default::default() };
        assert_failure(&client.watch_events(request).await.unwrap_err(), Code::OutOfRange, "COMPACTED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_is_cut_off_and_resumes_where_it_was() {
    let master = Master::start(&[]).await;
    // A small window, so that what the watcher does not read stays with the master.
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", master.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let mut slow = watch(&mut Client::new(channel), v1::WatchEventsRequest::default()).await;
    soon("the first bookmark", slow.message()).await.unwrap().unwrap();

    const SUBMITTERS: usize = 8;
    const EACH: usize = 800;
    let mut submitters = tokio::task::JoinSet::new();
    for submitter in 0..SUBMITTERS {
        let mut client = master.client().await;
        submitters.spawn(async move {
            for number in 0..EACH {
                submit(&mut client, &format!("{}-{submitter}-{number:03}", "x".repeat(50))).await;
            }
        });
    }
    submitters.join_all().await;

    let (mut read, mut token) = (0, String::new());
    let status = loop {
        match soon("it is cut off", slow.message()).await {
            Ok(Some(response)) => {
                read += response.events.len();
                token = response.resume_token;
            }
            Ok(None) => panic!("cut off without a word"),
            Err(status) => break status,
        }
    };
    assert_failure(&status, Code::ResourceExhausted, "WATCHER_TOO_SLOW");
    assert_eq!(metadata_of(&status)["resume_token"], token);
    assert!(read < SUBMITTERS * EACH, "it was not slow");
    // Nothing is missing when it goes on from its token.
    let resumed = v1::WatchEventsRequest { resume_token: token, ..Default::default() };
    let mut rest = watch(&mut master.client().await, resumed).await;
    let (names, _) = drivers(&mut rest, SUBMITTERS * EACH - read).await;
    assert_eq!(names.len(), SUBMITTERS * EACH - read);
}

fn template() -> v1::ExecutorTemplate {
    let command = v1::Command { program: "/bin/sleep".into(), args: vec!["60".into()], ..Default::default() };
    v1::ExecutorTemplate { command: Some(command), ..Default::default() }
}

async fn register(master: &Master, id: &str, target: u32) -> v1::Application {
    let profile = v1::ExecutorProfile {
        profile_id: 1,
        resources: Some(v1::Resources { cores: 1, memory_bytes: 1 << 20, ..Default::default() }),
        target,
        ..Default::default()
    };
    let spec = v1::ApplicationSpec {
        name: id.into(),
        profiles: vec![profile],
        template: Some(template()),
        ..Default::default()
    };
    let request =
        v1::RegisterApplicationRequest { application: Some(spec), application_id: id.into(), ..Default::default() };
    master.applications().await.register_application(request).await.unwrap().into_inner().application.unwrap()
}

type Session = Streaming<v1::WatchApplicationResponse>;

async fn session(master: &Master, id: &str, resume_revision: u64) -> Session {
    let request = v1::WatchApplicationRequest { application_id: id.into(), resume_revision, ..Default::default() };
    master.applications().await.watch_application(request).await.unwrap().into_inner()
}

async fn next(session: &mut Session) -> v1::WatchApplicationResponse {
    soon("a session's event", session.message()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_tells_of_executors_and_misses_nothing_when_it_breaks() {
    use v1::application_session_event::Event;
    let master = Master::start(&[]).await;
    register(&master, "app", 1).await;
    let mut first = session(&master, "app", 0).await;
    let opening = next(&mut first).await;
    assert!(opening.is_snapshot && opening.session > 0);

    let mut worker = FakeWorker::new("w1", 4);
    let mut link = worker.join(&master, &[]).await;
    let launch = link.launch().await;
    assert!(launch.attempt.is_executor());
    let mut events = Vec::new();
    while !events.iter().any(|event: &v1::ApplicationSessionEvent| matches!(event.event, Some(Event::Added(_)))) {
        events.extend(next(&mut first).await.events);
    }
    assert!(events.is_sorted_by(|a, b| a.revision < b.revision));
    let seen = events.last().unwrap().revision;

    // The session breaks, and the executor starts to run meanwhile.
    drop(first);
    link.report(&[worker.report(&launch, AttemptState::Running)]).await;
    let mut client = master.client().await;
    eventually("the executor runs", async || {
        let list = client.list_executors(v1::ListExecutorsRequest::default()).await.unwrap().into_inner();
        (list.executors.first()?.state() == v1::executor::State::Running).then_some(())
    })
    .await;
    let mut second = session(&master, "app", seen).await;
    let resumed = next(&mut second).await;
    assert!(resumed.session > opening.session);
    // Nothing is lost: the session begins with the state.
    assert!(resumed.is_snapshot && resumed.revision > seen);
    assert_eq!(resumed.snapshot[0].state(), v1::executor::State::Running);
    // A newer session cuts the older one.
    let mut third = session(&master, "app", 0).await;
    let state = next(&mut third).await;
    assert_eq!(state.snapshot[0].state(), v1::executor::State::Running);
    let status = loop {
        match soon("the older session is cut", second.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("cut without a word"),
            Err(status) => break status,
        }
    };
    assert_failure(&status, Code::FailedPrecondition, "FENCED");
    link.report(&[worker.report(&launch, exited(1))]).await;
    let mut ended = Vec::new();
    while !ended.iter().any(|event: &v1::ApplicationSessionEvent| matches!(event.event, Some(Event::Ended(_)))) {
        ended.extend(next(&mut third).await.events);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_ends_when_it_says_so() {
    let master = Master::start(&[]).await;
    register(&master, "app", 0).await;
    let mut open = session(&master, "app", 0).await;
    next(&mut open).await;
    let request =
        v1::UnregisterApplicationRequest { application_id: "app".into(), success: true, ..Default::default() };
    master.applications().await.unregister_application(request).await.unwrap();
    let mut last = None;
    while let Some(response) = soon("the session ends", open.message()).await.unwrap() {
        last = response.events.last().cloned().or(last);
    }
    assert!(matches!(last.unwrap().event, Some(v1::application_session_event::Event::ApplicationEnded(_))));
    let mut client = master.client().await;
    let request = v1::GetApplicationRequest { application_id: "app".into() };
    let application = client.get_application(request).await.unwrap().into_inner().application.unwrap();
    assert_eq!(application.state(), v1::application::State::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_ends_a_driver_that_waits() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    submit(&mut client, "waits").await;
    client.kill_driver(v1::KillDriverRequest { driver_id: "waits".into(), ..Default::default() }).await.unwrap();
    until(&mut client, "waits", State::Killed).await;
}
