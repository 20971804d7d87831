//! Ports for executors.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// Listens on the name by which other machines reach this one, or on loopback when that is no
/// address of this machine.
pub(crate) async fn listen(host: &str) -> io::Result<TcpListener> {
    match TcpListener::bind((host, 0)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
    }
}

/// The connections of a listener. Messages are small and waited for: without the option, the
/// kernel holds one back until the one before is acknowledged, which takes the other side 40 ms.
/// The option of a server's builder counts only where the server listens by itself.
pub(crate) fn connections(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_small_message_is_not_held_back() {
        let listener = listen("127.0.0.1").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = connections(listener).next().await.unwrap().unwrap();
        assert!(accepted.nodelay().unwrap());
    }
}
