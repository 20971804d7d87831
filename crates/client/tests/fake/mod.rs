//! A master that follows a test's script.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_client::TraceContext;
use muster_client::v1;
use muster_client::v1::master_service_server::{MasterService, MasterServiceServer};
use muster_proto::trace::of_headers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// How a submission is answered.
pub(crate) enum Reply {
    Accept,
    Fail(Status),
    /// No answer: the caller has to give up.
    Hang,
}

/// The messages of one stream. It ends after them unless `stays_open`.
pub(crate) struct Script<T> {
    pub(crate) items: Vec<Result<T, Status>>,
    pub(crate) stays_open: bool,
}

#[derive(Default)]
pub(crate) struct State {
    /// The list of masters on every answer; none while it is empty.
    pub(crate) masters: String,
    /// Answers to the next submissions; further ones are accepted.
    pub(crate) replies: VecDeque<Reply>,
    /// Request ids of submissions that arrived.
    pub(crate) request_ids: Vec<String>,
    /// The credentials of submissions and of watches.
    pub(crate) bearers: Vec<Option<String>>,
    /// The traces of submissions and of watches.
    pub(crate) traces: Vec<Option<TraceContext>>,
    /// Drivers that `GetDriver` returns in turn; the last one stays.
    pub(crate) drivers: VecDeque<v1::Driver>,
    pub(crate) watches: VecDeque<Script<v1::WatchEventsResponse>>,
    /// The requests of watches.
    pub(crate) watched: Vec<v1::WatchEventsRequest>,
    pub(crate) logs: VecDeque<Script<v1::ReadLogResponse>>,
    /// The requests of log reads.
    pub(crate) read: Vec<v1::ReadLogRequest>,
}

/// A master. Dropped, it is gone like a killed process: its connections end.
pub(crate) struct FakeMaster {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
    gate: Gate,
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeMaster {
    pub(crate) async fn start() -> FakeMaster {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::before(listener.local_addr().unwrap()).await;
        let state = Arc::new(Mutex::new(State::default()));
        let service = MasterServiceServer::new(Service(state.clone()));
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        FakeMaster { address: gate.address.clone(), state, server, gate }
    }

    /// Pauses the master as SIGSTOP does: its connections stay, new ones are accepted, and nothing
    /// is answered.
    pub(crate) fn pause(&self) {
        self.gate.open.send_replace(false);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path to a master. The server's tasks for its connections outlive the server; here a
/// connection ends when the gate is dropped.
struct Gate {
    address: String,
    open: watch::Sender<bool>,
    carrying: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Gate {
    async fn before(master: SocketAddr) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open = watch::Sender::new(true);
        let opened = open.subscribe();
        let carrying = tokio::spawn(async move {
            let mut ways = JoinSet::new();
            loop {
                let (caller, _) = listener.accept().await.unwrap();
                let ((from, to), (back, forth)) =
                    (caller.into_split(), TcpStream::connect(master).await.unwrap().into_split());
                ways.spawn(carry(from, forth, opened.clone()));
                ways.spawn(carry(back, to, opened.clone()));
            }
        });
        Gate { address, open, carrying }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

/// An address that answers no packet, like that of a machine that is gone: the queue of its
/// listener is full.
pub(crate) struct GoneMachine {
    pub(crate) address: String,
    _queue: (TcpListener, Vec<TcpStream>),
}

impl GoneMachine {
    pub(crate) async fn new() -> GoneMachine {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut waiting = Vec::new();
        // Nobody accepts. Once the queue is full, always at the same number, a connection gets no
        // answer.
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(&address)).await {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 100, "the queue has a bound");
        }
        GoneMachine { address, _queue: (listener, waiting) }
    }
}

struct Service(Arc<Mutex<State>>);

fn bearer_of<T>(request: &Request<T>) -> Option<String> {
    request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned())
}

impl Service {
    /// Adds the list of masters to an answer.
    fn signed<T>(&self, answer: Result<Response<T>, Status>) -> Result<Response<T>, Status> {
        let masters = self.0.lock().unwrap().masters.clone();
        if masters.is_empty() {
            return answer;
        }
        let masters: tonic::metadata::MetadataValue<_> = masters.parse().unwrap();
        match answer {
            Ok(mut response) => {
                response.metadata_mut().insert("muster-masters", masters);
                Ok(response)
            }
            Err(mut status) => {
                status.metadata_mut().insert("muster-masters", masters);
                Err(status)
            }
        }
    }
}

type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

fn play<T: Send + 'static>(script: Option<Script<T>>) -> Stream<T> {
    use tokio_stream::StreamExt as _;
    let script = script.unwrap_or(Script { items: Vec::new(), stays_open: true });
    let items = tokio_stream::iter(script.items);
    if script.stays_open { Box::pin(items.chain(tokio_stream::pending())) } else { Box::pin(items) }
}

macro_rules! unused {
    ($($name:ident: $request:ident => $response:ident),+ $(,)?) => {
        #[tonic::async_trait]
        impl MasterService for Service {
            type WatchEventsStream = Stream<v1::WatchEventsResponse>;
            type ReadLogStream = Stream<v1::ReadLogResponse>;
            type WatchLeaderStream = Stream<v1::WatchLeaderResponse>;
            type BackupStream = Stream<v1::BackupResponse>;

            async fn watch_leader(
                &self,
                _: Request<v1::WatchLeaderRequest>,
            ) -> Result<Response<Self::WatchLeaderStream>, Status> {
                Err(Status::unimplemented("not in the fake"))
            }

            async fn backup(&self, _: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
                Err(Status::unimplemented("not in the fake"))
            }

            async fn submit_driver(
                &self,
                request: Request<v1::SubmitDriverRequest>,
            ) -> Result<Response<v1::SubmitDriverResponse>, Status> {
                let bearer = bearer_of(&request);
                let trace = of_headers(request.metadata().as_ref());
                let request = request.into_inner();
                let reply = {
                    let mut state = self.0.lock().unwrap();
                    state.bearers.push(bearer);
                    state.traces.push(trace);
                    state.request_ids.push(request.request_id);
                    state.replies.pop_front().unwrap_or(Reply::Accept)
                };
                match reply {
                    Reply::Accept => {
                        let driver = v1::Driver { driver_id: request.driver_id, ..Default::default() };
                        self.signed(Ok(Response::new(v1::SubmitDriverResponse { driver: Some(driver) })))
                    }
                    Reply::Fail(status) => self.signed(Err(status)),
                    Reply::Hang => std::future::pending().await,
                }
            }

            async fn get_driver(
                &self,
                _: Request<v1::GetDriverRequest>,
            ) -> Result<Response<v1::GetDriverResponse>, Status> {
                let mut state = self.0.lock().unwrap();
                let driver = match state.drivers.len() {
                    0 => return Err(muster_client::errors::Failure::NotFound { kind: "driver", name: "x".into() }.into()),
                    1 => state.drivers.front().cloned(),
                    _ => state.drivers.pop_front(),
                };
                Ok(Response::new(v1::GetDriverResponse { driver, resume_token: "listed".into() }))
            }

            async fn watch_events(
                &self,
                request: Request<v1::WatchEventsRequest>,
            ) -> Result<Response<Self::WatchEventsStream>, Status> {
                let script = {
                    let mut state = self.0.lock().unwrap();
                    state.bearers.push(bearer_of(&request));
                    state.traces.push(of_headers(request.metadata().as_ref()));
                    state.watched.push(request.into_inner());
                    state.watches.pop_front()
                };
                self.signed(Ok(Response::new(play(script))))
            }

            async fn read_log(
                &self,
                request: Request<v1::ReadLogRequest>,
            ) -> Result<Response<Self::ReadLogStream>, Status> {
                let script = {
                    let mut state = self.0.lock().unwrap();
                    state.read.push(request.into_inner());
                    state.logs.pop_front()
                };
                self.signed(Ok(Response::new(play(script))))
            }

            $(async fn $name(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                Err(Status::unimplemented("not in the fake"))
            })+
        }
    };
}
unused! {
    list_drivers: ListDriversRequest => ListDriversResponse,
    kill_driver: KillDriverRequest => KillDriverResponse,
    get_application: GetApplicationRequest => GetApplicationResponse,
    list_applications: ListApplicationsRequest => ListApplicationsResponse,
    kill_application: KillApplicationRequest => KillApplicationResponse,
    list_executors: ListExecutorsRequest => ListExecutorsResponse,
    get_worker: GetWorkerRequest => GetWorkerResponse,
    list_workers: ListWorkersRequest => ListWorkersResponse,
    drain_worker: DrainWorkerRequest => DrainWorkerResponse,
    undrain_worker: UndrainWorkerRequest => UndrainWorkerResponse,
    forget_worker: ForgetWorkerRequest => ForgetWorkerResponse,
    revoke_worker: RevokeWorkerRequest => RevokeWorkerResponse,
    forget_attempt: ForgetAttemptRequest => ForgetAttemptResponse,
    end_quarantined: EndQuarantinedRequest => EndQuarantinedResponse,
    get_cluster: GetClusterRequest => GetClusterResponse,
    step_down: StepDownRequest => StepDownResponse,
}
