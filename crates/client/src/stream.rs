//! A stream that a master sends.

use std::sync::Arc;

use muster_proto::errors::may_succeed_later;
use tonic::{Status, Streaming};

use crate::error::is_better_elsewhere;
use crate::routes::Routes;

/// Messages from a master. When the stream breaks, the next call of its client goes to another
/// master.
#[derive(Debug)]
pub struct MessageStream<T> {
    pieces: Streaming<T>,
    address: String,
    routes: Arc<Routes>,
}

impl<T> MessageStream<T> {
    pub(crate) fn new(pieces: Streaming<T>, address: String, routes: Arc<Routes>) -> MessageStream<T> {
        MessageStream { pieces, address, routes }
    }

    /// The next message; `None` at the end. Cancel-safe.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        let piece = self.pieces.message().await;
        if let Err(status) = &piece
            && may_succeed_later(status)
            && is_better_elsewhere(status)
        {
            self.routes.failed(&self.address, status);
        }
        piece
    }
}
