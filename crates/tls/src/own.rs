//! A certificate in two files: of the operator's own, which a master shows beside that of the
//! cluster's CA, or of a person or a program.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::authority::{read, read_private};
use crate::trust::provider;
use crate::watched::LastRead;
use crate::{HeldCertificate, TlsError};

/// A certificate and its key in two files, which may be exchanged while connections stand.
#[derive(Debug)]
pub struct OwnCertificate {
    certificate: PathBuf,
    key: PathBuf,
    held: HeldCertificate,
    last: LastRead,
}

impl OwnCertificate {
    /// Reads the files: a chain in PEM, the server's certificate first, and the key of that.
    ///
    /// # Errors
    /// As [`look`](OwnCertificate::look).
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<OwnCertificate, TlsError> {
        let own = OwnCertificate { certificate, key, held: HeldCertificate::default(), last: LastRead::default() };
        own.look()?;
        Ok(own)
    }

    /// Reads the files again, and shows what is in them from now on if it is another pair. Returns
    /// whether it is. What was shown before stays where the files make no pair.
    ///
    /// # Errors
    /// [`TlsError::NoPair`] where the key is not that of the certificate, [`TlsError::Exposed`] if
    /// others than its owner can read the key, [`TlsError::Planted`] if another user owns a file.
    pub fn look(&self) -> Result<bool, TlsError> {
        let (chain, _) = read(&self.certificate)?;
        let key = read_private(&self.key)?;
        self.last.if_changed(&[chain.as_bytes(), key.as_bytes()], || {
            let malformed = |path: &PathBuf, what| TlsError::Malformed(path.clone(), what);
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
            let chain = chain.ok().filter(|chain| !chain.is_empty());
            let chain = chain.ok_or_else(|| malformed(&self.certificate, "certificate"))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
            let key = key.map_err(|_| malformed(&self.key, "private key"))?;
            let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::NoPair(self.certificate.clone(), self.key.clone()),
                error => TlsError::Use(error),
            })?;
            self.held.show(pair);
            Ok(())
        })
    }

    pub(crate) fn held(&self) -> &HeldCertificate {
        &self.held
    }
}

impl ResolvesClientCert for OwnCertificate {
    /// Whatever CAs the server hints at: it will say whether it takes this one. Files that make no
    /// pair, as in the middle of a renewal, leave the one before.
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let _ = self.look();
        self.held.0.load()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
