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
/// fails, what was in force before stays, which is counted at each look and logged once.
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
    let mut reported = String::new();
    loop {
        tokio::time::sleep(every).await;
        // A file may be on a disk that hangs.
        let Ok(looked) = tokio::task::spawn_blocking(look.clone()).await else { continue };
        match looked {
            Ok(is_new) => {
                if is_new {
                    tracing::info!(file = what.as_str(), "a changed file is in force");
                }
                reported.clear();
            }
            Err(error) => {
                metrics.count_reload_failure(what);
                let line = crate::error_line(&error);
                if line != reported {
                    tracing::warn!(
                        file = what.as_str(),
                        error = line,
                        "a changed file is not used; what was read before stands"
                    );
                    reported = line;
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
