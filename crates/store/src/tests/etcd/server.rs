//! Real etcd servers, each in a temporary directory on free ports, ended with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::EtcdLocation;

/// The members of one etcd.
pub(crate) struct Etcd {
    members: Vec<Member>,
    directory: tempfile::TempDir,
    arguments: Vec<String>,
}

struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

/// How long a server may take to answer, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

impl Etcd {
    /// One member.
    pub(crate) async fn start() -> Etcd {
        Etcd::start_with(1, &[]).await
    }

    /// Some members, each with these arguments.
    pub(crate) async fn start_with(members: usize, arguments: &[&str]) -> Etcd {
        // Held all at once, so that no two are the same.
        let held: Vec<TcpListener> =
            (0..members * 2).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(held);
        let members = ports.chunks(2).map(|pair| Member { client: pair[0], peer: pair[1], child: None }).collect();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut etcd = Etcd { members, directory: tempfile::tempdir().unwrap(), arguments };
        for index in 0..etcd.members.len() {
            etcd.spawn(index);
        }
        etcd.ready().await;
        etcd
    }

    fn spawn(&mut self, index: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let names = self.members.iter().enumerate();
        let cluster: Vec<String> = names.map(|(index, member)| format!("m{index}={}", url(member.peer))).collect();
        let member = &self.members[index];
        let log = std::fs::File::create(self.directory.path().join(format!("m{index}.log"))).unwrap();
        let child = Command::new(program())
            .arg(format!("--name=m{index}"))
            .arg(format!("--data-dir={}", self.directory.path().join(format!("m{index}")).display()))
            .arg(format!("--listen-client-urls={}", url(member.client)))
            .arg(format!("--advertise-client-urls={}", url(member.client)))
            .arg(format!("--listen-peer-urls={}", url(member.peer)))
            .arg(format!("--initial-advertise-peer-urls={}", url(member.peer)))
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

    /// Until every member that runs answers what only one with a majority can.
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

    /// Where a member is.
    pub(crate) fn endpoint(&self, index: usize) -> String {
        format!("127.0.0.1:{}", self.members[index].client)
    }

    /// A prefix on all of them.
    pub(crate) fn location(&self, prefix: &str) -> EtcdLocation {
        let endpoints: Vec<String> = (0..self.members.len()).map(|index| self.endpoint(index)).collect();
        let location = format!("etcd://{}/{prefix}", endpoints.join(","));
        location.parse().unwrap()
    }

    /// A client of all of them, for what no program of ours does.
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

    /// Starts one again that was killed.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.spawn(index);
        self.ready().await;
    }

    /// Stops a member where it is: its connections stand, and nothing comes from it.
    pub(crate) fn pause(&self, index: usize) {
        self.signal(index, rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self, index: usize) {
        self.signal(index, rustix::process::Signal::CONT);
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

async fn answers(endpoint: &str) -> bool {
    let attempt = async {
        let mut client = etcd_client::Client::connect([endpoint], None).await?;
        client.get("ready", None).await
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), attempt).await, Ok(Ok(_)))
}

/// The tests need one: they fail without it.
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
