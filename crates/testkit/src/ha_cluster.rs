//! Several masters over one etcd, and their workers. Every part is a process that can be killed,
//! paused, cut off and started again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use muster_client::{BearerToken, Client, ConnectOptions as Patience};
use muster_os::proc;
use muster_proto::v1::driver::State;
use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_proto::v1::{Cluster, Driver, GetDriverRequest, GetWorkerRequest, WatchLeaderRequest, Worker};
use rustix::process::Signal;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::cluster::own_user;
use crate::test_ca::{TestCa, connect_lazily, is_tls_the_default};
use crate::{Binaries, Daemon, Etcd, HistoryChecker, NamespaceNetwork, NetworkNode, eventually, wait_for_file};

/// How long anything may take on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// The port on which masters listen.
const MASTER: u16 = 7077;

/// The parts of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Masters, `m1`, ….
    pub masters: usize,
    /// Members of etcd, `e1`, …: one or three.
    pub members: usize,
    /// Workers, `w1`, ….
    pub workers: usize,
    /// Whether every part has a network namespace of its own.
    pub namespaces: bool,
    /// Cores of each worker.
    pub cores: u32,
    /// Whether masters serve over TLS.
    pub tls: bool,
    /// What the test's own client shows the masters.
    pub token: Option<BearerToken>,
    /// Arguments of every master.
    pub master_args: Vec<String>,
    /// Arguments of every worker.
    pub worker_args: Vec<String>,
    /// Environment variables of every master.
    pub master_environment: Vec<(String, String)>,
}

impl Default for ClusterSpec {
    /// Three masters over one etcd and two workers, with short leases: a silent worker is lost
    /// within five seconds.
    fn default() -> ClusterSpec {
        let timing = ["--heartbeat", "200ms", "--lease", "2s", "--margin", "500ms", "--store-lease", "2s"];
        ClusterSpec {
            masters: 3,
            members: 1,
            workers: 2,
            namespaces: false,
            cores: 64,
            tls: is_tls_the_default(),
            token: None,
            master_args: timing.map(str::to_owned).to_vec(),
            worker_args: Vec::new(),
            master_environment: Vec::new(),
        }
    }
}

/// The cluster.
#[derive(Debug)]
pub struct HaCluster {
    spec: ClusterSpec,
    binaries: Binaries,
    nodes: BTreeMap<String, NetworkNode>,
    /// Masters and agents that run, by their names.
    daemons: BTreeMap<String, Daemon>,
    /// Each worker that was ever started, so that its runner is ended at last.
    workers: Vec<String>,
    ca: Option<TestCa>,
    /// What the client shows, once masters ask for credentials.
    token: Option<BearerToken>,
    /// The store.
    pub etcd: Etcd,
    /// Reads what drivers have recorded of themselves.
    pub checker: HistoryChecker,
    // Fields are dropped in this order: processes in the namespaces end before the namespaces do.
    /// The network that joins the parts.
    pub network: NamespaceNetwork,
    dir: TempDir,
}

impl HaCluster {
    /// Starts everything and waits until a leader has heard every worker.
    pub async fn start(spec: ClusterSpec) -> HaCluster {
        let dir = tempfile::Builder::new().prefix("muster-test-").tempdir().expect("a temporary folder can be made");
        let mut network = if spec.namespaces { NamespaceNetwork::namespaces() } else { NamespaceNetwork::loopback() };
        let etcd = Etcd::start(&mut network, dir.path(), spec.members);
        let masters = (1..=spec.masters).map(|number| format!("m{number}"));
        let workers = (1..=spec.workers).map(|number| format!("w{number}"));
        let nodes = masters.chain(workers).map(|name| (name, network.add())).collect();
        let binaries = Binaries::locate();
        let checker = HistoryChecker::new(dir.path(), binaries.path("muster-recorder"));
        let ca = spec.tls.then(|| TestCa::create(dir.path()));
        let mut cluster = HaCluster {
            token: spec.token.clone(),
            spec,
            ca,
            binaries,
            nodes,
            daemons: BTreeMap::new(),
            workers: Vec::new(),
            etcd,
            checker,
            network,
            dir,
        };
        for name in cluster.masters() {
            cluster.start_master(&name);
        }
        for number in 1..=cluster.spec.workers {
            cluster.start_worker(&format!("w{number}"));
        }
        for number in 1..=cluster.spec.workers {
            wait_for_file(&cluster.dir.path().join(format!("w{number}.address")), BOUND);
        }
        cluster
    }

    /// Names of all masters, whether they run or not.
    pub fn masters(&self) -> Vec<String> {
        (1..=self.spec.masters).map(|number| format!("m{number}")).collect()
    }

    /// The network node of a master or a worker.
    pub fn node(&self, name: &str) -> &NetworkNode {
        &self.nodes[name]
    }

    /// Address of a master.
    pub fn address(&self, master: &str) -> String {
        self.nodes[master].address(MASTER)
    }

    /// Addresses of all masters, separated by commas.
    pub fn addresses(&self) -> String {
        self.masters().iter().map(|name| self.address(name)).collect::<Vec<_>>().join(",")
    }

    /// The folder of everything that is written.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The programs under test.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The file of the CA, where masters serve over TLS.
    pub fn ca(&self) -> Option<PathBuf> {
        self.ca.as_ref().map(TestCa::file)
    }

    /// Has masters that are started from now on ask for credentials, by a bundle that is made for
    /// them. Returns it: `ca.crt`, `access.toml`, and `admin.token`.
    pub fn prepare_credentials(&mut self, master_args: &[&str]) -> PathBuf {
        let bundle = TestCa::bundle(self.dir.path(), &self.binaries.path("muster-master")).pki().to_owned();
        let files =
            ["--tls", "--pki", &text(&bundle), "--access-file", &text(&bundle.join("access.toml"))].map(str::to_owned);
        self.spec.master_args.extend(files.into_iter().chain(master_args.iter().map(|&arg| arg.to_owned())));
        bundle
    }

    /// Starts masters without an argument from now on.
    pub fn without_master_arg(&mut self, arg: &str) {
        self.spec.master_args.retain(|known| known != arg);
    }

    /// Starts workers with further arguments from now on.
    pub fn add_worker_args(&mut self, args: &[&str]) {
        self.spec.worker_args.extend(args.iter().map(|&arg| arg.to_owned()));
    }

    /// Calls masters over TLS from now on, as the first administrator of a bundle.
    pub fn call_as_admin(&mut self, bundle: &Path) {
        self.token = Some(BearerToken::in_file(&bundle.join("admin.token")).expect("it is a token"));
        self.ca = Some(TestCa::in_directory(bundle));
    }

    /// Starts a master, again on its own state directory and address.
    pub fn start_master(&mut self, name: &str) {
        let mut command = self.nodes[name].command(&self.binaries.path("muster-master"));
        let address = self.address(name);
        command.args(["--listen", &address, "--advertise", &address]);
        // Only in namespaces is it beyond its machine; credentials do not go with the flag.
        if self.spec.namespaces {
            command.arg("--insecure-listen");
        }
        command.args(["--store", &self.etcd.store()]).arg("--state-dir").arg(self.state(name));
        if let Some(ca) = self.ca.as_ref().filter(|_| self.spec.tls) {
            command.arg("--tls").arg("--pki").arg(ca.pki());
        }
        command.args(&self.spec.master_args).envs(self.spec.master_environment.iter().cloned());
        self.run(name, command);
    }

    /// Starts a worker's agent, for the first time or again on its own state directory.
    pub fn start_worker(&mut self, name: &str) {
        let network = &mut self.network;
        let node = self.nodes.entry(name.to_owned()).or_insert_with(|| network.add()).clone();
        let mut command = node.command(&self.binaries.path("muster-worker"));
        command.args(["--master", &self.addresses(), "--name", name]).arg("--state-dir").arg(self.state(name));
        command.args(["--listen", &node.address(0), "--insecure-listen", "--host", &node.ip()]);
        command.arg("--address-file").arg(self.dir.path().join(format!("{name}.address")));
        if let Some(ca) = self.ca.as_ref().filter(|_| self.spec.tls) {
            command.arg("--ca").arg(ca.file());
        }
        command.args(["--cores", &self.spec.cores.to_string(), "--memory", "64GiB"]);
        command.args(["--run-as", &own_user()]).args(&self.spec.worker_args);
        self.run(name, command);
        if !self.workers.iter().any(|known| known == name) {
            self.workers.push(name.to_owned());
        }
    }

    fn run(&mut self, name: &str, command: Command) {
        let daemon = Daemon::start(command, &self.dir.path().join(format!("{name}.log")));
        self.daemons.insert(name.to_owned(), daemon);
    }

    /// State directory of a master or a worker.
    pub fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The process of a master or an agent.
    pub fn daemon(&mut self, name: &str) -> &mut Daemon {
        self.daemons.get_mut(name).expect("it runs")
    }

    /// `kill -9` of a worker's runner, and so of all that it runs.
    pub fn kill_runner(&self, worker: &str) {
        let pid = rustix::process::Pid::from_raw(self.runner_pid(worker)).expect("a process id is not zero");
        rustix::process::kill_process(pid, Signal::KILL).expect("the runner can be killed");
    }

    /// Sends a signal to a worker's runner.
    pub fn signal_runner(&self, worker: &str, signal: Signal) {
        signal_process(self.runner_pid(worker), signal);
    }

    /// Sends a signal to a worker's guard.
    pub fn signal_guard(&self, worker: &str, signal: Signal) {
        signal_process(self.guard_pid(worker), signal);
    }

    /// Process id of a worker's guard.
    pub fn guard_pid(&self, worker: &str) -> i32 {
        let runner = self.runner_pid(worker);
        guard_of(runner).unwrap_or_else(|| panic!("the runner {runner} has a guard"))
    }

    /// Process id of a worker's agent.
    pub fn agent_pid(&self, worker: &str) -> i32 {
        self.daemons[worker].pid().cast_signed()
    }

    /// A worker's machine loses its power: agent, runner and everything that they run end at once.
    pub fn kill_machine(&mut self, worker: &str) {
        // The agent would start the next runner.
        self.pause(worker);
        self.kill_runner(worker);
        self.kill(worker);
    }

    /// `kill -9` of a master or of an agent; the agent's runner goes on.
    pub fn kill(&mut self, name: &str) {
        self.daemons.remove(name).expect("it runs").kill();
    }

    /// Asks a master or an agent to end, and waits for that.
    pub fn terminate(&mut self, name: &str) {
        self.daemons.remove(name).expect("it runs").terminate(BOUND);
    }

    /// Pauses a master or an agent.
    pub fn pause(&self, name: &str) {
        self.daemons[name].signal(Signal::STOP);
    }

    /// Lets a paused master or agent go on.
    pub fn resume(&self, name: &str) {
        self.daemons[name].signal(Signal::CONT);
    }

    /// Process id of a worker's runner, as this machine sees it.
    pub fn runner_pid(&self, worker: &str) -> i32 {
        let text = wait_for_file(&self.state(worker).join("runner.pid"), BOUND);
        text.parse().expect("the file holds a process id")
    }

    /// Cuts two parts from each other, whether they are masters, workers or members of etcd.
    pub fn cut(&self, one: &str, other: &str) {
        self.network.cut(self.any_node(one), self.any_node(other));
    }

    /// Lets nothing pass from one part to another.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.network.cut_one_way(self.any_node(from), self.any_node(to));
    }

    /// Lets everything pass again, everywhere.
    pub fn heal(&self) {
        for name in self.etcd.names().iter().chain(self.nodes.keys()) {
            self.network.heal(self.any_node(name));
        }
    }

    fn any_node(&self, name: &str) -> &NetworkNode {
        if name.starts_with('e') { self.etcd.node(name) } else { &self.nodes[name] }
    }

    /// The log of a master or an agent.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// A client that knows all masters, as patient as programs are.
    pub fn client(&self) -> Client {
        let masters = self.addresses().parse().expect("the addresses are some");
        Client::with_options(
            masters,
            Patience {
                deadline: BOUND,
                trust: self.ca.as_ref().map(TestCa::trust),
                token: self.token.clone(),
                ..Patience::default()
            },
        )
    }

    /// A plain client of one master, as any program would have. It repeats no call.
    pub fn plain(&self, master: &str) -> MasterServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address(master))).expect("the address is one");
        let bound = Duration::from_secs(5);
        MasterServiceClient::new(connect_lazily(&endpoint.timeout(bound), self.ca.as_ref(), bound))
    }

    /// The leader as this master knows it: its name, and its epoch as (generation, revision).
    /// `None` if the master knows no leader, or does not answer.
    pub async fn leader_by(&self, master: &str) -> Option<(String, (u64, u64))> {
        let mut request = Request::new(WatchLeaderRequest {});
        if let Some(token) = &self.token {
            token.attach_where_private(&mut request, &self.address(master), self.ca.is_some());
        }
        let mut answers = self.plain(master).watch_leader(request).await.ok()?.into_inner();
        let first = answers.message().await.ok()??;
        let epoch = first.epoch?;
        let name = self.masters().into_iter().find(|name| self.address(name) == first.leader)?;
        Some((name, (epoch.generation, epoch.revision)))
    }

    /// The leader, once one of a larger epoch than this says that it leads.
    pub async fn leader_after(&self, epoch: (u64, u64)) -> (String, (u64, u64)) {
        let look = async || {
            for master in self.masters() {
                if let Some((name, known)) = self.leader_by(&master).await
                    && name == master
                    && known > epoch
                {
                    return Some((name, known));
                }
            }
            None
        };
        eventually("a new leader", BOUND, look).await
    }

    /// The present leader.
    pub async fn leader(&self) -> (String, (u64, u64)) {
        self.leader_after((0, 0)).await
    }

    /// A master that runs and does not lead.
    pub async fn standby(&self) -> String {
        let (leader, _) = self.leader().await;
        let running = |name: &String| *name != leader && self.daemons.contains_key(name);
        self.masters().into_iter().find(running).expect("another master runs")
    }

    /// Waits until this many masters stand for election, the leader among them.
    pub async fn wait_for_masters(&self, count: usize) {
        let what = format!("{count} masters in standby order");
        self.wait_for_cluster(&what, |cluster| cluster.masters.len() == count).await;
    }

    /// Waits until the cluster satisfies a condition.
    pub async fn wait_for_cluster(&self, what: &str, is: impl Fn(&Cluster) -> bool) -> Cluster {
        let client = self.client();
        eventually(what, BOUND, async || client.get_cluster().await.ok().filter(&is)).await
    }

    /// Waits until a worker satisfies a condition.
    pub async fn wait_for_worker(&self, name: &str, what: &str, is: impl Fn(&Worker) -> bool) -> Worker {
        let client = self.client();
        let look = async || {
            let answer = client.get_worker(GetWorkerRequest { worker_id: name.to_owned() }).await.ok()?;
            answer.worker.filter(&is)
        };
        eventually(&format!("{what} of {name}"), BOUND, look).await
    }

    /// Waits until a driver satisfies a condition.
    pub async fn wait_for_driver(&self, id: &str, what: &str, is: impl Fn(&Driver) -> bool) -> Driver {
        let client = self.client();
        let look = async || {
            let answer = client.get_driver(GetDriverRequest { driver_id: id.to_owned() }).await.ok()?;
            answer.driver.filter(&is)
        };
        eventually(&format!("{what} of {id}"), BOUND, look).await
    }

    /// Submits a driver. Returns its name once the submission is acknowledged.
    pub async fn submit(&self, submit: crate::Submit) -> String {
        self.client().submit_driver(submit.0).await.expect("the submission is accepted").driver_id
    }

    /// Waits until a copy of a driver is seen to execute.
    pub async fn wait_until_it_executes(&self, id: &str) {
        let before = self.checker.lines(id);
        let look = async || (self.checker.lines(id) > before + 1).then_some(());
        eventually(&format!("{id} to execute"), BOUND, look).await;
    }

    /// Waits until no copy of a driver executes: nothing was recorded for half a second.
    pub async fn wait_until_it_stands_still(&self, id: &str) {
        let mut last = (self.checker.lines(id), std::time::Instant::now());
        let look = async || {
            let lines = self.checker.lines(id);
            if lines != last.0 {
                last = (lines, std::time::Instant::now());
            }
            (last.1.elapsed() > Duration::from_millis(500)).then_some(())
        };
        eventually(&format!("{id} to stand still"), BOUND, look).await;
    }

    /// Waits until a driver is in a state.
    pub async fn wait_for_state(&self, id: &str, state: State) -> Driver {
        self.wait_for_driver(id, &format!("{state:?}"), |driver| driver.state() == state).await
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path is text").to_owned()
}

fn signal_process(pid: i32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id is not zero");
    rustix::process::kill_process(pid, signal).expect("the process takes the signal");
}

/// The guard of a runner, which is one of its children.
fn guard_of(runner: i32) -> Option<i32> {
    let is_guard = |pid: &i32| {
        let is_child = proc::stat(*pid).is_some_and(|stat| stat.parent == runner);
        is_child && proc::has_word(*pid, "cmdline", |word| word == b"--guard")
    };
    proc::pids().find(is_guard)
}

impl Drop for HaCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::daemon::tell_logs(self.dir.path());
        }
        let is_worker = |name: &String| name.starts_with('w');
        self.daemons.retain(|name, _| !is_worker(name));
        for name in &self.workers {
            let mut stop = Command::new(self.binaries.path("muster-worker"));
            // There may be nothing to stop.
            let _ = stop.arg("stop").arg("--state-dir").arg(self.dir.path().join(name)).output();
        }
        self.daemons.clear();
    }
}
