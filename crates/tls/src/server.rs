//! TLS of a server.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::trust::{ALPN, provider, roots_of};
use crate::{Authority, HeldCertificate, TlsError};

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
        let clients = client_verifier(authority.pem())?.allow_unauthenticated().build();
        let config = server_config(clients.map_err(|error| TlsError::Verifier(error.to_string()))?, &certificate)?;
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

    /// Shakes hands with a client, which may show a certificate of the CA and no other. The caller bounds how long that may take.
    pub async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        Ok(TlsAcceptor::from(self.config.clone()).accept(tcp).await?.into())
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

/// The TLS of a worker's server: it is for those who show a certificate of the CA.
#[derive(Debug, Clone)]
pub struct WorkerServerTls(Arc<ServerConfig>);

impl WorkerServerTls {
    /// Shows the certificate that is held, to clients of these CAs (PEM).
    pub fn new(held: &HeldCertificate, ca: &str) -> Result<WorkerServerTls, TlsError> {
        let clients = client_verifier(ca)?.build().map_err(|error| TlsError::Verifier(error.to_string()))?;
        server_config(clients, held).map(WorkerServerTls)
    }

    /// Shakes hands with a client. The caller bounds how long that may take, and looks at who it
    /// is.
    pub async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        Ok(TlsAcceptor::from(self.0.clone()).accept(tcp).await?.into())
    }
}

fn client_verifier(ca: &str) -> Result<ClientCertVerifierBuilder, TlsError> {
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots_of(ca)?), provider()))
}

fn server_config(clients: Arc<dyn ClientCertVerifier>, held: &HeldCertificate) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(held.0.clone());
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
