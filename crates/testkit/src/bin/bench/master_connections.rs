//! Connections to all masters, and what each says of the leader.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_proto::v1::{Epoch, WatchLeaderRequest};
use muster_tls::{Connector, Trust};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;

/// Pause before a master that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a connection may take, with its handshake of TLS: as long as a worker gives it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Connections that are made here at one time. Real workers do not share a processor: if thousands
/// shook hands here at once, they would lose their patience with each other and not with a master.
static HANDSHAKES: Semaphore = Semaphore::const_new(256);

/// A leader that a master has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownLeader {
    pub(crate) address: String,
    /// Generation and revision.
    pub(crate) number: (u64, u64),
}

impl KnownLeader {
    /// Whether this leader is later than an epoch.
    pub(crate) fn is_after(&self, epoch: Option<&Epoch>) -> bool {
        epoch.is_none_or(|epoch| self.number > (epoch.generation, epoch.revision))
    }
}

/// Connections.
pub(crate) struct MasterConnections {
    channels: BTreeMap<String, Channel>,
    addresses: Vec<String>,
    update: watch::Receiver<Option<KnownLeader>>,
    _watches: JoinSet<()>,
}

impl MasterConnections {
    /// Over TLS where masters are trusted by something.
    pub(crate) fn new(masters: &[String], trust: Option<&Trust>) -> MasterConnections {
        let channels: BTreeMap<_, _> =
            masters.iter().map(|address| (address.clone(), lazy(address, trust.cloned()))).collect();
        let (sender, update) = watch::channel(None);
        let mut watches = JoinSet::new();
        for channel in channels.values() {
            watches.spawn(follow(channel.clone(), sender.clone()));
        }
        MasterConnections { channels, addresses: masters.to_vec(), update, _watches: watches }
    }

    pub(crate) fn channel(&self, address: &str) -> Channel {
        self.channels.get(address).expect("masters tell of each other only").clone()
    }

    pub(crate) fn any(&self, number: usize) -> &str {
        &self.addresses[number % self.addresses.len()]
    }

    /// The highest epoch that any master has named, with its changes.
    pub(crate) fn update(&self) -> watch::Receiver<Option<KnownLeader>> {
        self.update.clone()
    }
}

/// A connection that is made when it is first needed, and again when it has broken.
pub(crate) fn lazy(address: &str, trust: Option<Trust>) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("the address is one");
    let connector = Connector::new(trust, CONNECT_TIMEOUT);
    endpoint.connect_with_connector_lazy(tower::service_fn(move |address| {
        let connecting = connector.clone().oneshot(address);
        async move {
            let _turn = HANDSHAKES.acquire().await.expect("it is never closed");
            connecting.await
        }
    }))
}

async fn follow(channel: Channel, update: watch::Sender<Option<KnownLeader>>) {
    loop {
        let answer = MasterServiceClient::new(channel.clone()).watch_leader(WatchLeaderRequest {}).await;
        if let Ok(answer) = answer {
            let mut answers = answer.into_inner();
            while let Ok(Some(said)) = answers.message().await {
                let Some(epoch) = said.epoch else { continue };
                let known = KnownLeader { address: said.leader, number: (epoch.generation, epoch.revision) };
                update.send_if_modified(|newest| {
                    let is_newer = newest.as_ref().is_none_or(|newest| known.number > newest.number);
                    if is_newer {
                        *newest = Some(known);
                    }
                    is_newer
                });
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
