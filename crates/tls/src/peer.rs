//! Who is on the other side of a connection, as its certificate says.

use muster_types::{KeyDigest, WallTime, WorkerUid};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use crate::digest::digest_of_key;
use crate::{ClientChain, names};

/// The holder of a certificate of the cluster's CA, or of one of clients. That it holds the key was
/// proven by the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub holder: CertificateHolder,
    /// The public key.
    pub key: KeyDigest,
    /// From when the certificate holds.
    pub begins: WallTime,
    /// When the certificate ends.
    pub expires: WallTime,
}

/// Whose a certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateHolder {
    /// A master.
    Master,
    /// The worker with this uid.
    Worker(WorkerUid),
    /// A person or a program, by another CA than the cluster's, whatever names the certificate
    /// holds. Who it is, and whether the certificate is still good, says
    /// [`ClientTrust::identify`](crate::ClientTrust::identify).
    Client(ClientChain),
}

impl PeerCertificate {
    /// What a certificate says that was verified to be of the cluster's CA; `None` where it names
    /// no role, or more than one.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<PeerCertificate> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let mut holders = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) if *name == names::MASTER => Some(CertificateHolder::Master),
            GeneralName::DNSName(name) => names::uid_of_worker(name).map(CertificateHolder::Worker),
            _ => None,
        });
        let holder = holders.next()?;
        if holders.next().is_some() {
            return None;
        }
        PeerCertificate::held_by(holder, certificate)
    }

    /// What a certificate says that was verified to be of a CA of clients.
    pub(crate) fn of_client(chain: ClientChain) -> Option<PeerCertificate> {
        let certificate = chain.first()?.clone();
        PeerCertificate::held_by(CertificateHolder::Client(chain), &certificate)
    }

    fn held_by(holder: CertificateHolder, certificate: &CertificateDer<'_>) -> Option<PeerCertificate> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let wall = |seconds: i64| u64::try_from(seconds).ok().map(|seconds| WallTime(seconds.saturating_mul(1000)));
        let validity = parsed.validity();
        let (begins, expires) = (wall(validity.not_before.timestamp())?, wall(validity.not_after.timestamp())?);
        let key = digest_of_key(parsed.tbs_certificate.subject_pki.raw);
        Some(PeerCertificate { holder, key, begins, expires })
    }
}
