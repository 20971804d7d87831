//! Ports for the parts of a cluster.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::ops::Range;

use super::UpError;

/// Addresses for `count` masters: the first as requested, the others on the ports that follow it.
/// Free ports are used where those are taken, or where port 0 is requested.
pub(crate) fn neighbours(listen: &str, count: usize) -> Result<Vec<String>, UpError> {
    let (host, port) = listen.rsplit_once(':').ok_or_else(|| UpError::Listen(listen.to_owned()))?;
    let port: u16 = port.parse().map_err(|_| UpError::Listen(listen.to_owned()))?;
    // Held until all are found, so that no two are the same.
    let mut held = Vec::new();
    let mut addresses = Vec::new();
    for place in 0..count {
        let next = if port == 0 { None } else { u16::try_from(place).ok().and_then(|place| port.checked_add(place)) };
        let wished = next.and_then(|port| TcpListener::bind(format!("{host}:{port}")).ok());
        let listener = match wished {
            Some(listener) => listener,
            // `check_listen` refuses a first address that is taken; the master reports any other
            // fault of it.
            None if place == 0 && port != 0 => {
                addresses.push(listen.to_owned());
                continue;
            }
            None => TcpListener::bind(format!("{host}:0")).map_err(|error| free(host, error))?,
        };
        let port = listener.local_addr().map_err(|error| free(host, error))?.port();
        addresses.push(format!("{host}:{port}"));
        held.push(listener);
    }
    Ok(addresses)
}

/// Where free ports are searched: above those of well-known services, below those that Linux gives
/// to outgoing connections. A restarted server may find a port of the latter range taken, even by
/// its own client, whose connection attempt has connected to itself.
const KEPT: Range<u16> = 12_000..32_000;
/// How many ports are tried.
const ATTEMPTS: usize = 1_000;

/// A free port of loopback that stays free while its server is restarted.
pub(crate) fn free_port() -> Result<u16, UpError> {
    const HOST: &str = "127.0.0.1";
    // Processes that search at the same time begin at different ports.
    let own = std::process::id() as usize % KEPT.len();
    let mut ports = KEPT.cycle().skip(own).take(ATTEMPTS);
    let port = ports.find(|port| TcpListener::bind((HOST, *port)).is_ok());
    port.ok_or_else(|| free(HOST, ErrorKind::AddrInUse.into()))
}

fn free(host: &str, error: std::io::Error) -> UpError {
    UpError::File(format!("a free port of {host}").into(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_none_that_an_outgoing_connection_may_get() {
        let first = free_port().expect("there are ports");
        let _held = TcpListener::bind(("127.0.0.1", first)).expect("it is free");
        let second = free_port().expect("there are more");
        assert!(first != second && KEPT.contains(&first) && KEPT.contains(&second), "{first} {second}");
    }

    #[test]
    fn masters_have_ports_in_a_row_where_those_are_free() {
        let taken = loop {
            let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let port = taken.local_addr().expect("it has an address").port();
            // Its neighbours are free, most of the time.
            if port > 2048 && TcpListener::bind(("127.0.0.1", port - 1)).is_ok() {
                break taken;
            }
        };
        let port = taken.local_addr().expect("it has an address").port();
        let addresses = neighbours(&format!("127.0.0.1:{}", port - 1), 2).expect("there are ports");
        assert_eq!(addresses[0], format!("127.0.0.1:{}", port - 1));
        assert_ne!(addresses[1], format!("127.0.0.1:{port}"), "that one is taken");
        let free = neighbours("127.0.0.1:0", 3).expect("there are ports");
        assert!(free.iter().all(|address| !address.ends_with(":0")), "{free:?}");
        assert!(free[0] != free[1] && free[1] != free[2] && free[0] != free[2], "{free:?}");
        assert!(matches!(neighbours("nonsense", 2), Err(UpError::Listen(_))));
    }
}
