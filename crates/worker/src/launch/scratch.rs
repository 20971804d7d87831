//! Scratch directories of applications that are gone. They are removed once no executor of theirs
//! is left here.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use muster_os::file::create_fresh;
use muster_types::ApplicationUid;

use super::directories::AttemptDirectories;
use crate::attempts::Attempts;

/// The applications that are gone. For the next agent, each is kept on disk as an empty file beside
/// the directory.
#[derive(Debug)]
pub struct ScratchDirectories {
    layout: Arc<AttemptDirectories>,
    gone: BTreeSet<ApplicationUid>,
}

impl ScratchDirectories {
    /// Finds the applications that were gone for an earlier agent.
    pub fn find(layout: Arc<AttemptDirectories>) -> io::Result<ScratchDirectories> {
        let mut gone = BTreeSet::new();
        for entry in fs::read_dir(&layout.directories().work)? {
            let name = entry?.file_name();
            let uid = name.to_str().and_then(|name| name.strip_prefix("scratch-")?.strip_suffix(".gone"));
            gone.extend(uid.and_then(|uid| uid.parse::<ApplicationUid>().ok()));
        }
        Ok(ScratchDirectories { layout, gone })
    }

    /// Takes note that an application is gone, and removes its directory once that is idle.
    pub fn remove_when_idle(&mut self, application: ApplicationUid, attempts: &Attempts) {
        if !self.layout.scratch_dir(application).exists() {
            return;
        }
        if let Err(error) = create_fresh(&self.marker(application), 0o644) {
            tracing::warn!(%application, %error, "cannot remember that an application is gone");
        }
        self.gone.insert(application);
        self.sweep(attempts);
    }

    /// Removes the directories that are idle, on threads that may block.
    pub fn sweep(&mut self, attempts: &Attempts) {
        let free: Vec<ApplicationUid> =
            self.gone.iter().copied().filter(|application| !attempts.has_executor_of(*application)).collect();
        for application in free {
            self.gone.remove(&application);
            let (layout, marker) = (self.layout.clone(), self.marker(application));
            tokio::task::spawn_blocking(move || {
                if let Err(error) = remove(&layout, application, marker) {
                    tracing::warn!(%application, %error, "cannot remove a scratch directory");
                }
            });
        }
    }

    fn marker(&self, application: ApplicationUid) -> PathBuf {
        self.layout.scratch_dir(application).with_extension("gone")
    }
}

fn remove(layout: &AttemptDirectories, application: ApplicationUid, marker: PathBuf) -> io::Result<()> {
    layout.remove_scratch(application)?;
    match fs::remove_file(marker) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
