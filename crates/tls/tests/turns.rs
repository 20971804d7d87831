//! Whose handshakes come when there are more than are made at one time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use muster_tls::{Authority, Connector, ServerTls, Trust, connections};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt as _;
use tower::Service as _;

const PATIENCE: Duration = Duration::from_secs(10);
/// More than handshakes that are in progress at one time.
const MANY: usize = 600;

/// A listener, whose connections are held as long as it is; and whom its clients trust.
async fn listen() -> (SocketAddr, Trust, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path()).unwrap();
    let trust = Trust::in_ca(authority.pem()).unwrap();
    let tls = ServerTls::new(authority, Vec::new(), None, None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = connections(listener, Some(tls.acceptor()), 4 * MANY);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(connection) = incoming.next().await {
            held.push(connection);
        }
    });
    (address, trust, directory)
}

async fn shake_hands(address: SocketAddr, trust: &Trust) {
    let uri: http::Uri = format!("http://{address}").parse().unwrap();
    Connector::new(Some(trust.clone()), PATIENCE).call(uri).await.unwrap();
}

/// Clients that have begun, with the first bytes of a handshake, and do not go on.
async fn stalled(address: SocketAddr, first: &[u8]) -> Vec<TcpStream> {
    let mut stalled = Vec::new();
    for _ in 0..MANY {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(first).await.unwrap();
        stalled.push(client);
    }
    stalled
}

/// How many are still waited for.
fn waited_for(clients: &[TcpStream]) -> usize {
    let is_open = |client: &&TcpStream| matches!(client.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    clients.iter().filter(is_open).count()
}

#[tokio::test]
async fn clients_that_stand_still_keep_no_other_out() {
    let (address, trust, _directory) = listen().await;
    for first in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
        let clients = stalled(address, first).await;
        shake_hands(address, &trust).await;
        assert_eq!(waited_for(&clients), MANY, "the other came while all these have their time still");
    }
}
