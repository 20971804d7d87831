//! TLS of a server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::trust::{ALPN, provider};
use crate::{Authority, TlsError};

/// How long a master's certificate holds. Its key is in memory alone, so each start makes one.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// When it is made anew.
const RENEWAL: Duration = Duration::from_secs(7 * 24 * 3600 * 2 / 3);
/// A certificate that cannot be made anew is tried again after this time.
const RETRY: Duration = Duration::from_secs(3600);

/// The TLS of a master's server.
#[derive(Debug)]
pub struct ServerTls {
    authority: Authority,
    /// The names and addresses under which the master is reached.
    reached: Vec<String>,
    certificate: Arc<CurrentCertificate>,
    config: Arc<ServerConfig>,
}

/// The certificate that is shown at present.
#[derive(Debug)]
struct CurrentCertificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ServerTls {
    /// Makes the first certificate.
    ///
    /// # Errors
    /// [`TlsError::Name`] for a name that cannot stand in a certificate.
    pub fn new(authority: Authority, reached: Vec<String>) -> Result<ServerTls, TlsError> {
        let first = authority.issue_master(&reached, LIFE)?;
        let certificate = Arc::new(CurrentCertificate(ArcSwap::from_pointee(first)));
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(ServerTls { authority, reached, certificate, config: Arc::new(config) })
    }

    /// The CA behind the certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Shakes hands with a client. The caller bounds how long that may take.
    pub async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        Ok(TlsAcceptor::from(self.config.clone()).accept(tcp).await?.into())
    }

    /// Makes the certificate anew in time, for ever. Connections that stand keep theirs. `failed`
    /// is told why one could not be made.
    pub async fn keep_renewed(&self, mut failed: impl FnMut(TlsError)) {
        let mut wait = RENEWAL;
        loop {
            tokio::time::sleep(wait).await;
            wait = match self.renew() {
                Ok(()) => RENEWAL,
                Err(error) => {
                    failed(error);
                    RETRY
                }
            };
        }
    }

    fn renew(&self) -> Result<(), TlsError> {
        let next = self.authority.issue_master(&self.reached, LIFE)?;
        self.certificate.0.store(Arc::new(next));
        Ok(())
    }
}
