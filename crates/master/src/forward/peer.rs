//! The connection to a leader.

use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::flow_control::Windows;
use muster_store::Member;
use muster_tls::{Connector, Trust};
use tonic::transport::{Channel, Endpoint};

/// A leader on the same network answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The interval and the timeout of pings. A leader that is gone is noticed after both; the election
/// notices it within the store lease.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A connection to one leader, made when it is first needed. The calls of all callers share it, so
/// streams that one caller does not read must leave room for the others.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    address: String,
    channel: Channel,
}

impl Peer {
    pub(super) fn new(leader: &Member, trust: Option<Trust>) -> Result<Peer, Failure> {
        let wrong = |error: tonic::transport::Error| {
            tracing::error!(leader = leader.address, %error, "the leader's address is none");
            Failure::NotLeader { leader: Some(leader.address.clone()), epoch: Some(leader.epoch) }
        };
        let endpoint = Endpoint::from_shared(format!("http://{}", leader.address)).map_err(wrong)?;
        let channel = endpoint
            .initial_stream_window_size(Windows::AMONG_MASTERS.stream)
            .initial_connection_window_size(Windows::AMONG_MASTERS.connection)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .buffer_size(4096)
            .connect_with_connector_lazy(Connector::new(trust, CONNECT_TIMEOUT));
        Ok(Peer { address: leader.address.clone(), channel })
    }

    pub(super) fn is_of(&self, leader: &Member) -> bool {
        self.address == leader.address
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}
