//! A master in this process, and workers that the test plays over real gRPC.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod fake_leader;
pub mod follower;
pub mod gated;
pub mod heir;
pub mod worker;

use std::ffi::OsString;
use std::future::Future;
use std::time::Duration;

use muster_master::{RunError, config, run_on};
use muster_proto::errors::reason_of;
use muster_proto::v1;
use muster_store::{Candidate, MemoryCandidate, NewCluster};
use muster_types::WallTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use v1::application_service_client::ApplicationServiceClient;
use v1::master_service_client::MasterServiceClient;

/// Longer than anything takes on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

pub type Client = MasterServiceClient<Channel>;

/// A master in this process.
pub struct Master {
    pub address: String,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), RunError>>,
    /// Holds the address file, and the state of a master that was given no other place for it.
    dir: tempfile::TempDir,
}

pub fn memory() -> MemoryCandidate {
    MemoryCandidate::new(NewCluster { name: "test".into(), is_name_default: true, now: WallTime(1) }).unwrap()
}

impl Master {
    /// Starts a master on a fresh memory store.
    pub async fn start(flags: &[&str]) -> Master {
        Master::start_on(memory(), flags).await
    }

    /// Starts a master on a store that may have records. It is ready when this returns.
    pub async fn start_on<C>(candidate: C, flags: &[&str]) -> Master
    where
        C: Candidate + 'static,
        C::Store: 'static,
    {
        let ready = tempfile::tempdir().unwrap();
        let file = ready.path().join("address");
        let state = ready.path().join("state");
        let own_state = ["--state-dir", state.to_str().unwrap()];
        let own_state: &[&str] = if flags.contains(&"--state-dir") { &[] } else { &own_state };
        let flags = ["muster-master", "--listen", "127.0.0.1:0", "--store", "memory:", "--address-file"]
            .into_iter()
            .chain([file.to_str().unwrap()])
            .chain(own_state.iter().copied())
            .chain(flags.iter().copied());
        let settings = config::read(flags.map(OsString::from)).unwrap();
        let listener = TcpListener::bind(settings.listen).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut running = tokio::spawn(run_on(settings, listener, candidate, stopped));
        let address = eventually("the master is ready", async || {
            assert!(!running.is_finished(), "{:?}", (&mut running).await);
            std::fs::read_to_string(&file).ok()
        })
        .await;
        Master { address: address.trim().to_owned(), stop, running, dir: ready }
    }

    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub async fn client(&self) -> MasterServiceClient<Channel> {
        MasterServiceClient::new(self.channel().await)
    }

    pub async fn applications(&self) -> ApplicationServiceClient<Channel> {
        ApplicationServiceClient::new(self.channel().await)
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) -> Result<(), RunError> {
        self.stop.send_replace(true);
        soon("the master stops", self.running).await.unwrap()
    }

    /// Stops it, so that everything is written, and returns its audit, if it has no other place.
    pub async fn into_audit(self) -> String {
        self.stop.send_replace(true);
        soon("the master stops", self.running).await.unwrap().unwrap();
        std::fs::read_to_string(self.dir.path().join("state/audit.log")).unwrap()
    }
}

/// Waits for something that must come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("in time: {what}"))
}

/// Waits until a condition holds.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// The smallest spec.
pub fn sleeper() -> v1::DriverSpec {
    v1::DriverSpec {
        command: Some(v1::Command { program: "/bin/sleep".into(), args: vec!["60".into()], ..Default::default() }),
        ..Default::default()
    }
}

pub async fn submit(client: &mut MasterServiceClient<Channel>, id: &str) -> v1::Driver {
    let request = v1::SubmitDriverRequest { driver: Some(sleeper()), driver_id: id.into(), ..Default::default() };
    client.submit_driver(request).await.unwrap().into_inner().driver.unwrap()
}

pub async fn get(client: &mut MasterServiceClient<Channel>, id: &str) -> v1::Driver {
    let request = v1::GetDriverRequest { driver_id: id.into() };
    client.get_driver(request).await.unwrap().into_inner().driver.unwrap()
}

/// Waits until a driver is in a state.
pub async fn until(client: &mut MasterServiceClient<Channel>, id: &str, state: v1::driver::State) -> v1::Driver {
    eventually(&format!("driver {id} is {state:?}"), async || {
        let driver = get(client, id).await;
        (driver.state() == state).then_some(driver)
    })
    .await
}

/// Asserts a row of the error table.
pub fn assert_failure(status: &Status, code: Code, reason: &str) {
    assert_eq!((status.code(), reason_of(status).as_deref()), (code, Some(reason)), "{status:?}");
}

/// Reads a stream until it fails.
pub async fn failure_of<T>(mut stream: tonic::Streaming<T>) -> Status {
    let failed = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ends without a failure"),
                Err(status) => return status,
            }
        }
    };
    soon("the stream fails", failed).await
}

/// A request that shows a token.
pub fn signed<T>(bearer: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    request
}

/// The stable word of a refusal.
pub fn refusal(status: &Status) -> String {
    reason_of(status).unwrap_or_else(|| panic!("{status:?}"))
}
