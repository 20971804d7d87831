//! A master that does what a test says.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_client::v1;
use muster_client::v1::master_service_server::{MasterService, MasterServiceServer};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// How a submission is answered.
pub(crate) enum Reply {
    Accept,
    Fail(Status),
    /// Never: the caller has to give up.
    Hang,
}

/// What one stream says before it ends; with `Open` it stays open after that.
pub(crate) struct Script<T> {
    pub(crate) items: Vec<Result<T, Status>>,
    pub(crate) stays_open: bool,
}

#[derive(Default)]
pub(crate) struct State {
    /// Answers of submissions to come; beyond them all are accepted.
    pub(crate) replies: VecDeque<Reply>,
    /// Request ids of submissions that arrived.
    pub(crate) request_ids: Vec<String>,
    /// Drivers that `GetDriver` shows one after the other; the last for ever.
    pub(crate) drivers: VecDeque<v1::Driver>,
    pub(crate) watches: VecDeque<Script<v1::WatchEventsResponse>>,
    /// What watches asked for.
    pub(crate) watched: Vec<v1::WatchEventsRequest>,
    pub(crate) logs: VecDeque<Script<v1::ReadLogResponse>>,
    /// What log reads asked for.
    pub(crate) read: Vec<v1::ReadLogRequest>,
}

pub(crate) struct FakeMaster {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
    server: Arc<JoinHandle<()>>,
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeMaster {
    pub(crate) async fn start() -> FakeMaster {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let service = MasterServiceServer::new(Service(state.clone()));
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = Arc::new(tokio::spawn(async move { serving.await.unwrap() }));
        FakeMaster { address, state, server }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Service(Arc<Mutex<State>>);

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

            async fn submit_driver(
                &self,
                request: Request<v1::SubmitDriverRequest>,
            ) -> Result<Response<v1::SubmitDriverResponse>, Status> {
                let request = request.into_inner();
                let reply = {
                    let mut state = self.0.lock().unwrap();
                    state.request_ids.push(request.request_id);
                    state.replies.pop_front().unwrap_or(Reply::Accept)
                };
                match reply {
                    Reply::Accept => {
                        let driver = v1::Driver { driver_id: request.driver_id, ..Default::default() };
                        Ok(Response::new(v1::SubmitDriverResponse { driver: Some(driver) }))
                    }
                    Reply::Fail(status) => Err(status),
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
                let mut state = self.0.lock().unwrap();
                state.watched.push(request.into_inner());
                Ok(Response::new(play(state.watches.pop_front())))
            }

            async fn read_log(
                &self,
                request: Request<v1::ReadLogRequest>,
            ) -> Result<Response<Self::ReadLogStream>, Status> {
                let mut state = self.0.lock().unwrap();
                state.read.push(request.into_inner());
                Ok(Response::new(play(state.logs.pop_front())))
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
    end_quarantined: EndQuarantinedRequest => EndQuarantinedResponse,
    get_cluster: GetClusterRequest => GetClusterResponse,
}
