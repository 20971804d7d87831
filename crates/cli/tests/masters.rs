//! `muster cluster` and `muster backup` against a master that does what the test says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::process::Output;
use std::sync::{Arc, Mutex};

use muster_client::errors::Failure;
use muster_client::v1;
use muster_client::v1::master_service_server::{MasterService, MasterServiceServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// The prepared answers, and the received requests.
#[derive(Default)]
struct State {
    backup: Vec<Result<&'static str, Status>>,
    step_down: Vec<Result<v1::StepDownResponse, Status>>,
    request_ids: Vec<String>,
    asked_epochs: Vec<String>,
    /// The epochs of successive leaders; the last one stays.
    epochs: Vec<&'static str>,
}

#[derive(Clone, Default)]
struct Master(Arc<Mutex<State>>);

type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

macro_rules! master {
    ($($name:ident: $request:ident => $response:ident),+ $(,)?) => {
        #[tonic::async_trait]
        impl MasterService for Master {
            type WatchEventsStream = Stream<v1::WatchEventsResponse>;
            type ReadLogStream = Stream<v1::ReadLogResponse>;
            type WatchLeaderStream = Stream<v1::WatchLeaderResponse>;
            type BackupStream = Stream<v1::BackupResponse>;

            async fn backup(&self, _: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
                let pieces = std::mem::take(&mut self.0.lock().expect("whole").backup);
                let pieces = pieces.into_iter().map(|piece| piece.map(|data| v1::BackupResponse { data: data.into() }));
                Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
            }

            async fn step_down(
                &self,
                request: Request<v1::StepDownRequest>,
            ) -> Result<Response<v1::StepDownResponse>, Status> {
                let mut state = self.0.lock().expect("whole");
                let request = request.into_inner();
                state.asked_epochs.push(request.epoch);
                state.request_ids.push(request.request_id);
                state.step_down.remove(0).map(Response::new)
            }

            async fn get_cluster(
                &self,
                _: Request<v1::GetClusterRequest>,
            ) -> Result<Response<v1::GetClusterResponse>, Status> {
                let mut state = self.0.lock().expect("whole");
                let epoch = if state.epochs.len() > 1 { state.epochs.remove(0) } else { state.epochs[0] };
                let cluster = v1::Cluster { leader: format!("leader-{epoch}"), epoch: epoch.into(), ..Default::default() };
                Ok(Response::new(v1::GetClusterResponse { cluster: Some(cluster) }))
            }

            async fn watch_events(&self, _: Request<v1::WatchEventsRequest>) -> Result<Response<Self::WatchEventsStream>, Status> {
                Err(Status::unimplemented("not here"))
            }

            async fn read_log(&self, _: Request<v1::ReadLogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
                Err(Status::unimplemented("not here"))
            }

            async fn watch_leader(&self, _: Request<v1::WatchLeaderRequest>) -> Result<Response<Self::WatchLeaderStream>, Status> {
                Err(Status::unimplemented("not here"))
            }

            $(async fn $name(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                Err(Status::unimplemented("not here"))
            })+
        }
    };
}
master! {
    submit_driver: SubmitDriverRequest => SubmitDriverResponse,
    get_driver: GetDriverRequest => GetDriverResponse,
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
}

/// Serves a master for as long as the runtime lives; returns its address.
async fn serve(master: &Master) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    let serving = tonic::transport::Server::builder()
        .add_service(MasterServiceServer::new(master.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(async move { serving.await.expect("it serves") });
    address
}

async fn muster(address: &str, dir: &Path, words: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(words).current_dir(dir).env("MUSTER_MASTER", address);
    command.output().await.expect("muster runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names in a folder, hidden ones too.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_backup_is_written_whole_and_for_its_owner_alone() {
    let (master, dir) = (Master::default(), tempfile::tempdir().expect("a folder"));
    let address = serve(&master).await;
    master.0.lock().expect("whole").backup = vec![Ok("first "), Ok("second")];
    let output = muster(&address, dir.path(), &["backup", "b"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("12B written to b"), "{}", text(&output.stderr));
    let file = dir.path().join("b");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "first second");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(names(dir.path()), ["b"]);

    master.0.lock().expect("whole").backup = vec![Ok("third")];
    let refused = muster(&address, dir.path(), &["backup", "b"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "first second");
    assert!(muster(&address, dir.path(), &["backup", "--force", "b"]).await.status.success());
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "third");

    master.0.lock().expect("whole").backup = vec![Ok("piped")];
    let piped = muster(&address, dir.path(), &["backup", "-"]).await;
    assert!(piped.status.success() && text(&piped.stdout) == "piped", "{}", text(&piped.stderr));
}

#[tokio::test]
async fn a_backup_that_breaks_off_leaves_what_was_there() {
    let (master, dir) = (Master::default(), tempfile::tempdir().expect("a folder"));
    let address = serve(&master).await;
    for before in [None, Some("old")] {
        if let Some(before) = before {
            fs::write(dir.path().join("b"), before).expect("written");
        }
        master.0.lock().expect("whole").backup = vec![Ok("first "), Err(Failure::GoingAway.into())];
        let output = muster(&address, dir.path(), &["backup", "--force", "b"]).await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("goes away"), "{}", text(&output.stderr));
        let left: Vec<_> =
            names(dir.path()).iter().map(|name| fs::read_to_string(dir.path().join(name)).ok()).collect();
        assert_eq!(left, before.map(|before| Some(before.to_owned())).into_iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn stepping_down_says_who_leads_and_is_done_once() {
    let (master, dir) = (Master::default(), tempfile::tempdir().expect("a folder"));
    let address = serve(&master).await;
    let prepare = |epochs: &[&'static str], answers: Vec<Result<v1::StepDownResponse, Status>>| {
        let mut state = master.0.lock().expect("whole");
        *state = State { epochs: epochs.into(), step_down: answers, ..State::default() };
    };
    let asked = || master.0.lock().expect("whole").request_ids.clone();
    let next = || v1::StepDownResponse { leader: "b:2".into(), epoch: "1.9".into() };
    let broken = || Status::unavailable("connection reset");

    // The first call was surely not applied. The second may have been, but was not. The third
    // succeeds.
    prepare(&["1.1"], vec![Err(Failure::NoLeader.into()), Err(broken()), Ok(next())]);
    let output = muster(&address, dir.path(), &["cluster", "step-down"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "b:2 leads now, with epoch 1.9\n");
    let ids = asked();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0] && !id.is_empty()), "{ids:?}");

    // Every call names the same leader: if an answer is lost, the next leader must not step down
    // too.
    assert_eq!(master.0.lock().expect("whole").asked_epochs, ["1.1", "1.1", "1.1"]);

    let alone = Failure::WrongState { subject: "cluster".into(), message: "no other master stands by".into() };
    prepare(&["1.1"], vec![Err(alone.into())]);
    let refused = muster(&address, dir.path(), &["cluster", "step-down", "--request-id", "mine"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("no other master stands by"), "{}", text(&refused.stderr));
    assert_eq!(asked(), ["mine"]);
}
