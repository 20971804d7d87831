//! Which master is asked, and over which connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_proto::errors::reason_of;
use muster_proto::flow_control::Windows;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::Endpoint;

use crate::address::normal;
use crate::connection::Connection;
use crate::{ConnectOptions, MasterAddresses};

/// The most masters to which connections are kept; one more replaces all of them.
const MAX_MASTERS: usize = 32;
/// The most masters that are learned from answers, more than any cluster needs.
const MAX_LEARNED: usize = 16;
/// The header of every answer that lists the known masters: addresses, the leader's first.
const MASTERS_HEADER: &str = "muster-masters";

/// How long a master whose connection did not come up, or broke, is asked last: as long as the
/// restart of a master takes.
const AVOIDED: Duration = Duration::from_secs(2);
/// How long such a master is not gone back to only because it leads: other masters forward calls to
/// it. They must do so for good if this machine cannot reach the leader.
const DISTRUSTED: Duration = Duration::from_secs(10);

/// The connection of a pending call or stream is probed after it received nothing for this long …
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// … and the probe must be answered within this time. A master that is paused, cut off or on a lost
/// machine keeps its connections open. Both times together are about what a new leader then takes
/// (the store lease of 3 s and what etcd needs to notice), so that callers arrive with it. No slow
/// answer is cut off: a peer that sends is not probed, and a busy one still answers the probe.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(2500);

/// The connections to one master.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) address: String,
    lines: Vec<Connection>,
    next: AtomicUsize,
}

impl Route {
    fn new(address: &str, options: &ConnectOptions) -> Result<Route, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .user_agent(concat!("muster-client/", env!("CARGO_PKG_VERSION")))?
            // All calls and watches of a program share the connection, and it may leave some
            // unread.
            .initial_stream_window_size(Windows::OF_CLIENT.stream)
            .initial_connection_window_size(Windows::OF_CLIENT.connection)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            // The next call on a connection that was idle probes it at once.
            .keep_alive_while_idle(false)
            .buffer_size(4096);
        let lines = (0..options.connections.max(1)).map(|_| Connection::new(&endpoint, options)).collect();
        Ok(Route { address: address.to_owned(), lines, next: AtomicUsize::new(0) })
    }

    /// One of the connections, in rotation.
    pub(crate) fn connection(&self) -> &Connection {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.lines.len();
        &self.lines[turn]
    }
}

/// The known masters, and the one that is believed to lead.
#[derive(Debug)]
pub(crate) struct Routes {
    given: MasterAddresses,
    state: Mutex<RoutesState>,
}

#[derive(Debug)]
struct RoutesState {
    current: String,
    learned: LearnedMasters,
    /// The last failure of each master that failed recently.
    failed: BTreeMap<String, Instant>,
    routes: BTreeMap<String, Arc<Route>>,
}

/// The masters that an answer listed, the leader first. A newer list replaces an older one.
#[derive(Debug, Default)]
struct LearnedMasters {
    header: String,
    addresses: Vec<String>,
}

impl LearnedMasters {
    fn read(&mut self, metadata: &MetadataMap) {
        let Some(header) = metadata.get(MASTERS_HEADER).and_then(|value| value.to_str().ok()) else { return };
        if header == self.header {
            return;
        }
        let mut addresses: Vec<String> = Vec::new();
        for address in header.split(',').filter_map(|part| normal(part.trim())).take(MAX_LEARNED) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        *self = LearnedMasters { header: header.to_owned(), addresses };
    }
}

impl RoutesState {
    /// Whether a master failed within this time.
    fn failed_within(&self, address: &str, time: Duration) -> bool {
        self.failed.get(address).is_some_and(|failed| failed.elapsed() < time)
    }

    fn note_failure(&mut self, address: &str) {
        self.failed.retain(|_, failed| failed.elapsed() < DISTRUSTED);
        if self.failed.len() < MAX_MASTERS {
            self.failed.insert(address.to_owned(), Instant::now());
        }
    }
}

impl Routes {
    pub(crate) fn new(given: MasterAddresses) -> Routes {
        let current = given.addresses()[0].clone();
        let state = RoutesState {
            current,
            learned: LearnedMasters::default(),
            failed: BTreeMap::new(),
            routes: BTreeMap::new(),
        };
        Routes { given, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, RoutesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The route to the master that is believed to lead. An error comes with its address.
    pub(crate) fn current(&self, options: &ConnectOptions) -> Result<Arc<Route>, (String, tonic::transport::Error)> {
        let mut state = self.state();
        if let Some(route) = state.routes.get(&state.current) {
            return Ok(route.clone());
        }
        if state.routes.len() >= MAX_MASTERS {
            state.routes.clear();
        }
        let route = Route::new(&state.current, options).map_err(|error| (state.current.clone(), error))?;
        let route = Arc::new(route);
        state.routes.insert(route.address.clone(), route.clone());
        Ok(route)
    }

    /// A master answered. Its list of masters is taken; if it only forwarded the call, later calls
    /// go to the leader.
    pub(crate) fn answered(&self, asked: &str, metadata: &MetadataMap) {
        let mut state = self.state();
        state.failed.remove(asked);
        state.learned.read(metadata);
        if state.current != asked {
            return;
        }
        let leader = state.learned.addresses.first().filter(|leader| !state.failed_within(leader, DISTRUSTED));
        if let Some(leader) = leader.filter(|leader| *leader != asked).cloned() {
            state.current = leader;
        }
    }

    /// A master named the leader. False if that is the master that was asked, one that just failed,
    /// or not an address.
    pub(crate) fn follow(&self, asked: &str, leader: &str) -> bool {
        let Some(leader) = normal(leader).filter(|leader| leader != asked) else { return false };
        let mut state = self.state();
        if state.failed_within(&leader, AVOIDED) {
            return false;
        }
        state.current = leader;
        true
    }

    /// A master could not serve a call: the next one is tried, unless another call has moved on
    /// already.
    pub(crate) fn failed(&self, asked: &str, status: &Status) {
        let mut state = self.state();
        state.learned.read(status.metadata());
        // A refusal by the master itself says nothing against its connection.
        if reason_of(status).is_none() {
            state.note_failure(asked);
        }
        if state.current == asked {
            let next = self.next_after(&state, asked);
            state.current = next;
        }
    }

    /// Whether another master than this one is worth a try now.
    pub(crate) fn has_other(&self, asked: &str) -> bool {
        let state = self.state();
        self.candidates(&state).iter().any(|address| *address != asked && !state.failed_within(address, AVOIDED))
    }

    /// The next master in the order of the candidates that did not fail just now; if all did, the
    /// next.
    fn next_after(&self, state: &RoutesState, asked: &str) -> String {
        let candidates = self.candidates(state);
        let begin = candidates.iter().position(|address| *address == asked).map_or(0, |place| place + 1);
        let mut following = (0..candidates.len()).map(|step| candidates[(begin + step) % candidates.len()]);
        let sound = following.clone().find(|address| *address != asked && !state.failed_within(address, AVOIDED));
        sound.or_else(|| following.next()).unwrap_or(asked).to_owned()
    }

    /// All known masters: the leader, then the standbys in their order, then the rest of the given
    /// ones.
    fn candidates<'a>(&'a self, state: &'a RoutesState) -> Vec<&'a str> {
        let learned = &state.learned.addresses;
        let rest = self.given.addresses().iter().filter(|address| !learned.contains(address));
        learned.iter().chain(rest).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(masters: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(MASTERS_HEADER, masters.parse().expect("a value"));
        metadata
    }

    fn routes(given: &str) -> Routes {
        Routes::new(given.parse().expect("addresses"))
    }

    fn broken() -> Status {
        Status::unavailable("broken")
    }

    #[test]
    fn the_leader_is_gone_to_and_its_heir_after_it() {
        let routes = routes("a:1,z:1");
        routes.answered("a:1", &said("b:2, c:3,a:1"));
        assert_eq!(routes.state().current, "b:2");
        for next in ["c:3", "a:1", "z:1"] {
            let now = routes.state().current.clone();
            routes.failed(&now, &broken());
            assert_eq!(routes.state().current, next);
        }
    }

    #[test]
    fn a_master_that_just_failed_is_asked_last_and_not_gone_back_to() {
        let routes = routes("a:1,b:2,c:3");
        routes.failed("a:1", &broken());
        assert!(routes.has_other("b:2"));
        assert!(!routes.follow("b:2", "a:1"), "b has not noticed yet");
        routes.answered("b:2", &said("a:1,b:2,c:3"));
        assert_eq!(routes.state().current, "b:2", "b hands on what a is sent");
        routes.failed("b:2", &broken());
        assert_eq!(routes.state().current, "c:3");
        assert!(!routes.has_other("c:3"));
        routes.failed("c:3", &broken());
        assert_eq!(routes.state().current, "a:1", "when all failed, the next is as good as any");
    }

    #[test]
    fn what_a_master_says_of_itself_is_no_fault_of_its_connection() {
        let routes = routes("a:1,b:2");
        routes.failed("a:1", &muster_proto::errors::Failure::NoLeader.into());
        assert_eq!(routes.state().current, "b:2");
        assert!(routes.has_other("b:2"));
    }

    #[test]
    fn what_is_learned_is_bounded_and_the_given_ones_stay() {
        let routes = routes("a:1");
        let many: Vec<String> = (1..100).map(|port| format!("m:{port}")).collect();
        routes.failed("x:1", &Status::with_metadata(tonic::Code::Unavailable, "", said(&many.join(","))));
        let state = routes.state();
        assert_eq!(state.learned.addresses.len(), MAX_LEARNED);
        assert_eq!(routes.candidates(&state).last(), Some(&"a:1"));
        assert_eq!(state.current, "a:1", "somebody had moved on already");
    }
}
