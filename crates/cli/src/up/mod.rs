//! `muster up`: a whole cluster on this machine, kept running by this process.

mod background;
mod backoff;
mod binaries;
mod down;
mod error;
mod etcd;
mod foreground;
mod layout;
mod lock;
mod logs;
mod machine;
mod part;
mod plan;
mod ports;
mod process;
mod supervise;
mod teardown;
mod told;

use std::path::{Path, PathBuf};

pub(crate) use down::down;
pub(crate) use error::UpError;

use crate::args::UpArgs;
use layout::Layout;

/// Brings a cluster up, and keeps it up until it is told to end; with `--detach`, leaves that to a process in the background.
pub(crate) async fn up(args: UpArgs) -> Result<(), UpError> {
    let layout = layout_of(&args.dir)?;
    layout.make().map_err(|error| UpError::File(layout.dir().to_path_buf(), error))?;
    if args.detach && !args.background {
        background::up(&args, &layout).await
    } else {
        foreground::up(&args, layout).await
    }
}

fn layout_of(dir: &Path) -> Result<Layout, UpError> {
    let absolute: PathBuf = std::path::absolute(dir).map_err(|error| UpError::File(dir.to_path_buf(), error))?;
    Ok(Layout::new(absolute.components().collect()))
}
