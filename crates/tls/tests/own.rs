//! A master's certificate of its own: who is shown it, who trusts it, and how it is exchanged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_testenv::company::Company;
use muster_tls::{AcceptedConnection, Authority, Connector, OwnCertificate, ServerTls, Stream, TlsError, Trust};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tower::Service as _;

const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a new pair for a name; returns the certificate.
fn write(company: &Company, directory: &Path, name: &str) -> Vec<u8> {
    let signed = company.server(&[name]);
    signed.write(directory, "own");
    signed.der
}

fn open(directory: &Path) -> Result<OwnCertificate, TlsError> {
    OwnCertificate::open(directory.join("own.crt"), directory.join("own.key"))
}

/// A server that echoes; returns its address.
async fn serve(tls: ServerTls) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = tls.acceptor();
            tokio::spawn(async move {
                let Ok(AcceptedConnection { stream, .. }) = acceptor.accept(tcp).await else { return };
                let (mut reads, mut writes) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    address
}

async fn connect(address: &str, trust: &Trust) -> Result<Stream, String> {
    let mut connector = Connector::new(Some(trust.clone()), PATIENCE);
    let uri: http::Uri = format!("http://{address}").parse().unwrap();
    Ok(connector.call(uri).await.map_err(|error| error.to_string())?.into_inner())
}

fn shown(stream: &Stream) -> Vec<u8> {
    let Stream::Tls(stream) = stream else { return Vec::new() };
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn echoes(stream: &mut Stream) -> bool {
    let mut answer = [0; 5];
    stream.write_all(b"hello").await.is_ok()
        && stream.flush().await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
}

#[tokio::test]
async fn it_is_shown_to_everybody_but_those_who_ask_for_the_role() {
    let directory = tempfile::tempdir().unwrap();
    let company = Company::new("Some company");
    let own = write(&company, directory.path(), "127.0.0.1");
    let authority = Authority::create(&directory.path().join("pki")).unwrap();
    let of_cluster = Trust::in_ca(authority.pem()).unwrap();
    let held = open(directory.path()).unwrap();
    let address = serve(ServerTls::new(authority, Vec::new(), Some(&held), None).unwrap()).await;

    let member = connect(&address, &of_cluster).await.unwrap();
    assert_ne!(shown(&member), own, "masters and workers never depend on the company");
    let of_company = Trust::in_ca(&company.ca).unwrap();
    let refused = connect(&address, &of_company).await.unwrap_err();
    assert!(refused.contains("invalid peer certificate"), "a role is of the cluster's CA alone: {refused}");
    let person = of_company.or_own_certificates();
    for _ in 0..2 {
        assert_eq!(shown(&connect(&address, &person).await.unwrap()), own);
    }
    let elsewhere = address.replace("127.0.0.1", "127.0.0.2");
    let refused = connect(&elsewhere, &person).await.unwrap_err();
    assert!(!refused.is_empty(), "the host counts");
    // With the cluster's CA, people are served by the role, as ever.
    assert_ne!(shown(&connect(&address, &of_cluster.or_own_certificates()).await.unwrap()), own);
}

#[tokio::test]
async fn a_host_that_the_certificate_does_not_hold_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let company = Company::new("Some company");
    write(&company, directory.path(), "another.example");
    let authority = Authority::create(&directory.path().join("pki")).unwrap();
    let held = open(directory.path()).unwrap();
    let address = serve(ServerTls::new(authority, Vec::new(), Some(&held), None).unwrap()).await;
    let person = Trust::in_ca(&company.ca).unwrap().or_own_certificates();
    let refused = connect(&address, &person).await.unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
}

#[tokio::test]
async fn a_new_pair_is_shown_and_the_connections_of_the_old_one_stand() {
    let directory = tempfile::tempdir().unwrap();
    let company = Company::new("Some company");
    let first = write(&company, directory.path(), "127.0.0.1");
    let authority = Authority::create(&directory.path().join("pki")).unwrap();
    let held = Arc::new(open(directory.path()).unwrap());
    let address = serve(ServerTls::new(authority, Vec::new(), Some(&held), None).unwrap()).await;
    let person = Trust::in_ca(&company.ca).unwrap().or_own_certificates();
    let mut old = connect(&address, &person).await.unwrap();
    assert!(echoes(&mut old).await);
    assert!(!held.look().unwrap(), "nothing has changed");

    // Half of a change: the key is still that of the first.
    let key = std::fs::read(directory.path().join("own.key")).unwrap();
    let second = write(&company, directory.path(), "127.0.0.1");
    let new_key = std::fs::read(directory.path().join("own.key")).unwrap();
    std::fs::write(directory.path().join("own.key"), key).unwrap();
    for _ in 0..2 {
        let error = held.look().unwrap_err();
        assert!(matches!(error, TlsError::NoPair(..)), "{error}");
        assert_eq!(shown(&connect(&address, &person).await.unwrap()), first);
    }
    std::fs::write(directory.path().join("own.key"), new_key).unwrap();
    assert!(held.look().unwrap());
    assert_eq!(shown(&connect(&address, &person).await.unwrap()), second);
    assert!(echoes(&mut old).await, "a stream stands");
}

#[test]
fn what_is_no_pair_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("own.crt"), directory.path().join("own.key"));
    let refused = || open(directory.path()).unwrap_err().to_string();
    assert!(refused().ends_with("own.crt is missing"), "{}", refused());
    write(&Company::new("a"), directory.path(), "a.example");
    let written = std::fs::read(&certificate).unwrap();
    std::fs::write(&certificate, "x").unwrap();
    assert!(refused().ends_with("own.crt is no certificate"), "{}", refused());
    std::fs::write(&certificate, written).unwrap();
    std::fs::write(&key, "x").unwrap();
    assert!(refused().ends_with("own.key is no private key"), "{}", refused());
    std::fs::remove_file(&key).unwrap();
    assert!(refused().ends_with("own.key is missing"), "{}", refused());
    write(&Company::new("a"), directory.path(), "a.example");
    assert!(open(directory.path()).is_ok());
    let exposed = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, exposed).unwrap();
    assert!(refused().contains("own.key can be read by others"), "{}", refused());
    assert!(CertificateDer::from_pem_file(&certificate).is_ok());
}
