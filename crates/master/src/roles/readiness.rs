//! Reports to probes, and by the address file, that calls are answered here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_proto::server::FORWARDED;
use muster_proto::v1::GetCallerRequest;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_store::{LeaderWatch, Member};
use muster_tls::{Connector, Trust, mismatch};
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;

use super::fatal::FatalError;
use crate::config::MasterSettings;
use crate::health::Health;
use crate::leader::LeaderSlot;

/// The pause between two checks of whether the leader answers: a small part of the shortest
/// sensible `--unready-after`.
const LOOK: Duration = Duration::from_secs(1);
/// A leader that is up answers a read in milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Reports whether calls are answered.
#[derive(Debug)]
pub(crate) struct Readiness {
    health: Health,
    address: String,
    address_file: Option<PathBuf>,
    unready_after: Duration,
    trust: Option<Trust>,
    /// Whether the leader may still be one without TLS (`--plaintext-transition`): masters are
    /// started anew one after the other, and each must be ready before the next is.
    takes_plaintext: bool,
    /// What probes are told at present.
    is_ready: bool,
    /// Whether this master was ready before, and so has written its address file.
    is_announced: bool,
}

impl Readiness {
    /// A master that is not ready yet.
    pub(crate) fn new(health: Health, settings: &MasterSettings, address: &str, trust: Option<Trust>) -> Readiness {
        Readiness {
            health,
            address: address.to_owned(),
            address_file: settings.address_file.clone(),
            unready_after: settings.unready_after,
            trust,
            takes_plaintext: settings.tls.as_ref().is_some_and(|tls| tls.takes_plaintext),
            is_ready: false,
            is_announced: false,
        }
    }

    /// Reports readiness, whatever role this master is in, until a failure. A master is ready while
    /// it leads, or while another one leads and answers. It is not ready once no leader has
    /// answered for `unready_after`: no leader is known, the leader is gone, or the leader (or this
    /// master) still loads.
    ///
    /// Within that time the report does not change. Calls are held during a hand-over, and a probe
    /// that falls into this gap would take every master out at once. The store may name a leader
    /// that is cut off, so the leader itself is asked.
    pub(crate) async fn keep(mut self, slot: Arc<LeaderSlot>, mut election: LeaderWatch) -> FatalError {
        let mut changes = slot.changes();
        let mut answered = Instant::now();
        let mut led = false;
        loop {
            let leads = slot.leading().is_ok();
            let is_answered = leads || self.is_answered_elsewhere(&slot, &election).await;
            if is_answered || led {
                answered = Instant::now();
            }
            led = leads;
            if is_answered {
                if let Err(failed) = self.open().await {
                    return failed;
                }
            } else if answered.elapsed() >= self.unready_after {
                self.close(&election).await;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = election.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Whether another master leads and answers, or this one wins meanwhile.
    async fn is_answered_elsewhere(&self, slot: &LeaderSlot, election: &LeaderWatch) -> bool {
        let view = election.view();
        let Some(leader) = view.leader().filter(|_| view.own != Some(0)) else { return false };
        // At the start a leader is believed without a check, so that a cluster starts at once.
        // Later leaders are checked: several may follow each other, none of which answers.
        if !self.is_announced {
            return true;
        }
        let mut changes = slot.changes();
        let leads = async { while slot.leading().is_err() && changes.changed().await.is_ok() {} };
        tokio::select! {
            is_answered = self.leader_answers(leader) => is_answered,
            () = leads => true,
        }
    }

    async fn leader_answers(&self, leader: &Member) -> bool {
        answers(leader, self.trust.clone()).await || (self.takes_plaintext && answers(leader, None).await)
    }

    /// Reports that calls are answered, by this master or through it.
    async fn open(&mut self) -> Result<(), FatalError> {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.health.serves(true).await;
        }
        if std::mem::replace(&mut self.is_announced, true) {
            return Ok(());
        }
        match &self.address_file {
            Some(path) => {
                write_address(path, &self.address).map_err(|error| FatalError::AddressFile(path.clone(), error))
            }
            None => Ok(()),
        }
    }

    /// Reports that calls are not answered.
    async fn close(&mut self, election: &LeaderWatch) {
        if !std::mem::replace(&mut self.is_ready, false) {
            return;
        }
        tracing::warn!(after = ?self.unready_after, "no leader answers: not ready");
        self.health.serves(false).await;
        // Masters that were given different CAs, or some of them none, would be hard to find out.
        let view = election.view();
        let Some(leader) = view.leader().filter(|_| view.own != Some(0)) else { return };
        if let Some(mismatch) = mismatch(&leader.address, self.trust.as_ref(), ANSWER_WITHIN).await {
            tracing::error!(leader = leader.address, "the leader {mismatch}: all masters need one --tls and one CA");
        }
    }
}

/// Whether the leader answers a call that a standby forwards. It is one that asks for no
/// credential, since a standby has none of its own.
async fn answers(leader: &Member, trust: Option<Trust>) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{}", leader.address)) else { return false };
    let asked = async {
        let connector = Connector::new(trust, ANSWER_WITHIN);
        let mut client = AccessServiceClient::new(endpoint.connect_with_connector(connector).await.ok()?);
        let mut request = tonic::Request::new(GetCallerRequest {});
        request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
        client.get_caller(request).await.ok()
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await.is_ok_and(|answer| answer.is_some())
}

/// The file is replaced as a whole, because it is read as soon as it is there.
fn write_address(path: &Path, address: &str) -> std::io::Result<()> {
    muster_os::file::replace(path, format!("{address}\n"))
}
