//! `muster down`: ends the cluster of a directory, from any terminal.

use std::time::Duration;

use muster_os::{LockError, LockFile};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::layout::ClusterLayout;
use super::lock;
use super::process::{ProcessName, ProcessRef};
use super::{UpError, layout_of, teardown};
use crate::args::DownArgs;
use crate::commands::running_summary;
use crate::output::{print, tell};
use crate::progress::Progress;

/// How often the lock of the directory is tried.
const LOOK: Duration = Duration::from_millis(50);
/// Longer than the longest grace before a kill, which is one hour.
const BOUND: Duration = Duration::from_secs(3700);

/// Asks the process that keeps the cluster up to end it, then ends whatever is left.
pub(crate) async fn down(args: DownArgs) -> Result<(), UpError> {
    let layout = layout_of(&args.dir)?;
    if !teardown::is_cluster(layout.dir()) {
        return Err(UpError::NoCluster(layout.dir().to_path_buf()));
    }
    muster_os::refuse_shared(layout.dir()).map_err(UpError::Directory)?;
    if let Ok(address) = std::fs::read_to_string(layout.ready()) {
        tell(&format!("ending the cluster in {}; {}", layout.dir().display(), running_summary(address.trim()).await));
    }
    let progress = Progress::begin("ending what runs");
    let _lock = take(&layout).await?;
    teardown::end_stale_daemons(&layout);
    teardown::end_work(&layout).await?;
    drop(progress);
    let _ = print(&format!("all has ended; the store and the logs stay in {}\n", layout.dir().display()));
    Ok(())
}

/// Takes the lock from the process that has it, by asking that process to end.
async fn take(layout: &ClusterLayout) -> Result<LockFile, UpError> {
    let end = Instant::now() + BOUND;
    let mut asked: Option<(ProcessName, ProcessRef)> = None;
    loop {
        let holder = match lock::take(&layout.lock()) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held(note)) => note.parse().ok(),
            Err(LockError::File(error)) => return Err(UpError::File(layout.lock(), error)),
        };
        // Each holder gets one signal: a second would interrupt its orderly end.
        let update = holder.filter(|holder| asked.as_ref().is_none_or(|(name, _)| name != holder));
        if let Some((holder, held)) = update.and_then(|holder| Some((holder, holder.hold()?))) {
            held.signal(Signal::TERM);
            asked = Some((holder, held));
        }
        if Instant::now() > end {
            let holder = asked.map(|(name, _)| name);
            return Err(holder.map_or_else(|| UpError::Taken(layout.dir().to_path_buf(), None, None), UpError::StillUp));
        }
        sleep(LOOK).await;
    }
}
