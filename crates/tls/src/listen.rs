//! Accepts connections, a bounded number at a time, and shakes hands where they are encrypted.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::server::PlaintextConnection;
use crate::{AcceptedConnection, Acceptor, PeerCertificate, Stream};

/// The pause after a connection could not be accepted (no file descriptor is left): those that are
/// open get time to end.
const PAUSE: Duration = Duration::from_millis(50);

/// A client that has not shaken hands within this time is not served.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// Handshakes that are in progress at one time; others wait for their turn. A fleet that comes to a
/// new leader at once is more than can be served within the patience of its workers. If all shook
/// hands at once, each would be given up half-way, and none would ever come through.
const HANDSHAKES: usize = 512;

/// How long a handshake keeps its turn. One that takes longer waits for its client, which does not
/// cost the others their turns.
const TURN: Duration = Duration::from_millis(250);

/// A connection, which holds one of the places.
#[derive(Debug)]
pub struct ClientConnection {
    stream: Stream,
    /// That the other side has shown.
    certificate: Option<PeerCertificate>,
    _plaintext: Option<PlaintextConnection>,
    _place: OwnedSemaphorePermit,
}

/// Is told of certificates that are refused in a handshake, before there is a call that could be.
pub trait RefusedCertificates: std::fmt::Debug + Send + Sync {
    /// One was shown from this address, and is not good for this reason.
    fn refused(&self, peer: Option<SocketAddr>, reason: &'static str);
}

/// The other side. It is found once per connection, and each of its calls carries it.
#[derive(Debug, Clone)]
pub struct ConnectionPeer {
    /// Its address; `None` if it was gone already.
    pub address: Option<SocketAddr>,
    /// The certificate that it has shown, if any.
    pub certificate: Option<PeerCertificate>,
    /// Whether the connection is over TLS.
    pub is_encrypted: bool,
}

/// The connections of a listener that are ready to be served.
pub type Incoming = ReceiverStream<io::Result<ClientConnection>>;

/// The connections of a listener, at most so many at one time. Further ones wait in the kernel.
/// Must be called within a runtime.
pub fn connections(listener: TcpListener, tls: Option<Acceptor>, most: usize) -> Incoming {
    let (accepted, incoming) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = accept(listener, tls.as_ref(), most, &accepted) => {}
            () = accepted.closed() => {}
        }
    });
    ReceiverStream::new(incoming)
}

async fn accept(
    listener: TcpListener,
    tls: Option<&Acceptor>,
    most: usize,
    accepted: &mpsc::Sender<io::Result<ClientConnection>>,
) {
    let places = Arc::new(Semaphore::new(most));
    let turns = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and waited for. A connection without the option is slower, not
                // broken.
                let _ = stream.set_nodelay(true);
                let Some(tls) = tls else {
                    let plain =
                        AcceptedConnection { stream: Stream::Plain(stream), certificate: None, plaintext: None };
                    if accepted.send(Ok(ClientConnection::new(plain, place))).await.is_err() {
                        return;
                    }
                    continue;
                };
                let (tls, accepted, turns) = (tls.clone(), accepted.clone(), turns.clone());
                tokio::spawn(async move {
                    if let Some(connection) = in_turn(&turns, &tls, stream).await {
                        // The server may be gone: then nobody is served.
                        let _ = accepted.send(Ok(ClientConnection::new(connection, place))).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Shakes hands when it is a client's turn, unless the client has given up by then. Who says
/// nothing takes no turn.
async fn in_turn(turns: &Semaphore, tls: &Acceptor, tcp: TcpStream) -> Option<AcceptedConnection> {
    tokio::time::timeout(HANDSHAKE_WITHIN, tcp.readable()).await.ok()?.ok()?;
    let turn = turns.acquire().await.ok()?;
    if tcp.ready(Interest::READABLE).await.ok()?.is_read_closed() {
        return None;
    }
    let mut shaking = pin!(shake_hands(tls, tcp));
    let shaken = tokio::time::timeout(TURN, &mut shaking).await;
    drop(turn);
    match shaken {
        Ok(shaken) => shaken,
        Err(_) => shaking.await,
    }
}

async fn shake_hands(tls: &Acceptor, tcp: TcpStream) -> Option<AcceptedConnection> {
    let peer = tcp.peer_addr().ok();
    let error = match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(tcp)).await {
        Ok(Ok(accepted)) => return Some(accepted),
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    tracing::debug!(?peer, %error, "no handshake");
    if let (Some(reason), Some(observer)) = (reason_of(&error), tls.observer()) {
        observer.refused(peer, reason);
    }
    None
}

/// Why a certificate is not good; `None` where something else is wrong with a handshake.
fn reason_of(error: &io::Error) -> Option<&'static str> {
    use rustls::CertificateError as Bad;
    let Some(rustls::Error::InvalidCertificate(bad)) = error.get_ref()?.downcast_ref() else { return None };
    Some(match bad {
        Bad::Revoked => "CERTIFICATE_REVOKED",
        Bad::Expired | Bad::ExpiredContext { .. } => "CERTIFICATE_EXPIRED",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => "CERTIFICATE_NOT_VALID_YET",
        Bad::UnknownIssuer => "CERTIFICATE_OF_UNKNOWN_CA",
        _ => "BAD_CERTIFICATE",
    })
}

impl ClientConnection {
    fn new(accepted: AcceptedConnection, place: OwnedSemaphorePermit) -> ClientConnection {
        let AcceptedConnection { stream, certificate, plaintext } = accepted;
        ClientConnection { stream, certificate, _plaintext: plaintext, _place: place }
    }
}

impl Connected for ClientConnection {
    type ConnectInfo = ConnectionPeer;

    fn connect_info(&self) -> ConnectionPeer {
        ConnectionPeer {
            address: self.stream.tcp().peer_addr().ok(),
            certificate: self.certificate.clone(),
            is_encrypted: matches!(self.stream, Stream::Tls(_)),
        }
    }
}

impl AsyncRead for ClientConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::{Authority, Trust, names};

    /// Has no certificate, and counts for whom it was asked for one.
    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl ResolvesServerCert for Counted {
        fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            None
        }
    }

    /// What a client says first.
    fn first_message(config: Arc<ClientConfig>) -> Vec<u8> {
        let name = ServerName::try_from(names::MASTER).unwrap();
        let mut message = Vec::new();
        rustls::ClientConnection::new(config, name).unwrap().write_tls(&mut message).unwrap();
        message
    }

    #[tokio::test]
    async fn who_has_given_up_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let trust = Trust::in_ca(Authority::create(directory.path()).unwrap().pem()).unwrap();
        let counted = Arc::new(Counted::default());
        let tls = Acceptor::showing(&trust, counted.clone()).unwrap();
        let turns = Semaphore::new(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut asked = Vec::new();
        for gives_up in [true, false] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(&first_message(trust.config())).await.unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            if gives_up {
                drop(client);
                while !tcp.ready(Interest::READABLE).await.unwrap().is_read_closed() {
                    tokio::task::yield_now().await;
                }
            }
            assert!(in_turn(&turns, &tls, tcp).await.is_none());
            asked.push(counted.0.load(Ordering::Relaxed));
        }
        assert_eq!(asked, [0, 1]);
    }
}
