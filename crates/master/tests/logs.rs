//! Logs through the master, from a worker's own service.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use common::worker::{FakeWorker, Link};
use common::*;
use muster_proto::errors::Failure;
use muster_proto::v1;
use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_proto::v1::read_log_request::Subject;
use muster_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use muster_testenv::wire::{Call, StalledStreams};
use muster_types::AttemptState;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use v1::driver::State;

type Pieces =
    std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WorkerServiceReadLogResponse, Status>> + Send>>;

/// A worker that has only the standard output of first attempts, in these pieces.
struct FixedLogs(Vec<&'static [u8]>);

#[tonic::async_trait]
impl WorkerService for FixedLogs {
    type ReadLogStream = Pieces;

    async fn get_inventory(
        &self,
        _request: Request<v1::GetInventoryRequest>,
    ) -> Result<Response<v1::GetInventoryResponse>, Status> {
        Err(Status::unimplemented("inventory"))
    }

    async fn read_log(&self, request: Request<v1::WorkerServiceReadLogRequest>) -> Result<Response<Pieces>, Status> {
        let request = request.into_inner();
        if request.attempt != 1 || request.stream == i32::from(v1::LogStream::Stderr) {
            return Err(Failure::NotFound { kind: "log", name: format!("{:?}", request.subject) }.into());
        }
        let pieces = self.0.clone();
        let chunk = move |(index, data): (usize, &&'static [u8])| {
            let end = index + 1 == pieces.len();
            let chunk = v1::LogChunk { data: (*data).into(), end, ..Default::default() };
            Ok(v1::WorkerServiceReadLogResponse { chunk: Some(chunk) })
        };
        let chunks: Vec<_> = self.0.iter().enumerate().map(chunk).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn drain(&self, _request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, Status> {
        Err(Status::unimplemented("drain"))
    }
}

async fn logs(pieces: Vec<&'static [u8]>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder().add_service(WorkerServiceServer::new(FixedLogs(pieces)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// A worker of a service with these pieces, and the driver `talks` that runs on it. The link must
/// be kept, or the worker is lost.
async fn running_driver(master: &Master, pieces: Vec<&'static [u8]>) -> (MasterServiceClient<Channel>, Link) {
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 1);
    worker.hello.address = logs(pieces).await;
    let mut link = worker.join(master, &[]).await;
    submit(&mut client, "talks").await;
    let launch = link.launch().await;
    link.report(&[worker.report(&launch, AttemptState::Running)]).await;
    until(&mut client, "talks", State::Running).await;
    (client, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_through_the_master() {
    let master = Master::start(&[]).await;
    let (mut client, _link) = running_driver(&master, vec![b"hello ", b"world"]).await;
    let request = v1::ReadLogRequest { subject: Some(Subject::DriverId("talks".into())), ..Default::default() };
    let mut pieces = client.read_log(request.clone()).await.unwrap().into_inner();
    let mut text = Vec::new();
    while let Some(piece) = soon("a piece", pieces.next()).await {
        text.extend(piece.unwrap().chunk.unwrap().data);
    }
    assert_eq!(text, b"hello world");

    let stderr = v1::ReadLogRequest { stream: v1::LogStream::Stderr.into(), ..request.clone() };
    assert_failure(&client.read_log(stderr).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let never = v1::ReadLogRequest { attempt: 9, ..request.clone() };
    assert_failure(&client.read_log(never).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let nobody = v1::ReadLogRequest { subject: Some(Subject::DriverId("nobody".into())), ..request };
    assert_failure(&client.read_log(nobody).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
}

/// All logs of a worker are read over one connection.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_reading_hold_up_no_other_reader() {
    static PIECE: [u8; 1 << 20] = [b'x'; 1 << 20];
    let master = Master::start(&[]).await;
    let (mut client, _link) = running_driver(&master, vec![&PIECE; 16]).await;
    let request = v1::ReadLogRequest { subject: Some(Subject::DriverId("talks".into())), ..Default::default() };
    let call = Call::new("/muster.v1.MasterService/ReadLog", &request);
    let _stalled = StalledStreams::open(&master.address, &call, 24, true).await;
    let mut pieces = client.read_log(request).await.unwrap().into_inner();
    let mut length = 0;
    while let Some(piece) = soon("a piece", pieces.next()).await {
        length += piece.unwrap().chunk.unwrap().data.len();
    }
    assert_eq!(length, 16 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_be_reached_is_named() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 1);
    worker.hello.address = "127.0.0.1:1".into();
    let mut link = worker.join(&master, &[]).await;
    submit(&mut client, "mute").await;
    link.launch().await;
    let request = v1::ReadLogRequest { subject: Some(Subject::DriverId("mute".into())), ..Default::default() };
    let status = client.read_log(request).await.unwrap_err();
    assert_failure(&status, Code::Unavailable, "WORKER_UNREACHABLE");
    assert!(status.message().contains("w1"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_says_nothing_holds_nobody_for_ever() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 1);
    // The kernel accepts the connection and nobody reads from it, as with a stopped worker.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    worker.hello.address = silent.local_addr().unwrap().to_string();
    let mut link = worker.join(&master, &[]).await;
    submit(&mut client, "mute").await;
    link.launch().await;
    let request = v1::ReadLogRequest { subject: Some(Subject::DriverId("mute".into())), ..Default::default() };
    let status = soon("an answer", client.read_log(request)).await.unwrap_err();
    assert_failure(&status, Code::Unavailable, "WORKER_UNREACHABLE");
}
