//! Submissions from many connections at once, as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_testkit::{Options, Submit};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// Connections of a load.
pub(crate) const CONNECTIONS: usize = 16;

/// A cluster as it is shipped, with timing and limits at their defaults. Its files stay until
/// everything is measured: before ext4 makes a file, it looks at every inode that was freed in the
/// last minutes, so files that one part removes would slow down the next.
pub(crate) fn options() -> Options {
    Options { master_args: Vec::new(), keep_files: true, ..Options::default() }
}

/// The result of a load.
pub(crate) struct LoadResult {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// Microseconds per request.
    pub(crate) latencies: Histogram<u64>,
}

impl LoadResult {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }
}

/// Connections to a master.
pub(crate) async fn connect(address: &str, count: usize) -> Vec<MasterServiceClient<Channel>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("the address is one");
        let channel = endpoint.tcp_nodelay(true).connect().await.expect("the master answers");
        clients.push(MasterServiceClient::new(channel));
    }
    clients
}

/// Submits `count` copies over all connections, with `in_flight` requests waiting on each.
pub(crate) async fn submit(
    clients: &[MasterServiceClient<Channel>],
    submit: &Submit,
    count: usize,
    in_flight: usize,
) -> LoadResult {
    submit_as(clients, None, submit, count, in_flight).await
}

/// The same with a token in each request.
pub(crate) async fn submit_as(
    clients: &[MasterServiceClient<Channel>],
    token: Option<&str>,
    submit: &Submit,
    count: usize,
    in_flight: usize,
) -> LoadResult {
    let bearer: Option<MetadataValue<Ascii>> =
        token.map(|token| format!("Bearer {token}").parse().expect("a token is a header"));
    let left = Arc::new(AtomicUsize::new(count));
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for client in clients {
        for _ in 0..in_flight {
            let (mut client, submit, left) = (client.clone(), submit.clone(), left.clone());
            let bearer = bearer.clone();
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let sent = Instant::now();
                    let mut request = Request::new(submit.0.clone());
                    if let Some(bearer) = &bearer {
                        request.metadata_mut().insert("authorization", bearer.clone());
                    }
                    client.submit_driver(request).await.expect("the submission is accepted");
                    latencies.push(sent.elapsed());
                }
                latencies
            }));
        }
    }
    let mut latencies = Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are sound");
    for task in tasks {
        for latency in task.await.expect("the load goes on") {
            latencies.saturating_record(latency.as_micros() as u64);
        }
    }
    LoadResult { took: begin.elapsed(), latencies }
}
