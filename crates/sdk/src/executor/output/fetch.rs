//! Reads the outputs of a stage for one task: from several keepers at once, with a bound on what
//! is in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::v1;
use muster_proto::v1::output_service_client::OutputServiceClient;
use muster_types::Secret;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::block::BlockHeader;
use super::locations::OutputDirectory;
use super::store::OutputStore;
use crate::TaskError;
use crate::error_text::error_text;
use crate::function::UnreadOutput;
use crate::plan::ParentStage;
use crate::record::{DataRecord, take_record};

/// Keepers that one task reads from at the same time.
const SOURCES: usize = 8;
/// Bytes that one task may have in memory of what it fetches, unless the driver says otherwise.
const USUAL_FETCH_BYTES: u64 = 16 << 20;
/// Messages that a task has not looked at yet.
const WAITING_MESSAGES: usize = 64;
/// The largest message: a record has 16 MiB at most where it is an argument, and may be larger
/// where a function makes it.
const LARGEST_MESSAGE: usize = 1 << 30;
/// How long a connection may take, and a message of a keeper that has all it needs to send it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Pauses before a keeper that cannot be reached is tried again: it costs the outputs of all its
/// tasks to give it up.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(1000)];
/// How much a keeper may send ahead on one stream, and on all streams of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How often a task that waits looks whether it was killed.
const KILL_CHECK: Duration = Duration::from_millis(200);

/// What the readers of an executor share.
#[derive(Debug)]
pub(crate) struct OutputReader {
    runtime: Handle,
    executor: u32,
    token: Secret,
    fetch_bytes: AtomicU64,
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl OutputReader {
    /// It must be called within the runtime that will fetch.
    pub(crate) fn new(executor: u32, token: Secret) -> OutputReader {
        OutputReader {
            runtime: Handle::current(),
            executor,
            token,
            fetch_bytes: AtomicU64::new(USUAL_FETCH_BYTES),
            channels: Mutex::default(),
        }
    }

    pub(crate) fn configure(&self, fetch_bytes: u64) {
        if fetch_bytes > 0 {
            self.fetch_bytes.store(fetch_bytes, Ordering::Relaxed);
        }
    }

    /// One connection to a keeper serves all tasks.
    fn channel(&self, address: &str) -> Result<Channel, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint
            .map_err(|error| Status::unavailable(error_text(&error)))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(20))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Drops the connection to a keeper that is gone.
    fn forget(&self, address: &str) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }
}

/// What a task hears of its fetches.
enum FetchedMessage {
    Blocks(Vec<v1::OutputBlock>, OwnedSemaphorePermit),
    Failed(TaskError),
}

/// Takes a record of the task of a partition.
pub(crate) type OutputTaker<'a> = dyn FnMut(u32, DataRecord<'_>) -> Result<(), TaskError> + 'a;

/// Reads what all tasks of a stage have made for one reader. It returns at the first failure.
pub(crate) fn read_outputs(
    (shared, store, directory): (&Arc<OutputReader>, &OutputStore, &OutputDirectory),
    parent: ParentStage,
    reader: u32,
    is_killed: &dyn Fn() -> bool,
    taker: &mut OutputTaker<'_>,
) -> Result<(), TaskError> {
    let keepers = directory.get(parent.stage).unwrap_or_default();
    let known: usize = keepers.iter().map(|keeper| keeper.partitions.len()).sum();
    if known != parent.tasks as usize {
        let (stage, tasks) = (parent.stage, parent.tasks);
        return Err(TaskError::new(format_args!("of {tasks} outputs of stage {stage}, {known} are known")));
    }
    let (sender, mut messages) = mpsc::channel(WAITING_MESSAGES);
    let most = usize::try_from(shared.fetch_bytes.load(Ordering::Relaxed) >> 10).unwrap_or(usize::MAX);
    let most = most.clamp(1, Semaphore::MAX_PERMITS);
    let (memory, sources) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(SOURCES)));
    // Dropped with the set, the fetches end.
    let mut fetches = JoinSet::new();
    for keeper in keepers.iter().filter(|keeper| keeper.executor_id != shared.executor) {
        let fetch = KeeperFetch {
            shared: shared.clone(),
            stage: parent.stage,
            reader,
            wanted: keeper.partitions.iter().map(|partition| (*partition, WantedBlocks::default())).collect(),
            executor: keeper.executor_id,
            address: keeper.address.clone(),
            sender: sender.clone(),
            memory: memory.clone(),
            most,
        };
        fetches.spawn_on(fetch.run(sources.clone()), &shared.runtime);
    }
    drop(sender);
    let mut blocks = BlockReader { space: Vec::new(), taker };
    for keeper in keepers.iter().filter(|keeper| keeper.executor_id == shared.executor) {
        for partition in &keeper.partitions {
            read_own(store, parent.stage, *partition, reader, &mut blocks).map_err(|problem| match problem {
                OwnError::Taker(error) => error,
                OwnError::Read(message) => {
                    let (stage, partition, executor) = (parent.stage, *partition, shared.executor);
                    TaskError::unread(UnreadOutput { stage, partition, executor, unreachable: false }, message)
                }
            })?;
            if is_killed() {
                return Err(TaskError::new("it was killed"));
            }
        }
    }
    loop {
        let next = async { timeout(KILL_CHECK, messages.recv()).await };
        match shared.runtime.block_on(next) {
            Ok(Some(FetchedMessage::Blocks(fetched, memory))) => {
                for block in fetched {
                    blocks.read(block.partition, BlockHeader::of(&block), &block.data)?;
                }
                drop(memory);
            }
            Ok(Some(FetchedMessage::Failed(error))) => return Err(error),
            Ok(None) => return Ok(()),
            Err(_) => {}
        }
        if is_killed() {
            return Err(TaskError::new("it was killed"));
        }
    }
}

/// Cuts blocks into records.
struct BlockReader<'a, 'b> {
    space: Vec<u8>,
    taker: &'a mut OutputTaker<'b>,
}

impl BlockReader<'_, '_> {
    fn read(&mut self, partition: u32, header: BlockHeader, data: &[u8]) -> Result<(), TaskError> {
        let unsound = |error: &dyn std::fmt::Display| {
            TaskError::for_ever(format_args!("a block of the output of task {partition} is unsound: {error}"))
        };
        let mut plain = header.unpack(data, &mut self.space).map_err(|error| unsound(&error))?;
        while let Some(record) = take_record(&mut plain) {
            (self.taker)(partition, record)?;
        }
        if plain.is_empty() { Ok(()) } else { Err(unsound(&"it ends within a record")) }
    }
}

/// Why an output of this executor was not read.
enum OwnError {
    Taker(TaskError),
    Read(String),
}

/// Reads an output that this executor keeps itself.
fn read_own(
    store: &OutputStore,
    stage: u64,
    partition: u32,
    reader: u32,
    blocks: &mut BlockReader<'_, '_>,
) -> Result<(), OwnError> {
    let output = store.get(stage, partition).ok_or_else(|| OwnError::Read("it is not kept here".to_owned()))?;
    for number in 0..output.blocks(reader) {
        let read = || -> Result<_, OwnError> {
            let read = output.read(reader, number).map_err(|error| OwnError::Read(error.to_string()))?;
            let (header, data) = read.ok_or_else(|| OwnError::Read("a block is missing".to_owned()))?;
            header.check(&data).map_err(|error| OwnError::Read(error.to_string()))?;
            Ok((header, data))
        };
        let (header, data) = read().or_else(|_| read())?;
        blocks.read(partition, header, &data).map_err(OwnError::Taker)?;
    }
    Ok(())
}

/// How far an output is read.
#[derive(Debug, Default)]
struct WantedBlocks {
    read: u32,
    /// The attempt that made them.
    attempt: u64,
    /// Whether a block of it was wrong once.
    was_wrong: bool,
}

/// Why a stream has ended too early.
enum StreamEnd {
    /// It broke: the rest is asked for again.
    Broken(String),
    /// A block was wrong: it is asked for once more.
    Wrong,
    /// An output cannot be read there.
    Output(u32, String),
    /// An output is of another attempt than what was read of it.
    Changed(u32),
    /// Nobody waits for it any more.
    Unwanted,
}

/// The fetches from one keeper for one task.
struct KeeperFetch {
    shared: Arc<OutputReader>,
    stage: u64,
    reader: u32,
    wanted: BTreeMap<u32, WantedBlocks>,
    executor: u32,
    address: String,
    sender: mpsc::Sender<FetchedMessage>,
    memory: Arc<Semaphore>,
    /// All of the memory, in KiB.
    most: usize,
}

impl KeeperFetch {
    async fn run(mut self, sources: Arc<Semaphore>) {
        // An error cannot be: the semaphore is never closed.
        let Ok(_source) = sources.acquire().await else { return };
        let mut breaks = PAUSES.iter();
        while !self.wanted.is_empty() {
            let before = self.left();
            let ended = self.read_once().await;
            if self.left() != before {
                breaks = PAUSES.iter();
            }
            let broken = match ended {
                Ok(()) if self.wanted.is_empty() => return,
                Ok(()) => "it ended before all was read".to_owned(),
                Err(StreamEnd::Broken(message)) => message,
                Err(StreamEnd::Wrong) => continue,
                Err(StreamEnd::Output(partition, message)) => return self.fail(self.unread(partition, message)).await,
                Err(StreamEnd::Changed(partition)) => return self.fail(self.changed(partition)).await,
                Err(StreamEnd::Unwanted) => return,
            };
            let Some(pause) = breaks.next() else { return self.give_up(&broken).await };
            sleep(*pause).await;
        }
    }

    /// Nothing can be read from the keeper.
    async fn give_up(&self, cause: &str) {
        self.shared.forget(&self.address);
        let partition = self.wanted.keys().next().copied().unwrap_or(0);
        let message = format!("executor {} at {}: {cause}", self.executor, self.address);
        let output = UnreadOutput { unreachable: true, ..self.output(partition) };
        self.fail(TaskError::unread(output, message)).await;
    }

    fn unread(&self, partition: u32, message: String) -> TaskError {
        TaskError::unread(self.output(partition), message)
    }

    fn changed(&self, partition: u32) -> TaskError {
        TaskError::new(format_args!("the output of task {partition} of stage {} was made anew meanwhile", self.stage))
    }

    fn output(&self, partition: u32) -> UnreadOutput {
        UnreadOutput { stage: self.stage, partition, executor: self.executor, unreachable: false }
    }

    async fn fail(&self, error: TaskError) {
        // An error means that nobody waits for it any more.
        let _ = self.sender.send(FetchedMessage::Failed(error)).await;
    }

    /// What is left, to see whether there was any progress.
    fn left(&self) -> (usize, u64) {
        (self.wanted.len(), self.wanted.values().map(|wanted| u64::from(wanted.read)).sum())
    }

    async fn read_once(&mut self) -> Result<(), StreamEnd> {
        let broken = |status: Status| StreamEnd::Broken(error_text(&status));
        let channel = self.shared.channel(&self.address).map_err(broken)?;
        let mut client = OutputServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
        let outputs = self.wanted.iter();
        let request = v1::OutputServiceReadRequest {
            token: self.shared.token.expose().to_owned(),
            stage: self.stage,
            reader: self.reader,
            outputs: outputs
                .map(|(partition, wanted)| v1::WantedOutput {
                    partition: *partition,
                    blocks_read: wanted.read,
                    task_attempt: wanted.attempt,
                })
                .collect(),
        };
        let late = |_| broken(Status::new(Code::DeadlineExceeded, "it sends nothing"));
        let reading = timeout(MESSAGE_TIMEOUT, client.read(request)).await.map_err(late)?;
        let mut stream = reading.map_err(broken)?.into_inner();
        loop {
            let message = timeout(MESSAGE_TIMEOUT, stream.message()).await.map_err(late)?;
            let Some(message) = message.map_err(broken)? else { return Ok(()) };
            self.take_message(message).await?;
        }
    }

    async fn take_message(&mut self, message: v1::OutputServiceReadResponse) -> Result<(), StreamEnd> {
        let mut sound = Vec::with_capacity(message.blocks.len());
        let mut wrong = None;
        for block in message.blocks {
            let Some(wanted) = self.wanted.get_mut(&block.partition) else { continue };
            match BlockHeader::of(&block).check(&block.data) {
                Ok(()) => {
                    wanted.read += 1;
                    wanted.attempt = block.task_attempt;
                    sound.push(block);
                }
                Err(error) if wanted.was_wrong => {
                    wrong = Some(StreamEnd::Output(block.partition, format!("a block is wrong twice: {error}")));
                    break;
                }
                Err(_) => {
                    wanted.was_wrong = true;
                    wrong = Some(StreamEnd::Wrong);
                    break;
                }
            }
        }
        let bytes: usize = sound.iter().map(|block| block.data.len()).sum();
        if !sound.is_empty() {
            let permits =
                u32::try_from((bytes >> 10) + 1).unwrap_or(u32::MAX).min(u32::try_from(self.most).unwrap_or(u32::MAX));
            let memory = self.memory.clone().acquire_many_owned(permits).await;
            let memory = memory.map_err(|_| StreamEnd::Unwanted)?;
            let sent = self.sender.send(FetchedMessage::Blocks(sound, memory)).await;
            sent.map_err(|_| StreamEnd::Unwanted)?;
        }
        if let Some(end) = wrong {
            return Err(end);
        }
        for end in message.ends {
            if end.changed {
                return Err(StreamEnd::Changed(end.partition));
            }
            if end.missing {
                return Err(StreamEnd::Output(end.partition, "it is not kept there".to_owned()));
            }
            if !end.failure.is_empty() {
                return Err(StreamEnd::Output(end.partition, end.failure));
            }
            self.wanted.remove(&end.partition);
        }
        Ok(())
    }
}
