//! One connection to a master, and whether it is up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::{BoxError, Service};

use crate::Options;

/// One connection, which comes up when it is first needed, and again after it broke.
#[derive(Debug)]
pub(crate) struct Line {
    channel: Channel,
    ups: Arc<Ups>,
}

/// Counts how often a connection came up and went down: odd while it is up.
#[derive(Debug, Default)]
struct Ups(AtomicU64);

/// A moment of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(u64);

impl Ups {
    fn down(&self) {
        // A connection is dialled by one task at a time.
        if self.now().is_up() {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn up(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

impl Moment {
    fn is_up(self) -> bool {
        self.0 % 2 == 1
    }
}

impl Line {
    pub(crate) fn new(endpoint: &Endpoint, options: &Options) -> Line {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect_timeout));
        let ups = Arc::new(Ups::default());
        let channel = endpoint.connect_with_connector_lazy(Dial { tcp, ups: ups.clone() });
        Line { channel, ups }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn now(&self) -> Moment {
        self.ups.now()
    }

    /// Whether the connection is up, as far as anybody has noticed.
    pub(crate) fn is_up(&self) -> bool {
        self.now().is_up()
    }

    /// Whether nothing can have been sent of a call that was begun at `begun` and is dropped by now. The channel looks whether
    /// somebody still waits for a call each time before it asks for the connection, and a connection that has come up says so, and
    /// yields once, before it is handed over (see [`Dial`]): where it has not said so yet, that look is still to come.
    pub(crate) fn never_up_since(&self, begun: Moment) -> bool {
        !begun.is_up() && self.now() == begun
    }
}

/// Dials, and keeps count.
#[derive(Debug, Clone)]
struct Dial {
    tcp: HttpConnector,
    ups: Arc<Ups>,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(BoxError::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.ups.down();
        let (dialling, ups) = (self.tcp.call(uri), self.ups.clone());
        Box::pin(async move {
            let connection = dialling.await?;
            ups.up();
            tokio::task::yield_now().await;
            Ok(connection)
        })
    }
}
