//! TLS of a server.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::trust::{ALPN, provider, roots_of};
use crate::{Authority, CertificateHolder, HeldCertificate, Stream, TlsError, Trust};

/// How long a master's certificate holds. Its key is in memory alone, so each start makes one.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// When it is made anew.
const RENEWAL: Duration = Duration::from_secs(7 * 24 * 3600 * 2 / 3);
/// How often the wall clock, by which a certificate ends, is looked at: a timer stands still while
/// the machine sleeps, and the clock may be set. It is far less than the third of a life that is
/// left at a renewal. A certificate that cannot be made anew is tried again at the next look.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// The TLS of a master's server.
#[derive(Debug)]
pub struct ServerTls {
    authority: Arc<Authority>,
    /// The names and addresses under which the master is reached.
    reached: Vec<String>,
    certificate: HeldCertificate,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Makes the first certificate.
    ///
    /// # Errors
    /// [`TlsError::Name`] for a name that cannot stand in a certificate.
    pub fn new(authority: Authority, reached: Vec<String>) -> Result<ServerTls, TlsError> {
        let certificate = HeldCertificate::default();
        certificate.show(authority.issue_master(&reached, LIFE)?);
        let clients = client_verifier(Arc::new(roots_of(authority.pem())?)).allow_unauthenticated().build()?;
        let config = server_config(clients, &certificate)?;
        Ok(ServerTls { authority: Arc::new(authority), reached, certificate, config })
    }

    /// The certificate of this master, to be shown to workers.
    pub fn certificate(&self) -> &HeldCertificate {
        &self.certificate
    }

    /// The CA behind the certificates.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// What shakes hands with clients, which may show a certificate of the CA and no other.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor { config: self.config.clone(), is_for_masters: false }
    }

    /// Makes the certificate anew in time by `wall`, the wall clock. Connections that stand keep
    /// theirs. `failed` is told why one could not be made.
    pub async fn keep_renewed(&self, wall: impl Fn() -> SystemTime, mut failed: impl FnMut(TlsError)) -> Infallible {
        let mut made = wall();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = wall();
            // A clock that was set back may be before the time from which the certificate holds.
            if now.duration_since(made).is_ok_and(|age| age < RENEWAL) {
                continue;
            }
            match self.renew() {
                Ok(()) => made = now,
                Err(error) => failed(error),
            }
        }
    }

    fn renew(&self) -> Result<(), TlsError> {
        let next = self.authority.issue_master(&self.reached, LIFE)?;
        self.certificate.show(next);
        Ok(())
    }
}

/// What shakes hands with clients.
#[derive(Debug, Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    is_for_masters: bool,
}

impl Acceptor {
    /// Of a worker: it shows the certificate that is held, to masters that are trusted.
    pub fn of_worker(held: &HeldCertificate, trust: &Trust) -> Result<Acceptor, TlsError> {
        let clients = client_verifier(trust.roots.clone()).build()?;
        Ok(Acceptor { config: server_config(clients, held)?, is_for_masters: true })
    }

    /// Shakes hands with a client. The caller bounds how long that may take.
    ///
    /// # Errors
    /// Those of the handshake, and [`io::ErrorKind::PermissionDenied`] for who is not served.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Stream> {
        let stream = Stream::Tls(Box::new(TlsAcceptor::from(self.config.clone()).accept(tcp).await?.into()));
        let is_master = || stream.peer().is_some_and(|peer| peer.holder == CertificateHolder::Master);
        if self.is_for_masters && !is_master() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the certificate is no master's"));
        }
        Ok(stream)
    }
}

fn client_verifier(roots: Arc<RootCertStore>) -> ClientCertVerifierBuilder {
    WebPkiClientVerifier::builder_with_provider(roots, provider())
}

fn server_config(clients: Arc<dyn ClientCertVerifier>, held: &HeldCertificate) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(held.0.clone());
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
