//! Where the parts of a cluster are. Each has an address of its own, on loopback or in a network
//! namespace that can be cut from the others.

mod netns;
mod subnet;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use netns::NetNs;
use subnet::Subnet;

/// A network of nodes.
#[derive(Debug)]
pub struct NamespaceNetwork {
    subnet: Subnet,
    nodes: u8,
    netns: Option<NetNs>,
}

/// One node: an address, and maybe a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNode {
    ip: Ipv4Addr,
    namespace: Option<String>,
}

impl NamespaceNetwork {
    /// Every node has an address of its own on loopback, so that ports are the same everywhere and
    /// no other process takes them meanwhile.
    pub fn loopback() -> NamespaceNetwork {
        NamespaceNetwork { subnet: Subnet::claim(), nodes: 0, netns: None }
    }

    /// Every node is in a network namespace of its own.
    ///
    /// # Panics
    ///
    /// If the machine does not permit it, with what it said.
    pub fn namespaces() -> NamespaceNetwork {
        let subnet = Subnet::claim();
        let netns = NetNs::start(subnet.number());
        NamespaceNetwork { subnet, nodes: 0, netns: Some(netns) }
    }

    /// Adds a node.
    pub fn add(&mut self) -> NetworkNode {
        self.nodes += 1;
        // The first address is this program's own end of the network.
        let host = self.nodes + 1;
        match &mut self.netns {
            None => NetworkNode { ip: Ipv4Addr::new(127, 77, self.subnet.number(), host), namespace: None },
            Some(netns) => netns.add(host),
        }
    }

    /// Lets nothing pass from one node to another. Packets on their way may still arrive.
    pub fn cut_one_way(&self, from: &NetworkNode, to: &NetworkNode) {
        self.cut_tool().cut(from, to);
    }

    /// Lets nothing pass between two nodes.
    pub fn cut(&self, one: &NetworkNode, other: &NetworkNode) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Lets everything pass again at this node.
    pub fn heal(&self, node: &NetworkNode) {
        self.cut_tool().heal(node);
    }

    fn cut_tool(&self) -> &NetNs {
        self.netns.as_ref().expect("only nodes in namespaces can be cut from each other")
    }
}

impl NetworkNode {
    /// Its address with a port.
    pub fn address(&self, port: u16) -> String {
        format!("{}:{port}", self.ip)
    }

    /// Its address.
    pub fn ip(&self) -> String {
        self.ip.to_string()
    }

    /// A command that runs a program on this node.
    pub fn command(&self, program: &Path) -> Command {
        match &self.namespace {
            None => Command::new(program),
            // Not `ip netns exec`, which hides the cgroups behind a fresh /sys. With `nsenter`, the
            // process id is that of the program.
            Some(name) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{name}")).arg("--").arg(program);
                command
            }
        }
    }
}
