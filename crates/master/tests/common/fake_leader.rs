//! A leader that the test plays, frame by frame.

use std::sync::{Arc, Mutex};

use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use muster_testenv::wire::framed;
use prost::bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};

/// A leader that answers nothing by itself.
pub struct FakeLeader {
    pub address: String,
    calls: mpsc::Receiver<ForwardedCall>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// A call that a standby forwarded to it.
pub struct ForwardedCall {
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl FakeLeader {
    pub async fn start() -> FakeLeader {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (called, calls) = mpsc::channel(64);
        let connections = Arc::new(Mutex::new(Vec::new()));
        let opened = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let called = called.clone();
                let connection = tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let _ = called.send(ForwardedCall { request, respond }).await;
                    }
                });
                opened.lock().unwrap().push(connection);
            }
        });
        FakeLeader { address, calls, connections }
    }

    /// The next call of this method. Other calls, such as those for readiness, are reset.
    pub async fn call(&mut self, path: &str) -> ForwardedCall {
        super::soon("a call is handed on", async {
            loop {
                let call = self.calls.recv().await.unwrap();
                if call.request.uri().path() == path {
                    return call;
                }
            }
        })
        .await
    }

    /// Closes its connections, as the kernel does when its process dies.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

impl ForwardedCall {
    /// Answers with headers and this message, and leaves the stream open.
    pub fn begin(&mut self, message: &[u8]) -> SendStream<Bytes> {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut answer = self.respond.send_response(head, false).unwrap();
        answer.send_data(Bytes::from(framed(false, message)), false).unwrap();
        answer
    }

    /// Answers with this message, and ends the stream as a success.
    pub fn answer(&mut self, message: &[u8]) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        self.begin(message).send_trailers(trailers).unwrap();
    }

    /// Waits until the call, which has no answer yet, is cancelled.
    pub async fn cancelled(&mut self) -> Reason {
        let reset = std::future::poll_fn(|context| self.respond.poll_reset(context));
        super::soon("the call is cancelled", reset).await.unwrap()
    }
}

/// Waits until an open answer is cancelled.
pub async fn cancelled(answer: &mut SendStream<Bytes>) -> Reason {
    let reset = std::future::poll_fn(|context| answer.poll_reset(context));
    super::soon("the stream is cancelled", reset).await.unwrap()
}
