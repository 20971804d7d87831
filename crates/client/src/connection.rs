//! One connection to a master, and whether it is up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use muster_tls::{Connecting, Connector};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::{BoxError, Service};

use crate::ConnectOptions;

/// One connection. It is made when it is first needed, and made again after it breaks.
#[derive(Debug)]
pub(crate) struct Connection {
    channel: Channel,
    connection_epoch: Arc<ConnectionEpoch>,
}

/// Counts how often a connection came up and went down: odd while it is up.
#[derive(Debug, Default)]
struct ConnectionEpoch(AtomicU64);

/// The count at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionMark(u64);

impl ConnectionEpoch {
    fn down(&self) {
        // Only one task dials at a time, so the check and the addition need not be one step.
        if self.now().is_up() {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn up(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn now(&self) -> ConnectionMark {
        ConnectionMark(self.0.load(Ordering::SeqCst))
    }
}

impl ConnectionMark {
    fn is_up(self) -> bool {
        self.0 % 2 == 1
    }
}

impl Connection {
    pub(crate) fn new(endpoint: &Endpoint, options: &ConnectOptions) -> Connection {
        let connector = Connector::new(options.trust.clone(), options.connect_timeout);
        let connection_epoch = Arc::new(ConnectionEpoch::default());
        let channel = endpoint
            .connect_with_connector_lazy(ConnectFuture { connector, connection_epoch: connection_epoch.clone() });
        Connection { channel, connection_epoch }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn now(&self) -> ConnectionMark {
        self.connection_epoch.now()
    }

    /// Whether the connection is up, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.now().is_up()
    }

    /// Whether certainly nothing was sent of a call that began at `begun` and has been dropped
    /// since. The channel checks that a call is still awaited each time before it asks for the
    /// connection. A new connection is counted as up, and yields once, before it is handed over
    /// (see [`ConnectFuture`]). So while the count is unchanged, that check is still to come.
    pub(crate) fn never_up_since(&self, begun: ConnectionMark) -> bool {
        !begun.is_up() && self.now() == begun
    }
}

/// Dials, and counts the connections that come up.
#[derive(Debug, Clone)]
struct ConnectFuture {
    connector: Connector,
    connection_epoch: Arc<ConnectionEpoch>,
}

impl Service<Uri> for ConnectFuture {
    type Response = <Connector as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Uri>::poll_ready(&mut self.connector, context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.connection_epoch.down();
        let (dialling, connection_epoch) = (self.connector.call(uri), self.connection_epoch.clone());
        Box::pin(async move {
            let connection = dialling.await?;
            connection_epoch.up();
            tokio::task::yield_now().await;
            Ok(connection)
        })
    }
}
