//! The private CA of a cluster, in a directory of two files.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::{CaDigest, TlsError, names};

/// The files of a CA's directory.
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a CA holds.
const CA_LIFE: Duration = DAY.saturating_mul(3_653);
/// Certificates hold from a little earlier than now, because clocks differ.
const SKEW: Duration = Duration::from_secs(3600);

/// A CA that can sign.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    digest: CaDigest,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a CA in a directory, which is made 0700 if it is missing. The files are 0600.
    ///
    /// # Errors
    /// [`TlsError::Exists`] where a CA is; an unfinished one is replaced.
    pub fn create(directory: &Path) -> Result<Authority, TlsError> {
        let [certificate, key] = paths(directory);
        if exists(&certificate)? {
            return Err(TlsError::Exists(directory.to_owned()));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| TlsError::File(directory.to_owned(), error))?;
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Muster CA");
        // It signs certificates and no further CA.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (now - SKEW).into();
        params.not_after = (now + CA_LIFE).into();
        let signed = params.self_signed(&pair)?;
        // The key first: a directory with a certificate is whole.
        write(&key, &pair.serialize_pem())?;
        write(&certificate, &signed.pem())?;
        Authority::open(directory)
    }

    /// Whether a directory holds a CA.
    pub fn exists(directory: &Path) -> Result<bool, TlsError> {
        exists(&paths(directory)[0])
    }

    /// Reads the CA in a directory.
    ///
    /// # Errors
    /// [`TlsError::Exposed`] if others than its owner can read the key.
    pub fn open(directory: &Path) -> Result<Authority, TlsError> {
        let [certificate_path, key_path] = paths(directory);
        let read = |path: &Path| match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(TlsError::Incomplete(path.to_owned())),
            text => text.map_err(|error| TlsError::File(path.to_owned(), error)),
        };
        let (pem, key) = (read(&certificate_path)?, read(&key_path)?);
        let mode = fs::metadata(&key_path).map_err(|error| TlsError::File(key_path.clone(), error))?.mode();
        if mode & 0o077 != 0 {
            return Err(TlsError::Exposed(key_path));
        }
        let not_a_certificate = || TlsError::Malformed(certificate_path.clone(), "certificate of a CA");
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| not_a_certificate())?;
        let digest = CaDigest::of(&certificate).ok_or_else(not_a_certificate)?;
        let pair = KeyPair::from_pem(&key).map_err(|_| TlsError::Malformed(key_path.clone(), "private key"))?;
        let of_pair = CaDigest::of_public_key(&rcgen::PublicKeyData::subject_public_key_info(&pair));
        if of_pair != digest {
            return Err(TlsError::Malformed(key_path, "key of the certificate beside it"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, pair)?;
        Ok(Authority { certificate, pem, digest, issuer })
    }

    /// What the CA is pinned by.
    pub fn digest(&self) -> CaDigest {
        self.digest
    }

    /// The CA's certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A key and a certificate for a master that is reached under these names and addresses, with
    /// the CA behind it in the chain, so that a pin can be found there.
    pub(crate) fn issue_master(&self, reached: &[String], life: Duration) -> Result<CertifiedKey, TlsError> {
        let mut names: Vec<String> = [names::MASTER, "localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.extend(reached.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
        let mut params = CertificateParams::default();
        for name in names {
            let one = CertificateParams::new(vec![name.clone()]).map_err(|_| TlsError::Name(name))?;
            params.subject_alt_names.extend(one.subject_alt_names);
        }
        params.distinguished_name.push(DnType::CommonName, names::MASTER);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        params.not_before = (now - SKEW).into();
        params.not_after = (now + life).into();
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let signed = params.signed_by(&pair, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
        let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
        Ok(CertifiedKey::new(vec![signed.der().clone(), self.certificate.clone()], key))
    }
}

fn paths(directory: &Path) -> [PathBuf; 2] {
    [CERTIFICATE, KEY].map(|name| directory.join(name))
}

fn exists(path: &Path) -> Result<bool, TlsError> {
    path.try_exists().map_err(|error| TlsError::File(path.to_owned(), error))
}

fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    muster_os::file::replace_private(path, text).map_err(|error| TlsError::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_ca_is_made_once_and_read_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("pki");
        assert!(!Authority::exists(&directory).unwrap());
        let made = Authority::create(&directory).unwrap();
        let read = Authority::open(&directory).unwrap();
        assert_eq!(made.digest(), read.digest());
        assert!(matches!(Authority::create(&directory), Err(TlsError::Exists(_))));
        for path in [&directory, &directory.join(CERTIFICATE), &directory.join(KEY)] {
            assert_eq!(path.metadata().unwrap().mode() & 0o077, 0, "{}", path.display());
        }
    }

    #[test]
    fn an_unfinished_ca_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(KEY), "a part of a ke").unwrap();
        assert!(!Authority::exists(directory.path()).unwrap());
        Authority::create(directory.path()).unwrap();
        Authority::open(directory.path()).unwrap();
    }

    #[test]
    fn what_is_no_ca_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = paths(directory.path());
        let refused = || Authority::open(directory.path()).unwrap_err().to_string();
        assert!(refused().contains("ca.crt is missing"), "{}", refused());
        Authority::create(directory.path()).unwrap();
        let right = fs::read_to_string(&key).unwrap();

        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refused().contains("ca.key can be read by others"), "{}", refused());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(refused().ends_with("ca.key is no key of the certificate beside it"), "{}", refused());
        fs::write(&key, "x").unwrap();
        assert!(refused().ends_with("ca.key is no private key"), "{}", refused());
        fs::write(&key, right).unwrap();

        fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refused().ends_with("ca.crt is no certificate of a CA"), "{}", refused());
        fs::remove_file(&key).unwrap();
        assert!(refused().contains("ca.key is missing"), "{}", refused());
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create(directory.path()).unwrap();
        let error = authority.issue_master(&["ä".to_owned()], DAY).unwrap_err();
        assert!(matches!(&error, TlsError::Name(name) if name == "ä"), "{error}");
    }
}
