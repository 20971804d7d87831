//! The worker's services as frames of HTTP/2, as a client of another family sees them. They answer
//! like a master's, which `crates/master/tests/wire.rs` tests.

use muster_testenv::wire::{Call, framed, gzip};

use crate::stage::*;

const INVENTORY: &str = "/muster.v1.WorkerService/GetInventory";
const METHODS: [&str; 6] = [
    INVENTORY,
    "/muster.v1.WorkerService/ReadLog",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// A worker that serves, and its address.
async fn served() -> (Stage, Master, (Stream, Talk), String) {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let link = stage.register(&mut master, vec![]).await;
    let address = stage.address().await;
    (stage, master, link, address)
}

/// A message of this size. Its fields are unknown and skipped, so only its size can be refused.
fn sized(bytes: usize) -> Vec<u8> {
    let text = vec![b'x'; bytes - 6];
    let mut message = vec![0xfa, 0x01];
    let length = text.len();
    message.extend([(length | 0x80) as u8, (length >> 7 | 0x80) as u8, (length >> 14 | 0x80) as u8]);
    message.push((length >> 21) as u8);
    message.extend(text);
    message
}

#[tokio::test]
async fn a_foreign_name_and_a_browser_are_refused_as_by_a_master() {
    let (_stage, _master, _link, address) = served().await;
    for path in METHODS {
        for call in [Call::new(path, &()).to_host("evil.example:7078"), Call::new(path, &()).with("origin", "null")] {
            let frames = call.at(&address).await;
            assert_eq!((frames.status(), frames.reason.as_deref()), (7, Some("FOREIGN_HOST")), "{path} {frames:?}");
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_as_by_a_master() {
    let (_stage, _master, _link, address) = served().await;
    for path in METHODS {
        let call = |body| Call::new(path, &()).body(body);
        let packed = |message: &[u8]| call(framed(true, &gzip(message))).with("grpc-encoding", "gzip");
        for size in [(1 << 20) + 1, 8 << 20] {
            let message = sized(size);
            for call in [call(framed(false, &message)), packed(&message)] {
                let frames = call.at(&address).await;
                assert!(frames.is_too_large(), "{path} {size} {frames:?}");
            }
        }
    }
    for path in METHODS {
        let frames = Call::new(path, &()).with("x-fill", "x".repeat(20 << 10)).at(&address).await;
        assert!(frames.is_too_large(), "{path} {frames:?}");
        let frames = Call::new(path, &()).with("x-fill", "x".repeat(48 << 10)).at(&address).await;
        assert_eq!((frames.http, frames.headers_only), (431, true), "{path} {frames:?}");
        // The prefix alone tells the size, and nothing follows it.
        for (compressed, encoding) in [(0, "identity"), (1, "gzip")] {
            let call = Call::new(path, &()).body(vec![compressed, 0, 0x20, 0, 0]).with("grpc-encoding", encoding);
            let frames = call.without_end_at(&address).await;
            assert!(frames.is_too_large(), "{path} {encoding} {frames:?}");
        }
    }
    let largest = Call::new(INVENTORY, &()).body(framed(false, &sized(1 << 20))).at(&address).await;
    assert_eq!(largest.status(), 0, "{largest:?}");
}

#[tokio::test]
async fn what_is_no_call_is_refused_as_http() {
    let (_stage, _master, _link, address) = served().await;
    for path in METHODS {
        let others = ["application/grpc+json", "application/grpc-web", "application/grpc-web+proto"];
        for kind in ["text/plain", "application/json", ""].into_iter().chain(others) {
            let frames = Call::new(path, &()).with("content-type", kind).at(&address).await;
            assert_eq!((frames.http, frames.headers_only), (415, true), "{path} {kind:?} {frames:?}");
        }
        let kind = "application/grpc+proto";
        let frames = Call::new(path, &()).with("content-type", kind).with("grpc-timeout", "100m").at(&address).await;
        assert_eq!(frames.http, 200, "{path} {frames:?}");
    }
}

/// One stream would go on for ever, and the other calls never end their request.
#[tokio::test]
async fn a_deadline_that_passes_or_cannot_be_read_is_said_as_such() {
    let (_stage, _master, _link, address) = served().await;
    let watch = Call::new("/grpc.health.v1.Health/Watch", &()).with("grpc-timeout", "200m");
    let frames = watch.at(&address).await;
    assert_eq!((frames.messages.len(), frames.status()), (1, 4), "{frames:?}");
    for path in METHODS {
        let frames = Call::new(path, &()).with("grpc-timeout", "50m").without_end_at(&address).await;
        assert_eq!(frames.status(), 4, "{path} {frames:?}");
        let frames = Call::new(path, &()).with("grpc-timeout", "1x").at(&address).await;
        assert_eq!((frames.status(), frames.reason.as_deref()), (3, Some("BAD_REQUEST")), "{path} {frames:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_never_ended_is_given_up() {
    let (_stage, _master, _link, address) = served().await;
    let mut calls = tokio::task::JoinSet::new();
    for path in METHODS.into_iter().filter(|path| !path.starts_with("/grpc.reflection")) {
        let address = address.clone();
        calls.spawn(async move { (path, Call::new(path, &()).without_end_at(&address).await) });
    }
    while let Some(done) = calls.join_next().await {
        let (path, frames) = done.expect("no panic");
        assert_eq!((frames.status(), frames.reason.as_deref()), (4, Some("NOT_QUEUED")), "{path} {frames:?}");
    }
}

#[tokio::test]
async fn a_second_message_is_refused_where_a_method_takes_one() {
    let (_stage, _master, _link, address) = served().await;
    for path in METHODS.into_iter().filter(|path| !path.starts_with("/grpc.reflection")) {
        let frames = Call::new(path, &()).body(framed(false, &[]).repeat(2)).at(&address).await;
        assert_eq!((frames.status(), frames.reason.as_deref()), (3, Some("BAD_REQUEST")), "{path} {frames:?}");
    }
}

#[tokio::test]
async fn a_watch_of_a_health_that_is_unknown_says_so_and_goes_on() {
    let (_stage, _master, _link, address) = served().await;
    let unknown = tonic_health::pb::HealthCheckRequest { service: "nobody".into() };
    let watch = Call::new("/grpc.health.v1.Health/Watch", &unknown).with("grpc-timeout", "300m");
    let frames = watch.at(&address).await;
    let said: Vec<_> = frames.messages.iter().map(|(_, message)| message.as_slice()).collect();
    assert_eq!((said.as_slice(), frames.status()), ([[8, 3].as_slice()].as_slice(), 4), "{frames:?}");
    let frames = Call::new("/grpc.health.v1.Health/Check", &unknown).at(&address).await;
    assert_eq!(frames.status(), 5, "{frames:?}");
}
