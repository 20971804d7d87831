//! The two layers: the outer one refuses before anything of a call is read, the inner one decides
//! where the call is answered.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Frame;
use muster_proto::errors::Failure;
use muster_proto::methods::Method;
use muster_proto::server::{FORWARDED, FORWARDED_CERTIFICATE};
use muster_tls::{CertificateHolder, ClientChain, ConnectionPeer, PeerCertificate};
use prost::bytes::Bytes;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::metadata::MetadataMap;
use tower::Service;

use super::audit::{AuditNote, CallOrigin};
use super::caller::{KnownCaller, Refusal};
use super::control::AccessControl;
use super::limits::CallPlace;
use super::presented::{BearerHeader, PresentedCredential};

type AdmissionFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What a call shows.
fn presented_by(request: &Request<Body>) -> PresentedCredential {
    let shown = of_connection(request);
    let certificate = if is_of_master(shown) { forwarded_by(request.headers()) } else { shown.cloned() };
    let peer = request.extensions().get::<ConnectionPeer>();
    let is_encrypted = peer.is_some_and(|peer| peer.is_encrypted);
    PresentedCredential { bearer: BearerHeader::of(request.headers()), certificate, is_encrypted }
}

fn of_connection(request: &Request<Body>) -> Option<&PeerCertificate> {
    request.extensions().get::<ConnectionPeer>().and_then(|peer| peer.certificate.as_ref())
}

fn is_of_master(shown: Option<&PeerCertificate>) -> bool {
    shown.is_some_and(|shown| shown.holder == CertificateHolder::Master)
}

/// Takes the headers from a call by which masters tell each other that they forward one. Where
/// masters show certificates, nobody else is believed: such a call is not sent on to the leader,
/// and its headers may be longer. Without TLS there is nothing to know a master by, but there are
/// no names that could be forged either.
pub(crate) fn from_masters_alone(mut request: Request<Body>, has_tls: bool) -> Request<Body> {
    if !is_of_master(of_connection(&request)) {
        request.headers_mut().remove(FORWARDED_CERTIFICATE);
        if has_tls {
            request.headers_mut().remove(FORWARDED);
        }
    }
    request
}

/// The certificate of a client whose key was proven to the standby that forwards its call. It is
/// verified here anew, like any other.
fn forwarded_by(headers: &HeaderMap) -> Option<PeerCertificate> {
    let mut carried = HeaderMap::new();
    carried.insert(FORWARDED_CERTIFICATE, headers.get(FORWARDED_CERTIFICATE)?.clone());
    let carried = MetadataMap::from_headers(carried);
    ClientChain::from_bytes(&carried.get_bin(FORWARDED_CERTIFICATE)?.to_bytes().ok()?)?.into_peer()
}

/// Who makes a call, as far as it is known, and from where.
fn origin_of(request: &Request<Body>, method: Method, known: Option<&KnownCaller>) -> CallOrigin {
    let peer = request.extensions().get::<ConnectionPeer>().and_then(|peer| peer.address);
    CallOrigin::new(method, peer, request.headers().contains_key(FORWARDED), known)
}

/// Answers with a refusal, and notes it.
fn refuse(access: &AccessControl, request: &Request<Body>, method: Method, refusal: Refusal) -> AdmissionFuture {
    let Refusal { failure, known } = refusal;
    access.audit().refused(&origin_of(request, method, known.as_deref()), failure.reason());
    Box::pin(std::future::ready(Ok(failure.to_status().into_http())))
}

/// The caller that the outer layer has judged, which the inner one need not do again. It comes from
/// that layer alone: nothing of a request's own gets among its extensions.
#[derive(Debug, Clone)]
struct ScreenedCaller(KnownCaller);

/// Hands a call on, with the caller if that is judged already.
fn hand_on<S>(inner: &mut S, mut request: Request<Body>, screened: Option<KnownCaller>) -> S::Future
where
    S: Service<Request<Body>>,
{
    if let Some(known) = screened {
        request.extensions_mut().insert(ScreenedCaller(known));
    }
    inner.call(request)
}

/// Lies outside of forwarding: a caller that no leader would serve costs nothing more.
#[derive(Debug, Clone)]
pub(crate) struct Authenticate<S> {
    inner: S,
    access: Arc<AccessControl>,
}

impl<S> Authenticate<S> {
    pub(crate) fn new(inner: S, access: Arc<AccessControl>) -> Authenticate<S> {
        Authenticate { inner, access }
    }
}

impl<S> Service<Request<Body>> for Authenticate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AdmissionFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> AdmissionFuture {
        let Some(method) = Method::of_path(request.uri().path()) else {
            let status = Status::unimplemented("this master has no such method");
            return Box::pin(std::future::ready(Ok(status.into_http())));
        };
        let shown = presented_by(&request);
        let refusal = match self.access.screen(method, &shown) {
            Ok(screened) => return Box::pin(hand_on(&mut self.inner, request, screened)),
            Err(refusal) => refusal,
        };
        let Some(coming) = self.access.key_to_come(&shown) else {
            return refuse(&self.access, &request, method, refusal);
        };
        // The instance that was polled ready must be the one that is called.
        let clone = self.inner.clone();
        let (mut inner, access) = (std::mem::replace(&mut self.inner, clone), self.access.clone());
        Box::pin(async move {
            coming.await;
            match access.screen(method, &shown) {
                Ok(screened) => hand_on(&mut inner, request, screened).await,
                Err(refusal) => refuse(&access, &request, method, refusal).await,
            }
        })
    }
}

/// Lies around the services themselves. It decides on what this master knows, hands on who calls,
/// and ends streams whose credential is no longer good.
#[derive(Debug, Clone)]
pub(crate) struct Authorize<S> {
    inner: S,
    access: Arc<AccessControl>,
}

impl<S> Authorize<S> {
    pub(crate) fn new(inner: S, access: Arc<AccessControl>) -> Authorize<S> {
        Authorize { inner, access }
    }
}

impl<S> Service<Request<Body>> for Authorize<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AdmissionFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> AdmissionFuture {
        let Some(method) = Method::of_path(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        let screened = request.extensions_mut().remove::<ScreenedCaller>();
        let admitted = match screened {
            Some(ScreenedCaller(known)) => Ok(known),
            None => self.access.admit(method, &presented_by(&request)),
        };
        let admitted = admitted.and_then(|known| match self.access.limiter.admit(method, &known.caller) {
            Ok(place) => Ok((known, place)),
            Err(failure) => Err(Refusal { failure, known: Some(Box::new(known)) }),
        });
        let (known, place) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return refuse(&self.access, &request, method, refusal),
        };
        let (access, is_stream) = (self.access.clone(), method.answers_with_a_stream());
        let shown = is_stream.then(|| presented_by(&request));
        let is_audited = access.audit().is_about(method);
        // Most calls are reads, which have no line.
        let origin = (is_audited || is_stream).then(|| origin_of(&request, method, Some(&known)));
        if matches!(method, Method::AccessCreateToken | Method::AccessRevokeToken | Method::AccessListTokens)
            && let Some(token) = known.token()
        {
            request.extensions_mut().insert(token);
        }
        request.extensions_mut().insert(known.caller);
        // The clone is not known to be ready; the one that was asked is.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let response = match origin.clone().filter(|_| is_audited) {
                Some(origin) => {
                    let note = AuditNote::default();
                    request.extensions_mut().insert(note.clone());
                    let (judged, audited) = (note.clone(), origin.clone());
                    let entry = access.audit().begin(origin, note).await;
                    let response = inner.call(request).await?;
                    match judged.late_judgement() {
                        Some(late) => {
                            entry.leave();
                            let (access, origin) = (access.clone(), audited);
                            tokio::spawn(async move { access.audit().judged_late(origin, judged, late).await });
                        }
                        // The code of a single answer comes behind it, and is a success.
                        None => entry.end(Status::from_header_map(response.headers()).as_ref()),
                    }
                    response
                }
                None => inner.call(request).await?,
            };
            let (Some(origin), Some(shown)) = (origin, shown) else { return Ok(response) };
            if response.headers().contains_key(Status::GRPC_STATUS) {
                return Ok(response);
            }
            let ended = access
                .asks_for_credentials()
                .then(|| -> EndOfAdmission { Box::pin(access.clone().ended(method, shown)) });
            Ok(response
                .map(|body| Body::new(AdmittedStream { body, is_ended: false, ended, access, origin, _place: place })))
        })
    }
}

type EndOfAdmission = Pin<Box<dyn Future<Output = Failure> + Send>>;

/// The body of a stream, which ends with a refusal once its caller is admitted no longer.
struct AdmittedStream {
    body: Body,
    is_ended: bool,
    /// `None` where every caller is admitted for ever.
    ended: Option<EndOfAdmission>,
    access: Arc<AccessControl>,
    origin: CallOrigin,
    _place: Option<CallPlace>,
}

impl http_body::Body for AdmittedStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        if let Some(ended) = &mut self.ended
            && let Poll::Ready(failure) = ended.as_mut().poll(context)
        {
            self.access.audit().refused(&self.origin, failure.reason());
            self.is_ended = true;
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(match failure.to_status().add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(status) => Err(status),
            }));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::errors::reason_of;
    use muster_types::{Caller, Role};
    use std::num::NonZeroU32;

    use super::super::{Audit, AuditDestination, CallerLimits, add_token};
    use super::*;

    /// Who has called the service behind a layer, if it was reached.
    async fn reached<S>(
        layer: impl FnOnce(Probe, Arc<AccessControl>) -> S,
        method: Method,
        headers: &[(&str, &str)],
    ) -> Reached
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.toml");
        let viewer = add_token(&path, "ann", muster_types::TokenGrant::User(Role::Viewer), None).unwrap();
        let limits = CallerLimits { calls: 1, streams: 1, submissions: NonZeroU32::MIN };
        let audit = Audit::open(&AuditDestination::None, Arc::default()).unwrap();
        let access = Arc::new(AccessControl::new(Some(&path), false, Arc::default(), limits, audit).unwrap());
        let mut request = Request::builder().uri(method.path());
        for (name, value) in headers {
            request = request.header(*name, value.replace("VIEWER", viewer.expose()));
        }
        let response = layer(Probe, access).call(request.body(Body::empty()).unwrap()).await.unwrap();
        match response.extensions().get::<Option<Caller>>() {
            Some(caller) => Reached::By(caller.clone()),
            None => Reached::Refused(reason_of(&Status::from_header_map(response.headers()).unwrap()).unwrap()),
        }
    }

    #[derive(Debug, PartialEq)]
    enum Reached {
        By(Option<Caller>),
        Refused(String),
    }

    /// Answers with its caller.
    #[derive(Clone)]
    struct Probe;

    impl Service<Request<Body>> for Probe {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(request.extensions().get::<Caller>().cloned());
            std::future::ready(Ok(response))
        }
    }

    /// Either layer refuses by itself, so that a slip in one is no way in.
    #[tokio::test]
    async fn each_layer_refuses_without_the_other() {
        let unknown = format!("Bearer mst_0123456789ab_{}", "0".repeat(64));
        for (method, headers, reason) in [
            (Method::MasterListDrivers, vec![], "NO_CREDENTIAL"),
            (Method::MasterListDrivers, vec![("muster-forwarded", "1")], "NO_CREDENTIAL"),
            (Method::MasterListDrivers, vec![("authorization", "Bearer nonsense")], "BAD_CREDENTIAL"),
            (Method::MasterStepDown, vec![("authorization", "Bearer VIEWER")], "ROLE_REQUIRED"),
            (Method::WorkerDrain, vec![("authorization", "Bearer VIEWER")], "ROLE_REQUIRED"),
        ] {
            let refused = Reached::Refused(reason.to_owned());
            assert_eq!(reached(Authenticate::new, method, &headers).await, refused, "{method:?} {headers:?}");
            assert_eq!(reached(Authorize::new, method, &headers).await, refused, "{method:?} {headers:?}");
        }
        // What this master does not know is for the leader to judge, and for nobody here.
        let headers = [("authorization", unknown.as_str())];
        let refused = Reached::Refused("BAD_CREDENTIAL".to_owned());
        assert_eq!(reached(Authenticate::new, Method::Reflect, &headers).await, Reached::By(None));
        assert_eq!(reached(Authorize::new, Method::Reflect, &headers).await, refused);
        let anonymous = Reached::By(Some(Caller::Anonymous));
        assert_eq!(reached(Authorize::new, Method::HealthCheck, &headers).await, anonymous);
    }

    #[tokio::test]
    async fn the_caller_is_handed_on() {
        let ann = Caller::User { name: "ann".to_owned(), role: Role::Viewer };
        // The scheme has no case, as everywhere in HTTP.
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let value = format!("{scheme} VIEWER");
            let headers = [("authorization", value.as_str())];
            let found = reached(Authorize::new, Method::MasterListDrivers, &headers).await;
            assert_eq!(found, Reached::By(Some(ann.clone())), "{scheme}");
        }
    }
}
