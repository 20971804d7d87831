//! Whom a client trusts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use muster_types::KeyDigest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use crate::digest::digest_of;
use crate::{HeldCertificate, TlsError};

/// The most bytes of a file of CAs that are read: as many as systems have.
const MAX_FILE: u64 = 4 << 20;

/// HTTP/2 alone is spoken.
pub(crate) const ALPN: &[u8] = b"h2";

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The masters that a client trusts: those whose certificates the cluster's CA signed.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) config: Arc<ClientConfig>,
    /// The CAs; none where a digest is trusted.
    pub(crate) roots: Arc<RootCertStore>,
    /// What the first CA is known by, which is the one that signs.
    ca: Option<KeyDigest>,
}

impl Trust {
    /// Trust in the CAs of a PEM text.
    pub fn in_ca(pem: &str) -> Result<Trust, TlsError> {
        let roots = Arc::new(roots_of(pem)?);
        let config = builder()?.with_root_certificates(roots.clone()).with_no_client_auth();
        let first = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten().next();
        Ok(Trust { config: finished(config), roots, ca: first.as_ref().and_then(digest_of) })
    }

    /// What the first CA is known by.
    pub fn ca_digest(&self) -> Option<KeyDigest> {
        self.ca
    }

    /// The same trust, by a client that shows a certificate.
    #[must_use]
    pub fn showing(&self, held: &HeldCertificate) -> Trust {
        let mut config = (*self.config).clone();
        config.client_auth_cert_resolver = held.0.clone();
        Trust { config: Arc::new(config), roots: self.roots.clone(), ca: self.ca }
    }

    /// Trust in the CAs of a PEM file.
    pub fn in_file(path: &Path) -> Result<Trust, TlsError> {
        let unreadable = |error| TlsError::File(path.to_owned(), error);
        let mut pem = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE).read_to_string(&mut pem).map_err(unreadable)?;
        Trust::in_ca(&pem)
    }

    /// Trust in the CA of a digest, which must be in the server's chain.
    pub(crate) fn in_digest(digest: KeyDigest) -> Result<Trust, TlsError> {
        let verifier = Arc::new(PinVerifier { digest, provider: provider() });
        let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Trust { config: finished(config), roots: Arc::new(RootCertStore::empty()), ca: Some(digest) })
    }
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
