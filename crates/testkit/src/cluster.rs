//! A cluster of real processes in a folder of its own, with the master on an address of its own.
//! Everything that it has started ends when it is dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use muster_proto::v1::application_service_client::ApplicationServiceClient;
use muster_proto::v1::driver::State;
use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_proto::v1::{Driver, GetDriverRequest, Worker};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::test_ca::{TestCa, connect_lazily, is_tls_the_default};
use crate::{Binaries, Daemon, NamespaceNetwork, eventually, wait_for_file};

/// The master's port.
const MASTER: u16 = 7077;

/// How long any daemon may take to be ready on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Workers, named `w1`, `w2`, ….
    pub workers: usize,
    /// Options of each worker.
    pub worker: WorkerOptions,
    /// Further arguments of the master.
    pub master_args: Vec<String>,
    /// Whether the master serves over TLS.
    pub tls: bool,
    /// Environment variables of the master.
    pub master_environment: Vec<(String, String)>,
    /// Environment variables of every agent.
    pub worker_environment: Vec<(String, String)>,
    /// Whether the files stay when the cluster ends, for the owner of the temporary folder.
    pub keep_files: bool,
}

impl Options {
    /// One worker, over TLS.
    pub fn over_tls() -> Options {
        Options { tls: true, workers: 1, ..Options::default() }
    }
}

/// All that a program has printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Cores.
    pub cores: u32,
    /// Memory, as people write it.
    pub memory: String,
    /// Further arguments.
    pub args: Vec<String>,
    /// The user of programs; without, the worker's default, who may not be able to enter the
    /// folder of a test.
    pub run_as: Option<String>,
}

/// Whoever runs the test, as a worker is told.
pub(crate) fn own_user() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

impl Default for Options {
    /// Two workers of four cores, and timing for tests: a lost worker is noticed within two
    /// seconds.
    fn default() -> Options {
        let timing = ["--heartbeat", "100ms", "--lease", "1500ms", "--margin", "300ms", "--store-lease", "200ms"];
        Options {
            workers: 2,
            worker: WorkerOptions { cores: 4, memory: "8GiB".into(), args: Vec::new(), run_as: Some(own_user()) },
            master_args: timing.map(str::to_owned).to_vec(),
            tls: is_tls_the_default(),
            master_environment: Vec::new(),
            worker_environment: Vec::new(),
            keep_files: false,
        }
    }
}

/// The cluster.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    dir: TempDir,
    address: String,
    /// Holds the address, which the master has after a restart too.
    _network: NamespaceNetwork,
    options: Options,
    ca: Option<TestCa>,
    /// The master, while it runs.
    pub master: Option<Daemon>,
    /// The agents that run, by the name of their state folder.
    pub workers: BTreeMap<String, Daemon>,
    /// Every state folder on which a worker was ever started, so that its runner is ended at last.
    states: Vec<PathBuf>,
}

impl Cluster {
    /// Starts a master and its workers and waits until all are ready.
    pub fn start(options: Options) -> Cluster {
        let mut dir = tempfile::Builder::new();
        let dir = dir.prefix("muster-test-").disable_cleanup(options.keep_files).tempdir();
        let dir = dir.expect("a temporary folder can be made");
        let mut network = NamespaceNetwork::loopback();
        let mut cluster = Cluster {
            binaries: Binaries::locate(),
            address: network.add().address(MASTER),
            _network: network,
            ca: options.tls.then(|| TestCa::create(dir.path())),
            dir,
            options,
            master: None,
            workers: BTreeMap::new(),
            states: Vec::new(),
        };
        cluster.start_master();
        for number in 1..=cluster.options.workers {
            cluster.start_worker(&format!("w{number}"));
        }
        cluster
    }

    /// A master and two workers.
    pub fn two_workers() -> Cluster {
        Cluster::start(Options::default())
    }

    /// The programs under test.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The folder of everything that this cluster writes.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Address of the master.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// State folder of a worker.
    pub fn worker_state(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the master (again, on the same store and address) and waits until it is ready.
    pub fn start_master(&mut self) {
        self.start_master_on("master");
    }

    /// Starts the master on the store in this folder.
    pub fn start_master_on(&mut self, folder: &str) {
        let ready = self.dir.path().join("master.address");
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(self.binaries.path("muster-master"));
        command.args(["--listen", &self.address]).arg("--address-file").arg(&ready);
        command.arg("--state-dir").arg(self.dir.path().join(folder)).args(&self.options.master_args);
        if let Some(ca) = &self.ca {
            command.arg("--tls").arg("--pki").arg(ca.pki());
        }
        command.envs(self.options.master_environment.iter().cloned());
        self.master = Some(Daemon::start(command, &self.dir.path().join("master.log")));
        wait_for_file(&ready, READY);
    }

    /// `kill -9` of the master.
    pub fn kill_master(&mut self) {
        self.master.take().expect("the master runs").kill();
    }

    /// Starts a worker's agent (again) and waits until it has registered.
    pub fn start_worker(&mut self, name: &str) {
        self.start_worker_unready(name, name);
        self.wait_ready(name);
    }

    /// Waits until a worker that was started has registered.
    pub fn wait_ready(&self, name: &str) {
        wait_for_file(&self.ready_file(name), READY);
    }

    /// File that a worker writes when it has registered.
    pub fn ready_file(&self, folder: &str) -> PathBuf {
        self.dir.path().join(format!("{folder}.address"))
    }

    /// Starts an agent on a state folder under a name, without waiting.
    pub fn start_worker_unready(&mut self, folder: &str, name: &str) {
        let mut command = Command::new(self.binaries.path("muster-worker"));
        self.add_worker_args(&mut command, folder, name);
        self.start_worker_by(command, folder);
    }

    /// Starts an agent as process 1 of a PID namespace of its own, as in a container, with further
    /// arguments, and waits until it has registered. It needs root; the daemon is `unshare`.
    pub fn start_worker_as_process_one(&mut self, folder: &str, args: &[&str]) {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(self.binaries.path("muster-worker"));
        self.add_worker_args(&mut command, folder, folder);
        command.args(args);
        self.start_worker_by(command, folder);
        self.wait_ready(folder);
    }

    /// Starts an agent that is told nothing of the CA but what a token says, without waiting.
    pub fn start_worker_without_ca(&mut self, folder: &str, args: &[&str]) {
        let mut command = Command::new(self.binaries.path("muster-worker"));
        self.add_common_worker_args(&mut command, folder, folder);
        command.args(args);
        self.start_worker_by(command, folder);
    }

    fn add_worker_args(&self, command: &mut Command, folder: &str, name: &str) {
        self.add_common_worker_args(command, folder, name);
        if let Some(ca) = &self.ca {
            command.arg("--ca").arg(ca.file());
        }
    }

    fn add_common_worker_args(&self, command: &mut Command, folder: &str, name: &str) {
        command.args(["--master", &self.address, "--name", name, "--listen", "127.0.0.1:0", "--host", "127.0.0.1"]);
        command.arg("--state-dir").arg(self.worker_state(folder));
        command.arg("--address-file").arg(self.ready_file(folder));
        command.args(["--cores", &self.options.worker.cores.to_string(), "--memory", &self.options.worker.memory]);
        // The servers of tests are on this machine.
        command.args(["--artifact-allow", "127.0.0.0/8"]);
        if let Some(user) = &self.options.worker.run_as {
            command.args(["--run-as", user]);
        }
        command.args(&self.options.worker.args);
    }

    /// The file of the CA, where the master serves over TLS.
    pub fn ca(&self) -> Option<PathBuf> {
        self.ca.as_ref().map(TestCa::file)
    }

    fn start_worker_by(&mut self, mut command: Command, folder: &str) {
        command.envs(self.options.worker_environment.iter().cloned());
        let _ = std::fs::remove_file(self.ready_file(folder));
        let daemon = Daemon::start(command, &self.dir.path().join(format!("{folder}.log")));
        self.workers.insert(folder.to_owned(), daemon);
        let state = self.worker_state(folder);
        if !self.states.contains(&state) {
            self.states.push(state);
        }
    }

    /// Runs the command line with contexts in a directory, and nothing of this cluster in its
    /// environment: as somebody who has only heard of it.
    pub fn muster_of_stranger(&self, config: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(self.binaries.path("muster"));
        command.args(args).env("XDG_CONFIG_HOME", config).env("NO_COLOR", "1");
        command.env_remove("MUSTER_MASTER").env_remove("MUSTER_CA_FILE").env_remove("MUSTER_CONTEXT");
        command.output().expect("muster runs")
    }

    /// `kill -9` of a worker's agent; its runner goes on.
    pub fn kill_agent(&mut self, name: &str) {
        self.workers.remove(name).expect("the worker runs").kill();
    }

    /// Process id of a worker's runner, as this machine sees it.
    pub fn runner_pid(&self, name: &str) -> i32 {
        let text = wait_for_file(&self.worker_state(name).join("runner.pid"), READY);
        text.parse().expect("the file holds a process id")
    }

    /// A connection to the master.
    pub fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("the address is one");
        connect_lazily(&endpoint, self.ca.as_ref(), READY)
    }

    /// A plain client of the master's service, as any program would have.
    pub fn client(&self) -> MasterServiceClient<Channel> {
        MasterServiceClient::new(self.channel())
    }

    /// A plain client of the application service.
    pub fn applications(&self) -> ApplicationServiceClient<Channel> {
        ApplicationServiceClient::new(self.channel())
    }

    /// Runs `muster` against this cluster.
    pub fn muster(&self, args: &[&str]) -> Output {
        let mut command = Command::new(self.binaries.path("muster"));
        command.args(args).env("MUSTER_MASTER", &self.address).env("NO_COLOR", "1");
        command.env("XDG_CONFIG_HOME", self.dir.path()).envs(self.ca().map(|path| ("MUSTER_CA_FILE", path)));
        command.output().expect("muster runs")
    }

    /// Runs `muster` and gives its standard output.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn muster_ok(&self, args: &[&str]) -> String {
        let output = self.muster(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "muster {args:?}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }

    /// A driver as the master shows it.
    pub async fn driver(&self, id: &str) -> Option<Driver> {
        let request = GetDriverRequest { driver_id: id.to_owned() };
        self.client().get_driver(request).await.ok()?.into_inner().driver
    }

    /// Waits until a driver is in a state.
    pub async fn wait_for_state(&self, id: &str, state: State) -> Driver {
        self.wait_for_driver(id, &format!("{state:?}"), |driver| driver.state() == state).await
    }

    /// Waits until a driver has ended.
    pub async fn wait_for_end(&self, id: &str) -> Driver {
        self.wait_for_driver(id, "its end", |driver| is_terminal(driver.state())).await
    }

    /// Waits until a driver satisfies a condition.
    pub async fn wait_for_driver(&self, id: &str, what: &str, is: impl Fn(&Driver) -> bool) -> Driver {
        eventually(&format!("{what} of {id}"), Duration::from_secs(60), async || self.driver(id).await.filter(&is))
            .await
    }

    /// A worker as the master shows it.
    pub async fn worker(&self, name: &str) -> Option<Worker> {
        let request = muster_proto::v1::GetWorkerRequest { worker_id: name.to_owned() };
        self.client().get_worker(request).await.ok()?.into_inner().worker
    }

    /// Waits until a worker satisfies a condition.
    pub async fn wait_for_worker(&self, name: &str, what: &str, is: impl Fn(&Worker) -> bool) -> Worker {
        eventually(&format!("{what} of {name}"), Duration::from_secs(60), async || self.worker(name).await.filter(&is))
            .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::daemon::tell_logs(self.dir.path());
        }
        self.workers.clear();
        for state in &self.states {
            let mut stop = Command::new(self.binaries.path("muster-worker"));
            // There may be nothing to stop.
            let _ = stop.arg("stop").arg("--state-dir").arg(state).output();
        }
        self.master.take();
    }
}

/// Whether a driver in this state never changes again.
pub(crate) fn is_terminal(state: State) -> bool {
    matches!(state, State::Finished | State::Failed | State::Killed | State::Lost | State::CrashLoop)
}
