//! How a client connects.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use muster_types::WorkerUid;
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tonic::transport::Uri;
use tower::{BoxError, Service, ServiceExt as _};

use crate::{Stream, Trust, names};

/// Makes connections, for tonic's `connect_with_connector`: TCP, and the handshake where there is
/// trust. The address has the scheme `http` in both cases.
#[derive(Debug, Clone)]
pub struct Connector {
    tcp: HttpConnector,
    trust: Option<Trust>,
    /// What the other side's certificate holds, if it is of the cluster's CA.
    role: String,
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

    fn to(trust: Option<Trust>, role: String, timeout: Duration) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Connector { tcp, trust, role, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Each connection is dialled by a clone, which waits until that is ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Connecting {
        let Connector { tcp, trust, role, timeout } = self.clone();
        let host = address.host().unwrap_or_default().to_owned();
        let dial = move || {
            let dialling = tcp.clone().oneshot(address.clone());
            async move { Ok::<_, BoxError>(dialling.await?.into_inner()) }
        };
        Box::pin(async move {
            let stream = match trust {
                None => Stream::Plain(dial().await?),
                Some(trust) => Stream::Tls(Box::new(trusted(dial, &trust, &role, &host, timeout).await?)),
            };
            Ok(TokioIo::new(stream))
        })
    }
}

/// Connects to a server of a role at a host that is trusted. Where a server may be trusted by
/// either of two names, it is dialled again for the second, as it chooses its certificate by the
/// name.
pub(crate) async fn trusted<F, E>(
    dial: impl Fn() -> F,
    trust: &Trust,
    role: &str,
    host: &str,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, E>
where
    F: Future<Output = Result<TcpStream, E>>,
    E: From<io::Error>,
{
    let mut names = trust.names(role, host).into_iter().peekable();
    loop {
        let name = names.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        match handshake(dial().await?, trust, &name, timeout).await {
            Ok(stream) => {
                trust.trusted_by(&name, role);
                return Ok(stream);
            }
            Err(error) if names.peek().is_some() && is_of_certificate(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a handshake failed because of the certificate that the server chose.
pub(crate) fn is_of_certificate(error: &io::Error) -> bool {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(InvalidCertificate(_) | AlertReceived(AlertDescription::UnrecognisedName)))
}

/// Shakes hands with a server whose certificate holds a name.
pub(crate) async fn handshake(
    tcp: TcpStream,
    trust: &Trust,
    name: &str,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, io::Error> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let shaking = TlsConnector::from(trust.config()).connect(name, tcp);
    let stream = tokio::time::timeout(timeout, shaking).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no TLS handshake within {} s", timeout.as_secs_f32()))
    })??;
    Ok(stream.into())
}
