//! Certificates of people and programs, which another CA than the cluster's has signed.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use muster_types::WallTime;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};
use sha2::{Digest as _, Sha256};

use crate::authority::read;
use crate::trust::{provider, roots_of};
use crate::watched::LastRead;
use crate::{PeerCertificate, TlsError};

/// The most certificates of clients that are known to be good. A signature takes a hundred
/// microseconds to verify, and each call of a connection asks.
const MAX_KNOWN: usize = 4096;

/// The longest chain of a client, in bytes. A standby hands it on in a header, which must fit.
const MAX_CHAIN: usize = 12 << 10;

/// The CAs of clients, and what they have revoked. The files are read again when they change.
#[derive(Debug)]
pub struct ClientTrust {
    ca: PathBuf,
    crl: Option<PathBuf>,
    last: LastRead,
    /// What is in force.
    state: ArcSwap<State>,
}

#[derive(Debug)]
struct State {
    verifier: Arc<dyn ClientCertVerifier>,
    /// What was found good under this verifier.
    known: Mutex<HashMap<[u8; 32], Arc<ClientCertificate>>>,
}

/// The chain that a client has shown, the key of whose first certificate it has proven.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientChain {
    chain: Arc<Vec<CertificateDer<'static>>>,
    digest: [u8; 32],
}

/// Who a client is, as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The common name.
    pub name: String,
    /// The organizations.
    pub groups: Vec<String>,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// When it ends.
    pub expires: WallTime,
}

impl ClientTrust {
    /// Reads the files: CAs and lists of what they have revoked, as PEM. Where there are lists,
    /// each CA of a chain must have one.
    ///
    /// # Errors
    /// [`TlsError::Malformed`] for a file that is not what it should be.
    pub fn open(ca: PathBuf, crl: Option<PathBuf>) -> Result<ClientTrust, TlsError> {
        let (last, state) = (LastRead::default(), ArcSwap::from_pointee(State::nobody()));
        let trust = ClientTrust { ca, crl, last, state };
        trust.look()?;
        Ok(trust)
    }

    /// Reads the files again. Returns whether they have changed. What was in force before stays
    /// where they make no sense.
    pub fn look(&self) -> Result<bool, TlsError> {
        let (ca, _) = read(&self.ca)?;
        let crl = self.crl.as_ref().map(|path| read(path)).transpose()?.map(|(text, _)| text);
        self.last.if_changed(&[ca.as_bytes(), crl.as_deref().unwrap_or_default().as_bytes()], || {
            let roots = roots_of(&ca).map_err(|_| TlsError::Malformed(self.ca.clone(), "list of CAs"))?;
            let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            if let Some((path, crl)) = self.crl.as_ref().zip(crl.as_ref()) {
                let malformed = || TlsError::Malformed(path.clone(), "list of revoked certificates");
                let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(crl.as_bytes()).collect();
                let lists = lists.ok().filter(|lists| !lists.is_empty()).ok_or_else(malformed)?;
                builder = builder.with_crls(lists);
            }
            self.state.store(Arc::new(State::new(builder.build()?)));
            Ok(())
        })
    }

    /// Who a client is, if its certificate is good at a time. The time is the caller's, which also
    /// ends what was found good before.
    ///
    /// # Errors
    /// [`TlsError::Ended`], [`TlsError::Client`] for what is otherwise not, or no longer, good, and
    /// [`TlsError::Nameless`].
    pub fn identify(&self, shown: &ClientChain, now: WallTime) -> Result<Arc<ClientCertificate>, TlsError> {
        let state = self.state.load_full();
        let known = state.lock().get(&shown.digest).filter(|known| known.expires > now).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (first, rest) = shown.chain.split_first().ok_or(TlsError::NoCertificate)?;
        let at = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
        if shown.chain.iter().map(|certificate| certificate.len()).sum::<usize>() > MAX_CHAIN {
            return Err(TlsError::LongChain(MAX_CHAIN));
        }
        state.verifier.verify_client_cert(first, rest, at).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                TlsError::Ended
            }
            error => TlsError::Client(error),
        })?;
        // A certificate is good within its last second for a verifier, and not here.
        let expires = shown.end(now).ok_or(TlsError::Ended)?;
        let found = Arc::new(shown.read(expires).ok_or(TlsError::Nameless)?);
        let mut known = state.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(shown.digest, found.clone());
        Ok(found)
    }

    /// The verifier of a handshake.
    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.state.load().verifier.clone()
    }
}

impl State {
    fn new(verifier: Arc<dyn ClientCertVerifier>) -> State {
        State { verifier, known: Mutex::default() }
    }

    /// Before the first file is read.
    fn nobody() -> State {
        State::new(WebPkiClientVerifier::no_client_auth())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<ClientCertificate>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientChain {
    pub(crate) fn new(chain: &[CertificateDer<'_>]) -> ClientChain {
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let mut digest = Sha256::new();
        for certificate in &chain {
            digest.update(certificate.len().to_le_bytes());
            digest.update(certificate);
        }
        ClientChain { chain: Arc::new(chain), digest: digest.finalize().into() }
    }

    /// The certificates, in DER, each behind its length in four bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for certificate in &*self.chain {
            // A handshake takes no certificate of more than 16 MiB.
            bytes.extend(u32::try_from(certificate.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(certificate);
        }
        bytes
    }

    /// What [`to_bytes`](ClientChain::to_bytes) made; `None` for anything else.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<ClientChain> {
        let mut chain = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (certificate, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            chain.push(CertificateDer::from(certificate));
            bytes = rest;
        }
        (!chain.is_empty()).then(|| ClientChain::new(&chain))
    }

    /// As the holder of a connection's certificate.
    pub fn into_peer(self) -> Option<PeerCertificate> {
        PeerCertificate::of_client(self)
    }

    /// The certificate whose key was proven.
    pub(crate) fn first(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }

    /// When a chain ends that was found good at a time: with the first of its certificates that
    /// does; those that had ended before were not needed.
    fn end(&self, now: WallTime) -> Option<WallTime> {
        let first = end_of(self.chain.first()?)?;
        let ends = self.chain.iter().filter_map(end_of).filter(|end| *end > now);
        ends.min().filter(|_| first > now)
    }

    /// What the certificate says that comes first.
    fn read(&self, expires: WallTime) -> Option<ClientCertificate> {
        let (_, parsed) = x509_parser::parse_x509_certificate(self.chain.first()?).ok()?;
        let mut names = parsed.subject().iter_common_name();
        let name = names.next()?.as_str().ok()?.to_owned();
        // Of two names, another reader might take the other one.
        if names.next().is_some() {
            return None;
        }
        let groups = parsed.subject().iter_organization().map(|group| group.as_str().map(str::to_owned));
        let groups = groups.collect::<Result<_, _>>().ok()?;
        Some(ClientCertificate { name, groups, serial: parsed.raw_serial_as_string(), expires })
    }
}

fn end_of(certificate: &CertificateDer<'_>) -> Option<WallTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok().map(|end| WallTime(end.saturating_mul(1000)))
}

impl fmt::Debug for ClientChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientChain of {}", self.chain.len())
    }
}
