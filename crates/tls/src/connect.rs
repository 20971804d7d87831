//! How a client connects.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
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
    timeout: Duration,
}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, BoxError>> + Send>>;

impl Connector {
    /// A connector whose connections come up within a time, or not at all.
    pub fn new(trust: Option<Trust>, timeout: Duration) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Connector { tcp, trust, timeout }
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
        let (dialling, trust, timeout) = (self.tcp.call(address), self.trust.clone(), self.timeout);
        Box::pin(async move {
            let tcp = dialling.await.map_err(Into::into)?.into_inner();
            let stream = match trust {
                None => Stream::Plain(tcp),
                Some(trust) => Stream::Tls(Box::new(handshake(tcp, &trust, timeout).await?)),
            };
            Ok(TokioIo::new(stream))
        })
    }
}

/// Shakes hands with a master.
pub(crate) async fn handshake(
    tcp: TcpStream,
    trust: &Trust,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, io::Error> {
    let name = ServerName::try_from(names::MASTER).map_err(io::Error::other)?;
    let shaking = TlsConnector::from(trust.0.clone()).connect(name, tcp);
    let stream = tokio::time::timeout(timeout, shaking).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no TLS handshake within {} s", timeout.as_secs_f32()))
    })??;
    Ok(stream.into())
}
