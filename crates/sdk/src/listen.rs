//! Ports for executors.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpListener;

/// Listens on the name by which other machines reach this one, or on loopback when that is no
/// address of this machine.
pub(crate) async fn listen(host: &str) -> io::Result<TcpListener> {
    match TcpListener::bind((host, 0)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
    }
}
