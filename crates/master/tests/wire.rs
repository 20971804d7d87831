//! The wire as another client implementation sees it: frames of HTTP/2, without our client or
//! tonic's. What a test asserts for the leader holds for a standby too, to the byte.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::io::Read as _;

use common::fake_leader::{FakeLeader, cancelled};
use common::follower::{ElectionControl, Follower};
use common::*;
use muster_proto::v1;
use muster_testenv::wire::{Call, Frames, StalledStreams, connect, framed, gzip};
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

const GET: &str = "/muster.v1.MasterService/GetDriver";
const SUBMIT: &str = "/muster.v1.MasterService/SubmitDriver";
const WATCH: &str = "/muster.v1.MasterService/WatchEvents";
const LIST: &str = "/muster.v1.MasterService/ListDrivers";

struct Pair {
    leader: Master,
    standby: Master,
    control: ElectionControl,
}

impl Pair {
    async fn start() -> Pair {
        let leader = Master::start(&[]).await;
        let (follower, control) = Follower::new();
        control.lead(&leader.address, 1);
        let standby = Master::start_on(follower, &[]).await;
        Pair { leader, standby, control }
    }

    /// The answer of both masters, which is the same except for the list of masters.
    async fn both(&self, call: &Call) -> Frames {
        let without = |mut frames: Frames| {
            frames.headers.remove("muster-masters");
            frames
        };
        let leader = without(call.at(&self.leader.address).await);
        let standby = without(call.at(&self.standby.address).await);
        assert_eq!(leader, standby, "{}: a standby answers like the leader", call.path());
        leader
    }
}

fn named(id: &str) -> v1::GetDriverRequest {
    v1::GetDriverRequest { driver_id: id.into() }
}

fn sleeping(id: &str) -> v1::SubmitDriverRequest {
    v1::SubmitDriverRequest { driver: Some(sleeper()), driver_id: id.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_headers_alone_with_one_status_and_its_details() {
    let pair = Pair::start().await;
    submit(&mut pair.leader.client().await, "taken").await;
    let bad = v1::SubmitDriverRequest { driver_id: "Not A Name".into(), ..sleeping("x") };
    let cases = [
        (5, Call::new(GET, &named("nobody"))),
        (6, Call::new(SUBMIT, &sleeping("taken")).with("x-other", "1")),
        (3, Call::new(SUBMIT, &bad)),
        (3, Call::new(GET, &named(""))),
        (5, Call::new(WATCH, &watch_of("nobody"))),
    ];
    for (code, call) in cases {
        let frames = pair.both(&call).await;
        assert_eq!((frames.http, frames.status()), (200, code), "{frames:?}");
        assert!(frames.headers_only && frames.trailers.is_none(), "{frames:?}");
        assert!(frames.headers.contains_key("grpc-status-details-bin"), "{frames:?}");
        assert!(!frames.headers["grpc-message"].is_empty(), "{frames:?}");
    }
}

/// The details of an error are headers too, so they must fit what a standby reads.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_with_all_the_details_that_there_can_be_passes_a_standby() {
    let pair = Pair::start().await;
    let mut request = sleeping("x");
    let labels = (0..99).map(|n| (format!("{n:02}{}", "\u{1F980}".repeat(200)), "x".repeat(5000)));
    request.driver.as_mut().unwrap().labels = labels.collect();
    let frames = pair.both(&Call::new(SUBMIT, &request)).await;
    assert_eq!((frames.status(), frames.reason.as_deref()), (3, Some("BAD_REQUEST")), "{frames:?}");
    let bytes: usize = frames.headers["grpc-status-details-bin"].parse().unwrap();
    assert!((4 << 10..12 << 10).contains(&bytes), "{bytes} bytes, of which clients take at least 8 KiB to 16 KiB");
}

fn watch_of(id: &str) -> v1::WatchEventsRequest {
    v1::WatchEventsRequest { driver_ids: vec![id.into()], ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_a_message_and_then_trailers() {
    let pair = Pair::start().await;
    submit(&mut pair.leader.client().await, "there").await;
    let frames = pair.both(&Call::new(GET, &named("there"))).await;
    assert_eq!((frames.status(), frames.messages.len(), frames.headers_only), (0, 1, false));
    assert_eq!(frames.trailers.as_ref().unwrap()["grpc-status"], "0");
    let driver = v1::GetDriverResponse::decode(frames.messages[0].1.as_slice()).unwrap().driver.unwrap();
    assert_eq!(driver.driver_id, "there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_and_what_is_no_call_are_answered_by_the_protocol() {
    let pair = Pair::start().await;
    for path in ["/muster.v1.MasterService/Nothing", "/muster.v1.Nothing/Get", "/nothing"] {
        assert_eq!(pair.both(&Call::new(path, &named("x"))).await.status(), 12, "{path}");
    }
    // Types that are ours but for their suffix, too: their messages would be misread.
    let others = ["application/grpc+json", "application/grpc-web", "application/grpc-web+proto", "application/grpcx"];
    for kind in ["text/plain", "application/json", "", "application/grpc+"].into_iter().chain(others) {
        let frames = pair.both(&Call::new(GET, &named("x")).with("content-type", kind)).await;
        assert_eq!((frames.http, frames.headers_only), (415, true), "{kind:?} {frames:?}");
    }
    for kind in ["application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc; charset=utf-8"] {
        let frames = pair.both(&Call::new(GET, &named("x")).with("content-type", kind)).await;
        assert_eq!((frames.http, frames.status()), (200, 5), "{kind:?} {frames:?}");
    }
    // A message that is cut, one that cannot be decoded, and none at all.
    for body in [vec![0, 0, 0, 0, 9, 1], framed(false, &[0xff; 8]), Vec::new()] {
        let frames = pair.both(&Call::new(GET, &named("x")).body(body)).await;
        assert_ne!(frames.status(), 0, "{frames:?}");
    }
}

/// A web page can have a browser call a loopback address by a name of its own (DNS rebinding).
#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_loopback_takes_no_call_by_a_foreign_name_and_none_of_a_browser() {
    let pair = Pair::start().await;
    let call = || Call::new(GET, &named("x"));
    for host in ["evil.example", "evil.example:7077", "10.0.0.1:7077", "127.0.0.1.evil.example"] {
        let frames = pair.both(&call().to_host(host)).await;
        assert_eq!((frames.status(), frames.reason.as_deref()), (7, Some("FOREIGN_HOST")), "{host} {frames:?}");
    }
    for name in ["origin", "sec-fetch-site", "sec-fetch-mode"] {
        let frames = pair.both(&call().with(name, "cross-site")).await;
        assert_eq!((frames.status(), frames.reason.as_deref()), (7, Some("FOREIGN_HOST")), "{name} {frames:?}");
    }
    for host in ["localhost", "localhost:1", "127.0.0.1", "127.8.9.10:7077", "[::1]:7077"] {
        assert_eq!(pair.both(&call().to_host(host)).await.status(), 5, "{host}");
    }
    for path in ["/grpc.health.v1.Health/Check", "/muster.v1.WorkerLinkService/Link"] {
        let frames = pair.both(&Call::new(path, &named("")).to_host("evil.example")).await;
        assert_eq!(frames.reason.as_deref(), Some("FOREIGN_HOST"), "{path}");
    }
}

/// A method that takes one message takes no second one, whether it answers with one or a stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_message_is_refused_where_a_method_takes_one() {
    let pair = Pair::start().await;
    let health = tonic_health::pb::HealthCheckRequest::default().encode_to_vec();
    let cases = [
        (GET, named("nobody").encode_to_vec()),
        (SUBMIT, sleeping("twice").encode_to_vec()),
        (WATCH, Vec::new()),
        ("/muster.v1.MasterService/WatchLeader", Vec::new()),
        ("/muster.v1.ApplicationService/WatchApplication", Vec::new()),
        ("/grpc.health.v1.Health/Check", health.clone()),
        ("/grpc.health.v1.Health/Watch", health),
    ];
    for (path, message) in cases {
        let one = framed(false, &message);
        // A second prefix, or a part of one, is already too much.
        for more in [one.clone(), framed(false, &[]), vec![0]] {
            let frames = pair.both(&Call::new(path, &()).body([one.clone(), more].concat())).await;
            assert_eq!((frames.status(), frames.reason.as_deref()), (3, Some("BAD_REQUEST")), "{path} {frames:?}");
        }
    }
    let packed = framed(true, &gzip(&named("nobody").encode_to_vec())).repeat(2);
    let frames = pair.both(&Call::new(GET, &()).body(packed).with("grpc-encoding", "gzip")).await;
    assert_eq!((frames.status(), frames.reason.as_deref()), (3, Some("BAD_REQUEST")), "{frames:?}");
    // Nothing was done: the submission was not carried out.
    assert_eq!(pair.both(&Call::new(GET, &named("twice"))).await.status(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_read_and_written_where_a_client_says_so() {
    let pair = Pair::start().await;
    submit(&mut pair.leader.client().await, "there").await;
    let message = framed(true, &gzip(&named("there").encode_to_vec()));
    let call = Call::new(GET, &named("there")).body(message);
    let frames = pair.both(&call.with("grpc-encoding", "gzip").with("grpc-accept-encoding", "gzip")).await;
    assert_eq!((frames.status(), frames.headers["grpc-encoding"].as_str()), (0, "gzip"));
    let (compressed, bytes) = &frames.messages[0];
    assert_eq!(*compressed, 1);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
    let driver = v1::GetDriverResponse::decode(plain.as_slice()).unwrap().driver.unwrap();
    assert_eq!(driver.driver_id, "there");
    // A client that names no encoding gets nothing compressed. An unknown encoding is refused, and
    // the known ones are named.
    let frames = pair.both(&Call::new(GET, &named("there"))).await;
    assert_eq!(frames.messages[0].0, 0);
    let unknown = Call::new(GET, &named("there")).with("grpc-encoding", "snappy");
    let frames = pair.both(&unknown).await;
    assert_eq!(frames.status(), 12);
    assert!(frames.headers["grpc-accept-encoding"].contains("gzip"), "{frames:?}");
}

/// Methods of each kind, each with a request that is valid: one message or a stream of them, asked
/// of the leader alone or of every master. Only a worker's link differs, which takes no gzip and
/// larger messages.
fn methods_of_every_kind() -> Vec<(&'static str, Vec<u8>)> {
    let text = "x".repeat(3 << 19);
    let health = tonic_health::pb::HealthCheckRequest { service: text.clone() }.encode_to_vec();
    let mut reflection = vec![0x3a, 0x80, 0x80, 0x60];
    reflection.extend(text.as_bytes());
    let watch = watch_of(&text).encode_to_vec();
    vec![
        (GET, named(&text).encode_to_vec()),
        (WATCH, watch),
        ("/muster.v1.MasterService/WatchLeader", named(&text).encode_to_vec()),
        ("/muster.v1.ApplicationService/WatchApplication", named(&text).encode_to_vec()),
        ("/grpc.health.v1.Health/Check", health.clone()),
        ("/grpc.health.v1.Health/Watch", health),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", reflection.clone()),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", reflection),
    ]
}

/// Only the limit can refuse these messages. Compressed they are small, and their size shows only
/// when they are unpacked. Between the limit and 4 MiB lie messages that the library would take by
/// default.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_in_one_way_wherever_it_is_noticed() {
    let pair = Pair::start().await;
    for (path, message) in methods_of_every_kind() {
        let call = |body| Call::new(path, &()).body(body);
        let huge = [message.as_slice(), &vec![0; 8 << 20]].concat();
        // The prefix alone announces the size.
        let said = framed(false, &huge)[..64].to_vec();
        for body in [framed(false, &message), framed(false, &huge), said] {
            let frames = pair.both(&call(body)).await;
            assert!(frames.is_too_large(), "{path} {frames:?}");
        }
        for plain in [&message, &huge] {
            let bomb = framed(true, &gzip(plain));
            assert!(bomb.len() < 1 << 16, "it passes the limit of what is read");
            let frames = pair.both(&call(bomb).with("grpc-encoding", "gzip")).await;
            assert!(frames.is_too_large(), "{path} {frames:?}");
        }
    }
    let hello = framed(false, &[0; 5 << 20]);
    let link = Call::new("/muster.v1.WorkerLinkService/Link", &()).body(hello);
    let frames = pair.both(&link).await;
    assert!(frames.is_too_large(), "{frames:?}");
}

/// The prefix alone tells the size: nobody waits for the rest, which here never comes. A message
/// that is waited for is given up as NOT_QUEUED.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_refused_as_soon_as_its_prefix_says_that_it_is_too_large() {
    let pair = Pair::start().await;
    for (path, _) in methods_of_every_kind() {
        for (compressed, encoding) in [(0, "identity"), (1, "gzip")] {
            let prefix = vec![compressed, 0, 0x20, 0, 0];
            let call = Call::new(path, &()).body(prefix).with("grpc-encoding", encoding);
            for address in [&pair.leader.address, &pair.standby.address] {
                let frames = call.without_end_at(address).await;
                assert!(frames.is_too_large(), "{path} {encoding} {frames:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_just_the_largest_size_is_taken() {
    let pair = Pair::start().await;
    let sized = |size: usize| {
        let message = named(&"x".repeat(size - 4)).encode_to_vec();
        assert_eq!(message.len(), size);
        message
    };
    let (largest, beyond) = (sized(1 << 20), sized((1 << 20) + 1));
    let call = |body| Call::new(GET, &named("x")).body(body);
    let packed = |message: &[u8]| call(framed(true, &gzip(message))).with("grpc-encoding", "gzip");
    for call in [call(framed(false, &largest)), packed(&largest)] {
        let frames = pair.both(&call).await;
        assert_eq!(frames.reason.as_deref(), Some("BAD_REQUEST"), "it was read: {frames:?}");
    }
    for call in [call(framed(false, &beyond)), packed(&beyond)] {
        let frames = pair.both(&call).await;
        assert!(frames.is_too_large(), "{frames:?}");
    }
}

/// Both masters count headers as HTTP/2 does: name, value and 32 bytes for each. A standby adds
/// some when it forwards a call; they must not decide whether the call is taken.
#[tokio::test(flavor = "multi_thread")]
async fn headers_are_taken_or_refused_alike_whatever_a_standby_adds() {
    const KIB: usize = 1024;
    let pair = Pair::start().await;
    let filled = |path: &str, bytes: usize| {
        let message = framed(
            false,
            &if path == GET { named("nobody").encode_to_vec() } else { watch_of("nobody").encode_to_vec() },
        );
        Call::new(path, &()).body(message).with("x-fill", "x".repeat(bytes))
    };
    for path in [GET, WATCH, "/muster.v1.MasterService/Nothing"] {
        for bytes in [8 * KIB, 15 * KIB + KIB / 2] {
            let frames = pair.both(&filled(path, bytes)).await;
            assert!([5, 12].contains(&frames.status()), "{path} {bytes}: {frames:?}");
        }
        for bytes in [16 * KIB, 20 * KIB] {
            let frames = pair.both(&filled(path, bytes)).await;
            assert!(frames.is_too_large(), "{path} {bytes}: {frames:?}");
        }
    }
    let mut refused = 0;
    for bytes in (15 * KIB + KIB / 2..16 * KIB).step_by(16) {
        let frames = pair.both(&filled(GET, bytes)).await;
        refused += usize::from(frames.is_too_large());
        assert_eq!(frames.is_too_large(), frames.status() != 5, "{bytes}: {frames:?}");
    }
    assert!((1..32).contains(&refused), "the limit lies within: {refused}");
    // Above 32 KiB they are not even read: HTTP/2 answers, without a status of gRPC.
    for bytes in [32 * KIB, 48 * KIB] {
        let frames = pair.both(&filled(GET, bytes)).await;
        assert_eq!((frames.http, frames.headers_only), (431, true), "{frames:?}");
        assert!(!frames.headers.contains_key("grpc-status"), "{frames:?}");
    }
    // Far above, the connection ends; others go on.
    for address in [&pair.leader.address, &pair.standby.address] {
        let (mut gone, mut other) =
            (connect(address).await.ready().await.unwrap(), connect(address).await.ready().await.unwrap());
        let (response, _sender) = gone.send_request(filled(GET, 1 << 20).head(address), false).unwrap();
        assert!(soon("the end", response).await.is_err());
        let call = Call::new(GET, &named("nobody"));
        let (response, mut sender) = other.send_request(call.head(address), false).unwrap();
        sender.send_data(Bytes::from(framed(false, &named("nobody").encode_to_vec())), true).unwrap();
        assert_eq!(muster_testenv::wire::answer(response).await.status(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cancels_and_a_deadline_that_passes_end_a_call() {
    let pair = Pair::start().await;
    let call = Call::new("/muster.v1.MasterService/WatchLeader", &v1::WatchLeaderRequest {});
    // Every master answers this method itself, and for ever.
    for address in [&pair.leader.address, &pair.standby.address] {
        let mut client = connect(address).await.ready().await.unwrap();
        let (response, mut sender) = client.send_request(call.head(address), false).unwrap();
        sender.send_data(Bytes::from(framed(false, &[])), true).unwrap();
        let mut body = soon("the headers", response).await.unwrap().into_body();
        assert!(soon("the first message", body.data()).await.unwrap().is_ok());
        // A client that goes away in the middle does not disturb the server.
        sender.send_reset(h2::Reason::CANCEL);
        let frames = Call::new(LIST, &v1::ListDriversRequest::default()).at(address).await;
        assert_eq!(frames.status(), 0);
    }
    // The call is held until somebody leads, for a second or until its deadline.
    pair.control.vacate();
    let list = || Call::new(LIST, &v1::ListDriversRequest::default());
    assert_eq!(list().at(&pair.standby.address).await.status(), 14);
    let late = list().with("grpc-timeout", "20m").at(&pair.standby.address).await;
    assert_eq!(late.status(), 4, "{late:?}");
}

/// A caller that set a deadline which nobody can read would otherwise wait without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_cannot_be_read_is_refused() {
    let pair = Pair::start().await;
    for path in [GET, WATCH, "/muster.v1.MasterService/WatchLeader", "/grpc.health.v1.Health/Check"] {
        for time in ["", "S", "5", "1x", "-1S", "1 S", "123456789S", "1.5S"] {
            let frames = pair.both(&Call::new(path, &()).with("grpc-timeout", time)).await;
            let said = (frames.status(), frames.reason.as_deref());
            assert_eq!(said, (3, Some("BAD_REQUEST")), "{path} {time:?} {frames:?}");
            assert!(frames.headers["grpc-message"].contains("grpc-timeout"), "{frames:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_stream_that_would_go_on() {
    let pair = Pair::start().await;
    for path in [WATCH, "/muster.v1.MasterService/WatchLeader"] {
        let watch = Call::new(path, &v1::WatchEventsRequest::default()).with("grpc-timeout", "300m");
        for address in [&pair.leader.address, &pair.standby.address] {
            let frames = watch.at(address).await;
            assert!(!frames.messages.is_empty(), "what came before is given: {frames:?}");
            assert_eq!(frames.status(), 4, "{path} {frames:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_alike() {
    let pair = Pair::start().await;
    let health = |service: &str| tonic_health::pb::HealthCheckRequest { service: service.into() };
    for service in ["", "liveness", "readiness", "muster.v1.MasterService", "muster.v1.ApplicationService"] {
        let frames = pair.both(&Call::new("/grpc.health.v1.Health/Check", &health(service))).await;
        assert_eq!((frames.status(), frames.messages[0].1.as_slice()), (0, [8, 1].as_slice()), "{service}");
    }
    assert_eq!(pair.both(&Call::new("/grpc.health.v1.Health/Check", &health("nobody"))).await.status(), 5);
}

/// As `health.proto` says: a name may become known later, so its watch goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_a_health_that_is_unknown_says_so_and_goes_on() {
    let pair = Pair::start().await;
    let unknown = tonic_health::pb::HealthCheckRequest { service: "nobody".into() };
    let watch = Call::new("/grpc.health.v1.Health/Watch", &unknown).with("grpc-timeout", "300m");
    let frames = pair.both(&watch).await;
    let said: Vec<_> = frames.messages.iter().map(|(_, message)| message.as_slice()).collect();
    assert_eq!((said.as_slice(), frames.status()), ([[8, 3].as_slice()].as_slice(), 4), "{frames:?}");
}

/// Questions whose answers nobody reads are not read on by the server. They fill the windows of
/// their own streams, and not that of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_stand_still_leave_room_for_calls_on_their_connection() {
    let pair = Pair::start().await;
    let questions = framed(false, &[0x3a, 0]).repeat(1 << 14);
    let reflection = Call::new("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &()).body(questions);
    for address in [&pair.leader.address, &pair.standby.address] {
        let mut stalled = StalledStreams::open(address, &reflection, 300, false).await;
        let frames = stalled.call_beside(address, &Call::new(GET, &named("nobody"))).await;
        assert_eq!(frames.status(), 5, "{frames:?}");
    }
}

/// A standby forwards the calls of all its callers over one connection.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_reads_at_a_standby_hold_up_no_other_caller() {
    let mut leader = FakeLeader::start().await;
    let (standby, _control) = behind(&leader).await;
    let message = vec![0; 1 << 20];
    let _stalled = StalledStreams::open(&standby.address, &Call::new(WATCH, &()), 48, true).await;
    let mut answers = Vec::new();
    for _ in 0..48 {
        answers.push(leader.call(WATCH).await.begin(&message));
    }
    let (call, address) = (Call::new(GET, &()), standby.address.clone());
    let asked = tokio::spawn(async move { call.at(&address).await });
    leader.call(GET).await.answer(&message);
    let frames = asked.await.unwrap();
    assert_eq!((frames.status(), frames.messages[0].1.len()), (0, message.len()));
}

/// A standby behind a leader that the test plays.
async fn behind(leader: &FakeLeader) -> (Master, ElectionControl) {
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    (Master::start_on(follower, &[]).await, control)
}

/// A request that sends nothing more and never ends holds its stream no longer than a request may
/// take, or than its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_never_ended_is_given_up() {
    let pair = Pair::start().await;
    let health = "/grpc.health.v1.Health/Check";
    let mut calls = tokio::task::JoinSet::new();
    for path in [GET, WATCH, "/muster.v1.MasterService/WatchLeader", health] {
        let whole = Call::new(path, &());
        for call in [whole.clone(), whole.clone().body(framed(false, b"ab")[..6].to_vec()), whole.body(Vec::new())] {
            for address in [&pair.leader.address, &pair.standby.address] {
                let (timed, address) = (call.clone().with("grpc-timeout", "50m"), address.clone());
                let frames = timed.without_end_at(&address).await;
                assert_eq!((frames.status(), frames.reason.as_deref()), (4, None), "{path} {frames:?}");
                let call = call.clone();
                calls.spawn(async move {
                    let frames = call.without_end_at(&address).await;
                    (path, frames)
                });
            }
        }
    }
    while let Some(done) = calls.join_next().await {
        let (path, frames) = done.unwrap();
        assert_eq!((frames.status(), frames.reason.as_deref()), (4, Some("NOT_QUEUED")), "{path} {frames:?}");
    }
}

/// A method that takes a stream of messages has no such limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_said_all_is_answered_to_the_end() {
    let pair = Pair::start().await;
    // Reflection: one question, `list_services`.
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let frames = pair.both(&Call::new(&path, &()).body(framed(false, &[0x3a, 0]))).await;
        assert_eq!((frames.status(), frames.messages.len()), (0, 1), "{frames:?}");
        let frames = pair.both(&Call::new(&path, &()).body(Vec::new())).await;
        assert_eq!((frames.status(), frames.messages.len()), (0, 0), "{frames:?}");
    }
    // A worker that says nothing at all.
    let frames = pair.both(&Call::new("/muster.v1.WorkerLinkService/Link", &()).body(Vec::new())).await;
    assert_eq!((frames.status(), frames.messages.len()), (0, 0), "{frames:?}");
    // A watch goes on after its request has ended.
    for (address, id) in [(&pair.leader.address, "one"), (&pair.standby.address, "two")] {
        let mut client = connect(address).await.ready().await.unwrap();
        let watch = Call::new(WATCH, &watch_of(id));
        submit(&mut pair.leader.client().await, id).await;
        let (response, mut sender) = client.send_request(watch.head(address), false).unwrap();
        sender.send_data(Bytes::from(framed(false, &watch_of(id).encode_to_vec())), true).unwrap();
        let mut body = soon("the headers", response).await.unwrap().into_body();
        assert!(soon("the bookmark", body.data()).await.unwrap().is_ok());
        let kill = v1::KillDriverRequest { driver_id: id.into(), ..Default::default() };
        pair.leader.client().await.kill_driver(kill).await.unwrap();
        assert!(soon("the kill", body.data()).await.unwrap().is_ok());
    }
}

/// A frame as it is on the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call, each a literal that is not indexed.
fn literals(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The kind, the flags, the stream and the payload of the next frame.
async fn next_frame(stream: &mut TcpStream) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_end_of_a_request_ends_the_stream() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let pair = Pair::start().await;
    for address in [&pair.leader.address, &pair.standby.address] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let request = framed(false, &[]);
        for sent in [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, 4, 1, &literals(WATCH)), frame(DATA, 1, 1, &request)] {
            stream.write_all(&sent).await.unwrap();
        }
        let mut is_watching = false;
        let code = soon("the end of the stream", async {
            loop {
                match next_frame(&mut stream).await.unwrap() {
                    (SETTINGS, 0, ..) => stream.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap(),
                    // The first message: the stream is half-closed, and goes on.
                    (DATA, _, 1, payload) if !payload.is_empty() && !is_watching => {
                        is_watching = true;
                        stream.write_all(&frame(DATA, 0, 1, &request)).await.unwrap();
                    }
                    (RST_STREAM, _, 1, payload) => return payload[..4].to_vec(),
                    (GOAWAY, _, 0, payload) => return payload[4..8].to_vec(),
                    _ => {}
                }
            }
        })
        .await;
        assert!(is_watching);
        // The protocol demands STREAM_CLOSED; the library sends PROTOCOL_ERROR for the whole
        // connection.
        assert!([[0, 0, 0, 5], [0, 0, 0, 1]].contains(&code.as_slice().try_into().unwrap()), "{code:?}");
        assert_eq!(Call::new(LIST, &v1::ListDriversRequest::default()).at(address).await.status(), 0);
    }
}

/// However an answer breaks off, the client of a standby gets a status, and the standby goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_at_the_leader_ends_with_a_status_at_a_standby() {
    let mut leader = FakeLeader::start().await;
    let (standby, control) = behind(&leader).await;
    let cases = [
        (WATCH, Code::Unavailable, "GOING_AWAY"),
        (GET, Code::Unavailable, "GOING_AWAY"),
        (SUBMIT, Code::Unknown, "OUTCOME_UNKNOWN"),
    ];
    for (path, status, reason) in cases {
        for end in ["its process dies", "it resets the stream", "it ends without trailers"] {
            let mut client = connect(&standby.address).await.ready().await.unwrap();
            let head = Call::new(path, &()).head(&standby.address);
            let (response, mut sender) = client.send_request(head, false).unwrap();
            sender.send_data(Bytes::from(framed(false, &[])), true).unwrap();
            let mut answer = leader.call(path).await.begin(b"first");
            let mut body = soon("the headers", response).await.unwrap().into_body();
            assert_eq!(soon("the first message", body.data()).await.unwrap().unwrap()[5..], *b"first");
            match end {
                "its process dies" => leader.cut(),
                "it resets the stream" => answer.send_reset(h2::Reason::INTERNAL_ERROR),
                _ => answer.send_data(Bytes::new(), true).unwrap(),
            }
            while let Some(data) = soon("the rest", body.data()).await {
                assert!(data.unwrap().is_empty(), "{path}: {end}: nothing more was said");
            }
            let trailers = soon("the trailers", body.trailers()).await.unwrap().unwrap();
            let said = tonic::Status::from_header_map(&trailers).unwrap();
            assert_failure(&said, status, reason);
        }
    }
    // The leader dies before it answers: a read is repeated for as long as calls are held.
    for (path, status, reason) in [(GET, 14, "NO_LEADER"), (SUBMIT, 2, "OUTCOME_UNKNOWN")] {
        let (call, address) = (Call::new(path, &()), standby.address.clone());
        let asked = tokio::spawn(async move { call.at(&address).await });
        let first = leader.call(path).await;
        control.vacate();
        leader.cut();
        drop(first);
        let frames = soon("the answer", asked).await.unwrap();
        assert_eq!((frames.status(), frames.reason.as_deref()), (status, Some(reason)), "{path}: {frames:?}");
        control.lead(&leader.address, 2);
    }
    let next = Master::start(&[]).await;
    control.lead(&next.address, 3);
    assert_eq!(Call::new(LIST, &v1::ListDriversRequest::default()).at(&standby.address).await.status(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_standby_that_goes_away_is_gone_for_the_leader_too() {
    let mut leader = FakeLeader::start().await;
    let (standby, _control) = behind(&leader).await;
    for gone in ["it cancels", "its connection ends", "its deadline passes"] {
        for path in [WATCH, GET] {
            let stream = tokio::net::TcpStream::connect(&standby.address).await.unwrap();
            let (client, connection) = h2::client::handshake(stream).await.unwrap();
            let connection = tokio::spawn(connection);
            let mut call = Call::new(path, &());
            if gone == "its deadline passes" {
                call = call.with("grpc-timeout", "500m");
            }
            let mut client = client.ready().await.unwrap();
            let (response, mut sender) = client.send_request(call.head(&standby.address), false).unwrap();
            sender.send_data(Bytes::from(framed(false, &[])), true).unwrap();
            let mut asked = leader.call(path).await;
            let mut answer = (path == WATCH).then(|| asked.begin(b"first"));
            let mut response = Some(response);
            if answer.is_some() {
                let mut body = soon("the headers", response.take().unwrap()).await.unwrap().into_body();
                assert!(soon("the first message", body.data()).await.unwrap().is_ok());
            }
            match gone {
                "it cancels" => sender.send_reset(h2::Reason::CANCEL),
                "its connection ends" => connection.abort(),
                _ => {}
            }
            let reason = match &mut answer {
                Some(answer) => cancelled(answer).await,
                None => asked.cancelled().await,
            };
            assert_eq!(reason, h2::Reason::CANCEL, "{path}: {gone}");
        }
    }
}
