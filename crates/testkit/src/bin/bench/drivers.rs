//! Drivers from submission to their end, on one worker.

use std::time::Instant;

use muster_proto::v1::driver::State;
use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_proto::v1::{WatchEventsRequest, event};
use muster_testkit::{Cluster, Options, Submit, WorkerOptions};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

use crate::figure::Figures;
use crate::load;
use crate::load::{CONNECTIONS, connect, submit};
use crate::noop;

/// As many as the reference system and its best peer were measured with.
const COUNT: usize = 5_000;

pub(crate) async fn measure(figures: &mut Figures, long: usize) {
    figures.add("drivers finished, tree only, 5,000", rate("off", COUNT).await, "per second");
    figures.add("drivers finished, with limits, 5,000", rate("on", COUNT).await, "per second");
    figures.add(format!("drivers finished, tree only, {long}"), rate("off", long).await, "per second");
}

async fn rate(limits: &str, count: usize) -> f64 {
    let args = ["--limits", limits].map(str::to_owned).to_vec();
    let worker = WorkerOptions { cores: 64, memory: "64GiB".into(), args, ..Options::default().worker };
    let cluster = Cluster::start(Options { workers: 1, worker, ..load::options() });
    let clients = connect(cluster.address(), CONNECTIONS).await;
    let program = noop::build(cluster.dir());
    let driver = Submit::program(&[program.to_str().expect("a plain path")]).resources(1, 16 << 20);
    finished(&clients, &driver, count).await
}

/// Submits this many and waits until all have finished. Returns drivers per second.
pub(crate) async fn finished(clients: &[MasterServiceClient<Channel>], driver: &Submit, count: usize) -> f64 {
    let watch = clients[0].clone().watch_events(WatchEventsRequest::default()).await;
    let mut watch = watch.expect("it opens").into_inner();
    let counter = tokio::spawn(async move {
        let mut ended = 0;
        while ended < count {
            let answer = watch.next().await.expect("the watch goes on").expect("the watch is sound");
            for event in answer.events {
                if let Some(event::Subject::Driver(driver)) = event.subject {
                    assert!(!matches!(driver.state(), State::Failed | State::Lost), "{driver:?}");
                    ended += usize::from(driver.state() == State::Finished);
                }
            }
        }
    });
    let begin = Instant::now();
    submit(clients, driver, count, 8).await;
    counter.await.expect("all drivers end");
    count as f64 / begin.elapsed().as_secs_f64()
}
