//! The CA of a cluster, fetched from a master by its digest.

use std::io;
use std::time::Duration;

use muster_types::KeyDigest;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;

use crate::connect::handshake;
use crate::digest::digest_of;
use crate::mismatch::is_of_clock;
use crate::{TlsError, Trust, names};

/// Why a CA was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchCaError {
    /// The master cannot be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The master does not speak TLS.
    #[error("it does not speak TLS")]
    Plaintext,
    /// The master's certificate holds at another time than this machine's clock tells.
    #[error("it shows a certificate that is not valid now: check this machine's clock, and the master's")]
    Clock(#[source] io::Error),
    /// The handshake failed, as a rule because the master has another CA.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// A setting of TLS was refused.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Fetches the certificate of a CA, as PEM, from a master whose chain is verified to end in the CA
/// of this digest. Nothing is sent before that.
pub async fn fetch_ca(address: &str, digest: KeyDigest, timeout: Duration) -> Result<String, FetchCaError> {
    let trust = Trust::in_digest(digest)?;
    let tcp = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
    let tcp = tcp.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(FetchCaError::Connect)?;
    let stream = handshake(tcp, &trust, names::MASTER, timeout).await.map_err(|error| match error {
        error if is_of_plaintext(&error) => FetchCaError::Plaintext,
        error if is_of_clock(&error) => FetchCaError::Clock(error),
        error => FetchCaError::Handshake(error),
    })?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let pinned = chain.iter().find(|certificate| digest_of(certificate) == Some(digest));
    Ok(pem_of(pinned.ok_or(TlsError::NoCertificate)?))
}

/// Whether the answer to a handshake was nothing of TLS.
fn is_of_plaintext(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidMessage(_)))
}

/// A certificate as PEM.
pub(crate) fn pem_of(certificate: &CertificateDer<'_>) -> String {
    pem::encode_config(
        &pem::Pem::new("CERTIFICATE", certificate.as_ref()),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}
