//! Who is taken for a master, and who is not.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use muster_tls::{Authority, Connector, FetchCaError, ServerTls, Stream, Trust, fetch_ca, names};
use muster_types::KeyDigest;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server that greets whoever shakes hands with it; returns its address.
async fn serve(tls: ServerTls) -> String {
    let tls = Arc::new(tls);
    greet(move |tcp| {
        let tls = tls.clone();
        Box::pin(async move { Some(tls.acceptor().accept(tcp).await.ok()?.stream) })
    })
    .await
}

type Shaken = std::pin::Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

async fn greet(shake: impl Fn(TcpStream) -> Shaken + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let shaken = shake(tcp);
            tokio::spawn(async move {
                if let Some(mut stream) = shaken.await {
                    let _ = stream.write_all(b"hello").await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    address
}

async fn server_of(directory: &Path) -> (String, Authority) {
    let tls = ServerTls::new(Authority::create(directory).unwrap(), Vec::new(), None, None).unwrap();
    (serve(tls).await, Authority::open(directory).unwrap())
}

/// Connects and reads the greeting.
async fn greeting(address: &str, trust: Trust) -> Result<String, String> {
    let mut connector = Connector::new(Some(trust), PATIENCE);
    let uri: http::Uri = format!("http://{address}").parse().unwrap();
    let connected = connector.call(uri).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    connected.into_inner().read_to_string(&mut text).await.map_err(|error| error.to_string())?;
    Ok(text)
}

#[tokio::test]
async fn a_master_of_the_cluster_is_trusted_by_its_ca_and_no_other() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (address, authority) = server_of(one.path()).await;
    assert_eq!(greeting(&address, Trust::in_ca(authority.pem()).unwrap()).await.unwrap(), "hello");
    let other = Authority::create(other.path()).unwrap();
    let refused = greeting(&address, Trust::in_ca(other.pem()).unwrap()).await.unwrap_err();
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    let both = format!("{}{}", other.pem(), authority.pem());
    assert_eq!(greeting(&address, Trust::in_ca(&both).unwrap()).await.unwrap(), "hello", "while a CA is exchanged");
    assert!(Trust::in_ca("").is_err() && Trust::in_ca("x").is_err());
}

#[tokio::test]
async fn a_ca_is_fetched_by_its_digest_alone() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (address, authority) = server_of(one.path()).await;
    let pem = fetch_ca(&address, authority.digest(), PATIENCE).await.unwrap();
    assert_eq!(pem, authority.pem());
    let other: KeyDigest = Authority::create(other.path()).unwrap().digest();
    let error = fetch_ca(&address, other, PATIENCE).await.unwrap_err();
    assert!(matches!(error, FetchCaError::Handshake(_)), "{error:?}");
}

/// A certificate of the CA that is not a master's is none of a master, however it is dialled.
#[tokio::test]
async fn another_certificate_of_the_ca_does_not_pass_for_a_masters() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path()).unwrap();
    let key = KeyPair::from_pem(&std::fs::read_to_string(directory.path().join("ca.key")).unwrap()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(authority.pem(), key).unwrap();
    for name in ["7.worker.muster.internal", "127.0.0.1", names::MASTER] {
        let pair = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&pair, &issuer).unwrap();
        let ca = std::fs::read(directory.path().join("ca.crt")).unwrap();
        let ca = pem::parse(ca).unwrap().into_contents().into();
        let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone(), ca], PrivateKeyDer::Pkcs8(pair.serialize_der().into()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let address = greet(move |tcp| {
            let acceptor = acceptor.clone();
            Box::pin(async move { Some(Stream::Tls(Box::new(acceptor.accept(tcp).await.ok()?.into()))) })
        })
        .await;
        let is_master = name == names::MASTER;
        assert_eq!(greeting(&address, Trust::in_ca(authority.pem()).unwrap()).await.is_ok(), is_master, "{name}");
        assert_eq!(fetch_ca(&address, authority.digest(), PATIENCE).await.is_ok(), is_master, "{name}");
    }
}

#[tokio::test]
async fn plaintext_and_silence_are_no_handshake() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path()).unwrap();
    let plain = greet(|tcp| Box::pin(async move { Some(Stream::Plain(tcp)) })).await;
    let refused = greeting(&plain, Trust::in_ca(authority.pem()).unwrap()).await.unwrap_err();
    assert!(refused.contains("InvalidContentType"), "{refused}");
    let error = fetch_ca(&plain, authority.digest(), PATIENCE).await.unwrap_err();
    assert!(matches!(error, FetchCaError::Plaintext), "{error:?}");
    let silent = greet(|tcp| {
        Box::pin(async move {
            tokio::time::sleep(PATIENCE).await;
            drop(tcp);
            None
        })
    })
    .await;
    let error = fetch_ca(&silent, authority.digest(), Duration::from_millis(50)).await.unwrap_err();
    assert!(
        matches!(&error, FetchCaError::Handshake(error) if error.kind() == std::io::ErrorKind::TimedOut),
        "{error:?}"
    );
}

/// A server, and the CA in which its clients trust.
fn renewed_server() -> (Arc<ServerTls>, Trust) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path()).unwrap();
    let trust = Trust::in_ca(authority.pem()).unwrap();
    (Arc::new(ServerTls::new(authority, vec!["master-0.masters".to_owned()], None, None).unwrap()), trust)
}

/// The certificate that a client is shown.
async fn shown(tls: &Arc<ServerTls>, trust: &Trust) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shaking = tls.clone();
    let accepted = tokio::spawn(async move { shaking.acceptor().accept(listener.accept().await.unwrap().0).await });
    let mut connector = Connector::new(Some(trust.clone()), PATIENCE);
    let Stream::Tls(stream) = connector.call(address.parse::<http::Uri>().unwrap()).await.unwrap().into_inner() else {
        panic!("it is over TLS");
    };
    accepted.await.unwrap().unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_made_anew_before_it_ends() {
    let (tls, trust) = renewed_server();
    let (renewing, begun) = (tls.clone(), tokio::time::Instant::now());
    let wall = move || SystemTime::UNIX_EPOCH + begun.elapsed();
    tokio::spawn(async move { renewing.keep_renewed(wall, |error| panic!("{error}")).await });
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        seen.push(shown(&tls, &trust).await);
        tokio::time::sleep(Duration::from_secs(5 * 24 * 3600)).await;
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_made_anew_after_a_sleep_of_the_machine_and_after_the_clock_was_set_back() {
    let (tls, trust) = renewed_server();
    let now = Arc::new(AtomicU64::new(30 * 24 * 3600));
    let (renewing, read) = (tls.clone(), now.clone());
    let wall = move || SystemTime::UNIX_EPOCH + Duration::from_secs(read.load(Ordering::SeqCst));
    tokio::spawn(async move { renewing.keep_renewed(wall, |error| panic!("{error}")).await });
    let two_looks = Duration::from_secs(2 * 3600);
    tokio::time::sleep(two_looks).await;
    let first = shown(&tls, &trust).await;
    tokio::time::sleep(two_looks).await;
    assert_eq!(shown(&tls, &trust).await, first, "it is not made anew before its time");
    now.fetch_add(6 * 24 * 3600, Ordering::SeqCst);
    tokio::time::sleep(two_looks).await;
    let second = shown(&tls, &trust).await;
    assert_ne!(second, first, "the machine slept for six days");
    now.fetch_sub(10 * 24 * 3600, Ordering::SeqCst);
    tokio::time::sleep(two_looks).await;
    assert_ne!(shown(&tls, &trust).await, second, "the clock was set back");
}
