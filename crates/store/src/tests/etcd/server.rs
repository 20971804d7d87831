//! Real etcd servers, each in a temporary directory on addresses of its own, ended with the test.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::EtcdLocation;

/// The members of one etcd.
pub(crate) struct Etcd {
    members: Vec<Member>,
    directory: tempfile::TempDir,
    arguments: Vec<String>,
}

struct Member {
    /// Its own loopback address: on a shared one, others could get the port of a stopped server,
    /// which then could not start again.
    host: Ipv4Addr,
    child: Option<Child>,
}

/// The ports of every member.
const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;

/// How long a server may take to answer, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

impl Etcd {
    /// Starts one member.
    pub(crate) async fn start() -> Etcd {
        Etcd::start_with(1, &[]).await
    }

    /// Starts several members, each with these arguments.
    pub(crate) async fn start_with(members: usize, arguments: &[&str]) -> Etcd {
        let members = (0..members).map(|_| Member { host: own_host(), child: None }).collect();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut etcd = Etcd { members, directory: tempfile::tempdir().unwrap(), arguments };
        for index in 0..etcd.members.len() {
            etcd.spawn(index);
        }
        etcd.ready().await;
        etcd
    }

    fn spawn(&mut self, index: usize) {
        let url = |member: &Member, port: u16| format!("http://{}:{port}", member.host);
        let names = self.members.iter().enumerate();
        let cluster: Vec<String> = names.map(|(index, member)| format!("m{index}={}", url(member, PEERS))).collect();
        let member = &self.members[index];
        let log = std::fs::File::create(self.directory.path().join(format!("m{index}.log"))).unwrap();
        let child = Command::new(program())
            .arg(format!("--name=m{index}"))
            .arg(format!("--data-dir={}", self.directory.path().join(format!("m{index}")).display()))
            .arg(format!("--listen-client-urls={}", url(member, CLIENTS)))
            .arg(format!("--advertise-client-urls={}", url(member, CLIENTS)))
            .arg(format!("--listen-peer-urls={}", url(member, PEERS)))
            .arg(format!("--initial-advertise-peer-urls={}", url(member, PEERS)))
            .arg(format!("--initial-cluster={}", cluster.join(",")))
            .arg(format!("--initial-cluster-token={}", std::process::id()))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[index].child = Some(child);
    }

    /// Waits until every member answers a read that needs a majority.
    async fn ready(&mut self) {
        let begun = Instant::now();
        for index in 0..self.members.len() {
            let endpoint = self.endpoint(index);
            while !answers(&endpoint).await {
                let ended = self.members[index].child.as_mut().unwrap().try_wait().unwrap();
                assert!(ended.is_none() && begun.elapsed() < READY_WITHIN, "{endpoint}: {}", self.log(index));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn log(&self, index: usize) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("m{index}.log"))).unwrap_or_default()
    }

    /// The address of a member.
    pub(crate) fn endpoint(&self, index: usize) -> String {
        format!("{}:{CLIENTS}", self.members[index].host)
    }

    /// A prefix on all of them.
    pub(crate) fn location(&self, prefix: &str) -> EtcdLocation {
        let endpoints: Vec<String> = (0..self.members.len()).map(|index| self.endpoint(index)).collect();
        let location = format!("etcd://{}/{prefix}", endpoints.join(","));
        location.parse().unwrap()
    }

    /// A client of all members, for changes that no program of ours makes.
    pub(crate) async fn client(&self) -> etcd_client::Client {
        let endpoints: Vec<String> = (0..self.members.len()).map(|index| self.endpoint(index)).collect();
        etcd_client::Client::connect(endpoints, None).await.unwrap()
    }

    /// Kills a member.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.members[index].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Restarts a killed member.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.spawn(index);
        self.ready().await;
    }

    /// Stops the process of a member: its connections stay open, but it sends nothing.
    pub(crate) fn pause(&self, index: usize) {
        self.signal(index, rustix::process::Signal::STOP);
    }

    /// Continues a paused member, and waits until it has caught up. A member that lags cannot lead,
    /// and its candidacies delay those of the others; if the leader were lost now, the election
    /// could last longer than a lease.
    pub(crate) async fn resume(&mut self, index: usize) {
        self.signal(index, rustix::process::Signal::CONT);
        self.ready().await;
    }

    fn signal(&self, index: usize, signal: rustix::process::Signal) {
        let child = self.members[index].child.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }
}

/// A loopback address that no other test has, in this process or in another.
fn own_host() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, high, low, u8::try_from(number).unwrap())
}

async fn answers(endpoint: &str) -> bool {
    let attempt = async {
        let mut client = etcd_client::Client::connect([endpoint], None).await?;
        client.get("ready", None).await
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), attempt).await, Ok(Ok(_)))
}

/// The etcd program. The tests fail without one.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("MUSTER_ETCD") {
        return named.into();
    }
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/etcd/usr/bin/etcd");
    if unpacked.is_file() {
        return unpacked;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("etcd")).find(|path| path.is_file());
    found.expect("these tests need an etcd server: run `make etcd`, or name one in MUSTER_ETCD")
}
