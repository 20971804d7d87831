//! Which master is asked, and over which connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::address::normal;
use crate::{Masters, Options};

/// Masters that connections are kept to; a hint beyond this replaces all of them.
const MAX_MASTERS: usize = 32;

/// Windows that let one connection carry many answers at a time: the defaults (64 KiB) stall lists and logs.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A peer that is gone without a word is noticed after interval and timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One master.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) address: String,
    channels: Vec<Channel>,
    next: AtomicUsize,
}

impl Route {
    fn new(address: &str, options: &Options) -> Result<Route, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .user_agent(concat!("muster-client/", env!("CARGO_PKG_VERSION")))?
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .buffer_size(4096);
        let channels = (0..options.connections.max(1)).map(|_| endpoint.connect_lazy()).collect();
        Ok(Route { address: address.to_owned(), channels, next: AtomicUsize::new(0) })
    }

    /// A connection, each in its turn.
    pub(crate) fn channel(&self) -> Channel {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len();
        self.channels[turn].clone()
    }
}

/// The masters that are known, and the one that is believed to lead.
#[derive(Debug)]
pub(crate) struct Routes {
    masters: Masters,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: String,
    routes: BTreeMap<String, Arc<Route>>,
}

impl Routes {
    pub(crate) fn new(masters: Masters) -> Routes {
        let current = masters.addresses()[0].clone();
        Routes { masters, state: Mutex::new(State { current, routes: BTreeMap::new() }) }
    }

    /// The believed leader.
    pub(crate) fn current(&self, options: &Options) -> Result<Arc<Route>, tonic::transport::Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = state.routes.get(&state.current) {
            return Ok(route.clone());
        }
        if state.routes.len() >= MAX_MASTERS {
            state.routes.clear();
        }
        let route = Arc::new(Route::new(&state.current, options)?);
        state.routes.insert(route.address.clone(), route.clone());
        Ok(route)
    }

    /// A master says who leads. False when that is the one that was asked, or no address.
    pub(crate) fn follow(&self, asked: &str, leader: &str) -> bool {
        let Some(leader) = normal(leader).filter(|leader| leader != asked) else { return false };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).current = leader;
        true
    }

    /// The one that was asked is of no use: the next is tried, unless somebody has moved on already.
    pub(crate) fn pass_over(&self, asked: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.current != asked {
            return;
        }
        let addresses = self.masters.addresses();
        let next = addresses.iter().position(|address| address == asked).map_or(0, |place| place + 1);
        state.current = addresses[next % addresses.len()].clone();
    }
}
