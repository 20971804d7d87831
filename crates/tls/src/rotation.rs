//! The exchange of a CA, in steps that no process of the cluster notices: a new one is trusted
//! first, signs later, and the old one is taken away when nothing is left that it has signed.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use muster_os::{LockError, LockFile};
use muster_types::KeyDigest;

use crate::authority::{self, Authority, CERTIFICATE, KEY};
use crate::digest::digest_of_ca;
use crate::{TlsError, authority::read};

/// The key of the CA that is to sign next, and when the one that signs began to.
const NEXT_KEY: &str = "ca.next.key";
const SIGNS_SINCE: &str = "ca.signs-since";
/// Locked by who rotates.
const LOCK: &str = "rotation.lock";

/// Workers learn the CAs when they renew their certificates, which they do at two thirds of a day.
const LEARNT_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// The longest life of a certificate: a master's. Masters make theirs anew at once, unless one has
/// not been given the files.
const SIGNED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// A CA of this digest is trusted beside the one that signs. It may sign from then on.
    Added(KeyDigest, SystemTime),
    /// It signs. The old one may be taken away from then on.
    Signs(KeyDigest, SystemTime),
    /// The old ones were taken away; the CA of this digest is left.
    Alone(KeyDigest),
    /// Nothing: the next step is not before then.
    NotBefore(SystemTime),
}

/// Takes the next step of a rotation in the directory of a CA, if it is time for it, or at once if
/// nobody is waited for. Each file is replaced as a whole; a step that was cut off is done again.
///
/// # Errors
/// Those of [`Authority::open`], and of writing.
pub fn rotate(directory: &Path, now: SystemTime, at_once: bool) -> Result<RotationStep, TlsError> {
    let [certificate, key, next_key, signs_since] =
        [CERTIFICATE, KEY, NEXT_KEY, SIGNS_SINCE].map(|name| directory.join(name));
    if !Authority::exists(directory)? && !authority::exists(&key)? {
        return Err(TlsError::NoCa(directory.to_owned()));
    }
    // Two at once would each write a part of its step.
    let lock = directory.join(LOCK);
    let _lock = LockFile::take(&lock).map_err(|error| match error {
        LockError::Held(_) => TlsError::Rotating(directory.to_owned()),
        LockError::File(error) => TlsError::File(lock, error),
    })?;
    let (bundle, _) = read(&certificate)?;
    let cas = split(&bundle);
    let due = |from: SystemTime, wait: Duration| Some(from + wait).filter(|due| !at_once && *due > now);
    if authority::exists(&next_key)? {
        let pair = authority::read_key(&next_key)?;
        let digest = crate::digest::digest_of_key(&rcgen::PublicKeyData::subject_public_key_info(&pair));
        let Some(next) = cas.iter().find(|ca| digest_of_ca(ca) == Some(digest)) else {
            // The key was written and the certificate was not.
            return add(&certificate, &bundle, &pair, now);
        };
        if let Some(due) = due(made_at(next).unwrap_or(now), LEARNT_WITHIN) {
            return Ok(RotationStep::NotBefore(due));
        }
        let others = cas.iter().filter(|ca| *ca != next);
        let reordered: String = std::iter::once(next).chain(others).map(String::as_str).collect();
        authority::write(&signs_since, &seconds(now).to_string())?;
        // A master that reads between the two finds no pair, and looks again.
        authority::write(&key, &pair.serialize_pem())?;
        authority::write(&certificate, &reordered)?;
        fs::remove_file(&next_key).map_err(|error| TlsError::File(next_key, error))?;
        return Ok(RotationStep::Signs(digest, now + SIGNED_FOR));
    }
    let signer = Authority::open(directory)?.digest();
    match cas.as_slice() {
        [first, _, ..] => {
            let since = read(&signs_since).ok().and_then(|(text, _)| text.trim().parse().ok());
            let since = since.map_or(now, |since| SystemTime::UNIX_EPOCH + Duration::from_secs(since));
            if let Some(due) = due(since, SIGNED_FOR) {
                return Ok(RotationStep::NotBefore(due));
            }
            authority::write(&certificate, first)?;
            Ok(RotationStep::Alone(signer))
        }
        _ => {
            let pair = authority::new_key()?;
            authority::write(&next_key, &pair.serialize_pem())?;
            add(&certificate, &bundle, &pair, now)
        }
    }
}

fn add(path: &Path, bundle: &str, pair: &rcgen::KeyPair, now: SystemTime) -> Result<RotationStep, TlsError> {
    let new = authority::self_signed(pair, now)?;
    let separator = if bundle.ends_with('\n') { "" } else { "\n" };
    authority::write(path, &format!("{bundle}{separator}{new}"))?;
    let digest = digest_of_ca(&new).ok_or(TlsError::NoCertificate)?;
    Ok(RotationStep::Added(digest, now + LEARNT_WITHIN))
}

/// The certificates in a text of PEM, each as a text.
fn split(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END).filter(|part| part.ends_with(END)).map(|part| format!("{}\n", part.trim_start())).collect()
}

fn made_at(pem: &str) -> Option<SystemTime> {
    let parsed = pem::parse(pem).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(parsed.contents()).ok()?;
    let begins = u64::try_from(parsed.validity().not_before.timestamp()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(begins) + authority::SKEW)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
