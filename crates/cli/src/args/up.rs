//! `muster up` and `muster down`.

use std::path::PathBuf;

use clap::Args;
use muster_units::ByteSize;

use super::DEFAULT_MASTER;

/// A cluster on this machine.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The directory holds everything: master/ the durable store, worker-N/ each worker's state, log/ what the parts say (bounded), run/ their addresses and process \
ids. A part that dies is started again. One cluster per directory: a second `muster up` there is refused with the process id of the first; with --detach it \
only says that the cluster is up.

Ctrl-C ends the cluster with all that runs on it. With --keep, Ctrl-C ends the master and the workers' agents only: drivers and executors go on under their \
runners, and the next `muster up` in the same directory adopts them (their results are not lost). `muster down` ends everything, kept or not. When `muster up` \
itself is killed, the next one ends what is left of the old master and agents, and adopts what runs.

With --etcd the records are in a private etcd: etcd/ its data, master-1/ … the masters' own state, run/etcd.address where it listens, on this machine only. A \
directory keeps its kind of store. etcd 3.4 to 3.6 will do; Debian has it as etcd-server.

Examples:
  muster up
  muster up --masters 3 --etcd
  muster up --detach --dir /tmp/demo --workers 3 --listen 127.0.0.1:0
  muster down --dir /tmp/demo")]
pub(crate) struct UpArgs {
    /// Directory of the cluster; made when it does not exist.
    #[arg(long, value_name = "DIR", default_value = "./muster-data", value_hint = clap::ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// How many workers.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,
    /// Address of the master; port 0 takes a free one. Further masters take the ports that follow,
    /// or free ones where those are taken.
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_MASTER)]
    pub(crate) listen: String,
    /// How many masters. One leads; another takes over when it dies. More than one need --etcd,
    /// which they share.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(crate) masters: u32,
    /// Start an etcd too, for this cluster alone, and have the masters keep their records in it.
    #[arg(long)]
    pub(crate) etcd: bool,
    /// Program of etcd. Default: the one that MUSTER_ETCD names, else the one in PATH.
    #[arg(long, value_name = "PATH", requires = "etcd", value_hint = clap::ValueHint::ExecutablePath)]
    pub(crate) etcd_binary: Option<PathBuf>,
    /// Allow --listen on an address that other machines reach. A cluster of this machine has no
    /// credentials: whoever reaches it may run anything here.
    #[arg(long)]
    pub(crate) insecure_listen: bool,
    /// Cores of each worker. Default: all of this machine, so that the smallest one can run the
    /// examples.
    #[arg(long, value_name = "N", value_parser = super::submit::some_cores)]
    pub(crate) cores: Option<u32>,
    /// Memory of each worker, such as 4G. Default: this machine's, divided by the number of
    /// workers.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Return when all is ready; the cluster goes on in the background.
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,
    /// On Ctrl-C leave what runs on the cluster running.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Be the part in the background.
    #[arg(long, hide = true)]
    pub(crate) background: bool,
}

/// The cluster to end.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Ends the cluster of a directory with all that runs on it: drivers, executors, agents, master. The store and the logs stay; `muster up` in \
the same directory goes on from there."
)]
pub(crate) struct DownArgs {
    /// Directory of the cluster.
    #[arg(long, value_name = "DIR", default_value = "./muster-data", value_hint = clap::ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}
