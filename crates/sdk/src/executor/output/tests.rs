//! Outputs that travel: from keepers that serve what they have, and from one that plays faults.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_proto::v1;
use muster_proto::v1::output_service_server::{OutputService, OutputServiceServer};
use muster_types::Secret;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{ExecutorOutputs, OutputServer, OutputStore, OutputWriter, read_outputs, serve_outputs};
use crate::TaskError;
use crate::function::UnreadOutput;
use crate::plan::ParentStage;
use crate::record::DataRecord;

const TOKEN: &str = "sesame";
const STAGE: u64 = 7;
const READERS: u32 = 3;
const KEYS: u32 = 50;

fn outputs(executor: u32, token: &str) -> ExecutorOutputs {
    ExecutorOutputs::new(executor, PathBuf::from("/nonexistent"), Secret::new(token))
}

/// Makes the output of a task: each key with the number of the task in some thousand bytes.
fn make(outputs: &ExecutorOutputs, partition: u32) {
    make_by(&outputs.store, 5, partition);
}

fn make_by(store: &OutputStore, attempt: u64, partition: u32) {
    let mut writer = OutputWriter::new(store, (STAGE, attempt), READERS, None);
    for key in 0..KEYS {
        let bytes = [key.to_be_bytes().as_slice(), &partition.to_be_bytes().repeat(5000)].concat();
        writer.add(DataRecord { bytes: &bytes, key_length: Some(4) }).unwrap();
    }
    let output = writer.finish().unwrap();
    store.insert(STAGE, partition, output);
}

async fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn serve(outputs: &ExecutorOutputs) -> String {
    let (listener, address) = port().await;
    tokio::spawn(serve_outputs(listener, OutputServer::new(outputs.store.clone(), Secret::new(TOKEN))));
    address
}

fn keeper(executor_id: u32, address: &str, partitions: &[u32]) -> v1::OutputKeeper {
    v1::OutputKeeper { executor_id, address: address.to_owned(), partitions: partitions.to_vec() }
}

/// How many keys came from each task for all readers.
async fn read(outputs: Arc<ExecutorOutputs>, tasks: u32) -> Result<BTreeMap<u32, u32>, TaskError> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut found = BTreeMap::new();
        for reader in 0..READERS {
            let from = (&outputs.reader, &*outputs.store, &outputs.directory);
            let parent = ParentStage { stage: STAGE, tasks };
            read_outputs(from, parent, reader, &|| false, &mut |partition, record| {
                let (key, value) = record.pair().unwrap();
                assert_eq!((key.len(), value), (4, partition.to_be_bytes().repeat(5000).as_slice()));
                *found.entry(partition).or_insert(0) += 1;
                Ok(())
            })?;
        }
        Ok(found)
    });
    reading.await.unwrap()
}

#[tokio::test]
async fn a_task_reads_its_own_and_those_of_others_within_its_memory() {
    let (own, first, second) = (outputs(0, TOKEN), outputs(1, TOKEN), outputs(2, TOKEN));
    make(&own, 0);
    (1..4).for_each(|partition| make(&first, partition));
    make(&second, 4);
    let keepers =
        vec![keeper(0, "", &[0]), keeper(1, &serve(&first).await, &[1, 2, 3]), keeper(2, &serve(&second).await, &[4])];
    own.directory.set(v1::OutputLocations { stage: STAGE, keepers });
    // Less than any message has.
    own.reader.configure(1024);
    let own = Arc::new(own);
    assert_eq!(read(own.clone(), 5).await.unwrap(), (0..5).map(|partition| (partition, KEYS)).collect());
    let unknown = read(own, 6).await.unwrap_err().to_string();
    assert!(unknown.contains("of 6 outputs of stage 7, 5 are known"), "{unknown}");
}

#[tokio::test]
async fn an_output_that_is_not_kept_is_named_and_so_is_a_keeper_that_is_gone() {
    let (own, other) = (outputs(0, TOKEN), outputs(1, TOKEN));
    make(&other, 0);
    let address = serve(&other).await;
    own.directory.set(v1::OutputLocations { stage: STAGE, keepers: vec![keeper(1, &address, &[0, 9])] });
    let own = Arc::new(own);
    let missing = UnreadOutput { stage: STAGE, partition: 9, executor: 1, unreachable: false };
    assert_eq!(read(own.clone(), 2).await.unwrap_err().unread_output(), Some(missing));

    let (listener, address) = port().await;
    drop(listener);
    own.directory.set(v1::OutputLocations { stage: STAGE, keepers: vec![keeper(3, &address, &[5])] });
    let error = read(own.clone(), 1).await.unwrap_err();
    let gone = UnreadOutput { stage: STAGE, partition: 5, executor: 3, unreachable: true };
    assert_eq!(error.unread_output(), Some(gone));
    assert!(error.to_string().starts_with(&format!("executor 3 at {address}: ")), "{error}");

    own.directory.set(v1::OutputLocations { stage: STAGE, keepers: vec![keeper(0, "", &[8])] });
    let missing = UnreadOutput { stage: STAGE, partition: 8, executor: 0, unreachable: false };
    assert_eq!(read(own, 1).await.unwrap_err().unread_output(), Some(missing));
}

#[tokio::test]
async fn who_does_not_know_the_token_reads_nothing() {
    let (stranger, other) = (outputs(0, "open"), outputs(1, TOKEN));
    make(&other, 0);
    stranger.directory.set(v1::OutputLocations { stage: STAGE, keepers: vec![keeper(1, &serve(&other).await, &[0])] });
    let error = read(Arc::new(stranger), 1).await.unwrap_err().to_string();
    assert!(error.contains("the token is not that of this application"), "{error}");
}

/// What a keeper that plays faults does to the answers to its first requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlayedFault {
    /// A byte is changed.
    ChangedByte,
    /// The stream breaks behind the first message.
    Break,
    /// So it does, and then another attempt has made all outputs again.
    MadeAnew,
}

/// A keeper that answers as another one does, but for faults.
struct FaultyKeeper {
    honest: OutputServer,
    store: Arc<OutputStore>,
    fault: PlayedFault,
    /// Requests that are still answered with it.
    left: AtomicU64,
}

#[tonic::async_trait]
impl OutputService for FaultyKeeper {
    type ReadStream = ReceiverStream<Result<v1::OutputServiceReadResponse, Status>>;

    async fn read(&self, request: Request<v1::OutputServiceReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let mut honest = self.honest.read(request).await?.into_inner();
        let less = |left: u64| left.checked_sub(1);
        let is_faulty = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let (fault, store) = (self.fault, self.store.clone());
        tokio::spawn(async move {
            while let Some(message) = honest.next().await {
                let mut message = message.unwrap();
                if is_faulty && fault == PlayedFault::ChangedByte {
                    let block = message.blocks.last_mut().unwrap();
                    let mut data = block.data.to_vec();
                    data[3] ^= 1;
                    block.data = data.into();
                }
                let _ = sender.send(Ok(message)).await;
                if is_faulty && fault == PlayedFault::MadeAnew {
                    (0..8).for_each(|partition| make_by(&store, 6, partition));
                }
                if is_faulty && fault != PlayedFault::ChangedByte {
                    let _ = sender.send(Err(Status::unavailable("a fault"))).await;
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn read_from_faulty(fault: PlayedFault, left: u64) -> Result<BTreeMap<u32, u32>, TaskError> {
    let (own, other) = (outputs(0, TOKEN), outputs(1, TOKEN));
    // Each bucket is larger than a message, so that faults are in the middle.
    other.store.configure(u64::MAX, v1::output_block::Codec::None);
    (0..8).for_each(|partition| make(&other, partition));
    let honest = OutputServer::new(other.store.clone(), Secret::new(TOKEN));
    let (listener, address) = port().await;
    let faulty = OutputServiceServer::new(FaultyKeeper {
        honest,
        store: other.store.clone(),
        fault,
        left: AtomicU64::new(left),
    });
    tokio::spawn(Server::builder().add_service(faulty).serve_with_incoming(TcpListenerStream::new(listener)));
    let partitions: Vec<u32> = (0..8).collect();
    own.directory.set(v1::OutputLocations { stage: STAGE, keepers: vec![keeper(1, &address, &partitions)] });
    read(Arc::new(own), 8).await
}

#[tokio::test]
async fn a_wrong_block_is_read_again_once_and_then_is_a_lost_output() {
    let all: BTreeMap<u32, u32> = (0..8).map(|partition| (partition, KEYS)).collect();
    assert_eq!(read_from_faulty(PlayedFault::ChangedByte, 1).await.unwrap(), all);
    let error = read_from_faulty(PlayedFault::ChangedByte, u64::MAX).await.unwrap_err();
    assert!(error.to_string().contains("a block is wrong twice: its checksum is"), "{error}");
    let output = error.unread_output().unwrap();
    assert!(!output.unreachable && output.executor == 1, "that output alone: {output:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_broke() {
    let all: BTreeMap<u32, u32> = (0..8).map(|partition| (partition, KEYS)).collect();
    assert_eq!(read_from_faulty(PlayedFault::Break, 3).await.unwrap(), all);
}

/// Another attempt may cut its records in another way, so that some would be read twice and some
/// never.
#[tokio::test]
async fn an_output_that_is_made_anew_is_not_read_on() {
    let error = read_from_faulty(PlayedFault::MadeAnew, 1).await.unwrap_err();
    assert!(error.to_string().contains("was made anew meanwhile"), "{error}");
    assert!(
        error.unread_output().is_none() && !error.is_for_ever(),
        "the output is there, and the task is tried again"
    );
}

#[tokio::test]
async fn a_request_may_name_as_many_outputs_as_a_stage_may_have() {
    let (own, other) = (outputs(0, TOKEN), outputs(1, TOKEN));
    let partitions: Vec<u32> = (0..1_000_000).collect();
    let address = serve(&other).await;
    own.directory.set(v1::OutputLocations { stage: STAGE, keepers: vec![keeper(1, &address, &partitions)] });
    let missing = UnreadOutput { stage: STAGE, partition: 0, executor: 1, unreachable: false };
    assert_eq!(read(Arc::new(own), 1_000_000).await.unwrap_err().unread_output(), Some(missing));
}
