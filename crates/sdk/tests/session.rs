//! A session resumes by itself, and ends when it should.
#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use muster_sdk::errors::Failure;
use muster_sdk::v1::application_service_server::{ApplicationService, ApplicationServiceServer};
use muster_sdk::v1::application_session_event::Event;
use muster_sdk::{Application, Context, SessionEvent, v1};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

type Answer = Result<v1::WatchApplicationResponse, Status>;

/// The prepared streams, and the received requests.
#[derive(Default)]
struct State {
    streams: VecDeque<Vec<Answer>>,
    resumed: Vec<u64>,
    tokens: Vec<String>,
    sequences: Vec<u64>,
}

#[derive(Clone, Default)]
struct Master(Arc<Mutex<State>>);

#[tonic::async_trait]
impl ApplicationService for Master {
    type WatchApplicationStream = Pin<Box<dyn tokio_stream::Stream<Item = Answer> + Send>>;

    async fn register_application(
        &self,
        request: Request<v1::RegisterApplicationRequest>,
    ) -> Result<Response<v1::RegisterApplicationResponse>, Status> {
        self.0.lock().unwrap().tokens.push(request.into_inner().driver_token);
        let application = v1::Application { uid: "the-uid".into(), application_id: "app".into(), ..Default::default() };
        Ok(Response::new(v1::RegisterApplicationResponse { application: Some(application) }))
    }

    async fn watch_application(
        &self,
        request: Request<v1::WatchApplicationRequest>,
    ) -> Result<Response<Self::WatchApplicationStream>, Status> {
        let mut state = self.0.lock().unwrap();
        state.resumed.push(request.get_ref().resume_revision);
        let items = state.streams.pop_front().unwrap_or_default();
        Ok(Response::new(Box::pin(tokio_stream::iter(items))))
    }

    async fn request_executors(
        &self,
        request: Request<v1::RequestExecutorsRequest>,
    ) -> Result<Response<v1::RequestExecutorsResponse>, Status> {
        let sequence = request.into_inner().sequence;
        self.0.lock().unwrap().sequences.push(sequence);
        Ok(Response::new(v1::RequestExecutorsResponse { accepted: true, sequence }))
    }

    async fn kill_executors(
        &self,
        _: Request<v1::KillExecutorsRequest>,
    ) -> Result<Response<v1::KillExecutorsResponse>, Status> {
        Ok(Response::new(v1::KillExecutorsResponse::default()))
    }

    async fn unregister_application(
        &self,
        _: Request<v1::UnregisterApplicationRequest>,
    ) -> Result<Response<v1::UnregisterApplicationResponse>, Status> {
        Ok(Response::new(v1::UnregisterApplicationResponse::default()))
    }
}

/// Starts a master with prepared streams; returns its address.
async fn master(streams: impl IntoIterator<Item = Vec<Answer>>) -> (Master, String) {
    let master = Master::default();
    master.0.lock().unwrap().streams.extend(streams);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = ApplicationServiceServer::new(master.clone());
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (master, address)
}

/// An application whose masters are given as in `MUSTER_MASTER`.
async fn application_at(masters: &str) -> Application {
    let mut context = Context::from_env().unwrap();
    context.masters = masters.parse().unwrap();
    Application::register(&context, v1::ApplicationSpec::default()).await.unwrap()
}

async fn application(streams: impl IntoIterator<Item = Vec<Answer>>) -> (Master, Application) {
    let (master, address) = master(streams).await;
    (master, application_at(&address).await)
}

fn state(executors: &[u32], revision: u64) -> Answer {
    let executor = |id: &u32| v1::Executor { executor_id: *id, ..Default::default() };
    let snapshot = executors.iter().map(executor).collect();
    Ok(v1::WatchApplicationResponse { snapshot, is_snapshot: true, revision, ..Default::default() })
}

fn event(revision: u64, event: Event) -> Answer {
    let event = v1::ApplicationSessionEvent { revision, event: Some(event), ..Default::default() };
    Ok(v1::WatchApplicationResponse { events: vec![event], revision, ..Default::default() })
}

#[tokio::test]
async fn a_session_resumes_until_its_application_has_ended() {
    let running = || Event::Running(v1::ExecutorRunning {});
    let ended = Event::ApplicationEnded(v1::ApplicationEnded { by: "application".into(), ..Default::default() });
    let (master, application) = application([
        vec![state(&[1], 10), event(11, running()), Err(Status::unavailable("connection reset"))],
        vec![event(12, running()), Err(Failure::GoingAway.into())],
        // The missed events are no longer kept, so the state follows, from a master with revisions
        // of its own.
        vec![state(&[1, 2], 5), event(6, ended)],
    ])
    .await;
    let mut session = application.open_session();
    let mut seen = Vec::new();
    while let Some(event) = session.next().await.unwrap() {
        seen.push(match event {
            SessionEvent::State(executors) => format!("state of {}", executors.len()),
            SessionEvent::Event(event) => format!("event {}", event.revision),
        });
    }
    assert_eq!(seen, ["state of 1", "event 11", "event 12", "state of 2", "event 6"]);
    assert_eq!(master.0.lock().unwrap().resumed, [0, 11, 12]);
}

#[tokio::test]
async fn a_session_resumes_at_another_master() {
    let ended = Event::ApplicationEnded(v1::ApplicationEnded { by: "application".into(), ..Default::default() });
    let (old, old_address) = master([vec![state(&[1], 10), Err(Status::unavailable("connection reset"))]]).await;
    let (new, new_address) = master([vec![event(11, ended)]]).await;
    let application = application_at(&format!("{old_address},{new_address}")).await;
    let mut session = application.open_session();
    let mut seen = 0;
    while session.next().await.unwrap().is_some() {
        seen += 1;
    }
    assert_eq!(seen, 2);
    assert_eq!((&*old.0.lock().unwrap().resumed, &*new.0.lock().unwrap().resumed), (&[0][..], &[10][..]));
}

#[tokio::test]
async fn a_session_that_is_fenced_says_so() {
    let fenced = Failure::Fenced { have: "a newer session is open".into(), got: "session 1".into() };
    let (_, application) = application([vec![state(&[], 1), Err(fenced.into())]]).await;
    let mut session = application.open_session();
    assert!(matches!(session.next().await, Ok(Some(SessionEvent::State(executors))) if executors.is_empty()));
    assert!(session.next().await.unwrap_err().is_fenced());
}

#[tokio::test]
async fn later_wishes_have_higher_sequences() {
    let (master, application) = application([]).await;
    for target in [1, 5] {
        assert!(application.request_executors(&[(1, target)].into()).await.unwrap());
    }
    let sequences = master.0.lock().unwrap().sequences.clone();
    assert!(sequences[0] > 1_600_000_000_000_000 && sequences[1] > sequences[0]);
}
