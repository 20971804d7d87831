//! Sends hostile messages to every method of a master and of a worker, with credentials and
//! without: `muster-fuzz-wire [COUNT [SEED]]`. Ends with 1 if a program ends, panics, answers with
//! an error that is a fault of its own, or grows.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    reason = "random numbers"
)]
#![expect(clippy::expect_used, reason = "a test says what went wrong by failing")]

mod hostile;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hostile::{RandomBits, body};
use muster_testkit::{AccessFile, Cluster, Daemon, Options};
use prost::bytes::{Buf, BufMut};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Messages at one time.
const AT_ONCE: u64 = 64;
/// Messages on one connection: many connections begin and end, too.
const PER_CONNECTION: u64 = 500;
/// What a program may grow by between the middle and the end: records that were made, and noise of
/// the allocator.
const MAX_GROWTH: u64 = 96 << 20;
/// Messages that are read of a stream, and the longest wait for one.
const READ: usize = 3;
const WAIT: Duration = Duration::from_millis(20);

/// Hands bytes through.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = usize;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let length = buffer.remaining();
        buffer.advance(length);
        Ok(Some(length))
    }
}

/// What was sent, and what came back.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    codes: Mutex<BTreeMap<(String, String), u64>>,
    /// Answers that tell of a fault of the server.
    faults: Mutex<Vec<String>>,
}

impl Tally {
    fn note(&self, of: &str, method: &str, sent: &[Vec<u8>], outcome: Result<(), Status>) {
        let code = outcome.as_ref().map_or_else(|status| format!("{:?}", status.code()), |()| "Ok".to_owned());
        if let Err(status) = outcome
            && status.code() == Code::Internal
            && !is_of_the_message(&status)
        {
            let mut faults = self.faults.lock().expect("nobody panics with it");
            if faults.len() < 20 {
                // The form of the message, for `protoc --decode_raw`.
                let sent: Vec<String> =
                    sent.iter().map(|message| message.iter().map(|b| format!("{b:02x}")).collect()).collect();
                faults.push(format!("{of} {method} {sent:?}: {status}"));
            }
        }
        *self.codes.lock().expect("nobody panics with it").entry((of.to_owned(), code)).or_default() += 1;
    }
}

/// tonic calls a message that cannot be decoded an internal error.
fn is_of_the_message(status: &Status) -> bool {
    status.message().contains("failed to decode Protobuf message") || status.message().contains("Error decompressing")
}

/// Whom messages come from, and where they go.
struct FuzzTarget {
    name: &'static str,
    address: String,
    bearer: Option<String>,
    methods: Vec<MethodDescriptor>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Ok(count), Ok(seed)) = (args.next().unwrap_or(Ok(1_000_000)), args.next().unwrap_or(Ok(1))) else {
        eprintln!("error: COUNT and SEED are numbers");
        return ExitCode::FAILURE;
    };
    let access = AccessFile::new();
    let [admin, viewer, worker] =
        [("root", "admin"), ("eve", "viewer"), ("lab", "worker")].map(|(name, role)| access.token(name, role));
    let mut options = access.asked_for(Options { workers: 1, ..Options::default() });
    let limits = ["--calls-per-caller", "100000", "--streams-per-caller", "100000", "--submissions-per-caller", "50"];
    options.master_args.extend(limits.map(str::to_owned));
    let cluster = tokio::task::block_in_place(|| Cluster::start(options));
    let at_worker = std::fs::read_to_string(cluster.ready_file("w1")).expect("the worker has said where it listens");
    let (at_master, at_worker) = (cluster.address().to_owned(), at_worker.trim().to_owned());

    let pool = DescriptorPool::decode(muster_proto::FILE_DESCRIPTOR_SET).expect("the build made it");
    let all = || pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect::<Vec<_>>();
    let targets = [("nobody", None), ("viewer", Some(viewer)), ("worker", Some(worker)), ("admin", Some(admin))];
    let bearer = |token: String| format!("Bearer {token}");
    let at_master = targets.map(|(name, token)| FuzzTarget {
        name,
        address: at_master.clone(),
        bearer: token.map(bearer),
        methods: all(),
    });
    let worker = FuzzTarget { name: "at the worker", address: at_worker, bearer: None, methods: all() };
    let targets: Arc<Vec<FuzzTarget>> = Arc::new(at_master.into_iter().chain([worker]).collect());

    let tally = Arc::new(Tally::default());
    let master = cluster.master.as_ref().expect("it was started");
    let daemons = [("master", master), ("worker", &cluster.workers["w1"])];
    let mut middle = [0; 2];
    for half in 0..2 {
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..AT_ONCE {
            let (targets, tally) = (targets.clone(), tally.clone());
            let random = RandomBits::new(seed.wrapping_mul(1_000_003).wrapping_add(half * AT_ONCE + lane));
            tasks.spawn(send(targets, tally, random, count / 2 / AT_ONCE));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no lane panics");
        }
        // What was begun ends, and the allocator gives back what it does not need.
        tokio::time::sleep(Duration::from_secs(15)).await;
        if half == 0 {
            middle = daemons.map(|(_, daemon)| resident(daemon));
        }
    }
    report(&tally, &daemons, middle)
}

/// Sends so many messages, one after the other.
async fn send(targets: Arc<Vec<FuzzTarget>>, tally: Arc<Tally>, mut random: RandomBits, count: u64) {
    let mut open: BTreeMap<usize, (Channel, u64)> = BTreeMap::new();
    for _ in 0..count {
        let place = random.below(targets.len());
        let target = &targets[place];
        let (channel, used) = open.entry(place).or_insert_with(|| {
            let endpoint = Endpoint::from_shared(format!("http://{}", target.address)).expect("an address");
            (endpoint.connect_lazy(), 0)
        });
        *used += 1;
        let (channel, is_worn) = (channel.clone(), *used >= PER_CONNECTION);
        let method = &target.methods[random.below(target.methods.len())];
        let messages = messages(method, &mut random);
        let outcome = call(channel, target, method, messages.clone()).await;
        tally.sent.fetch_add(1, Ordering::Relaxed);
        tally.note(target.name, method.full_name(), &messages, outcome);
        if is_worn {
            open.remove(&place);
        }
    }
}

fn messages(method: &MethodDescriptor, random: &mut RandomBits) -> Vec<Vec<u8>> {
    match method.is_client_streaming() {
        true => (0..=random.below(3)).map(|_| body(&method.input(), random)).collect(),
        false => vec![body(&method.input(), random)],
    }
}

async fn call(
    channel: Channel,
    target: &FuzzTarget,
    method: &MethodDescriptor,
    messages: Vec<Vec<u8>>,
) -> Result<(), Status> {
    let mut request = Request::new(tokio_stream::iter(messages));
    if let Some(bearer) = &target.bearer {
        request.metadata_mut().insert("authorization", bearer.parse().expect("a header"));
    }
    request.set_timeout(Duration::from_secs(10));
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = PathAndQuery::try_from(path).expect("a path");
    // The limit is above what is sent, so that the server's own are met.
    let mut grpc = Grpc::new(channel).max_encoding_message_size(64 << 20).max_decoding_message_size(64 << 20);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut answers = grpc.streaming(request, path, RawCodec).await?.into_inner();
    for _ in 0..READ {
        match tokio::time::timeout(WAIT, answers.message()).await {
            // A stream that says nothing is broken off, as a client does that goes away.
            Err(_) => return Ok(()),
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(_))) => {}
            Ok(Err(status)) => return Err(status),
        }
    }
    Ok(())
}

fn report(tally: &Tally, daemons: &[(&str, &Daemon); 2], middle: [u64; 2]) -> ExitCode {
    for ((of, code), count) in tally.codes.lock().expect("nobody panics with it").iter() {
        println!("{count:>9} {of} {code}");
    }
    println!("{} messages", tally.sent.load(Ordering::Relaxed));
    let mut wrong = tally.faults.lock().expect("nobody panics with it").clone();
    for ((name, daemon), before) in daemons.iter().zip(middle) {
        let log = daemon.log();
        wrong
            .extend(log.lines().filter(|line| line.contains("panicked")).take(5).map(|line| format!("{name}: {line}")));
        let after = resident(daemon);
        println!("{name}: {} MiB in the middle, {} MiB at the end", before >> 20, after >> 20);
        if after == 0 {
            wrong.push(format!("{name}: it has ended"));
        }
        if after > before + MAX_GROWTH {
            wrong.push(format!("{name}: it has grown"));
        }
    }
    for line in &wrong {
        eprintln!("error: {line}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The memory of a process, in bytes; 0 once it has ended.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}
