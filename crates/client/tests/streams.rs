//! Watches, waits and log reads outlive their streams.

mod fake;

use std::time::Duration;

use fake::{FakeMaster, Script};
use muster_client::errors::Failure;
use muster_client::v1::driver::State;
use muster_client::{Client, WaitError, WaitProgress, v1};
use tonic::Status;

fn client(master: &FakeMaster) -> Client {
    Client::new(master.address.parse().expect("an address"))
}

fn event(token: &str, state: State) -> v1::Event {
    let driver = v1::DriverEvent { uid: "u".into(), state: state.into(), ..Default::default() };
    let subject = Some(v1::event::Subject::Driver(driver));
    v1::Event { resume_token: token.into(), subject, ..Default::default() }
}

fn batch(events: Vec<v1::Event>, token: &str) -> Result<v1::WatchEventsResponse, Status> {
    Ok(v1::WatchEventsResponse { events, resume_token: token.into() })
}

fn driver(state: State) -> v1::Driver {
    v1::Driver { uid: "u".into(), driver_id: "d".into(), state: state.into(), ..Default::default() }
}

#[tokio::test]
async fn a_watch_resumes_where_it_was_cut() {
    let master = FakeMaster::start().await;
    let (running, killing) = (State::Running, State::Killing);
    master.state().watches.extend([
        Script {
            items: vec![
                batch(vec![event("1", running), event("2", running)], "2"),
                batch(Vec::new(), "5"),
                Err(Status::unavailable("connection reset")),
            ],
            stays_open: false,
        },
        Script {
            items: vec![batch(vec![event("6", killing)], "7"), Err(Failure::GoingAway.into())],
            stays_open: false,
        },
        Script { items: vec![batch(vec![event("8", killing)], "")], stays_open: false },
        Script {
            items: vec![Err(Failure::Compacted { oldest: "a".into(), current: "b".into() }.into())],
            stays_open: false,
        },
    ]);
    let mut watch = client(&master).watch_events(v1::WatchEventsRequest { from_oldest: true, ..Default::default() });
    let mut seen = Vec::new();
    let error = loop {
        match watch.next().await {
            Ok(event) => seen.push((event.resume_token, watch.resume_token().to_owned())),
            Err(error) => break error,
        }
    };
    let pair = |event: &str, place: &str| (event.to_owned(), place.to_owned());
    assert_eq!(seen, [pair("1", "1"), pair("2", "2"), pair("6", "7"), pair("8", "8")]);
    assert!(error.is_compacted(), "{error}");
    assert_eq!(error.metadata()["current"], "b");
    let asked: Vec<_> = master.state().watched.iter().map(|request| request.resume_token.clone()).collect();
    assert_eq!(asked, ["", "5", "7", "8"]);
}

#[tokio::test]
async fn waiting_for_a_driver_asks_twice_and_watches_between() {
    let master = FakeMaster::start().await;
    master.state().drivers.extend([driver(State::Running), driver(State::Finished)]);
    let items = vec![batch(vec![event("1", State::Running), event("2", State::Finished)], "2")];
    master.state().watches.push_back(Script { items, stays_open: true });
    let mut events = 0;
    let count = |progress: WaitProgress<'_>| events += usize::from(matches!(progress, WaitProgress::Event(_)));
    let ended = client(&master).wait_for_driver_seeing("d", None, count).await.unwrap();
    assert_eq!((ended.state(), events), (State::Finished, 2));
    let state = master.state();
    assert_eq!(state.watched[0].resume_token, "listed", "nothing between the read and the watch is missed");
    assert_eq!(state.watched[0].driver_ids, ["u"]);
}

#[tokio::test]
async fn a_wait_survives_a_compacted_watch() {
    let master = FakeMaster::start().await;
    master.state().drivers.extend([driver(State::Running), driver(State::Failed)]);
    let items = vec![Err(Failure::Compacted { oldest: String::new(), current: String::new() }.into())];
    master.state().watches.push_back(Script { items, stays_open: false });
    assert_eq!(client(&master).wait_for_driver("d", None).await.unwrap().state(), State::Failed);
}

#[tokio::test]
async fn a_wait_that_is_over_says_what_was_seen_last() {
    let master = FakeMaster::start().await;
    master.state().drivers.push_back(driver(State::BackingOff));
    let wait = client(&master).wait_for_driver("d", Some(Duration::from_millis(50))).await;
    let Err(error @ WaitError::TimedOut(_)) = wait else { panic!("{wait:?}") };
    assert_eq!(error.to_string(), "the time is up; driver d is BACKING_OFF");
}

#[tokio::test]
async fn waiting_for_nothing_is_not_found() {
    let master = FakeMaster::start().await;
    let Err(WaitError::Call(error)) = client(&master).wait_for_driver("x", None).await else { panic!("an error") };
    assert!(error.is_not_found());
}

#[tokio::test]
async fn a_log_is_read_on_where_its_stream_broke() {
    let chunk = |byte, data: &'static str, end| {
        let offset = Some(v1::LogOffset { truncations: 1, byte });
        let chunk = v1::LogChunk { offset, data: data.into(), end, ..Default::default() };
        Ok(v1::ReadLogResponse { chunk: Some(chunk) })
    };
    let master = FakeMaster::start().await;
    master.state().logs.extend([
        Script { items: vec![chunk(10, "abc", false), Err(Status::unavailable("reset"))], stays_open: false },
        Script { items: vec![chunk(13, "def", true)], stays_open: true },
    ]);
    let request = v1::ReadLogRequest {
        subject: Some(v1::read_log_request::Subject::DriverId("d".into())),
        tail_bytes: 6,
        follow: true,
        ..Default::default()
    };
    let mut read = client(&master).read_log(request);
    let mut text = Vec::new();
    while let Some(chunk) = read.next().await.unwrap() {
        text.extend_from_slice(&chunk.data);
    }
    assert_eq!(text, b"abcdef");
    let state = master.state();
    assert_eq!((state.read[0].tail_bytes, state.read[0].offset), (6, None));
    let resumed = v1::LogOffset { truncations: 1, byte: 13 };
    assert_eq!((state.read[1].tail_bytes, state.read[1].offset), (0, Some(resumed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_are_opened_and_not_read_on_hold_up_no_other_read() {
    const PIECE: usize = 1 << 20;
    let piece = |end| {
        Ok(v1::ReadLogResponse {
            chunk: Some(v1::LogChunk { data: vec![b'x'; PIECE].into(), end, ..Default::default() }),
        })
    };
    let master = FakeMaster::start().await;
    let client = client(&master);
    let mut length = 0;
    let reads = async {
        let mut unread = Vec::new();
        for _ in 0..24 {
            let items = vec![piece(false), piece(false), piece(false)];
            master.state().logs.push_back(Script { items, stays_open: true });
            let mut read = client.read_log(v1::ReadLogRequest::default());
            assert!(read.next().await.unwrap().is_some());
            unread.push(read);
        }
        let items = (1..=16).map(|number| piece(number == 16)).collect();
        master.state().logs.push_back(Script { items, stays_open: true });
        let mut read = client.read_log(v1::ReadLogRequest::default());
        while let Some(chunk) = read.next().await.unwrap() {
            length += chunk.data.len();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reads).await.expect("in time: the other log");
    assert_eq!(length, 16 * PIECE);
}
