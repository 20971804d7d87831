//! Which addresses artifacts are fetched from.
//!
//! A submission names a server, and the worker asks it: from there, services of the machine and of
//! its cloud would answer that trust whoever can reach them. The rule looks at the address that is
//! dialled and not at the name, since a name may lead anywhere at each look.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Services of clouds that tell a machine its secrets, beside those at link-local addresses: of
/// Alibaba, Oracle and Amazon.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What is added to the rule and taken from it.
#[derive(Debug, Clone, Default)]
pub struct ArtifactNetworks {
    /// Fetched from, although the rule refuses it.
    pub allow: Vec<IpNet>,
    /// Never fetched from, whatever else says so.
    pub deny: Vec<IpNet>,
}

impl ArtifactNetworks {
    /// Whether artifacts may be fetched from an address.
    fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |networks: &[IpNet], address: &IpAddr| networks.iter().any(|network| network.contains(address));
        // What a gateway makes of an address is as far as the address itself.
        let reached = [Some(address), embedded(address)];
        let reached = || reached.iter().flatten();
        !reached().any(|address| within(&self.deny, address))
            && reached().all(|address| within(&self.allow, address) || !is_close(*address))
    }
}

/// Whether an address leads to this machine, to its link, or to what tells it secrets.
fn is_close(address: IpAddr) -> bool {
    let is_special = match address {
        // The whole of 0.0.0.0/8 is "this network".
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_special
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || METADATA.contains(&address)
}

/// The IPv4 address that an IPv6 address leads to by a gateway (NAT64, RFC 6052; 6to4, RFC 3056) or
/// stood for once (RFC 4291, 2.5.5.1).
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let segments = address.segments();
    let from = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        // The loopback and the unspecified address of IPv6 have this form, too.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        _ => None,
    }
}

/// No address of the host may be fetched from.
#[derive(Debug, thiserror::Error)]
#[error("artifacts are not fetched from its address")]
pub(super) struct NotAdmitted;

/// Finds the addresses of a host that artifacts may be fetched from: for each request, so that a
/// redirect is looked at as well.
#[derive(Debug)]
pub(super) struct AdmittedResolver(pub(super) ArtifactNetworks);

impl Resolver for AdmittedResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let mut admitted = self.empty();
        let is_admitted = |address: &&SocketAddr| self.0.admits(address.ip());
        found.iter().filter(is_admitted).for_each(|address| admitted.push(*address));
        if admitted.is_empty() { Err(Error::Other(Box::new(NotAdmitted))) } else { Ok(admitted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(networks: &ArtifactNetworks, address: &str) -> bool {
        networks.admits(address.parse().expect("an address"))
    }

    #[test]
    fn what_is_close_to_a_machine_is_refused_in_every_form() {
        let usual = ArtifactNetworks::default();
        let refused = [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ];
        for address in refused {
            assert!(!admits(&usual, address), "{address}");
        }
        // Private networks are where files are.
        for address in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1"] {
            assert!(admits(&usual, address), "{address}");
        }
        assert!(admits(&usual, "64:ff9b::808:808") && admits(&usual, "::ffff:8.8.8.8"));
    }

    #[test]
    fn networks_are_allowed_and_denied_and_the_denial_counts() {
        let network = |text: &str| text.parse().expect("a network");
        let networks = ArtifactNetworks {
            allow: vec![network("127.0.0.0/8"), network("10.0.0.0/8")],
            deny: vec![network("10.1.0.0/16"), network("fd00::/8")],
        };
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "10.2.0.1", "8.8.8.8"] {
            assert!(admits(&networks, address), "{address}");
        }
        for address in ["10.1.0.1", "::ffff:10.1.0.1", "64:ff9b::a01:1", "fd00::1", "::1", "169.254.169.254"] {
            assert!(!admits(&networks, address), "{address}");
        }
    }
}
