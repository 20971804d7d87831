//! The stage: a master, a runner, and the agent between them.

mod leaders;
mod master;
mod runner;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use muster_proto::v1::worker_service_client::WorkerServiceClient;
use muster_types::*;
use muster_worker::accounts::Accounts;
use muster_worker::agent::{self, AgentError};
use muster_worker::config::{Directories, WorkerConfig, WorkerRetention};
use muster_worker::launch::ArtifactNetworks;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

pub(crate) use master::{Master, Stream};
pub(crate) use runner::{Runner, Talk};

/// Nothing here takes this long unless it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: waited too long"))
}

/// The agent's task, and what stops it.
type Agent = (watch::Sender<bool>, JoinHandle<Result<(), AgentError>>);

/// A runner, an agent and their directories.
pub(crate) struct Stage {
    pub(crate) root: tempfile::TempDir,
    pub(crate) runner: Runner,
    agent: Option<Agent>,
}

impl Stage {
    /// A runner, and no agent yet.
    pub(crate) fn set() -> Stage {
        let root = tempfile::tempdir().expect("a directory");
        let state = root.path().join("state");
        std::fs::create_dir(&state).expect("made");
        Stage { runner: Runner::listen(&state), root, agent: None }
    }

    pub(crate) fn config(&self, master: &Master) -> WorkerConfig {
        let at = |name: &str| self.root.path().join(name);
        WorkerConfig {
            masters: vec![master.address.clone()],
            token: None,
            trust: None,
            name: "w1".into(),
            listen: "127.0.0.1:0".parse().expect("an address"),
            http: None,
            advertise: None,
            host: "127.0.0.1".into(),
            total: AllocatedResources { cores: 4, memory: 1 << 30, addresses: BTreeMap::new() },
            labels: BTreeMap::new(),
            variables: BTreeMap::from([("TOOL".into(), "/bin/echo".into())]),
            directories: Directories { state: at("state"), work: at("work"), logs: at("logs"), cache: at("cache") },
            runner: "/nonexistent/muster-runner".into(),
            accounts: Accounts::default(),
            // The servers of tests are on this machine.
            artifact_networks: ArtifactNetworks {
                allow: vec!["127.0.0.0/8".parse().expect("a network")],
                deny: Vec::new(),
            },
            runner_args: vec![],
            require_containment: Default::default(),
            limits: true,
            fence_kill_after: Duration::from_secs(600),
            retention: WorkerRetention {
                interval: Duration::from_secs(3_600),
                work_age: Duration::from_secs(3_600),
                log_age: Duration::from_secs(3_600),
                log_bytes: 1 << 30,
                cache_bytes: 1 << 30,
            },
            rejoin: false,
            address_file: Some(at("address")),
            otlp: Default::default(),
        }
    }

    /// Starts an agent that dials this master.
    pub(crate) fn start(&mut self, master: &Master) {
        self.start_with(self.config(master));
    }

    pub(crate) fn start_with(&mut self, config: WorkerConfig) {
        let (stop, stopped) = watch::channel(false);
        self.agent = Some((stop, tokio::spawn(agent::run(config, stopped))));
    }

    /// Stops the agent as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let (stop, task) = self.agent.take().expect("an agent runs");
        stop.send(true).expect("it listens");
        soon("the agent's end", task).await.expect("no panic").expect("a clean end");
    }

    /// Takes agent, runner and master to the point where the inventory has gone up.
    pub(crate) async fn register(&mut self, master: &mut Master, inventory: Vec<Report>) -> (Stream, Talk) {
        let talk = self.runner.adopted().await;
        self.register_by(talk, master, inventory).await
    }

    /// The same for a runner that has adopted the agent already.
    pub(crate) async fn register_by(
        &mut self,
        mut talk: Talk,
        master: &mut Master,
        inventory: Vec<Report>,
    ) -> (Stream, Talk) {
        let mut stream = master.hello().await;
        stream.welcome();
        talk.answer_inventory(inventory).await;
        stream.inventory().await;
        (stream, talk)
    }

    /// Waits until the agent has these masters on disk.
    pub(crate) async fn wait_for_masters(&self, masters: &[&Master]) {
        let (state, wanted) = (self.path("state"), masters.iter().map(|master| master.address.clone()));
        let wanted: Vec<String> = wanted.collect();
        let known = async {
            while muster_worker::state::load_masters(&state) != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("the masters on disk", known).await;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The address of the worker's own service, once it has registered.
    pub(crate) async fn address(&self) -> String {
        let path = self.path("address");
        let address = soon("the address file", async {
            loop {
                match std::fs::read_to_string(&path) {
                    Ok(text) => return text.trim().to_owned(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        });
        address.await
    }

    /// A client of the worker's own service, once it has registered.
    pub(crate) async fn client(&self) -> WorkerServiceClient<Channel> {
        let address = self.address().await;
        WorkerServiceClient::connect(format!("http://{address}")).await.expect("it serves")
    }
}

pub(crate) fn incarnation() -> Incarnation {
    Incarnation { counter: 3, random: 7 }
}

pub(crate) fn driver(attempt: u32) -> AttemptKey {
    AttemptKey::Driver(DriverUid(0xD), AttemptNumber(attempt))
}

pub(crate) fn launch(attempt: AttemptKey) -> Launch {
    Launch {
        attempt,
        id: "pi".into(),
        leased: false,
        command: std::sync::Arc::new(Command {
            program: "{{TOOL}}".into(),
            args: vec!["hi".into()],
            ..Command::default()
        }),
        artifacts: std::sync::Arc::new([]),
        resources: AllocatedResources { cores: 1, memory: 1 << 20, addresses: BTreeMap::new() },
        kill_grace: Duration::from_secs(10),
        log_limit: DEFAULT_LOG_LIMIT,
        token: None,
        variables: BTreeMap::new(),
        resources_component: "".into(),
        owner: None,
        run_as: None,
        trace: None,
    }
}

pub(crate) fn report(attempt: AttemptKey, sequence: u64, state: AttemptState) -> Report {
    Report {
        attempt,
        sequence,
        state,
        pid: None,
        started: None,
        ended: None,
        resources: AllocatedResources::default(),
        id: "pi".into(),
    }
}

pub(crate) fn ended(attempt: AttemptKey, sequence: u64) -> Report {
    report(attempt, sequence, AttemptState::Ended(Outcome::exited(Exit::Code(0))))
}
