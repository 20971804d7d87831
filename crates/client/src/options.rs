//! How patient a client is, and how many connections it keeps.

use std::time::Duration;

use muster_proto::BearerToken;
use muster_tls::Trust;
use muster_types::TraceContext;

/// Settings of a [`crate::Client`].
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The number of connections to each master, at least 1. One connection carries hundreds of
    /// calls at a time; several spread the work of a benchmark over cores.
    pub connections: usize,
    /// How long a call may take with all its tries.
    pub deadline: Duration,
    /// How long one try may take. This is the last resort against a master that answers every call
    /// but this one. A master that is paused or cut off is noticed earlier, by its connection.
    pub try_timeout: Duration,
    /// How long a connection may take to come up, when there is no other master to try meanwhile.
    pub connect_timeout: Duration,
    /// The masters that are trusted; connections are in the clear without.
    pub trust: Option<Trust>,
    /// The credential that is sent with each call. It is left out in the clear over a network.
    pub token: Option<BearerToken>,
    /// The span that calls are made for: it is sent with each, and what they start goes on below
    /// it.
    pub trace: Option<TraceContext>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            connections: 1,
            // Longer than an election takes (store lease, win, load), so that a failover is not
            // seen by callers.
            deadline: Duration::from_secs(30),
            try_timeout: Duration::from_secs(10),
            // TCP repeats a lost SYN after 1 s.
            connect_timeout: Duration::from_secs(2),
            trust: None,
            token: None,
            trace: None,
        }
    }
}
