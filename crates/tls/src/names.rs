//! The names in certificates. Those of roles are within `.internal`, which no public CA may sign.

use muster_types::WorkerUid;
use rustls::pki_types::ServerName;

/// What every master's certificate holds.
pub const MASTER: &str = "master.muster.internal";

/// What the certificate of every worker ends with, after its uid.
const OF_WORKER: &str = ".worker.muster.internal";

/// What the certificate of a worker holds.
pub fn worker(uid: WorkerUid) -> String {
    format!("{uid}{OF_WORKER}")
}

/// The worker whose certificate holds this name.
pub(crate) fn uid_of_worker(name: &str) -> Option<WorkerUid> {
    name.strip_suffix(OF_WORKER)?.parse().ok()
}

/// Whether a text can stand in a certificate: a DNS name or an address, without a port.
pub fn is_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_from_what_is_neither() {
        for name in ["localhost", "master-0.masters", "10.0.0.1", "::1", "a.b.example"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "x:7077", "http://x", "a b", "10.0.0.300", "[::1]", "ä.example"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_worker_tells_its_uid_and_no_other_name_does() {
        let uid = WorkerUid(u128::MAX - 7);
        assert!(is_name(&worker(uid)));
        assert_eq!(uid_of_worker(&worker(uid)), Some(uid));
        for name in [MASTER, "worker.muster.internal", ".worker.muster.internal", "7.worker.muster.internal"] {
            assert_eq!(uid_of_worker(name), None, "{name}");
        }
        assert_eq!(uid_of_worker(&format!("x.{}", worker(uid))), None);
    }
}
