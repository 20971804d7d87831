//! A scrape of a leader with many workers, and what scrapes cost a submission.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_testkit::{Cluster, NamespaceNetwork, Options, Submit};

use crate::figure::Figures;
use crate::load;
use crate::load::{CONNECTIONS, LoadResult, connect, submit};
use crate::simulated;
use crate::simulated::Play;

const WAITING: usize = 100_000;
const SCRAPES: usize = 50;
/// Submissions of each measured part. Parts alternate, so that a noisy neighbour hits both.
const COUNT: usize = 20_000;
const ROUNDS: usize = 3;
/// Far more often than Prometheus scrapes.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn measure(figures: &mut Figures, workers: usize) {
    let mut network = NamespaceNetwork::loopback();
    let http = network.add().address(8080);
    let master_args = vec!["--http".to_owned(), http.clone()];
    let cluster = Cluster::start(Options { workers: 0, master_args, ..load::options() });
    let fleet = simulated::workers(&[cluster.address().to_owned()], 0, workers, 1, Play::Forever).await;
    let clients = connect(cluster.address(), CONNECTIONS).await;
    let driver = Submit::program(&["/bin/true"]);
    submit(&clients, &driver, workers, 8).await;
    fleet.wait_for_launches(workers).await;
    figures.add(format!("a scrape, {workers} full workers, p50"), median(scrapes(&http)), "ms");
    submit(&clients, &driver, WAITING, 8).await;
    let mut waiting = scrapes(&http);
    figures.add(format!("a scrape, {workers} full workers and {WAITING} waiting, p50"), median(waiting.clone()), "ms");
    waiting.sort_by(f64::total_cmp);
    figures.add("the same, the slowest of 50", waiting[SCRAPES - 1], "ms");
    figures.add("size of the page", scrape(&http).1 as f64 / 1024.0, "KiB");

    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(p99(&submit(&clients, &driver, COUNT, 8).await));
        let (http, is_over) = (http.clone(), Arc::new(AtomicBool::new(false)));
        let over = is_over.clone();
        let scraping = tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let http = http.clone();
                let _ = tokio::task::spawn_blocking(move || scrape(&http)).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
        beside.push(p99(&submit(&clients, &driver, COUNT, 8).await));
        is_over.store(true, Ordering::Relaxed);
        let _ = scraping.await;
    }
    figures.add("a submission, p99", median(alone), "ms");
    figures.add("the same beside ten scrapes a second, p99", median(beside), "ms");
}

fn scrapes(http: &str) -> Vec<f64> {
    (0..SCRAPES).map(|_| scrape(http).0.as_secs_f64() * 1e3).collect()
}

/// How long a scrape took, and the bytes of its page.
fn scrape(http: &str) -> (Duration, usize) {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(http).expect("the master serves HTTP");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("it answers");
    assert!(page.ends_with("# EOF\n"), "{page}");
    (begin.elapsed(), page.len())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn p99(load: &LoadResult) -> f64 {
    load.latencies.value_at_quantile(0.99) as f64 / 1e3
}
