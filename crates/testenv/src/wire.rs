//! A client of raw HTTP/2: it makes gRPC calls, and shows an answer as its frames.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use prost::bytes::Bytes;
use tonic::codegen::http::{HeaderMap, Request};
use tonic_types::StatusExt as _;

/// Longer than anything takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("in time: {what}"))
}

/// An answer as its frames.
#[derive(Debug, PartialEq, Eq)]
pub struct Frames {
    /// The HTTP status.
    pub http: u16,
    /// Whether the stream ended with its headers.
    pub headers_only: bool,
    /// The first headers.
    pub headers: BTreeMap<String, String>,
    /// Whether each message is compressed, and its bytes.
    pub messages: Vec<(u8, Vec<u8>)>,
    /// The last headers.
    pub trailers: Option<BTreeMap<String, String>>,
    /// The stable word of an error, from its details.
    pub reason: Option<String>,
}

impl Frames {
    /// The only status, in the headers or the trailers.
    ///
    /// # Panics
    ///
    /// If there is none, or more than one.
    pub fn status(&self) -> i32 {
        let all = [Some(&self.headers), self.trailers.as_ref()];
        let found: Vec<_> = all.into_iter().flatten().filter_map(|fields| fields.get("grpc-status")).collect();
        assert_eq!(found.len(), 1, "one status, and no second one that overrides it: {self:?}");
        found[0].parse().unwrap()
    }

    /// Whether a part of the request was refused for its size.
    pub fn is_too_large(&self) -> bool {
        (self.status(), self.reason.as_deref()) == (8, Some("TOO_LARGE"))
    }
}

/// The header fields that tell one answer from another; the date is not one of them.
fn fields(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &tonic::codegen::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let kept = all.filter(|(name, _)| name != "date");
    // The fields of a map are encoded in any order, so only the length counts.
    kept.map(|(name, value)| if name.ends_with("-bin") { (name, value.len().to_string()) } else { (name, value) })
        .collect()
}

fn reason_in(headers: &HeaderMap) -> Option<String> {
    Some(tonic::Status::from_header_map(headers)?.get_details_error_info()?.reason)
}

/// Opens a connection of its own.
///
/// # Panics
///
/// If nothing listens there.
pub async fn connect(address: &str) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A message with its prefix.
///
/// # Panics
///
/// If its length does not fit into the prefix.
pub fn framed(compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(compressed)];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// A call that can be made to any server.
#[derive(Debug, Clone)]
pub struct Call {
    path: String,
    host: Option<String>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Call {
    /// A call with one message.
    pub fn new(path: &str, message: &impl prost::Message) -> Call {
        Call { path: path.to_owned(), host: None, headers: Vec::new(), body: framed(false, &message.encode_to_vec()) }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }

    /// Calls the server by another name than its address.
    #[must_use]
    pub fn to_host(mut self, host: &str) -> Call {
        self.host = Some(host.to_owned());
        self
    }

    /// Sets another body, with its prefixes.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Call {
        self.body = body;
        self
    }

    /// The path of the method.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The head of the request.
    ///
    /// # Panics
    ///
    /// If a header is invalid.
    pub fn head(&self, address: &str) -> Request<()> {
        let host = self.host.as_deref().unwrap_or(address);
        let mut request = Request::post(format!("http://{host}{}", self.path)).header("te", "trailers");
        if !self.headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(()).unwrap()
    }

    /// Makes the call on a connection of its own, and reads the answer to its end.
    ///
    /// # Panics
    ///
    /// If the answer breaks, or does not come.
    pub async fn at(&self, address: &str) -> Frames {
        let mut client = connect(address).await.ready().await.unwrap();
        let (response, mut sender) = client.send_request(self.head(address), false).unwrap();
        // A server that refuses the head may have closed the stream already; the answer tells.
        let _ = sender.send_data(Bytes::from(self.body.clone()), true);
        answer(response).await
    }
}

impl Call {
    /// Makes the call and never ends its request. Reads the answer to its end, and waits until the
    /// server has let go of the request too.
    ///
    /// # Panics
    ///
    /// If the answer breaks, or if it or the reset does not come.
    pub async fn without_end_at(&self, address: &str) -> Frames {
        let mut client = connect(address).await.ready().await.unwrap();
        let (response, mut sender) = client.send_request(self.head(address), false).unwrap();
        // As above.
        let _ = sender.send_data(Bytes::from(self.body.clone()), false);
        let frames = answer(response).await;
        let reset = std::future::poll_fn(|context| sender.poll_reset(context));
        soon("the reset", reset).await.unwrap();
        frames
    }
}

/// A connection with streams that stand still: nobody reads their answers.
pub struct StalledStreams {
    client: SendRequest<Bytes>,
    _streams: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

impl StalledStreams {
    /// Makes this call so many times and reads no answer. `ends` says whether the requests end.
    ///
    /// # Panics
    ///
    /// If nothing listens there, or the server refuses the number of streams.
    pub async fn open(address: &str, call: &Call, streams: usize, ends: bool) -> StalledStreams {
        // The window of this connection is large, so that the streams stall by their own windows
        // and leave room for a call beside them.
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 14).initial_connection_window_size(1 << 30);
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let (body, mut opened) = (Bytes::from(call.body.clone()), Vec::new());
        for _ in 0..streams {
            client = client.ready().await.unwrap();
            let (response, mut sender) = client.send_request(call.head(address), false).unwrap();
            sender.send_data(body.clone(), ends).unwrap();
            opened.push((response, sender));
        }
        StalledStreams { client, _streams: opened }
    }

    /// Makes a call beside them, on the same connection, and reads its answer to its end.
    ///
    /// # Panics
    ///
    /// If the answer breaks, or does not come.
    pub async fn call_beside(&mut self, address: &str, call: &Call) -> Frames {
        self.client = self.client.clone().ready().await.unwrap();
        let (response, mut sender) = self.client.send_request(call.head(address), false).unwrap();
        sender.send_data(Bytes::from(call.body.clone()), true).unwrap();
        answer(response).await
    }
}

/// Reads an answer to its end.
///
/// # Panics
///
/// If it breaks, or does not come.
pub async fn answer(response: ResponseFuture) -> Frames {
    let response = soon("the headers", response).await.unwrap();
    let http = response.status().as_u16();
    let (head, mut body) = response.into_parts();
    let headers_only = body.is_end_stream();
    let mut data = Vec::new();
    while let Some(chunk) = soon("the body", body.data()).await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        data.extend_from_slice(&chunk);
    }
    let trailers = soon("the trailers", body.trailers()).await.unwrap();
    let mut messages = Vec::new();
    let mut rest = data.as_slice();
    while rest.len() >= 5 {
        let length = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
        messages.push((rest[0], rest[5..5 + length].to_vec()));
        rest = &rest[5 + length..];
    }
    let reason = reason_in(trailers.as_ref().unwrap_or(&head.headers));
    let trailers = trailers.as_ref().map(fields);
    Frames { http, headers_only, headers: fields(&head.headers), messages, trailers, reason }
}

/// Compresses bytes with gzip.
///
/// # Panics
///
/// Never: it writes to memory.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
