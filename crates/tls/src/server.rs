//! TLS of a server.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::held::ByName;
use crate::listen::RefusedCertificates;
use crate::trust::{ALPN, provider};
use crate::{
    Authority, CertificateHolder, ClientChain, ClientTrust, HeldCertificate, OwnCertificate, PeerCertificate, Stream,
    TlsError, Trust, names,
};

/// How long a master's certificate holds. Its key is in memory alone, so each start makes one.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// When it is made anew.
const RENEWAL: Duration = Duration::from_secs(7 * 24 * 3600 * 2 / 3);
/// How often the wall clock, by which a certificate ends, is looked at: a timer stands still while
/// the machine sleeps, and the clock may be set, by years where it was wrong at the start. Clients
/// trust the master again this long after it was set right. A certificate that cannot be made anew
/// is tried again at the next look.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The TLS of a master's server.
#[derive(Debug)]
pub struct ServerTls {
    authority: ArcSwap<Authority>,
    /// The CAs, for everybody who was given them.
    trust: Trust,
    /// The names and addresses under which the master is reached.
    reached: Vec<String>,
    certificate: HeldCertificate,
    acceptor: Acceptor,
}

impl ServerTls {
    /// Makes the first certificate. Everybody who does not ask for the name of the role is shown
    /// one of the operator's own, if there is one; and clients may show certificates of other CAs,
    /// if those are trusted.
    ///
    /// # Errors
    /// [`TlsError::Name`] for a name that cannot stand in a certificate.
    pub fn new(
        authority: Authority,
        reached: Vec<String>,
        own: Option<&OwnCertificate>,
        clients: Option<Arc<ClientTrust>>,
    ) -> Result<ServerTls, TlsError> {
        let certificate = HeldCertificate::default();
        certificate.show(authority.issue_master(&reached, LIFE)?);
        let own = own.map(|own| own.held().clone());
        let shown = ByName { role: names::MASTER, of_role: certificate.clone(), own };
        let trust = Trust::in_ca(authority.pem())?;
        let verifier = PeerVerifier { cluster: trust.clone(), clients, is_mandatory: false };
        let acceptor = Acceptor::new(verifier, Arc::new(shown), false)?;
        Ok(ServerTls { authority: ArcSwap::from_pointee(authority), trust, reached, certificate, acceptor })
    }

    /// The certificate of this master, to be shown to workers.
    pub fn certificate(&self) -> &HeldCertificate {
        &self.certificate
    }

    /// The CA behind the certificates.
    pub fn authority(&self) -> Arc<Authority> {
        self.authority.load_full()
    }

    /// Trust in the CAs. Whoever holds it learns of new ones.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Reads the directory of the CA again. Returns whether it has changed: then the CAs in it are
    /// trusted from now on, and the first one signs, this master's own certificate at once. What
    /// was read before stays where the files make no sense.
    pub fn look(&self) -> Result<bool, TlsError> {
        let before = self.authority();
        let read = Authority::open(before.directory())?;
        if read.pem() == before.pem() {
            return Ok(false);
        }
        // Others trust the new CA before anything is signed by it.
        self.trust.replace(read.pem())?;
        if read.digest() != before.digest() {
            self.certificate.show(read.issue_master(&self.reached, LIFE)?);
        }
        self.authority.store(Arc::new(read));
        Ok(true)
    }

    /// What shakes hands with clients.
    pub fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
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
        let next = self.authority().issue_master(&self.reached, LIFE)?;
        self.certificate.show(next);
        Ok(())
    }
}

/// What shakes hands with clients.
#[derive(Debug, Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    verifier: Arc<PeerVerifier>,
    is_for_masters: bool,
    /// Counts the connections in the clear; `None` where none is taken.
    plaintext: Option<PlaintextConnections>,
    /// Is told of certificates that are refused.
    observer: Option<Arc<dyn RefusedCertificates>>,
}

/// How many connections in the clear stand.
#[derive(Debug, Clone, Default)]
pub struct PlaintextConnections(Arc<AtomicUsize>);

impl PlaintextConnections {
    /// So many at present.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) -> PlaintextConnection {
        self.0.fetch_add(1, Ordering::Relaxed);
        PlaintextConnection(self.clone())
    }
}

/// A connection in the clear, which counts until this is dropped.
#[derive(Debug)]
pub(crate) struct PlaintextConnection(PlaintextConnections);

impl Drop for PlaintextConnection {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is ready to be served.
#[derive(Debug)]
pub struct AcceptedConnection {
    /// The connection.
    pub stream: Stream,
    /// What the other side has shown; nothing where it showed none, or one without a role.
    pub certificate: Option<PeerCertificate>,
    pub(crate) plaintext: Option<PlaintextConnection>,
}

/// How every connection of TLS begins: with a record of a handshake. No client of HTTP/2 in the
/// clear begins so.
const HANDSHAKE: u8 = 0x16;

impl Acceptor {
    /// Of a worker: it shows the certificate that is held, to masters that are trusted.
    pub fn of_worker(held: &HeldCertificate, trust: &Trust) -> Result<Acceptor, TlsError> {
        let verifier = PeerVerifier { cluster: trust.clone(), clients: None, is_mandatory: true };
        Acceptor::new(verifier, held.0.clone(), true)
    }

    /// Shows what the test wants.
    #[cfg(test)]
    pub(crate) fn showing(trust: &Trust, shown: Arc<dyn ResolvesServerCert>) -> Result<Acceptor, TlsError> {
        Acceptor::new(PeerVerifier { cluster: trust.clone(), clients: None, is_mandatory: false }, shown, false)
    }

    fn new(
        verifier: PeerVerifier,
        shown: Arc<dyn ResolvesServerCert>,
        is_for_masters: bool,
    ) -> Result<Acceptor, TlsError> {
        let verifier = Arc::new(verifier);
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = builder.with_client_cert_verifier(verifier.clone()).with_cert_resolver(shown);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Acceptor { config: Arc::new(config), verifier, is_for_masters, plaintext: None, observer: None })
    }

    /// The same, which tells of certificates that it refuses.
    #[must_use]
    pub fn telling(self, observer: Arc<dyn RefusedCertificates>) -> Acceptor {
        Acceptor { observer: Some(observer), ..self }
    }

    pub(crate) fn observer(&self) -> Option<&dyn RefusedCertificates> {
        self.observer.as_deref()
    }

    /// The same, which also takes connections in the clear, told by their first byte. Who is served
    /// there is for the server to decide, which is told by [`Stream`].
    #[must_use]
    pub fn or_plaintext(self, counted: PlaintextConnections) -> Acceptor {
        Acceptor { plaintext: Some(counted), ..self }
    }

    /// Shakes hands with a client. The caller bounds how long that may take.
    ///
    /// # Errors
    /// Those of the handshake, and [`io::ErrorKind::PermissionDenied`] for who is not served.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<AcceptedConnection> {
        if let Some(counted) = &self.plaintext {
            let mut first = [0; 1];
            if tcp.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first != [HANDSHAKE] {
                let plaintext = Some(counted.begin());
                return Ok(AcceptedConnection { stream: Stream::Plain(tcp), certificate: None, plaintext });
            }
        }
        let stream = TlsAcceptor::from(self.config.clone()).accept(tcp).await?;
        let peer = self.verifier.peer_of(stream.get_ref().1.peer_certificates().unwrap_or_default());
        let is_master = || peer.as_ref().is_some_and(|peer| peer.holder == CertificateHolder::Master);
        if self.is_for_masters && !is_master() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the certificate is no master's"));
        }
        Ok(AcceptedConnection { stream: Stream::Tls(Box::new(stream.into())), certificate: peer, plaintext: None })
    }
}

/// Verifies certificates of the cluster's CAs and then of those of clients, as they are in force at
/// each handshake.
#[derive(Debug)]
struct PeerVerifier {
    cluster: Trust,
    clients: Option<Arc<ClientTrust>>,
    is_mandatory: bool,
}

impl PeerVerifier {
    /// What the certificate of a handshake says. By which CA it was verified decides what it may
    /// say at all: nothing that another CA has signed is of a worker or of a master.
    fn peer_of(&self, chain: &[CertificateDer<'_>]) -> Option<PeerCertificate> {
        let (first, rest) = chain.split_first()?;
        if self.clients.is_none() || self.cluster.clients().verify_client_cert(first, rest, UnixTime::now()).is_ok() {
            return PeerCertificate::of(first);
        }
        PeerCertificate::of_client(ClientChain::new(chain))
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    /// None are hinted at: a client that has a certificate shows it then, and the CAs may change.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.cluster.clients().verify_client_cert(end_entity, intermediates, now);
        match (verified, &self.clients) {
            (Err(_), Some(clients)) => clients.verifier().verify_client_cert(end_entity, intermediates, now),
            (verified, _) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.cluster.clients().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.cluster.clients().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.cluster.clients().supported_verify_schemes()
    }
}
