//! One stream or one watch: it is opened and read to its end, and the actor is told.

use std::time::Duration;

use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_proto::v1::worker_link_service_client::WorkerLinkServiceClient;
use muster_proto::{BearerToken, v1};
use muster_tls::{Connector, HeldCertificate, Mismatch, Trust, mismatch};
use muster_types::{Session, WallTime};
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::actor::LinkEvent;
use super::{convert, outgoing};
use crate::certificate::ShownCertificate;
use crate::clock;
use crate::launch::in_one_line;

/// A connection that is not made by then is given up; the link machine waits as long.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A watch may say nothing for days. This is how often its connection is checked, and how long the
/// answer may take.
const WATCH_PING: Duration = Duration::from_secs(10);
/// Largest message from a master: a batch of commands, each at most 64 KiB and some.
const MESSAGE_LIMIT: usize = 64 << 20;

/// How a worker reaches masters, and what it shows them.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) trust: Option<Trust>,
    pub(super) certificate: Option<ShownCertificate>,
    pub(super) token: Option<BearerToken>,
}

impl Login {
    /// Whom it trusts, who are shown its certificate.
    fn shown_trust(&self) -> Option<Trust> {
        let trust = self.trust.as_ref()?;
        Some(self.certificate.as_ref().map_or_else(|| trust.clone(), |shown| trust.showing(&shown.held)))
    }
}

/// Opens the stream and reads it. Everything goes to the actor, which knows by the session whether
/// it still counts.
pub(super) async fn run(session: Session, address: String, login: Login, events: mpsc::Sender<LinkEvent>) {
    let reason = match open_and_read(session, &address, login.clone(), &events).await {
        Ok(()) => "the master ended the stream".to_owned(),
        Err(reason) => explained(reason, &address, login.shown_trust().as_ref()).await,
    };
    // The actor may be gone: then nobody needs to know.
    let _ = events.send(LinkEvent::Broken(session, address, reason)).await;
}

async fn open_and_read(
    session: Session,
    address: &str,
    login: Login,
    events: &mpsc::Sender<LinkEvent>,
) -> Result<(), String> {
    let over_tls = login.trust.is_some();
    let trust = match (login.trust, login.certificate) {
        (Some(trust), Some(certificate)) => Some(trust.showing(&held(certificate).await?)),
        (trust, _) => trust,
    };
    let channel = connect(endpoint(address)?, trust).await?;
    let (up, outgoing) = outgoing::channel();
    if events.send(LinkEvent::Connected(session, up)).await.is_err() {
        return Ok(());
    }
    let mut client = WorkerLinkServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    let mut request = Request::new(outgoing);
    // Over TLS the certificate says who this is.
    if let Some(token) = login.token.filter(|_| !over_tls) {
        token.attach_where_private(&mut request, address, over_tls);
    }
    let mut incoming = client.link(request).await.map_err(|status| status.message().to_owned())?.into_inner();
    while let Some(message) = incoming.message().await.map_err(|status| status.message().to_owned())? {
        let read = convert::read(message).map_err(|error| in_one_line(&error))?;
        if let Some(read) = read
            && events.send(LinkEvent::Down(session, Box::new(read))).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The certificate, as soon as there is one that holds. The link machine is told of a failure
/// before its patience with the whole connection ends.
async fn held(mut certificate: ShownCertificate) -> Result<HeldCertificate, String> {
    let holds = |until: &Option<WallTime>| until.is_some_and(|until| until > clock::wall());
    match tokio::time::timeout(CONNECT_TIMEOUT / 3, certificate.until.wait_for(holds)).await {
        Ok(Ok(_)) => Ok(certificate.held),
        Ok(Err(_)) | Err(_) => Err("this worker has no certificate yet".to_owned()),
    }
}

fn endpoint(address: &str) -> Result<Endpoint, String> {
    Endpoint::from_shared(format!("http://{address}")).map_err(|error| in_one_line(&error))
}

async fn connect(endpoint: Endpoint, trust: Option<Trust>) -> Result<Channel, String> {
    let connector = Connector::new(trust, CONNECT_TIMEOUT);
    endpoint.connect_with_connector(connector).await.map_err(|error| in_one_line(&error))
}

/// Why a stream did not come up or broke, where it is that one side speaks TLS as the other does
/// not; else the reason as it is.
pub(crate) async fn explained(reason: String, address: &str, trust: Option<&Trust>) -> String {
    match mismatch(address, trust, CONNECT_TIMEOUT).await {
        Some(Mismatch::NeedsTls) => "the master speaks TLS: name its CA with --ca".to_owned(),
        Some(Mismatch::Plaintext) => "the master does not speak TLS: leave out --ca".to_owned(),
        Some(refused @ Mismatch::Refused(_)) => format!("the master {refused}"),
        Some(clock @ Mismatch::Clock(_)) => format!("the master {}", in_one_line(&clock)),
        Some(Mismatch::Untrusted(error)) => format!(
            "the CA is another: {error}; where it was exchanged, start this worker anew with a token of `muster token \
             create --worker`, or give its new file to --ca or to `muster-worker join --ca FILE`"
        ),
        None => reason,
    }
}

/// Watches at a master who leads. The number tells the actor whether this watch still counts.
pub(super) async fn watch(number: u64, address: String, trust: Option<Trust>, events: mpsc::Sender<LinkEvent>) {
    if let Err(reason) = open_and_watch(number, &address, trust, &events).await {
        tracing::debug!(master = address, reason, "the watch on a second master ended");
    }
    // The actor may be gone: then nobody needs to know.
    let _ = events.send(LinkEvent::WatchBroken(number, address)).await;
}

async fn open_and_watch(
    number: u64,
    address: &str,
    trust: Option<Trust>,
    events: &mpsc::Sender<LinkEvent>,
) -> Result<(), String> {
    let endpoint = endpoint(address)?;
    let endpoint = endpoint.http2_keep_alive_interval(WATCH_PING).keep_alive_timeout(WATCH_PING);
    let channel = connect(endpoint.keep_alive_while_idle(true), trust).await?;
    let mut client = MasterServiceClient::new(channel);
    let request = v1::WatchLeaderRequest {};
    let failed = |status: tonic::Status| status.message().to_owned();
    let mut said = client.watch_leader(request).await.map_err(failed)?.into_inner();
    while let Some(shown) = said.message().await.map_err(failed)? {
        let seen = convert::read_leader(address, shown).map_err(|error| in_one_line(&error))?;
        if events.send(LinkEvent::LeaderSeen(number, seen)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
