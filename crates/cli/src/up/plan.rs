//! The parts of a cluster to start.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};

use super::binaries::ProgramPaths;
use super::daemon::DaemonSpec;
use super::etcd::{self, LocalEtcd};
use super::layout::{ClusterLayout, ETCD, MASTER, master_name, worker_name};
use super::{UpError, machine, ports};
use crate::args::UpArgs;

/// The memory of the machine when it is unknown.
const FALLBACK_MEMORY: u64 = 2 << 30;

/// The parts of a cluster, before they run.
#[derive(Debug, Clone)]
pub(crate) struct ClusterPlan {
    binaries: ProgramPaths,
    /// The store that the masters share.
    pub(crate) etcd: Option<LocalEtcd>,
    masters: u32,
    /// The paths in the directory.
    pub(crate) layout: ClusterLayout,
    /// Workers, counted from 1.
    pub(crate) workers: u32,
    /// Cores of each worker.
    pub(crate) cores: u32,
    /// Memory of each worker in bytes.
    pub(crate) memory: u64,
    insecure_listen: bool,
}

impl ClusterPlan {
    /// What the arguments ask for.
    pub(crate) fn new(args: &UpArgs, layout: ClusterLayout) -> Result<ClusterPlan, UpError> {
        check_length(&layout, args.workers)?;
        check_store(args, &layout)?;
        let share = || machine::share(machine::memory().unwrap_or(FALLBACK_MEMORY), args.workers);
        Ok(ClusterPlan {
            binaries: ProgramPaths::locate().map_err(UpError::Missing)?,
            etcd: args.etcd.then(|| private_etcd(args, &layout)).transpose()?,
            masters: args.masters,
            layout,
            workers: args.workers,
            cores: args.cores.unwrap_or_else(machine::cores),
            memory: args.memory.map_or_else(share, |size| size.0),
            insecure_listen: args.insecure_listen,
        })
    }

    /// The addresses that the masters are to listen on. With etcd, all are chosen before any master
    /// starts, because the workers get the whole list.
    pub(crate) fn listens(&self, first: &str) -> Result<Vec<String>, UpError> {
        match self.etcd {
            Some(_) => ports::neighbours(first, self.master_names().len()),
            None => Ok(vec![first.to_owned()]),
        }
    }

    /// The masters, on their addresses.
    pub(crate) fn masters(&self, listens: &[String]) -> Vec<DaemonSpec> {
        self.master_names().iter().zip(listens).map(|(name, listen)| self.master(name, listen)).collect()
    }

    fn master(&self, name: &str, listen: &str) -> DaemonSpec {
        let mut args: Vec<OsString> = vec!["--listen".into(), listen.into()];
        if self.insecure_listen {
            args.push("--insecure-listen".into());
        }
        if let Some(etcd) = &self.etcd {
            args.extend(["--store".into(), etcd.store().into()]);
        }
        DaemonSpec::new(&self.layout, name, &self.binaries.master, args)
    }

    /// The workers, which connect to these masters.
    pub(crate) fn workers(&self, masters: &str) -> Vec<DaemonSpec> {
        (1..=self.workers).map(|number| self.worker(&worker_name(number), masters)).collect()
    }

    fn worker(&self, name: &str, master: &str) -> DaemonSpec {
        let args = ["--master", master, "--name", name, "--listen", "127.0.0.1:0", "--host", "127.0.0.1"]
            .into_iter()
            .map(OsString::from)
            .chain(["--cores".into(), self.cores.to_string().into()])
            .chain(["--memory".into(), self.memory.to_string().into()])
            // Whoever starts a cluster of its own means its own rights, root too.
            .chain(["--run-as".into(), rustix::process::geteuid().as_raw().to_string().into()])
            // And the services of its own machine.
            .chain(["--artifact-allow=127.0.0.0/8".into(), "--artifact-allow=::1/128".into()])
            .collect();
        DaemonSpec::new(&self.layout, name, &self.binaries.worker, args)
    }

    /// Names of all parts, for their logs.
    pub(crate) fn names(&self) -> Vec<String> {
        let etcd = self.etcd.iter().map(|_| ETCD.to_owned());
        self.master_names().into_iter().chain(etcd).chain((1..=self.workers).map(worker_name)).collect()
    }

    fn master_names(&self) -> Vec<String> {
        match self.etcd {
            Some(_) => (1..=self.masters).map(master_name).collect(),
            None => vec![MASTER.to_owned()],
        }
    }
}

/// The longest path of a socket without its final zero, and the name of the runner's socket in a
/// worker's state directory.
const LONGEST_SOCKET: usize = 107;
const RUNNER_SOCKET: &str = "runner.sock";

/// Checks that the paths of the runners' sockets fit, because the kernel's own error does not name
/// the cause.
fn check_length(layout: &ClusterLayout, workers: u32) -> Result<(), UpError> {
    let longest = layout.state(&worker_name(workers)).join(RUNNER_SOCKET);
    match longest.as_os_str().len().checked_sub(LONGEST_SOCKET) {
        None | Some(0) => Ok(()),
        Some(by) => Err(UpError::TooLong(layout.dir().to_path_buf(), by)),
    }
}

fn private_etcd(args: &UpArgs, layout: &ClusterLayout) -> Result<LocalEtcd, UpError> {
    let program = etcd::locate(args.etcd_binary.as_deref()).map_err(UpError::NoEtcd)?;
    Ok(LocalEtcd::new(layout, &program, ports::free_port()?))
}

/// Checks that several masters have a store to share, and that the directory does not hold the
/// other kind of store, to whose cluster its workers belong.
fn check_store(args: &UpArgs, layout: &ClusterLayout) -> Result<(), UpError> {
    let (own, shared) = (layout.state(MASTER).exists(), layout.state(ETCD).exists());
    match (args.etcd, own, shared) {
        (false, _, _) if args.masters > 1 => Err(UpError::ManyMasters(args.masters)),
        (false, false, true) => Err(UpError::NeedsEtcd(layout.dir().to_path_buf())),
        (true, true, false) => Err(UpError::HasNoEtcd(layout.dir().to_path_buf())),
        (false, _, _) | (true, _, _) => Ok(()),
    }
}

/// Checks that the address of the master is free, so that the most common mistake has a plain
/// answer, and that it is of this machine alone, unless that is not wanted: the parts of this
/// cluster have no credentials.
pub(crate) fn check_listen(listen: &str, insecure_listen: bool) -> Result<(), UpError> {
    let wrong = || UpError::Listen(listen.to_owned());
    let addresses: Vec<SocketAddr> = listen.to_socket_addrs().map_err(|_| wrong())?.collect();
    let first = addresses.first().ok_or_else(wrong)?;
    if !first.ip().is_loopback() && !insecure_listen {
        return Err(UpError::Reachable(listen.to_owned()));
    }
    match TcpListener::bind(first) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(UpError::AddressInUse(listen.to_owned())),
        // Any other fault is the master's to report.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The address that clients on this machine dial.
pub(crate) fn dialled(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(socket) if socket.ip().is_unspecified() => format!("127.0.0.1:{}", socket.port()),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_of_this_machine_listens_beyond_it_only_if_told() {
        assert!(matches!(check_listen("0.0.0.0:0", false), Err(UpError::Reachable(_))));
        assert!(check_listen("0.0.0.0:0", true).is_ok());
        assert!(check_listen("127.0.0.1:0", false).is_ok());
    }

    #[test]
    fn an_address_is_checked_before_anything_starts() {
        let busy = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = busy.local_addr().expect("it has an address").to_string();
        assert!(matches!(check_listen(&address, false), Err(UpError::AddressInUse(_))));
        assert!(matches!(check_listen("nonsense", false), Err(UpError::Listen(_))));
        assert!(check_listen("127.0.0.1:0", false).is_ok());
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused() {
        let of = |length: usize| ClusterLayout::new(format!("/{}", "x".repeat(length - 1)).into());
        // "/worker-1/runner.sock" has 21 bytes.
        assert!(check_length(&of(86), 1).is_ok());
        assert!(matches!(check_length(&of(90), 1), Err(UpError::TooLong(_, 4))));
        assert!(matches!(check_length(&of(86), 10), Err(UpError::TooLong(_, 1))));
    }

    #[test]
    fn an_address_of_all_interfaces_is_dialled_on_this_machine() {
        assert_eq!(dialled("0.0.0.0:7077"), "127.0.0.1:7077");
        assert_eq!(dialled("127.0.0.1:1"), "127.0.0.1:1");
    }
}
