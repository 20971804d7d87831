//! Logs through the worker's own service.

use std::io::Write;

use muster_proto::v1;
use muster_proto::v1::worker_service_read_log_request::Subject;
use muster_types::*;
use tonic::{Code, Streaming};

use crate::stage::*;

fn request(follow: bool) -> v1::WorkerServiceReadLogRequest {
    let AttemptKey::Driver(uid, attempt) = driver(1) else { unreachable!() };
    v1::WorkerServiceReadLogRequest {
        subject: Some(Subject::DriverUid(uid.to_string())),
        attempt: attempt.0,
        follow,
        ..Default::default()
    }
}

async fn next(stream: &mut Streaming<v1::WorkerServiceReadLogResponse>) -> v1::LogChunk {
    soon("a chunk", stream.message()).await.expect("no error").expect("not over").chunk.expect("a chunk")
}

fn write(stage: &Stage, text: &str) {
    let directory = stage.path("logs").join(driver(1).to_string());
    std::fs::create_dir_all(&directory).expect("made");
    let mut file = std::fs::File::options().create(true).append(true).open(directory.join("stdout")).expect("opened");
    file.write_all(text.as_bytes()).expect("written");
}

#[tokio::test]
async fn a_log_is_followed_until_its_process_has_ended() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (_stream, mut talk) = stage.register(&mut master, vec![report(driver(1), 2, AttemptState::Running)]).await;
    let mut client = stage.client().await;
    write(&stage, "one\n");
    let mut log = client.read_log(request(true)).await.expect("found").into_inner();
    assert_eq!(next(&mut log).await.data, "one\n");
    write(&stage, "two\n");
    let chunk = next(&mut log).await;
    assert_eq!((chunk.data.as_ref(), chunk.offset), (&b"two\n"[..], Some(v1::LogOffset { truncations: 0, byte: 4 })));
    write(&stage, "three\n");
    talk.report(ended(driver(1), 3)).await;
    assert_eq!(next(&mut log).await.data, "three\n");
    let last = next(&mut log).await;
    assert!(last.end && last.data.is_empty());
    assert!(log.message().await.expect("no error").is_none());
}

#[tokio::test]
async fn a_log_is_read_from_its_tail_and_not_waited_for() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (_stream, _talk) = stage.register(&mut master, vec![report(driver(1), 2, AttemptState::Running)]).await;
    let mut client = stage.client().await;
    write(&stage, "0123456789");
    let tail = v1::WorkerServiceReadLogRequest { tail_bytes: 4, ..request(false) };
    let mut log = client.read_log(tail).await.expect("found").into_inner();
    assert_eq!(next(&mut log).await.data, "6789");
    // The attempt still runs, so the end of the file is not its end.
    let last = next(&mut log).await;
    assert!(!last.end && last.data.is_empty());
    assert!(log.message().await.expect("no error").is_none());
}

#[tokio::test]
async fn a_log_of_nothing_known_is_not_found() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (_stream, _talk) = stage.register(&mut master, vec![]).await;
    let status = stage.client().await.read_log(request(false)).await.expect_err("not found");
    assert_eq!(status.code(), Code::NotFound);
    let escape =
        v1::WorkerServiceReadLogRequest { subject: Some(Subject::DriverUid("../../etc".into())), ..request(false) };
    assert_eq!(stage.client().await.read_log(escape).await.expect_err("refused").code(), Code::NotFound);
}
