//! A private etcd of one member or three. Each is a process that can be killed, paused, cut off and
//! restored from a snapshot.

mod binary;
mod deposing;
mod member;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use member::EtcdMember;

use crate::network::{NamespaceNetwork, NetworkNode};

/// How long an election may take on a busy machine.
const READY: Duration = Duration::from_secs(30);
/// The port on which members listen for clients.
const CLIENTS: u16 = 2379;
/// The port on which members listen for each other.
const PEERS: u16 = 2380;

/// An etcd. Its members end when it is dropped.
#[derive(Debug)]
pub struct Etcd {
    program: PathBuf,
    dir: PathBuf,
    nodes: BTreeMap<String, NetworkNode>,
    members: BTreeMap<String, EtcdMember>,
    args: Vec<String>,
}

impl Etcd {
    /// Starts this many members (`e1`, …) with their data in this folder, and waits until they
    /// serve.
    ///
    /// # Panics
    ///
    /// When there is no etcd on this machine: tests never skip.
    pub fn start(network: &mut NamespaceNetwork, dir: &Path, members: usize) -> Etcd {
        Etcd::start_with(network, dir, members, &[])
    }

    /// Does the same with further arguments, such as a quota.
    pub fn start_with(network: &mut NamespaceNetwork, dir: &Path, members: usize, args: &[&str]) -> Etcd {
        let nodes: BTreeMap<_, _> = (1..=members).map(|number| (format!("e{number}"), network.add())).collect();
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut etcd =
            Etcd { program: binary::locate(), dir: dir.to_path_buf(), nodes, members: BTreeMap::new(), args };
        for name in etcd.names() {
            etcd.start_member(&name);
        }
        etcd.wait_until_it_serves();
        etcd
    }

    /// Names of all members.
    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// The network node of a member.
    pub fn node(&self, name: &str) -> &NetworkNode {
        &self.nodes[name]
    }

    /// `HOST:PORT` of each member.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.values().map(|node| node.address(CLIENTS)).collect()
    }

    /// The `--store` of masters.
    pub fn store(&self) -> String {
        format!("etcd://{}/muster", self.endpoints().join(","))
    }

    /// Starts a member, again on the data that it left.
    pub fn start_member(&mut self, name: &str) {
        let node = &self.nodes[name];
        let url = |node: &NetworkNode, port| format!("http://{}", node.address(port));
        let peers: Vec<_> = self.nodes.iter().map(|(name, node)| format!("{name}={}", url(node, PEERS))).collect();
        let mut command = node.command(&self.program);
        command.args(["--name", name, "--logger", "zap", "--log-level", "warn"]);
        command.arg("--data-dir").arg(self.data(name));
        command.args(["--listen-client-urls", &url(node, CLIENTS), "--advertise-client-urls", &url(node, CLIENTS)]);
        command.args(["--listen-peer-urls", &url(node, PEERS), "--initial-advertise-peer-urls", &url(node, PEERS)]);
        command.args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"]);
        command.args(&self.args);
        let log = self.dir.join(format!("{name}.log"));
        self.members.insert(name.to_owned(), EtcdMember::start(command, &log));
    }

    /// `kill -9` of a member.
    pub fn kill_member(&mut self, name: &str) {
        self.members.remove(name).expect("the member runs").kill();
    }

    /// Asks a member to end, and waits for that.
    pub fn terminate_member(&mut self, name: &str) {
        self.members.remove(name).expect("the member runs").terminate(READY);
    }

    /// Pauses a member's process.
    pub fn pause_member(&self, name: &str) {
        self.members[name].pause();
    }

    /// Lets a paused member go on.
    pub fn resume_member(&self, name: &str) {
        self.members[name].resume();
    }

    /// The member that leads the others.
    pub async fn leading_member(&self) -> String {
        let look = async || {
            self.nodes.iter().find_map(|(name, node)| {
                let running = self.members.contains_key(name);
                (running && member::leads(&node.address(CLIENTS))).then(|| name.clone())
            })
        };
        crate::eventually("a leader among the members of etcd", READY, look).await
    }

    /// Waits until every running member says that it is healthy.
    ///
    /// # Panics
    ///
    /// When it takes too long.
    pub fn wait_until_it_serves(&self) {
        let begin = std::time::Instant::now();
        for name in self.members.keys() {
            while !member::is_healthy(&self.nodes[name].address(CLIENTS)) {
                assert!(begin.elapsed() < READY, "etcd does not serve:\n{}", self.members[name].log());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Copies the data of all members, for [`Etcd::restore`]. They are ended and started again for
    /// that.
    pub fn snapshot(&mut self, to: &Path) {
        self.restarted_around(|etcd| {
            for name in etcd.names() {
                copy_folder(&etcd.data(&name), &to.join(&name));
            }
        });
    }

    /// Goes back to a snapshot, as an operator who restores a backup of etcd does.
    pub fn restore(&mut self, from: &Path) {
        self.restarted_around(|etcd| {
            for name in etcd.names() {
                std::fs::remove_dir_all(etcd.data(&name)).expect("the data can be removed");
                copy_folder(&from.join(&name), &etcd.data(&name));
            }
        });
    }

    fn restarted_around(&mut self, act: impl FnOnce(&Etcd)) {
        for (_, mut member) in std::mem::take(&mut self.members) {
            member.kill();
        }
        act(self);
        for name in self.names() {
            self.start_member(&name);
        }
        self.wait_until_it_serves();
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.etcd"))
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a file has a type").is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).expect("a file can be copied");
        }
    }
}
