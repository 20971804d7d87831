//! Links that come: each is checked, and then read.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_client::WorkerUid;
use muster_dag::ExecutorSpec;
use muster_proto::v1;
use muster_types::{ExecutorId, ProfileId, Secret};
use subtle::ConstantTimeEq as _;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use v1::executor_link_service_link_request::Message as Up;
use v1::executor_link_service_link_response::Message as Down;
use v1::executor_link_service_server::ExecutorLinkService;

use super::outgoing::DriverOutgoing;
use crate::build_digest::{ExecutorBuild, hex};
use crate::outbox::{LinkOutbox, LinkOutboxStream};

/// How long a stream may take to say who it is.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// What the loop hears of links.
#[derive(Debug)]
pub(crate) enum ExecutorLinkInput {
    /// An executor of this build and application wants work.
    Register {
        /// The number of the link.
        link: u64,
        /// The executor.
        spec: ExecutorSpec,
        /// Where it serves its outputs.
        output_address: Arc<str>,
        /// Where its work goes.
        outbox: LinkOutbox<DriverOutgoing>,
    },
    /// It has said something.
    Message(ExecutorId, u64, Up),
    /// Its stream has ended.
    Broken(ExecutorId, u64),
}

/// Takes links, and hands on what they say.
#[derive(Debug, Clone)]
pub(crate) struct LinkAcceptor {
    inputs: mpsc::Sender<ExecutorLinkInput>,
    token: Secret,
    build: ExecutorBuild,
    links: Arc<AtomicU64>,
}

impl LinkAcceptor {
    pub(crate) fn new(inputs: mpsc::Sender<ExecutorLinkInput>, token: Secret, build: ExecutorBuild) -> LinkAcceptor {
        LinkAcceptor { inputs, token, build, links: Arc::default() }
    }

    /// Begins to read a link. What goes down on it is the stream that is returned.
    pub(crate) fn accept(
        &self,
        incoming: impl Stream<Item = Result<v1::ExecutorLinkServiceLinkRequest, Status>> + Send + 'static,
    ) -> LinkOutboxStream<DriverOutgoing> {
        let (outbox, stream) = LinkOutbox::new();
        let link = self.links.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(self.clone().read(link, incoming, outbox));
        stream
    }

    async fn read(
        self,
        link: u64,
        incoming: impl Stream<Item = Result<v1::ExecutorLinkServiceLinkRequest, Status>> + Send,
        outbox: LinkOutbox<DriverOutgoing>,
    ) {
        let mut incoming = pin!(incoming);
        let first = tokio::time::timeout(REGISTRATION_TIMEOUT, incoming.next()).await;
        let checked = match first {
            Ok(Some(Ok(request))) => self.check(request.message),
            Ok(Some(Err(_)) | None) => return outbox.close(),
            Err(_) => Err("an executor says who it is at once".to_owned()),
        };
        let (spec, output_address) = match checked {
            Ok(checked) => checked,
            Err(message) => {
                outbox.add(|outgoing| outgoing.first.push_back(Down::Refused(v1::ExecutorRefused { message })));
                return outbox.close();
            }
        };
        let executor = spec.executor;
        // An error of the channel means that the driver ends.
        if self.inputs.send(ExecutorLinkInput::Register { link, spec, output_address, outbox }).await.is_err() {
            return;
        }
        while let Some(Ok(request)) = incoming.next().await {
            let Some(message) = request.message else { continue };
            if self.inputs.send(ExecutorLinkInput::Message(executor, link, message)).await.is_err() {
                return;
            }
        }
        let _ = self.inputs.send(ExecutorLinkInput::Broken(executor, link)).await;
    }

    /// Checks who wants to register: what the scheduler is told of it, and the address of its
    /// outputs. The error is the sentence for the executor.
    fn check(&self, message: Option<Up>) -> Result<(ExecutorSpec, Arc<str>), String> {
        let Some(Up::Registration(registration)) = message else {
            return Err("an executor says who it is first of all".to_owned());
        };
        let same_token = registration.token.as_bytes().ct_eq(self.token.expose().as_bytes());
        if !bool::from(same_token) {
            return Err("its token is not that of this application".to_owned());
        }
        let ExecutorBuild { digest, interpreter } = &self.build;
        if registration.interpreter != **interpreter {
            let named = |name: &str| if name.is_empty() { "no interpreter".to_owned() } else { name.to_owned() };
            let (own, other) = (named(interpreter), named(&registration.interpreter));
            return Err(format!("the driver runs {own}, and the executor {other}: they must be the same"));
        }
        if registration.build_digest != digest[..] {
            let (own, other) = (hex(digest), hex(&registration.build_digest));
            return Err(format!("it is another build: the driver is {own}, the executor {other}"));
        }
        let worker = WorkerUid::from_slice(&registration.worker_uid);
        let worker = worker.ok_or_else(|| "the uid of its worker has not 16 bytes".to_owned())?;
        let spec = ExecutorSpec {
            executor: ExecutorId(registration.executor_id),
            worker,
            rack: Some(registration.rack).filter(|rack| !rack.is_empty()).map(Into::into),
            profile: ProfileId(registration.profile_id),
            cores: registration.cores,
        };
        Ok((spec, registration.output_address.into()))
    }
}

#[tonic::async_trait]
impl ExecutorLinkService for LinkAcceptor {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<v1::ExecutorLinkServiceLinkResponse, Status>> + Send>>;

    async fn link(
        &self,
        request: Request<Streaming<v1::ExecutorLinkServiceLinkRequest>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        Ok(Response::new(Box::pin(self.accept(request.into_inner()).map(Ok))))
    }
}
