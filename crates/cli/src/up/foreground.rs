//! The process that keeps a cluster up.

use std::time::Duration;

use muster_os::{LockError, LockFile};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::daemon::{DaemonSpec, RunningDaemon};
use super::layout::ClusterLayout;
use super::lock;
use super::plan::{ClusterPlan, check_listen, dialled};
use super::supervise::{KeptDaemons, bound_logs};
use super::{UpError, messages, teardown};
use crate::args::UpArgs;
use crate::commands::running_summary;
use crate::output::{print, tell};
use crate::progress::Progress;

/// How long a part may take to be ready, on a machine that is busy with much else.
const READY: Duration = Duration::from_secs(60);

/// Brings the cluster up, keeps it up until a signal, and ends it.
pub(crate) async fn up(args: &UpArgs, layout: ClusterLayout) -> Result<(), UpError> {
    if args.background {
        // Leaves the session of the terminal that started us, so that its end does not end this
        // process. This fails only for a process that leads a group of its own already.
        let _ = rustix::process::setsid();
    }
    let mut signals = Signals::listen().map_err(|error| UpError::File("signals".into(), error))?;
    let _lock = take(&layout)?;
    let _ = std::fs::remove_file(layout.ready());
    let plan = ClusterPlan::new(args, layout.clone())?;
    for name in teardown::end_stale_daemons(&layout) {
        tell(&format!("{name} of an earlier `muster up` was still there; it is replaced, and what ran goes on"));
    }
    check_listen(&args.listen, args.insecure_listen)?;
    let mut begun = StartedCluster::default();
    let started = tokio::select! {
        started = start(&plan, &args.listen, &mut begun) => started,
        () = signals.next() => Err(UpError::Interrupted),
    };
    let address = match started {
        Ok(address) => address,
        Err(error) => {
            begun.end(&layout).await;
            return Err(error);
        }
    };
    let parts = begun.keep();
    let names = plan.names().into_iter().chain(["up".to_owned()]).collect();
    let logs = tokio::spawn(bound_logs(layout.clone(), names));
    std::fs::write(layout.ready(), format!("{address}\n")).map_err(|error| UpError::File(layout.ready(), error))?;
    say_ready(args, &plan, &address);
    signals.next().await;
    let _ = std::fs::remove_file(layout.ready());
    let ended = end(args, &layout, parts, &address, &mut signals).await;
    logs.abort();
    ended
}

/// Takes the lock of the directory.
fn take(layout: &ClusterLayout) -> Result<LockFile, UpError> {
    lock::take(&layout.lock()).map_err(|error| match error {
        LockError::Held(note) => {
            let address = std::fs::read_to_string(layout.ready()).ok().map(|text| text.trim().to_owned());
            UpError::Taken(layout.dir().to_path_buf(), note.parse().ok(), address)
        }
        LockError::File(error) => UpError::File(layout.lock(), error),
    })
}

/// Starts etcd if the plan has one, then the masters, then the workers. Waits for etcd, for one
/// master that leads, and for every worker. Returns the addresses of the masters.
async fn start(plan: &ClusterPlan, listen: &str, begun: &mut StartedCluster) -> Result<String, UpError> {
    let progress = Progress::begin("starting the master");
    if let Some(etcd) = &plan.etcd {
        let (_, running) = begun.etcd.insert((etcd.part.clone(), etcd.part.start()?));
        etcd.ready(running, READY).await?;
    }
    let listens = plan.listens(listen)?;
    for master in plan.masters(&listens) {
        let running = master.start()?;
        begun.masters.push((master, running));
    }
    let leader = dialled(&DaemonSpec::first_ready(&mut begun.masters, READY).await?);
    let addresses = match plan.etcd {
        Some(_) => listens.iter().map(|listen| dialled(listen)).collect::<Vec<_>>().join(","),
        None => {
            // A restarted master listens on the free port that it got at first, because workers and
            // clients know it.
            let pinned = plan.masters(&[pinned(listen, &leader)]);
            begun.masters =
                pinned.into_iter().zip(begun.masters.drain(..)).map(|(part, (_, ran))| (part, ran)).collect();
            leader
        }
    };
    for worker in plan.workers(&addresses) {
        if !plan.layout.state(&worker.name).exists() {
            begun.fresh.push(worker.name.clone());
        }
        let running = worker.start()?;
        begun.workers.push((worker, running));
    }
    for (part, running) in &mut begun.workers {
        progress.say(format!("waiting for {}", part.name));
        part.ready(running, READY).await?;
    }
    Ok(addresses)
}

/// The address to listen on from now on.
fn pinned(listen: &str, address: &str) -> String {
    match (listen.rsplit_once(':'), address.rsplit_once(':')) {
        (Some((host, "0")), Some((_, port))) => format!("{host}:{port}"),
        _ => listen.to_owned(),
    }
}

/// Parts that were started and are not kept yet.
#[derive(Debug, Default)]
struct StartedCluster {
    etcd: Option<(DaemonSpec, RunningDaemon)>,
    masters: Vec<(DaemonSpec, RunningDaemon)>,
    workers: Vec<(DaemonSpec, RunningDaemon)>,
    /// Names of workers that never ran here before.
    fresh: Vec<String>,
}

/// Parts that are kept running, in groups that end one after the other: workers, masters, etcd.
#[derive(Debug)]
struct DaemonGroups {
    etcd: KeptDaemons,
    masters: KeptDaemons,
    workers: KeptDaemons,
}

impl StartedCluster {
    fn keep(self) -> DaemonGroups {
        let kept = |parts: Vec<(DaemonSpec, RunningDaemon)>| {
            let mut kept = KeptDaemons::new();
            parts.into_iter().for_each(|(part, running)| kept.keep(part, running));
            kept
        };
        DaemonGroups {
            etcd: kept(self.etcd.into_iter().collect()),
            masters: kept(self.masters),
            workers: kept(self.workers),
        }
    }

    /// Ends the started parts. Work from before goes on; the runners of new workers have no work
    /// and are ended.
    async fn end(self, layout: &ClusterLayout) {
        for (part, running) in self.workers.into_iter().chain(self.masters).chain(self.etcd) {
            running.end().await;
            part.forget();
        }
        // The failure of the start is reported instead.
        let _ = teardown::end_work_of(layout, self.fresh).await;
    }
}

fn say_ready(args: &UpArgs, plan: &ClusterPlan, address: &str) {
    if args.background {
        tell(&format!("up: {}, {} workers", messages::masters(address), plan.workers));
        return;
    }
    let ends = if args.keep {
        "\nCtrl-C ends the master and the agents; what runs on the cluster goes on.\n"
    } else {
        "\nCtrl-C ends the cluster and all that runs on it.\n"
    };
    // A failed write is ignored: the cluster is up even if nobody reads this.
    let _ = print(&messages::ready_text(plan, address, ends));
}

/// Ends the cluster. With `--keep`, what runs on it goes on.
async fn end(
    args: &UpArgs,
    layout: &ClusterLayout,
    parts: DaemonGroups,
    address: &str,
    signals: &mut Signals,
) -> Result<(), UpError> {
    let runs = running_summary(address).await;
    if args.keep {
        tell(&format!("ending the master and the agents; {runs}"));
        tell(&format!("what runs goes on; `muster up` takes it over again, `{}` ends it", messages::down_line(layout)));
        parts.workers.end().await;
        parts.masters.end().await;
        parts.etcd.end().await;
        return Ok(());
    }
    tell(&format!("ending the cluster; {runs}"));
    let progress = Progress::begin("ending what runs");
    let ended = tokio::select! {
        ended = end_work(layout, parts) => ended,
        () = signals.next() => {
            tell(&format!("interrupted again: some of it may still run; `{}` ends it", messages::down_line(layout)));
            return Err(UpError::Interrupted);
        }
    };
    drop(progress);
    if ended.is_ok() {
        tell("all has ended");
    }
    ended
}

/// Ends the agents first, so that nothing ended is started again; then the runners with all their
/// processes; last the masters and etcd.
async fn end_work(layout: &ClusterLayout, parts: DaemonGroups) -> Result<(), UpError> {
    parts.workers.end().await;
    let ended = teardown::end_work(layout).await;
    parts.masters.end().await;
    parts.etcd.end().await;
    ended
}

/// SIGINT, SIGTERM and SIGHUP, each of which ends the cluster.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_kept_once_it_is_known() {
        assert_eq!(pinned("127.0.0.1:0", "127.0.0.1:41234"), "127.0.0.1:41234");
        assert_eq!(pinned("0.0.0.0:0", "127.0.0.1:41234"), "0.0.0.0:41234");
        assert_eq!(pinned("127.0.0.1:7077", "127.0.0.1:7077"), "127.0.0.1:7077");
    }
}
