//! The next master in standby order watches over the leader's process, and deposes a leader whose
//! process is dead, so that nobody waits for its lease to run out.
//!
//! A process counts as dead if a stream to it was open and broke, and then nobody listens at its
//! address. A mistake (the listener is gone while the process lives) costs at most a store lease of
//! stale reads and never two copies, because a leader watches its own key and every worker timeout
//! includes the store lease.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use muster_proto::v1;
use muster_store::{LeaderWatch, Member};
use muster_tls::{Connector, Trust};
use muster_types::{Epoch, Time};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use v1::master_service_client::MasterServiceClient;

use crate::clock;

/// The shortest time between two depositions by one master. A master that is mistaken again and
/// again must not keep the cluster without a leader.
const DEPOSE_AGAIN: Duration = Duration::from_secs(10);
/// A leader that runs accepts a connection within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// The pause before another stream to a leader that cannot be reached is tried.
const RETRY: Duration = Duration::from_millis(500);
/// The pause between two checks of the address of a leader whose stream broke.
const LOOK: Duration = Duration::from_millis(20);
/// The number of these checks: a process with many gigabytes takes a while to end.
const LOOKS: u32 = 50;
/// The interval and the timeout of pings. A leader whose machine is gone is replaced when its lease
/// ends; the stream to it is given up after both of these.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The last leader that this master deposed, and when.
#[derive(Debug, Default)]
pub(crate) struct Depositions(Mutex<Option<(Epoch, Time)>>);

impl Depositions {
    /// Whether this master may depose the leader now: once per epoch, and not too soon after
    /// another deposition.
    fn allows(&self, leader: Epoch, now: Time) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|(epoch, at)| epoch != leader && now.since(at) >= DEPOSE_AGAIN)
    }

    fn note(&self, leader: Epoch, now: Time) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((leader, now));
    }
}

/// Watches over the leader while this master is next in standby order. Never ends.
pub(crate) async fn watch_over(
    mut election: LeaderWatch,
    depositions: &Depositions,
    trust: Option<&Trust>,
) -> Infallible {
    loop {
        let view = election.view();
        let leader = view.members.first().filter(|_| view.own == Some(1)).cloned();
        let Some(leader) = leader else {
            election.changed().await;
            continue;
        };
        tokio::select! {
            () = death(&leader, trust) => depose(&election, depositions, &leader).await,
            () = election.changed() => {}
        }
    }
}

async fn depose(election: &LeaderWatch, depositions: &Depositions, leader: &Member) {
    let now = clock::boottime();
    if !depositions.allows(leader.epoch, now) {
        tracing::warn!(leader = leader.address, epoch = %leader.epoch, "the leader's process seems dead again; its lease decides");
        sleep(RETRY).await;
        return;
    }
    depositions.note(leader.epoch, now);
    match election.depose(leader.epoch).await {
        Ok(true) => {
            tracing::warn!(leader = leader.address, epoch = %leader.epoch, "the leader's process is dead: deposed")
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(leader = leader.address, %error, "the leader's process is dead and cannot be deposed")
        }
    }
}

/// Ready once the process of a leader that was reached is dead.
async fn death(leader: &Member, trust: Option<&Trust>) {
    loop {
        if stood(leader, trust).await && is_soon_refused(&leader.address).await {
            return;
        }
        sleep(RETRY).await;
    }
}

/// Holds a stream to the leader until it breaks. `false` if it could not be opened.
async fn stood(leader: &Member, trust: Option<&Trust>) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{}", leader.address)) else { return false };
    let endpoint =
        endpoint.http2_keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE).keep_alive_while_idle(true);
    let connector = Connector::new(trust.cloned(), CONNECT_WITHIN);
    let Ok(channel) = endpoint.connect_with_connector(connector).await else { return false };
    let Ok(stream) = MasterServiceClient::new(channel).watch_leader(v1::WatchLeaderRequest {}).await else {
        return false;
    };
    let mut stream = stream.into_inner();
    while let Ok(Some(_)) = stream.message().await {}
    true
}

/// Whether nobody listens there any more, now or within a moment. The kernel closes the sockets of
/// a killed process one after the other, as a rule the streams before the listener.
async fn is_soon_refused(address: &str) -> bool {
    for _ in 0..LOOKS {
        if is_refused(address).await {
            return true;
        }
        sleep(LOOK).await;
    }
    false
}

/// Whether the machine is up and says that nobody listens there.
async fn is_refused(address: &str) -> bool {
    match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_types::LeaderUid;

    fn epoch(revision: u64) -> Epoch {
        Epoch { generation: 1, revision, leader: LeaderUid(1) }
    }

    #[test]
    fn a_leader_is_deposed_once_and_the_next_not_at_once() {
        let (depositions, begin) = (Depositions::default(), Time(5));
        assert!(depositions.allows(epoch(1), begin));
        depositions.note(epoch(1), begin);
        assert!(!depositions.allows(epoch(1), begin + DEPOSE_AGAIN * 2), "once per epoch");
        assert!(!depositions.allows(epoch(2), begin + DEPOSE_AGAIN / 2), "too soon");
        assert!(depositions.allows(epoch(2), begin + DEPOSE_AGAIN));
    }

    #[tokio::test]
    async fn a_port_that_closes_a_moment_after_the_streams_is_seen_to_close() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let closing = tokio::spawn(async move { listener.accept().await.map(drop) });
        assert!(is_soon_refused(&address).await);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_closed_port_refuses_and_an_open_one_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(!is_refused(&address).await);
        drop(listener);
        assert!(is_refused(&address).await);
    }
}
