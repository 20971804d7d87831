//! Files that a master looks at again while it runs: of certificates and of keys.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::{MasterMetrics, Reloaded};

/// How often files are looked at. Their contents are compared, as a secret of Kubernetes is
/// replaced by a link.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same for the access file: whoever takes a token out of it wants it to be worthless.
pub(crate) const LOOK_AT_ACCESS_EVERY: Duration = Duration::from_secs(1);

/// Looks again and again, for ever. `look` says whether what it found is new and in force; where it
/// fails, what was in force before stays.
pub(crate) async fn keep_looking<E, F>(
    what: Reloaded,
    every: Duration,
    metrics: Arc<MasterMetrics>,
    look: F,
) -> Infallible
where
    E: Error + Send + 'static,
    F: Fn() -> Result<bool, E> + Clone + Send + 'static,
{
    let mut reports = ReloadReports::new(what, metrics);
    loop {
        tokio::time::sleep(every).await;
        // A file may be on a disk that hangs.
        let Ok(looked) = tokio::task::spawn_blocking(look.clone()).await else { continue };
        reports.note(&looked);
    }
}

/// Tells of looks: of what is new, and of each failure once. All failures are counted.
pub(crate) struct ReloadReports {
    what: Reloaded,
    metrics: Arc<MasterMetrics>,
    /// The last failure, since the last look that did not fail.
    reported: String,
}

impl ReloadReports {
    pub(crate) fn new(what: Reloaded, metrics: Arc<MasterMetrics>) -> ReloadReports {
        ReloadReports { what, metrics, reported: String::new() }
    }

    pub(crate) fn note<E: Error + 'static>(&mut self, looked: &Result<bool, E>) {
        let file = self.what.as_str();
        match looked {
            Ok(is_new) => {
                if *is_new {
                    tracing::info!(file, "a changed file is in force");
                }
                self.reported.clear();
            }
            Err(error) => {
                self.metrics.count_reload_failure(self.what);
                let line = crate::error_line(error);
                if line != self.reported {
                    tracing::warn!(file, error = line, "a changed file is not used; what was read before stands");
                    self.reported = line;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_used_is_counted_at_each_look_and_tried_on() {
        let metrics = Arc::new(MasterMetrics::default());
        let answers = Arc::new(Mutex::new(vec![Ok(true), Err(()), Err(())]));
        let left = answers.clone();
        let look = move || match left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop() {
            Some(Err(())) => Err(io::Error::other("half of a pair")),
            answer => Ok(answer.is_some()),
        };
        let looking = tokio::spawn(keep_looking(Reloaded::Certificate, LOOK_EVERY, metrics.clone(), look));
        while Arc::strong_count(&answers) > 1 && !answers.lock().is_ok_and(|answers| answers.is_empty()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        looking.abort();
        assert_eq!(metrics.reload_failures(Reloaded::Certificate), 2);
    }
}
