//! A company with a CA of its own, beside that of a cluster under test.

#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};

/// A company, which signs certificates.
#[derive(Debug)]
pub struct Company {
    /// Its CA, as PEM.
    pub ca: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Signed {
    /// The certificate, as PEM.
    pub certificate: String,
    /// The same in DER.
    pub der: Vec<u8>,
    /// The key, as PEM.
    pub key: String,
}

impl Company {
    /// A company with a new CA.
    ///
    /// # Panics
    /// If none can be made, as everything here.
    pub fn new(name: &str) -> Company {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("a CA").pem();
        Company { ca, issuer: Issuer::new(params, key) }
    }

    /// Writes the CA to a file.
    pub fn write_ca(&self, path: PathBuf) -> PathBuf {
        std::fs::write(&path, &self.ca).expect("a file can be written");
        path
    }

    /// A certificate of a server that is reached under these names and addresses.
    pub fn server(&self, names: &[&str]) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names).expect("names"))
    }

    /// A certificate of a client, which holds names of servers, too, if any, and ends after a time.
    pub fn client(&self, user: &str, group: Option<&str>, names: &[&str], serial: u64, life: Duration) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        // rcgen keeps one value of each type.
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
        params.not_after = (SystemTime::now() + life).into();
        self.sign(params)
    }

    /// A certificate that names nobody.
    pub fn nameless(&self) -> Signed {
        let mut params = CertificateParams::default();
        // It has a common name of rcgen's own otherwise.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "engineers");
        self.sign(params)
    }

    /// A list of revoked certificates, by their serial numbers, as PEM.
    pub fn revoked(&self, serials: &[u64]) -> String {
        let now = SystemTime::now();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + Duration::from_secs(24 * 3600)).into(),
            crl_number: SerialNumber::from(u64::try_from(serials.len()).unwrap_or(0) + 1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("a text")
    }

    fn sign(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        Signed { certificate: signed.pem(), der: signed.der().to_vec(), key: key.serialize_pem() }
    }
}

impl Signed {
    /// Writes both to `NAME.crt` and `NAME.key` in a directory, the key for its owner alone. Each
    /// file is replaced as a whole.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        for (path, text) in [(&paths.1, &self.key), (&paths.0, &self.certificate)] {
            let mut file = tempfile::NamedTempFile::new_in(directory).expect("a file can be made");
            std::io::Write::write_all(&mut file, text.as_bytes()).expect("it can be written");
            file.persist(path).expect("it can be named");
        }
        paths
    }
}
