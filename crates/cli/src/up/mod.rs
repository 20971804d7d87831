//! `muster up`: a whole cluster on this machine, kept running by this process.

mod background;
mod backoff;
mod binaries;
mod daemon;
mod down;
mod error;
mod etcd;
mod foreground;
mod layout;
mod lock;
mod logs;
mod machine;
mod messages;
mod plan;
mod ports;
mod process;
mod supervise;
mod teardown;

use std::path::{Path, PathBuf};

pub(crate) use down::down;
pub(crate) use error::UpError;

use crate::args::UpArgs;
use layout::ClusterLayout;

/// Brings a cluster up, and keeps it up until it is told to end; with `--detach`, leaves that to a
/// process in the background.
pub(crate) async fn up(args: UpArgs) -> Result<(), UpError> {
    let layout = layout_of(&args.dir)?;
    layout.make()?;
    if args.detach && !args.background {
        background::up(&args, &layout).await
    } else {
        foreground::up(&args, layout).await
    }
}

fn layout_of(dir: &Path) -> Result<ClusterLayout, UpError> {
    let absolute: PathBuf = std::path::absolute(dir).map_err(|error| UpError::File(dir.to_path_buf(), error))?;
    Ok(ClusterLayout::new(absolute.components().collect()))
}
