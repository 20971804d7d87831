//! Certificates of people and programs: who is taken for whom, and who is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_testenv::company::{Company, Signed};
use muster_tls::{
    AcceptedConnection, Authority, CertificateHolder, ClientChain, ClientTrust, Connector, OwnCertificate,
    PeerCertificate, ServerTls, TlsError, Trust, names,
};
use muster_types::{WallTime, WorkerUid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::Service as _;

const PATIENCE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    WallTime(u64::try_from(since.as_millis()).unwrap())
}

/// A master that takes certificates of a company's clients, and says who calls.
struct Master {
    address: String,
    seen: mpsc::Receiver<Option<PeerCertificate>>,
    clients: Arc<ClientTrust>,
    trust: Trust,
    directory: tempfile::TempDir,
}

impl Master {
    async fn of(company: &Company, crl: Option<&str>) -> Master {
        let directory = tempfile::tempdir().unwrap();
        let ca = company.write_ca(directory.path().join("clients.crt"));
        let list = directory.path().join("clients.crl");
        std::fs::write(&list, crl.unwrap_or_default()).unwrap();
        let clients = Arc::new(ClientTrust::open(ca, crl.map(|_| list)).unwrap());
        let authority = Authority::create(&directory.path().join("pki")).unwrap();
        let trust = Trust::in_ca(authority.pem()).unwrap();
        let tls = ServerTls::new(authority, Vec::new(), None, Some(clients.clone())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (seeing, seen) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(AcceptedConnection { mut stream, certificate: peer, .. }) = tls.acceptor().accept(tcp).await
                else {
                    continue;
                };
                let _ = seeing.send(peer).await;
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            }
        });
        Master { address, seen, clients, trust, directory }
    }

    /// For whom the master takes who shows a certificate.
    async fn takes(&mut self, signed: &Signed) -> Result<CertificateHolder, String> {
        let (certificate, key) = signed.write(self.directory.path(), "client");
        let own = OwnCertificate::open(certificate, key).unwrap();
        let mut connector = Connector::new(Some(self.trust.showing_own(Arc::new(own))), PATIENCE);
        let uri: http::Uri = format!("http://{}", self.address).parse().unwrap();
        let connected = connector.call(uri).await.map_err(|error| error.to_string())?;
        let mut text = String::new();
        connected.into_inner().read_to_string(&mut text).await.map_err(|error| error.to_string())?;
        Ok(self.seen.recv().await.unwrap().unwrap().holder)
    }

    async fn chain(&mut self, signed: &Signed) -> ClientChain {
        let CertificateHolder::Client(chain) = self.takes(signed).await.unwrap() else { unreachable!() };
        chain
    }
}

#[tokio::test]
async fn a_client_is_known_by_its_common_name_and_its_organizations() {
    let company = Company::new("Company");
    let mut master = Master::of(&company, None).await;
    let chain = master.chain(&company.client("ann", Some("engineers"), &[], 0x4f2a, DAY)).await;
    for _ in 0..2 {
        let known = master.clients.identify(&chain, now()).unwrap();
        assert_eq!((known.name.as_str(), known.groups.as_slice()), ("ann", ["engineers".to_owned()].as_slice()));
        assert!(known.serial.ends_with("4f:2a"), "{}", known.serial);
        let left = known.expires.0 - now().0;
        assert!(left <= 86_400_000 && left > 86_000_000, "{left}");
    }
    let carried = ClientChain::from_bytes(&chain.to_bytes()).unwrap();
    assert_eq!(master.clients.identify(&carried, now()).unwrap().name, "ann");
    for cut in [0, 1, 4, 5, chain.to_bytes().len() - 1] {
        assert_eq!(ClientChain::from_bytes(&chain.to_bytes()[..cut]), None, "{cut}");
    }
    let later = WallTime(now().0 + 2 * 86_400_000);
    assert!(matches!(master.clients.identify(&chain, later), Err(TlsError::Ended)), "known before is not for ever");
}

/// Whatever names it holds, and with whatever certificate of the cluster's it would pass.
#[tokio::test]
async fn a_companys_certificate_is_never_a_worker_or_a_master() {
    let company = Company::new("Company");
    let mut master = Master::of(&company, None).await;
    let worker = names::worker(WorkerUid(7));
    for name in [names::MASTER, worker.as_str(), "ann.example"] {
        let taken = master.takes(&company.client("ann", None, &[name], 1, DAY)).await.unwrap();
        assert!(matches!(taken, CertificateHolder::Client(_)), "{name}: {taken:?}");
    }
    // The CA has the name of the cluster's, and another key.
    let impostor = Company::new("Muster CA");
    let mut master = Master::of(&impostor, None).await;
    let taken = master.takes(&impostor.client("ann", None, &[names::MASTER], 1, DAY)).await.unwrap();
    assert!(matches!(taken, CertificateHolder::Client(_)), "{taken:?}");
}

#[tokio::test]
async fn what_is_of_another_company_or_has_ended_is_refused() {
    let company = Company::new("Company");
    let mut master = Master::of(&company, None).await;
    let stranger = Company::new("Stranger").client("ann", None, &[], 1, DAY);
    let refused = master.takes(&stranger).await.unwrap_err();
    assert!(refused.contains("UnknownCA"), "{refused}");
    let ended = company.client("ann", None, &[], 1, Duration::ZERO);
    // Certificates count whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let refused = master.takes(&ended).await.unwrap_err();
    assert!(refused.contains("CertificateExpired"), "{refused}");
}

#[tokio::test]
async fn a_name_that_is_missing_is_nobodys() {
    let company = Company::new("Company");
    let mut master = Master::of(&company, None).await;
    let nameless = master.chain(&company.nameless()).await;
    let refused = master.clients.identify(&nameless, now());
    assert!(matches!(refused, Err(TlsError::Nameless)), "{refused:?}");
    let server = master.chain(&company.server(&["ann.example"])).await;
    let known = master.clients.identify(&server, now()).unwrap();
    assert_ne!(known.name, "ann.example", "a name of a server is none of a user");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_as_soon_as_the_list_is_read() {
    let company = Company::new("Company");
    let mut master = Master::of(&company, Some(&company.revoked(&[7]))).await;
    let refused = master.takes(&company.client("bob", None, &[], 7, DAY)).await.unwrap_err();
    assert!(refused.contains("CertificateRevoked"), "{refused}");
    let signed = company.client("ann", None, &[], 8, DAY);
    let chain = master.chain(&signed).await;
    assert!(master.clients.identify(&chain, now()).is_ok());

    let list = master.directory.path().join("clients.crl");
    std::fs::write(&list, "no list").unwrap();
    let error = master.clients.look().unwrap_err();
    assert!(matches!(error, TlsError::Malformed(..)), "{error}");
    assert!(master.clients.identify(&chain, now()).is_ok(), "what was read before stands");
    std::fs::write(&list, company.revoked(&[7, 8])).unwrap();
    assert!(master.clients.look().unwrap());
    assert!(matches!(master.clients.identify(&chain, now()), Err(TlsError::Client(_))), "what was known is forgotten");
    assert!(master.takes(&signed).await.unwrap_err().contains("CertificateRevoked"));
    assert!(!master.clients.look().unwrap());
}

#[tokio::test]
async fn a_new_ca_takes_the_place_of_the_old_one() {
    let (old, new) = (Company::new("Old"), Company::new("New"));
    let mut master = Master::of(&old, None).await;
    let chain = master.chain(&old.client("ann", None, &[], 1, DAY)).await;
    new.write_ca(master.directory.path().join("clients.crt"));
    assert!(master.clients.look().unwrap());
    assert!(master.clients.identify(&chain, now()).is_err());
    let chain = master.chain(&new.client("bob", None, &[], 1, DAY)).await;
    assert_eq!(master.clients.identify(&chain, now()).unwrap().name, "bob");
}

/// A client that renews its certificate shows the new one with its next connection.
#[tokio::test]
async fn a_client_shows_what_is_in_its_files() {
    let company = Company::new("Company");
    let mut master = Master::of(&company, None).await;
    let files = master.directory.path().to_owned();
    let (certificate, key) = company.client("ann", None, &[], 1, DAY).write(&files, "own");
    let trust = master.trust.showing_own(Arc::new(OwnCertificate::open(certificate, key).unwrap()));
    for user in ["ann", "bob"] {
        company.client(user, None, &[], 2, DAY).write(&files, "own");
        let mut connector = Connector::new(Some(trust.clone()), PATIENCE);
        let uri: http::Uri = format!("http://{}", master.address).parse().unwrap();
        let mut text = String::new();
        connector.call(uri).await.unwrap().into_inner().read_to_string(&mut text).await.unwrap();
        let CertificateHolder::Client(chain) = master.seen.recv().await.unwrap().unwrap().holder else {
            unreachable!()
        };
        assert_eq!(master.clients.identify(&chain, now()).unwrap().name, user);
    }
}
