//! Whom a client trusts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use muster_types::KeyDigest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use crate::digest::{digest_of, digest_of_ca};
use crate::{HeldCertificate, OwnCertificate, TlsError};

/// The most bytes of a file of CAs that are read: as many as systems have.
const MAX_FILE: u64 = 4 << 20;

/// What is written for the CAs of the machine where else the file of one is. A file of that name is
/// `./system`.
pub const MACHINE: &str = "system";

/// HTTP/2 alone is spoken.
pub(crate) const ALPN: &[u8] = b"h2";

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The masters that a client trusts: those whose certificates the cluster's CA signed, or, for
/// clients that are no part of the cluster, another CA that a master's own certificate is of.
///
/// Clones share the CAs, so that those who hold one learn of a rotation ([`Trust::replace`]);
/// connections that stand stay.
#[derive(Debug, Clone)]
pub struct Trust {
    cas: Arc<ArcSwap<TrustedCas>>,
    /// What a server is shown that asks for a certificate.
    shown: Option<Arc<dyn ResolvesClientCert>>,
    names: AcceptedNames,
    /// A file that is read again for each connection.
    file: Option<Arc<Path>>,
}

#[derive(Debug)]
struct TrustedCas {
    config: Arc<ClientConfig>,
    /// Verifies clients, by the same CAs; by none where a digest is trusted.
    clients: Arc<dyn ClientCertVerifier>,
    /// As they were given; empty where they were not given as text.
    pem: String,
    /// What the first CA is known by, which is the one that signs.
    first: Option<KeyDigest>,
}

/// What a server's certificate must hold.
#[derive(Debug, Clone)]
enum AcceptedNames {
    /// The name of its role.
    OfRole,
    /// The host that was dialled.
    Dialled,
    /// Either; it is remembered whether it was the host that was right last.
    Either(Arc<AtomicBool>),
}

impl Trust {
    fn new(cas: TrustedCas, names: AcceptedNames) -> Trust {
        Trust { cas: Arc::new(ArcSwap::from_pointee(cas)), shown: None, names, file: None }
    }

    /// Trust in the CAs of a PEM text.
    pub fn in_ca(pem: &str) -> Result<Trust, TlsError> {
        Ok(Trust::new(TrustedCas::in_ca(pem)?, AcceptedNames::OfRole))
    }

    /// Trust in the CAs of this machine, such as those of browsers (or of the file that
    /// `SSL_CERT_FILE` names), for a master that shows a certificate of its own.
    ///
    /// # Errors
    /// [`TlsError::NoCertificate`] where the machine has none.
    pub fn in_machine() -> Result<Trust, TlsError> {
        let mut roots = RootCertStore::empty();
        // One that is not understood is none that a master's certificate is of.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        Ok(Trust::new(TrustedCas::in_roots(roots, String::new(), None)?, AcceptedNames::Dialled))
    }

    /// The same CAs, where they may also be those of a master's own certificate, which holds the
    /// host that is dialled and not the name of the role. It is for people and programs: the
    /// processes of a cluster trust each other by roles alone.
    #[must_use]
    pub fn or_own_certificates(self) -> Trust {
        match self.names {
            AcceptedNames::OfRole => Trust { names: AcceptedNames::Either(Arc::default()), ..self },
            AcceptedNames::Dialled | AcceptedNames::Either(_) => self,
        }
    }

    /// Trusts these CAs from now on, in all clones. Returns whether they are others.
    pub fn replace(&self, pem: &str) -> Result<bool, TlsError> {
        let before = self.cas.load();
        if before.pem == pem {
            return Ok(false);
        }
        let new = TrustedCas::in_ca(pem)?;
        // The same may be written in another way.
        let is_other = certificates_of(&before.pem) != certificates_of(pem);
        self.cas.store(Arc::new(new));
        Ok(is_other)
    }

    /// What the first CA is known by.
    pub fn ca_digest(&self) -> Option<KeyDigest> {
        self.cas.load().first
    }

    /// The CAs, as PEM; empty where they were not given as text.
    pub fn pem(&self) -> String {
        self.cas.load().pem.clone()
    }

    /// The same trust, by a client that shows a certificate.
    #[must_use]
    pub fn showing(&self, held: &HeldCertificate) -> Trust {
        Trust { shown: Some(held.0.clone()), ..self.clone() }
    }

    /// The same trust, by a client that shows a certificate of its own. Its files are read again at
    /// each connection, so one that is renewed is shown without a restart.
    #[must_use]
    pub fn showing_own(&self, own: Arc<OwnCertificate>) -> Trust {
        Trust { shown: Some(own), ..self.clone() }
    }

    /// Whether a server is shown a certificate.
    pub(crate) fn shows_certificate(&self) -> bool {
        self.shown.is_some()
    }

    /// Trust in the CAs of a PEM file.
    pub fn in_file(path: &Path) -> Result<Trust, TlsError> {
        Trust::in_ca(&read_file(path)?)
    }

    /// The trust of a person or a program that names it by a file: of the CAs in it, which may be
    /// those of a master's own certificate, or of this machine's where it is [`MACHINE`]. The file
    /// is read again for each connection: a worker exchanges that of its programs when the CA is
    /// exchanged, and they may run for weeks.
    pub fn named(file: &Path) -> Result<Trust, TlsError> {
        if file.as_os_str() == MACHINE {
            return Trust::in_machine();
        }
        let trust = Trust::in_file(file)?.or_own_certificates();
        Ok(Trust { file: Some(file.into()), ..trust })
    }

    /// Trust in the CA of a digest, which must be in the server's chain.
    pub(crate) fn in_digest(digest: KeyDigest) -> Result<Trust, TlsError> {
        let verifier = Arc::new(PinVerifier { digest, provider: provider() });
        let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        let clients = WebPkiClientVerifier::no_client_auth();
        let cas = TrustedCas { config: finished(config), clients, pem: String::new(), first: Some(digest) };
        Ok(Trust::new(cas, AcceptedNames::OfRole))
    }

    /// The configuration of the next connection.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        // A file that cannot be read, or makes no sense, leaves the CAs as they are.
        if let Some(pem) = self.file.as_ref().and_then(|file| read_file(file).ok()) {
            let _ = self.replace(&pem);
        }
        let config = self.cas.load().config.clone();
        let Some(shown) = &self.shown else { return config };
        let mut config = (*config).clone();
        config.client_auth_cert_resolver = shown.clone();
        Arc::new(config)
    }

    /// Whether a certificate, the first of a chain in PEM, is of one of these CAs and holds now.
    pub fn holds(&self, chain: &str) -> bool {
        let chain = certificates_of(chain);
        let verified = chain
            .split_first()
            .map(|(certificate, behind)| self.clients().verify_client_cert(certificate, behind, UnixTime::now()));
        matches!(verified, Some(Ok(_)))
    }

    /// What verifies clients by these CAs.
    pub(crate) fn clients(&self) -> Arc<dyn ClientCertVerifier> {
        self.cas.load().clients.clone()
    }

    /// The names that a server of a role at a host is asked for, one after the other: it chooses
    /// its certificate by that.
    pub(crate) fn names(&self, role: &str, host: &str) -> Vec<String> {
        let (role, host) = (role.to_owned(), host.trim_matches(['[', ']']).to_owned());
        match &self.names {
            AcceptedNames::OfRole => vec![role],
            AcceptedNames::Dialled => vec![host],
            AcceptedNames::Either(is_host) if is_host.load(Ordering::Relaxed) => vec![host, role],
            AcceptedNames::Either(_) => vec![role, host],
        }
    }

    /// Remembers by which name a server was trusted.
    pub(crate) fn trusted_by(&self, name: &str, role: &str) {
        if let AcceptedNames::Either(is_host) = &self.names {
            is_host.store(name != role, Ordering::Relaxed);
        }
    }
}

impl TrustedCas {
    fn in_ca(pem: &str) -> Result<TrustedCas, TlsError> {
        TrustedCas::in_roots(roots_of(pem)?, pem.to_owned(), digest_of_ca(pem))
    }

    fn in_roots(roots: RootCertStore, pem: String, first: Option<KeyDigest>) -> Result<TrustedCas, TlsError> {
        let roots = Arc::new(roots);
        let config = builder()?.with_root_certificates(roots.clone()).with_no_client_auth();
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
        Ok(TrustedCas { config: finished(config), clients, pem, first })
    }
}

fn read_file(path: &Path) -> Result<String, TlsError> {
    let unreadable = |error| TlsError::File(path.to_owned(), error);
    let mut pem = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE).read_to_string(&mut pem).map_err(unreadable)?;
    Ok(pem)
}

fn certificates_of(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).flatten().collect()
}

/// The certificates in a text of PEM, as those of CAs.
pub(crate) fn roots_of(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| TlsError::NoCertificate)?)?;
    }
    if roots.is_empty() { Err(TlsError::NoCertificate) } else { Ok(roots) }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])
}

fn finished(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Verifies a chain as usual, with the one CA in it that has the digest as its root.
#[derive(Debug)]
struct PinVerifier {
    digest: KeyDigest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|certificate| digest_of(certificate) == Some(self.digest));
        let pinned = pinned.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
