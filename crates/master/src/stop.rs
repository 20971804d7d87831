//! The signal to stop.

use tokio::sync::watch;

/// Ready once `stop` is set, or nobody is left to set it.
pub(crate) async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    // The result is dropped at once: the guard in it must not live across an await.
    let _ = stop.wait_for(|stop| *stop).await;
}
