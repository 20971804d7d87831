//! Certificates of workers: what is signed, who shows it, and who is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_tls::{
    AcceptedConnection, Acceptor, Authority, CertificateHolder, Connector, HeldCertificate, PeerCertificate, ServerTls,
    TlsError, Trust, WorkerKey,
};
use muster_types::WorkerUid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::Service as _;

const PATIENCE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);
const UID: WorkerUid = WorkerUid(7);

struct Worker {
    key: WorkerKey,
    held: HeldCertificate,
}

fn worker(directory: &Path, authority: &Authority, life: Duration) -> Worker {
    let key = WorkerKey::load_or_make(&directory.join("worker.key")).unwrap();
    let held = HeldCertificate::default();
    let issued = authority.issue_worker(&key.request().unwrap(), UID, life).unwrap();
    key.show(&issued.chain, &held).unwrap();
    Worker { key, held }
}

/// A server that says who its client is; returns its address and what it has seen.
async fn serve<F>(
    shake: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> (String, mpsc::Receiver<Option<PeerCertificate>>)
where
    F: Future<Output = std::io::Result<AcceptedConnection>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (seen, seeing) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(AcceptedConnection { mut stream, certificate: peer, .. }) = shake(tcp).await else { continue };
            let _ = seen.send(peer).await;
            let _ = stream.write_all(b"hello").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, seeing)
}

async fn greeting(address: &str, mut connector: Connector) -> Result<String, String> {
    let uri: http::Uri = format!("http://{address}").parse().unwrap();
    let connected = connector.call(uri).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    connected.into_inner().read_to_string(&mut text).await.map_err(|error| error.to_string())?;
    Ok(text)
}

async fn master(authority: Authority) -> (String, mpsc::Receiver<Option<PeerCertificate>>, ServerTlsParts) {
    let tls = Arc::new(ServerTls::new(authority, Vec::new(), None, None).unwrap());
    let parts = (tls.authority(), tls.certificate().clone());
    let (address, seen) = serve(move |tcp| {
        let tls = tls.clone();
        async move { tls.acceptor().accept(tcp).await }
    })
    .await;
    (address, seen, parts)
}

type ServerTlsParts = (Arc<Authority>, HeldCertificate);

#[tokio::test]
async fn a_master_sees_which_worker_calls_and_serves_clients_without_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (address, mut seen, (authority, _)) = master(Authority::create(&directory.path().join("pki")).unwrap()).await;
    let trust = Trust::in_ca(authority.pem()).unwrap();
    assert_eq!(greeting(&address, Connector::new(Some(trust.clone()), PATIENCE)).await.unwrap(), "hello");
    assert_eq!(seen.recv().await.unwrap(), None);

    let one = worker(directory.path(), &authority, DAY);
    let shows = Connector::new(Some(trust.showing(&one.held)), PATIENCE);
    assert_eq!(greeting(&address, shows).await.unwrap(), "hello");
    let peer = seen.recv().await.unwrap().unwrap();
    assert_eq!((peer.holder, peer.key), (CertificateHolder::Worker(UID), one.key.digest()));
    let again = WorkerKey::load_or_make(&directory.path().join("worker.key")).unwrap();
    assert_eq!(again.digest(), one.key.digest(), "a key is kept");
}

#[tokio::test]
async fn a_certificate_that_has_ended_or_is_of_another_ca_is_refused() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (address, _seen, (authority, _)) = master(Authority::create(&directory.path().join("pki")).unwrap()).await;
    let trust = Trust::in_ca(authority.pem()).unwrap();
    let stranger = Authority::create(&other.path().join("pki")).unwrap();
    let cases = [
        (worker(directory.path(), &authority, Duration::ZERO), "CertificateExpired"),
        // Both CAs have one name, so it is the signature that is wrong.
        (worker(other.path(), &stranger, DAY), "DecryptError"),
    ];
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for (one, expected) in cases {
        let shows = Connector::new(Some(trust.showing(&one.held)), PATIENCE);
        let refused = greeting(&address, shows).await.unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn a_worker_is_dialled_by_its_uid_and_serves_who_shows_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (_, _, (authority, of_master)) = master(Authority::create(&directory.path().join("pki")).unwrap()).await;
    let one = worker(directory.path(), &authority, DAY);
    let tls = Acceptor::of_worker(&one.held, &Trust::in_ca(authority.pem()).unwrap()).unwrap();
    let (address, mut seen) = serve(move |tcp| {
        let tls = tls.clone();
        async move { tls.accept(tcp).await }
    })
    .await;
    let trust = Trust::in_ca(authority.pem()).unwrap();
    let as_master = trust.showing(&of_master);
    let to = |uid, trust: &Trust| Connector::to_worker(Some(trust.clone()), uid, PATIENCE);
    assert_eq!(greeting(&address, to(UID, &as_master)).await.unwrap(), "hello");
    assert_eq!(seen.recv().await.unwrap().unwrap().holder, CertificateHolder::Master);
    let another = greeting(&address, to(WorkerUid(8), &as_master)).await.unwrap_err();
    assert!(another.contains("invalid peer certificate"), "{another}");
    let another = greeting(&address, to(UID, &trust.showing(&one.held))).await.unwrap_err();
    assert!(!another.is_empty(), "a worker is none of a worker's clients");
    let nobody = greeting(&address, to(UID, &trust)).await.unwrap_err();
    assert!(nobody.contains("CertificateRequired"), "{nobody}");
    let as_master = Connector::new(Some(trust), PATIENCE);
    assert!(greeting(&address, as_master).await.is_err(), "a worker does not pass for a master");
}

#[test]
fn only_a_request_that_proves_its_key_is_signed_and_only_its_own_certificate_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(&directory.path().join("pki")).unwrap();
    let [one, other] =
        ["one.key", "other.key"].map(|name| WorkerKey::load_or_make(&directory.path().join(name)).unwrap());
    let request = one.request().unwrap();
    assert_eq!(Authority::key_of_request(&request).unwrap(), one.digest());
    let mut forged = request.clone();
    *forged.last_mut().unwrap() ^= 1;
    for senseless in [forged.as_slice(), &request[..20], b""] {
        assert!(matches!(authority.issue_worker(senseless, UID, DAY), Err(TlsError::Request(_))));
    }
    let issued = authority.issue_worker(&request, UID, DAY).unwrap();
    let held = HeldCertificate::default();
    assert!(matches!(other.show(&issued.chain, &held), Err(TlsError::OtherKey)));
    assert!(matches!(one.show("", &held), Err(TlsError::NoCertificate)));
    assert_eq!(one.show(&issued.chain, &held).unwrap().holder, CertificateHolder::Worker(UID));
}
