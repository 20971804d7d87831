//! Waiting for conditions, never for time: each wait ends with its condition, or fails after a
//! bound.

use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` returns something.
///
/// # Panics
///
/// After `bound`, naming what was waited for.
pub async fn eventually<T>(what: &str, bound: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(begin.elapsed() < bound, "waited {bound:?} for: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until a file exists and is not empty, and gives its text without the white space around
/// it.
///
/// # Panics
///
/// After `bound`.
pub fn wait_for_file(path: &Path, bound: Duration) -> String {
    let begin = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(path)
            && !text.trim().is_empty()
        {
            return text.trim().to_owned();
        }
        assert!(begin.elapsed() < bound, "waited {bound:?} for {}", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}
