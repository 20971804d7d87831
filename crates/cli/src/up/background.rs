//! `muster up --detach`: starts the process that keeps the cluster up, and returns when all is
//! ready.

use std::process::Stdio;
use std::time::Duration;

use muster_os::LockError;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::layout::ClusterLayout;
use super::lock;
use super::plan::ClusterPlan;
use super::{UpError, logs, messages};
use crate::args::UpArgs;
use crate::output::print;
use crate::progress::Progress;

/// How often the file that says "ready" is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Starts the cluster in the background. A cluster that is up already is a success.
pub(crate) async fn up(args: &UpArgs, layout: &ClusterLayout) -> Result<(), UpError> {
    let plan = ClusterPlan::new(args, layout.clone())?;
    match lock::take(&layout.lock()) {
        Ok(free) => drop(free),
        Err(LockError::Held(_)) => return already(layout).await,
        Err(LockError::File(error)) => return Err(UpError::File(layout.lock(), error)),
    }
    let _ = std::fs::remove_file(layout.ready());
    let log_from = logs::size(&layout.log("up"));
    let mut child = start(args, layout)?;
    let progress = Progress::begin("starting the cluster");
    let address = ready(layout, &mut child, log_from).await?;
    drop(progress);
    // A failed write is ignored: the cluster is up even if nobody reads this.
    let _ = print(&messages::ready_text(&plan, &address, ""));
    Ok(())
}

/// Waits until the cluster of the process that holds the directory is ready.
async fn already(layout: &ClusterLayout) -> Result<(), UpError> {
    /// As long as a part may take.
    const BOUND: Duration = Duration::from_secs(60);
    let address = tokio::time::timeout(BOUND, async {
        loop {
            match read_ready(layout) {
                Some(address) => return address,
                None => sleep(LOOK).await,
            }
        }
    });
    let Ok(address) = address.await else {
        let holder = super::process::ProcessName::read(&layout.lock());
        return Err(UpError::Taken(layout.dir().to_path_buf(), holder, None));
    };
    let text = format!(
        "Muster is up already: {}\n{}{}",
        messages::masters(&address),
        messages::places(layout),
        messages::next_steps(layout, &address)
    );
    let _ = print(&text);
    Ok(())
}

fn start(args: &UpArgs, layout: &ClusterLayout) -> Result<Child, UpError> {
    let program = std::env::current_exe().map_err(|error| UpError::Start("muster".into(), error))?;
    let path = layout.log("up");
    let log = logs::open(&path).map_err(|error| UpError::File(path.clone(), error))?;
    let copy = log.try_clone().map_err(|error| UpError::File(path, error))?;
    let mut command = Command::new(&program);
    command.args(["up", "--background", "--dir"]).arg(layout.dir()).args(["--listen", &args.listen]);
    command.args(["--workers", &args.workers.to_string()]);
    if args.etcd {
        command.args(["--etcd", "--masters", &args.masters.to_string()]);
    }
    if let Some(program) = &args.etcd_binary {
        command.arg("--etcd-binary").arg(program);
    }
    if let Some(cores) = args.cores {
        command.args(["--cores", &cores.to_string()]);
    }
    if let Some(memory) = args.memory {
        command.args(["--memory", &memory.0.to_string()]);
    }
    for (wanted, flag) in [(args.keep, "--keep"), (args.insecure_listen, "--insecure-listen")] {
        if wanted {
            command.arg(flag);
        }
    }
    command.stdin(Stdio::null()).stdout(log).stderr(copy).spawn().map_err(|error| UpError::Start(program, error))
}

/// Waits until the cluster is ready, or its process has ended.
async fn ready(layout: &ClusterLayout, child: &mut Child, log_from: u64) -> Result<String, UpError> {
    loop {
        if let Some(address) = read_ready(layout) {
            return Ok(address);
        }
        tokio::select! {
            _ = child.wait() => {
                let words = logs::last_lines(&layout.log("up"), log_from, 12);
                return Err(UpError::Background(words));
            }
            () = sleep(LOOK) => {}
        }
    }
}

fn read_ready(layout: &ClusterLayout) -> Option<String> {
    std::fs::read_to_string(layout.ready()).ok().filter(|text| text.ends_with('\n')).map(|text| text.trim().to_owned())
}
