//! How a client connects.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use muster_types::WorkerUid;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tower::{BoxError, Service};

use crate::{Stream, Trust, names};

/// Makes connections, for tonic's `connect_with_connector`: TCP, and the handshake where there is
/// trust. The address has the scheme `http` in both cases.
#[derive(Debug, Clone)]
pub struct Connector {
    tcp: HttpConnector,
    trust: Option<Trust>,
    /// What the other side's certificate must hold.
    name: String,
    timeout: Duration,
}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, BoxError>> + Send>>;

impl Connector {
    /// A connector to masters, whose connections come up within a time, or not at all.
    pub fn new(trust: Option<Trust>, timeout: Duration) -> Connector {
        Connector::to(trust, names::MASTER.to_owned(), timeout)
    }

    /// A connector to one worker.
    pub fn to_worker(trust: Option<Trust>, uid: WorkerUid, timeout: Duration) -> Connector {
        Connector::to(trust, names::worker(uid), timeout)
    }

    fn to(trust: Option<Trust>, name: String, timeout: Duration) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Connector { tcp, trust, name, timeout }
    }
}

impl<U> Service<U> for Connector
where
    HttpConnector: Service<U, Response = TokioIo<TcpStream>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: U) -> Connecting {
        let (dialling, timeout) = (self.tcp.call(address), self.timeout);
        let (trust, name) = (self.trust.clone(), self.name.clone());
        Box::pin(async move {
            let tcp = dialling.await.map_err(Into::into)?.into_inner();
            let stream = match trust {
                None => Stream::Plain(tcp),
                Some(trust) => Stream::Tls(Box::new(handshake(tcp, &trust, &name, timeout).await?)),
            };
            Ok(TokioIo::new(stream))
        })
    }
}

/// Shakes hands with a server whose certificate holds a name.
pub(crate) async fn handshake(
    tcp: TcpStream,
    trust: &Trust,
    name: &str,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, io::Error> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let shaking = TlsConnector::from(trust.config.clone()).connect(name, tcp);
    let stream = tokio::time::timeout(timeout, shaking).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no TLS handshake within {} s", timeout.as_secs_f32()))
    })??;
    Ok(stream.into())
}
