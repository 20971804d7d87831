//! `WatchEvents` without a second encoding: the broker encodes the events of a commit once, and
//! every watcher gets the same bytes.
//!
//! `RawWatch` wraps the generated service and handles this one method itself.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use muster_proto::errors::Failure;
use muster_proto::server::MAX_REQUEST;
use muster_proto::v1::WatchEventsRequest;
use prost::Message;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};
use tower::Service;

use super::watch;
use crate::events::Chunk;
use crate::leader::LeaderSlot;

/// The method that `RawWatch` handles itself.
const PATH: &str = "/muster.v1.MasterService/WatchEvents";

/// The generated service with one method replaced.
#[derive(Debug, Clone)]
pub(crate) struct RawWatch<S> {
    inner: S,
    slot: Arc<LeaderSlot>,
}

impl<S> RawWatch<S> {
    pub(crate) fn new(inner: S, slot: Arc<LeaderSlot>) -> RawWatch<S> {
        RawWatch { inner, slot }
    }
}

impl<S: NamedService> NamedService for RawWatch<S> {
    const NAME: &'static str = S::NAME;
}

type WatchFuture = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<S> Service<http::Request<Body>> for RawWatch<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = WatchFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> WatchFuture {
        if request.uri().path() != PATH {
            return Box::pin(self.inner.call(request));
        }
        let handler = Handler(self.slot.clone());
        let mut server = Grpc::new(ChunkCodec)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
            .apply_max_message_size_config(Some(MAX_REQUEST), None);
        Box::pin(async move { Ok(server.server_streaming(handler, request).await) })
    }
}

struct Handler(Arc<LeaderSlot>);

type WatchResponses = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

impl ServerStreamingService<WatchEventsRequest> for Handler {
    type Response = Chunk;
    type ResponseStream = WatchResponses;
    type Future = Pin<Box<dyn Future<Output = Result<Response<WatchResponses>, Status>> + Send>>;

    fn call(&mut self, request: Request<WatchEventsRequest>) -> Self::Future {
        let opened = open(&self.0, request.into_inner());
        Box::pin(std::future::ready(opened.map(Response::new).map_err(Into::into)))
    }
}

fn open(slot: &LeaderSlot, request: WatchEventsRequest) -> Result<WatchResponses, Failure> {
    let leading = slot.leading()?;
    let watch = watch::open(&leading, request)?;
    Ok(Box::pin(watch.map(|chunk| chunk.map_err(|error| watch::ended(error).into()))))
}

/// Decodes requests, and writes chunks that are encoded already.
struct ChunkCodec;

impl Codec for ChunkCodec {
    type Encode = Chunk;
    type Decode = WatchEventsRequest;
    type Encoder = ChunkEncoder;
    type Decoder = MessageDecoder<WatchEventsRequest>;

    fn encoder(&mut self) -> ChunkEncoder {
        ChunkEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

struct ChunkEncoder;

impl Encoder for ChunkEncoder {
    type Item = Chunk;
    type Error = Status;

    fn encode(&mut self, chunk: Chunk, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        chunk.encode(buffer);
        Ok(())
    }
}

struct MessageDecoder<T>(PhantomData<T>);

impl<T: Message + Default> Decoder for MessageDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
