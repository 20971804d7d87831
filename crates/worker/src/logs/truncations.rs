//! How often a program has truncated its own output, so that an offset from before is known as one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use muster_os::file::read_small;

/// Counts per file. A count is kept beside its file, so that it outlives the agent. The last size
/// is not kept, so a truncation between two agents goes unnoticed, and so does one that the file
/// has outgrown at the next look.
#[derive(Debug, Default)]
pub struct Truncations {
    seen: Mutex<BTreeMap<PathBuf, SeenSize>>,
}

#[derive(Debug)]
struct SeenSize {
    size: u64,
    count: u64,
}

impl Truncations {
    /// Looks at a file that now has this size. Returns how often it was truncated.
    pub fn observe(&self, file: &Path, size: u64) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(entry) = seen.get_mut(file) {
            if size < entry.size {
                entry.count += 1;
                if let Err(error) = muster_os::file::replace(&count_file(file), format!("{}\n", entry.count)) {
                    tracing::warn!(path = %file.display(), %error, "cannot keep the count of truncations");
                }
            }
            entry.size = size;
            return entry.count;
        }
        let count = read_small(&count_file(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        seen.insert(file.to_owned(), SeenSize { size, count });
        count
    }

    /// Forgets the files of all directories except those whose names are to be kept. For an ended
    /// attempt, a reader needs only the count beside the file.
    pub fn keep(&self, kept: impl Fn(&str) -> bool) {
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.retain(|file, _| file.parent().and_then(|directory| directory.file_name()?.to_str()).is_some_and(&kept));
    }

    /// Forgets the files of one log directory.
    pub fn forget(&self, directory: &Path) {
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for stream in super::STREAMS {
            seen.remove(&directory.join(stream));
        }
    }
}

fn count_file(file: &Path) -> PathBuf {
    file.with_extension("truncations")
}
