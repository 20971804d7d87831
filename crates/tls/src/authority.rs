//! The private CA of a cluster, in a directory of two files.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use muster_os::{OwnFiles, make_private};
use muster_types::{KeyDigest, WorkerUid};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::digest::{digest_of, digest_of_key};
use crate::fetch::pem_of;
use crate::{TlsError, names};

/// The files of a CA's directory.
pub(crate) const CERTIFICATE: &str = "ca.crt";
pub(crate) const KEY: &str = "ca.key";

/// By what a directory is known to be a CA's.
const OWN: OwnFiles = OwnFiles { marks: &[CERTIFICATE, KEY], others: &[] };
/// The most bytes of a file that are read.
const MOST: u64 = 1 << 20;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a CA holds.
const CA_LIFE: Duration = DAY.saturating_mul(3_653);
/// Certificates hold from a little earlier than now, because clocks differ.
pub(crate) const SKEW: Duration = Duration::from_secs(3600);

/// A certificate that was signed for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate and the CA's, as PEM.
    pub chain: String,
    /// When it ends.
    pub expires: SystemTime,
}

/// A CA that can sign, and those that are trusted beside it while one takes the place of another.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    certificate: CertificateDer<'static>,
    pem: String,
    digest: KeyDigest,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a CA in a directory, which is made 0700 if it is missing, and else must be its own.
    /// The files are 0600. A key that is there without its certificate is kept, so that the
    /// digest stays what it is.
    ///
    /// # Errors [`TlsError::Exists`] where a CA is; [`TlsError::Directory`] for a directory that is
    /// for many.
    pub fn create(directory: &Path) -> Result<Authority, TlsError> {
        let [certificate, key] = paths(directory);
        if exists(&certificate)? {
            return Err(TlsError::Exists(directory.to_owned()));
        }
        make_private(directory, OWN)?;
        let pair = match exists(&key)? {
            true => read_key(&key)?,
            false => new_key()?,
        };
        // The key first: a directory with a certificate is whole.
        write(&key, &pair.serialize_pem())?;
        write(&certificate, &self_signed(&pair, SystemTime::now())?)?;
        Authority::open(directory)
    }

    /// Whether a directory holds a CA.
    pub fn exists(directory: &Path) -> Result<bool, TlsError> {
        exists(&paths(directory)[0])
    }

    /// Reads the CA in a directory, which may be one that others made, such as a Kubernetes secret;
    /// its files must be root's or ours.
    ///
    /// # Errors
    /// [`TlsError::Exposed`] if others than its owner can read the key, [`TlsError::Planted`] if
    /// another user owns a file.
    pub fn open(directory: &Path) -> Result<Authority, TlsError> {
        let [certificate_path, key_path] = paths(directory);
        if !exists(&certificate_path)? && !exists(&key_path)? {
            return Err(TlsError::NoCa(directory.to_owned()));
        }
        let (pem, _) = read(&certificate_path)?;
        let not_a_certificate = || TlsError::Malformed(certificate_path.clone(), "certificate of a CA");
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| not_a_certificate())?;
        let digest = digest_of(&certificate).filter(|_| is_ca(&certificate)).ok_or_else(not_a_certificate)?;
        let pair = read_key(&key_path)?;
        let of_pair = digest_of_key(&rcgen::PublicKeyData::subject_public_key_info(&pair));
        if of_pair != digest {
            return Err(TlsError::Malformed(key_path, "key of the certificate beside it"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, pair)?;
        Ok(Authority { directory: directory.to_owned(), certificate, pem, digest, issuer })
    }

    /// Where it was read.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the CA is pinned by.
    pub fn digest(&self) -> KeyDigest {
        self.digest
    }

    /// The certificates of all CAs that are trusted, as PEM; that of the one that signs comes
    /// first.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The key that a request for a certificate (PKCS #10, in DER) proves.
    ///
    /// # Errors
    /// [`TlsError::Request`] if it proves none.
    pub fn key_of_request(request: &[u8]) -> Result<KeyDigest, TlsError> {
        Ok(verified(request)?.1)
    }

    /// Signs a certificate for the key of a request, which holds the name of a worker and nothing
    /// of what the request asks for. The CA is behind it in the chain.
    ///
    /// # Errors
    /// [`TlsError::Request`] if the request proves no key.
    pub fn issue_worker(&self, request: &[u8], uid: WorkerUid, life: Duration) -> Result<IssuedCertificate, TlsError> {
        let (mut request, _) = verified(request)?;
        let expires = SystemTime::now() + life;
        request.params = short_lived(vec![names::worker(uid)], expires)?;
        let signed = request.signed_by(&self.issuer)?;
        Ok(IssuedCertificate { chain: format!("{}{}", signed.pem(), pem_of(&self.certificate)), expires })
    }

    /// A key and a certificate for a master that is reached under these names and addresses, with
    /// the CA behind it in the chain, so that a pin can be found there.
    pub(crate) fn issue_master(&self, reached: &[String], life: Duration) -> Result<CertifiedKey, TlsError> {
        let mut names: Vec<String> = [names::MASTER, "localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.extend(reached.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
        let params = short_lived(names, SystemTime::now() + life)?;
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let signed = params.signed_by(&pair, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
        let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
        Ok(CertifiedKey::new(vec![signed.der().clone(), self.certificate.clone()], key))
    }
}

/// A key for a CA.
pub(crate) fn new_key() -> Result<KeyPair, TlsError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// The certificate of a CA with a key, as PEM.
pub(crate) fn self_signed(pair: &KeyPair, now: SystemTime) -> Result<String, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Muster CA");
    // It signs certificates and no further CA.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - SKEW).into();
    params.not_after = (now + CA_LIFE).into();
    Ok(params.self_signed(pair)?.pem())
}

/// What is signed for a process of the cluster: for server and client, under these names, of which
/// the first is that of its role.
fn short_lived(names: Vec<String>, until: SystemTime) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("", String::as_str));
    for name in names {
        let one = CertificateParams::new(vec![name.clone()]).map_err(|_| TlsError::Name(name))?;
        params.subject_alt_names.extend(one.subject_alt_names);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (SystemTime::now() - SKEW).into();
    params.not_after = until.into();
    Ok(params)
}

/// A request whose signature proves its key, with what the key is known by.
fn verified(request: &[u8]) -> Result<(CertificateSigningRequestParams, KeyDigest), TlsError> {
    let request = CertificateSigningRequestDer::from(request);
    let request = CertificateSigningRequestParams::from_der(&request).map_err(TlsError::Request)?;
    let key = digest_of_key(&rcgen::PublicKeyData::subject_public_key_info(&request.public_key));
    Ok((request, key))
}

/// Whether a certificate may sign others.
fn is_ca(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, parsed)| parsed.is_ca())
}

/// Reads a file of ours, and whether others may. A file of another user is one that this user
/// chose. One of root's may be given by its group, as a Kubernetes secret is.
pub(crate) fn read(path: &Path) -> Result<(String, bool), TlsError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => TlsError::Missing(path.to_owned()),
        _ => TlsError::File(path.to_owned(), error),
    };
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != us {
        return Err(TlsError::Planted(path.to_owned(), metadata.uid()));
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    let others = if metadata.uid() == us { 0o077 } else { 0o037 };
    Ok((text, metadata.mode() & others != 0))
}

/// Reads a file that holds a key.
pub(crate) fn read_private(path: &Path) -> Result<String, TlsError> {
    let (text, is_exposed) = read(path)?;
    if is_exposed { Err(TlsError::Exposed(path.to_owned())) } else { Ok(text) }
}

pub(crate) fn read_key(path: &Path) -> Result<KeyPair, TlsError> {
    let key = read_private(path)?;
    KeyPair::from_pem(&key).map_err(|_| TlsError::Malformed(path.to_owned(), "private key"))
}

fn paths(directory: &Path) -> [PathBuf; 2] {
    [CERTIFICATE, KEY].map(|name| directory.join(name))
}

pub(crate) fn exists(path: &Path) -> Result<bool, TlsError> {
    path.try_exists().map_err(|error| TlsError::File(path.to_owned(), error))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), TlsError> {
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
    fn a_key_without_its_certificate_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let made = Authority::create(directory.path()).unwrap();
        fs::remove_file(directory.path().join(CERTIFICATE)).unwrap();
        assert!(!Authority::exists(directory.path()).unwrap());
        assert_eq!(Authority::create(directory.path()).unwrap().digest(), made.digest());
        fs::remove_file(directory.path().join(CERTIFICATE)).unwrap();
        fs::write(directory.path().join(KEY), "a part of a ke").unwrap();
        let refused = Authority::create(directory.path()).unwrap_err();
        assert!(matches!(refused, TlsError::Malformed(..)), "{refused}");
        assert_eq!(fs::read_to_string(directory.path().join(KEY)).unwrap(), "a part of a ke");
    }

    #[test]
    fn what_another_user_has_put_there_is_no_ca() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(matches!(Authority::create(parent.path()), Err(TlsError::Directory(_))), "it is for many");
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = parent.path().join("pki");
        Authority::create(&directory).unwrap();
        for name in [CERTIFICATE, KEY] {
            std::os::unix::fs::chown(directory.join(name), Some(65_534), None).unwrap();
            let refused = Authority::open(&directory).unwrap_err();
            assert!(matches!(refused, TlsError::Planted(..)), "{refused}");
            std::os::unix::fs::chown(directory.join(name), Some(0), None).unwrap();
        }
        Authority::open(&directory).unwrap();
    }

    #[test]
    fn a_certificate_that_may_not_sign_is_no_ca() {
        let directory = tempfile::tempdir().unwrap();
        Authority::create(directory.path()).unwrap();
        let pair = KeyPair::from_pem(&fs::read_to_string(directory.path().join(KEY)).unwrap()).unwrap();
        let signed = CertificateParams::default().self_signed(&pair).unwrap();
        fs::write(directory.path().join(CERTIFICATE), signed.pem()).unwrap();
        let refused = Authority::open(directory.path()).unwrap_err().to_string();
        assert!(refused.ends_with("ca.crt is no certificate of a CA"), "{refused}");
    }

    #[test]
    fn what_is_no_ca_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = paths(directory.path());
        let refused = || Authority::open(directory.path()).unwrap_err().to_string();
        assert!(refused().contains("holds no CA: make one with `muster-master init"), "{}", refused());
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
        fs::remove_file(&certificate).unwrap();
        Authority::create(directory.path()).unwrap();
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
