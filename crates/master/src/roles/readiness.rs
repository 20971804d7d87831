//! Tells others that calls are answered here: probes, and whoever waits for the address file.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_proto::server::FORWARDED;
use muster_proto::v1::GetClusterRequest;
use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_store::{LeaderWatch, Member};
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;

use super::fatal::FatalError;
use crate::config::MasterSettings;
use crate::health::Health;

/// Between two looks at whether the leader answers: a small part of the shortest sensible
/// `--unready-after`.
const LOOK: Duration = Duration::from_secs(1);
/// A leader that is up answers a read in milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What says whether calls are answered.
#[derive(Debug)]
pub(crate) struct Readiness {
    health: Health,
    address: String,
    address_file: Option<PathBuf>,
    unready_after: Duration,
    /// What probes are told at present.
    is_ready: bool,
    /// The address file was written.
    is_announced: bool,
}

impl Readiness {
    /// Not ready.
    pub(crate) fn new(health: Health, settings: &MasterSettings, address: &str) -> Readiness {
        Readiness {
            health,
            address: address.to_owned(),
            address_file: settings.address_file.clone(),
            unready_after: settings.unready_after,
            is_ready: false,
            is_announced: false,
        }
    }

    /// Calls are answered, by this master or through it.
    pub(crate) async fn open(&mut self) -> Result<(), FatalError> {
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

    /// Calls are refused here.
    async fn close(&mut self) {
        if std::mem::replace(&mut self.is_ready, false) {
            tracing::warn!(after = ?self.unready_after, "no leader is known: not ready");
            self.health.serves(false).await;
        }
    }

    /// Follows the election while this master does not lead. Ready while another one leads and
    /// answers; not ready once none has for the time that is set. Ends with a failure only.
    ///
    /// For less than that time it stays as it is: calls are held over a hand-over, and a probe that
    /// fell upon the gap would take every master out at once. Who leads is not enough to know,
    /// since the store that says so may be cut off: the leader itself is asked.
    pub(crate) async fn follow(&mut self, mut election: LeaderWatch) -> FatalError {
        let mut known = Instant::now();
        let mut welcomed = None;
        loop {
            let view = election.view();
            if let Some(leader) = view.leader().filter(|_| view.own != Some(0)) {
                // A new leader is taken at its word until it was asked.
                let is_new = welcomed.replace(leader.epoch) != Some(leader.epoch);
                if is_new || answers(leader).await {
                    known = Instant::now();
                    if let Err(failed) = self.open().await {
                        return failed;
                    }
                }
            }
            if known.elapsed() >= self.unready_after {
                self.close().await;
            }
            let _ = tokio::time::timeout(LOOK, election.changed()).await;
        }
    }

    /// Not ready once the time that is set has passed: this master holds the lead and refuses every
    /// call. Never ends.
    pub(crate) async fn lapse(&mut self) -> Infallible {
        tokio::time::sleep(self.unready_after).await;
        self.close().await;
        std::future::pending().await
    }
}

/// Whether the leader answers a call that a standby forwards.
async fn answers(leader: &Member) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{}", leader.address)) else { return false };
    let asked = async {
        let mut client = MasterServiceClient::new(endpoint.connect().await.ok()?);
        let mut request = tonic::Request::new(GetClusterRequest {});
        request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
        client.get_cluster(request).await.ok()
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await.is_ok_and(|answer| answer.is_some())
}

/// Whole or not at all: whoever waits for the file reads it as soon as it is there.
fn write_address(path: &Path, address: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, format!("{address}\n"))?;
    std::fs::rename(&partial, path)
}
