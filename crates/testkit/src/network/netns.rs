//! Namespaces joined by a bridge: one for each node, one for the bridge, and an end in the
//! namespace of this program.
//!
//! The bridge has a namespace of its own, so that no firewall of the machine affects it. A node is
//! cut from an address by dropping what comes from there.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::NetworkNode;

/// How the names of test namespaces begin; the process id of the test follows.
const PREFIX: &str = "muster-test-";

/// The namespaces of one cluster.
#[derive(Debug)]
pub(super) struct NetNs {
    number: u8,
    name: String,
    namespaces: Vec<String>,
}

impl NetNs {
    /// Makes the bridge and this program's end.
    pub(super) fn start(number: u8) -> NetNs {
        remove_stale();
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut netns = NetNs { number, name, namespaces: Vec::new() };
        let (hub, end) = (format!("{}-hub", netns.name), format!("mst{number}"));
        // A killed run may have left this end.
        let _ = Command::new("ip").args(["link", "del", &end]).stderr(Stdio::null()).status();
        netns.make_namespace(&hub);
        ip(&format!(
            "link add {end} type veth peer name root netns {hub}\naddr add 198.18.{number}.1/24 dev {end}\nlink set {end} up\n"
        ));
        ip_in(&hub, "link add bridge type bridge\nlink set bridge up\nlink set root master bridge\nlink set root up\n");
        netns
    }

    /// Makes the namespace of one node.
    pub(super) fn add(&mut self, host: u8) -> NetworkNode {
        let (hub, name) = (format!("{}-hub", self.name), format!("{}-n{host}", self.name));
        self.make_namespace(&name);
        let ip = Ipv4Addr::new(198, 18, self.number, host);
        ip_in(
            &hub,
            &format!(
                "link add n{host} type veth peer name eth netns {name}\nlink set n{host} master bridge\nlink set n{host} up\n"
            ),
        );
        ip_in(&name, &format!("link set lo up\naddr add {ip}/24 dev eth\nlink set eth up\n"));
        nft(
            &name,
            &[
                "add table inet muster",
                "add set inet muster cut { type ipv4_addr; }",
                "add chain inet muster in { type filter hook input priority 0; }",
                "add rule inet muster in ip saddr @cut drop",
            ],
        );
        NetworkNode { ip, namespace: Some(name) }
    }

    pub(super) fn cut(&self, from: &NetworkNode, to: &NetworkNode) {
        nft(namespace(to), &[&format!("add element inet muster cut {{ {} }}", from.ip)]);
    }

    pub(super) fn heal(&self, node: &NetworkNode) {
        nft(namespace(node), &["flush set inet muster cut"]);
    }

    fn make_namespace(&mut self, name: &str) {
        ip(&format!("netns add {name}\n"));
        self.namespaces.push(name.to_owned());
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        for name in &self.namespaces {
            remove(name);
        }
    }
}

fn namespace(node: &NetworkNode) -> &str {
    node.namespace.as_deref().expect("a node of a lab has a namespace")
}

/// Runs lines of `ip`.
fn ip(lines: &str) {
    run(Command::new("ip").args(["-batch", "-"]), lines);
}

fn ip_in(namespace: &str, lines: &str) {
    run(Command::new("ip").args(["-n", namespace, "-batch", "-"]), lines);
}

fn nft(namespace: &str, lines: &[&str]) {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).args(["--", "nft", "-f", "-"]);
    run(&mut command, &format!("{}\n", lines.join("\n")));
}

/// Runs a command that reads its input.
///
/// # Panics
///
/// If it fails: tests of partitions need network namespaces, and never skip.
fn run(command: &mut Command, input: &str) {
    let needs = "tests of partitions need root, network namespaces, iproute2, nftables and util-linux";
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{needs}: {command:?}: {error}"));
    let mut pipe = child.stdin.take().expect("the input is a pipe");
    // If it ends without reading, the output below tells why.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().expect("a child can be waited for");
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{needs}: {command:?}: {reported}\n{input}");
}

/// Removes the namespaces of tests that were killed.
fn remove_stale() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}

/// Removes a namespace. Its interfaces, and their peers elsewhere, go with it once its last process
/// has ended.
fn remove(name: &str) {
    // It may be gone already.
    let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
}
