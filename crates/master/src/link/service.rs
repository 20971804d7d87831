//! `WorkerLinkService`: takes a stream's hello and starts the link's tasks.

use std::sync::Arc;
use std::time::Duration;

use muster_core::LinkId;
use muster_proto::errors::{Failure, reason};
use muster_proto::server::status_of_read;
use muster_proto::v1::worker_link_service_server::WorkerLinkService;
use muster_proto::{FieldViolations, v1};
use muster_store::LeaderWatch;
use muster_tls::{CertificateHolder, ConnectionPeer, PeerCertificate};
use muster_types::{Epoch, Hello, KeyDigest, Session, Time};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::adapters::Map;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use v1::link_request::Message;

use super::downlink::{Goodbye, MessageHeader};
use super::reader::Reader;
use super::registry::Registration;
use super::uplink::{UPLINK_QUEUE, forward};
use super::verdict::HelloVerdict;
use super::writer::{BoxedResponse, STREAM_QUEUE, Writer};
use crate::clock;
use crate::leader::{LeaderContext, LeaderSlot, RoleCommand};
use crate::poison_inputs::InputDigest;
use crate::serve::MAX_LINK_MESSAGE;

/// A stream without a hello within this time is cut.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long a hello waits for its turn when many come at once.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// How long the writing of a goodbye may take.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);
/// Heartbeats of one link that may wait for an answer. A worker sends one at a time.
const ANSWERS: usize = 4;

/// How long a hello waits while this master has won but still loads.
const LOADED_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(crate) struct LinkService {
    slot: Arc<LeaderSlot>,
    election: LeaderWatch,
}

impl LinkService {
    pub(crate) fn new(slot: Arc<LeaderSlot>, election: LeaderWatch) -> LinkService {
        LinkService { slot, election }
    }

    /// The term, if this master leads or is about to; else a goodbye that names the leader.
    async fn leading(&self) -> Result<Arc<LeaderContext>, Goodbye> {
        let mut changes = self.slot.changes();
        let mut election = self.election.clone();
        let loaded = async {
            loop {
                if let Ok(leading) = self.slot.leading() {
                    return Some(leading);
                }
                if self.election.view().own != Some(0) {
                    return None;
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    () = election.changed() => {}
                }
            }
        };
        match timeout(LOADED_WITHIN, loaded).await {
            Ok(Some(leading)) => Ok(leading),
            Ok(None) | Err(_) => {
                let view = self.election.view();
                let leader = view.members.first().filter(|_| view.own != Some(0));
                Err(Goodbye::NotLeader(leader.map(|leader| leader.address.clone())))
            }
        }
    }
}

type DownlinkStream = mpsc::Sender<BoxedResponse>;
type Unboxed = fn(BoxedResponse) -> Result<v1::LinkResponse, Status>;

#[tonic::async_trait]
impl WorkerLinkService for LinkService {
    type LinkStream = Map<ReceiverStream<BoxedResponse>, Unboxed>;

    async fn link(&self, request: Request<Streaming<v1::LinkRequest>>) -> Result<Response<Self::LinkStream>, Status> {
        let (down, responses) = mpsc::channel(STREAM_QUEUE);
        let service = self.clone();
        let peer = request.extensions().get::<ConnectionPeer>();
        let certificate = peer.and_then(|peer| peer.certificate.clone());
        let is_encrypted = peer.is_some_and(|peer| peer.is_encrypted);
        let mut verdict = HelloVerdict::of(request.extensions());
        // A task of its own waits for the hello, so that the headers of the answer go out first:
        // some clients wait for them before they send.
        tokio::spawn(async move {
            let mut stream = request.into_inner();
            let opened = match read_hello(&mut stream).await {
                Ok(Some(hello)) => {
                    open(&service, certificate, is_encrypted, (hello, stream), down.clone(), &mut verdict).await
                }
                Ok(None) => Ok(()),
                Err(status) => Err(status),
            };
            if let Err(status) = opened {
                verdict.failed(&status);
                let _ = down.send(Box::new(Err(status))).await;
            }
        });
        let unboxed: Unboxed = |message| *message;
        Ok(Response::new(ReceiverStream::new(responses).map(unboxed)))
    }
}

/// Judges the hello, and runs the link to its end if it is admitted.
async fn open(
    service: &LinkService,
    certificate: Option<PeerCertificate>,
    is_encrypted: bool,
    (hello, stream): (Box<v1::Hello>, Streaming<v1::LinkRequest>),
    down: DownlinkStream,
    verdict: &mut HelloVerdict,
) -> Result<(), Status> {
    let received = clock::boottime();
    let leading = match service.leading().await {
        Ok(leading) => leading,
        Err(goodbye) => {
            verdict.dismissed(&goodbye);
            // If this fails, nobody is there to be told.
            let _ = down.send(Box::new(Ok(goodbye.without_epoch(Session(hello.session))))).await;
            return Ok(());
        }
    };
    let version = hello.common_version();
    let mut hello = checked(hello)?;
    verdict.name(&hello);
    let in_transition = leading.takes_plaintext && !is_encrypted;
    let admitted = if in_transition { check_plaintext(&leading, &hello) } else { Ok(()) };
    match admitted.and_then(|()| key_of(certificate.as_ref(), &hello)) {
        Ok(key) => hello.key = key,
        Err(goodbye) => {
            verdict.dismissed(&goodbye);
            // If this fails, nobody is there to be told.
            let _ = down.send(Box::new(Ok(goodbye.without_epoch(hello.session)))).await;
            return Ok(());
        }
    }
    let header = MessageHeader {
        worker: hello.worker,
        epoch: leading.epoch,
        session: hello.session,
        incarnation: hello.incarnation,
    };
    match admit(&leading, &hello, version, received).await {
        Ok(admitted) => run(leading, stream, down, header, hello, admitted, std::mem::take(verdict)).await,
        Err(goodbye) => {
            verdict.dismissed(&goodbye);
            // If this fails, nobody is there to be told.
            let _ = down.send(Box::new(Ok(header.goodbye(&goodbye)))).await;
        }
    }
    Ok(())
}

/// Stays boxed, as it came: the task lives as long as the link, with room for all that it ever
/// held.
fn checked(hello: Box<v1::Hello>) -> Result<Box<Hello>, Failure> {
    let read = Hello::try_from(*hello);
    read.map(Box::new).map_err(|error| Failure::BadRequest(FieldViolations::of("hello", error.to_string())))
}

/// The key that a worker has proven, if its certificate is for the uid of its hello. Where it needs
/// a certificate, only one that has shown one comes here: the table of methods sees to it.
fn key_of(certificate: Option<&PeerCertificate>, hello: &Hello) -> Result<Option<KeyDigest>, Goodbye> {
    match certificate.map(|certificate| (&certificate.holder, certificate.key)) {
        Some((CertificateHolder::Worker(uid), key)) if *uid == hello.worker => Ok(Some(key)),
        Some((CertificateHolder::Worker(uid), _)) => {
            let message = format!("the certificate is of worker {uid}, and the hello of {}", hello.worker);
            Err(Goodbye::Refused("UID_MISMATCH", message))
        }
        Some((CertificateHolder::Master | CertificateHolder::Client(_), _)) | None => Ok(None),
    }
}

/// In the clear, a worker is taken that was one before there were credentials. One that has shown a
/// certificate is refused by the core as well.
fn check_plaintext(leading: &LeaderContext, hello: &Hello) -> Result<(), Goodbye> {
    let known = leading.view.read().workers.get(hello.worker.0).cloned();
    let message = match known {
        Some(known) if known.record.key.is_none() => return Ok(()),
        Some(_) => "this worker has a certificate, and is not taken in the clear again: give it its CA",
        None => "a worker that is not known comes over TLS: give it a token of `muster token create --worker`",
    };
    Err(Goodbye::Refused(reason::NO_CREDENTIAL, message.to_owned()))
}

/// A link whose hello goes to the core.
struct AdmittedLink {
    registration: Registration,
    turn: OwnedSemaphorePermit,
}

async fn admit(
    leading: &LeaderContext,
    hello: &Hello,
    version: Option<u32>,
    received: Time,
) -> Result<AdmittedLink, Goodbye> {
    if version.is_none() {
        let message = "no version of the link in common; upgrade the older side".to_owned();
        return Err(Goodbye::Refused("VERSION", message));
    }
    refuse_at_the_door(leading, hello)?;
    let turn = turn(leading).await.ok_or(Goodbye::Busy)?;
    let registration = leading.links.register(link_of(hello), received)?;
    Ok(AdmittedLink { registration, turn })
}

fn link_of(hello: &Hello) -> LinkId {
    LinkId { worker: hello.worker, session: hello.session }
}

/// Runs a link's tasks until one of its halves ends.
async fn run(
    leading: Arc<LeaderContext>,
    stream: Streaming<v1::LinkRequest>,
    down: DownlinkStream,
    header: MessageHeader,
    hello: Box<Hello>,
    admitted: AdmittedLink,
    verdict: HelloVerdict,
) {
    let link = link_of(&hello);
    let AdmittedLink { registration: Registration { work, goodbye, heard }, turn } = admitted;
    tracing::debug!(worker = %hello.name, uid = %hello.worker, session = hello.session.0, "hello");
    let (answers, answered) = mpsc::channel(ANSWERS);
    let (uplink, forwarded) = mpsc::channel(UPLINK_QUEUE);
    let writer = Writer {
        header,
        view: leading.election.receiver(),
        welcome: leading.welcome(),
        welcomed: false,
        answers: answered,
        work,
        goodbye: goodbye.subscribe(),
        stream: down,
        traces: leading.traces,
        verdict,
    };
    let (inputs, links) = (leading.inputs.links.clone(), leading.links.clone());
    tokio::spawn(forward(link, hello, turn, forwarded, inputs, links));
    // The link ends with the first of its halves. The forwarder ends with the reader.
    let mut writing = tokio::spawn(writer.run());
    let mut reading = tokio::spawn(Reader { link, leading, stream, answers, uplink, goodbye, heard }.run());
    tokio::select! {
        _ = &mut writing => reading.abort(),
        _ = &mut reading => {
            // The reader may have set a goodbye that is not written yet.
            if timeout(LAST_WORDS_WITHIN, &mut writing).await.is_err() {
                writing.abort();
            }
        }
    }
}

async fn read_hello(stream: &mut Streaming<v1::LinkRequest>) -> Result<Option<Box<v1::Hello>>, Status> {
    let first = timeout(HELLO_WITHIN, stream.message()).await;
    match first {
        Ok(Ok(Some(v1::LinkRequest { message: Some(Message::Hello(hello)) }))) => Ok(Some(hello)),
        Ok(Ok(Some(_))) => Err(Failure::BadRequest(FieldViolations::of("hello", "must be the first message")).into()),
        Ok(Ok(None)) => Ok(None),
        Ok(Err(status)) => Err(status_of_read(status, MAX_LINK_MESSAGE)),
        Err(_) => Err(Failure::BadRequest(FieldViolations::of("hello", "did not come in time")).into()),
    }
}

/// Refuses what needs no core: a worker whose input made the core panic before, and a worker that
/// has seen a later epoch than this leader's.
fn refuse_at_the_door(leading: &LeaderContext, hello: &Hello) -> Result<(), Goodbye> {
    if leading.poison_inputs.refuses(clock::boottime(), || InputDigest::of_worker(hello.worker)) {
        return Err(Goodbye::Busy);
    }
    let ours =
        |epoch: &Epoch| hello.cluster == Some(leading.cluster.uid) && epoch.generation == leading.epoch.generation;
    let Some(seen) = hello.epoch.filter(|seen| ours(seen) && seen.number() > leading.epoch.number()) else {
        return Ok(());
    };
    // Either this leader was deposed and does not know it yet, or the store went back in time. The
    // role finds out.
    tracing::warn!(worker = %hello.name, seen = %seen, ours = %leading.epoch, "a worker has seen a later epoch than this leader's");
    let _ = leading.role_commands.try_send(RoleCommand::CheckStore(seen));
    Err(Goodbye::NotLeader(None))
}

/// Waits for a turn, so that a new leader is not flooded by the hellos of all workers at once.
async fn turn(leading: &LeaderContext) -> Option<OwnedSemaphorePermit> {
    timeout(TURN_WITHIN, leading.admission.clone().acquire_owned()).await.ok()?.ok()
}
