//! The request to end.

use tokio::sync::watch;

/// Ready once the request is there, or whoever could have it is gone.
pub(crate) async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    // The guard of the value must not live across an await.
    let _ = stop.wait_for(|stop| *stop).await;
}
