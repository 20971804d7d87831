//! Serves outputs to other executors of the application.

use std::sync::Arc;
use std::time::Duration;

use muster_proto::v1;
use muster_proto::v1::output_service_server::{OutputService, OutputServiceServer};
use muster_types::Secret;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::store::{KeptOutput, OutputStore};
use crate::dataset::MOST_PARTITIONS;
use crate::listen::connections;
use crate::outbox::MESSAGE_BYTES;

/// Messages of one reader that wait for its connection.
const WAITING_MESSAGES: usize = 1;
/// The most outputs that one request may name: those of a whole dataset.
const MOST_OUTPUTS: usize = MOST_PARTITIONS as usize;
/// The largest request: each output takes 24 bytes at most.
const LARGEST_REQUEST: usize = 32 << 20;

/// Answers readers.
#[derive(Debug)]
pub(crate) struct OutputServer {
    store: Arc<OutputStore>,
    token: Secret,
}

impl OutputServer {
    pub(crate) fn new(store: Arc<OutputStore>, token: Secret) -> OutputServer {
        OutputServer { store, token }
    }
}

/// Serves outputs until the runtime ends.
pub(crate) async fn serve_outputs(listener: TcpListener, outputs: OutputServer) {
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_service(OutputServiceServer::new(outputs).max_decoding_message_size(LARGEST_REQUEST));
    // An error ends the streams of the readers, which is what is noticed.
    let _ = server.serve_with_incoming(connections(listener)).await;
}

#[tonic::async_trait]
impl OutputService for OutputServer {
    type ReadStream = ReceiverStream<Result<v1::OutputServiceReadResponse, Status>>;

    async fn read(&self, request: Request<v1::OutputServiceReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        if !bool::from(request.token.as_bytes().ct_eq(self.token.expose().as_bytes())) {
            return Err(Status::unauthenticated("the token is not that of this application"));
        }
        if request.outputs.len() > MOST_OUTPUTS {
            return Err(Status::invalid_argument(format!("a request may name {MOST_OUTPUTS} outputs")));
        }
        let (sender, messages) = mpsc::channel(WAITING_MESSAGES);
        tokio::spawn(send_outputs(self.store.clone(), request, sender));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// What is sent to a reader as one message.
#[derive(Default)]
struct NextMessage {
    message: v1::OutputServiceReadResponse,
    bytes: usize,
}

impl NextMessage {
    fn take_if_large(&mut self) -> Option<v1::OutputServiceReadResponse> {
        (self.bytes >= MESSAGE_BYTES).then(|| std::mem::take(self).message)
    }
}

async fn send_outputs(
    store: Arc<OutputStore>,
    request: v1::OutputServiceReadRequest,
    sender: mpsc::Sender<Result<v1::OutputServiceReadResponse, Status>>,
) {
    let mut next = NextMessage::default();
    for wanted in request.outputs {
        let partition = wanted.partition;
        let (mut missing, mut changed, mut failure) = (false, false, String::new());
        match store.get(request.stage, partition) {
            None => missing = true,
            Some(output) if wanted.blocks_read > 0 && wanted.task_attempt != output.attempt() => changed = true,
            Some(output) => {
                let mut number = wanted.blocks_read as usize;
                while number < output.blocks(request.reader) {
                    match read_block(&output, request.reader, number, partition).await {
                        Ok(Some(block)) => {
                            next.bytes += block.data.len();
                            next.message.blocks.push(block);
                        }
                        Ok(None) => break,
                        Err(error) => {
                            failure = error.to_string();
                            break;
                        }
                    }
                    number += 1;
                    if let Some(message) = next.take_if_large()
                        && sender.send(Ok(message)).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
        next.bytes += failure.len() + 16;
        next.message.ends.push(v1::OutputEnd { partition, missing, failure, changed });
    }
    // An error means that the reader is gone.
    let _ = sender.send(Ok(next.message)).await;
}

async fn read_block(
    output: &Arc<KeptOutput>,
    reader: u32,
    number: usize,
    partition: u32,
) -> std::io::Result<Option<v1::OutputBlock>> {
    let attempt = output.attempt();
    let read = if output.is_on_disk() {
        // What waits for a disk keeps nothing else waiting.
        let output = output.clone();
        let reading = tokio::task::spawn_blocking(move || output.read(reader, number));
        reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))?
    } else {
        output.read(reader, number)?
    };
    Ok(read.map(|(header, data)| header.with_data(partition, attempt, data)))
}
