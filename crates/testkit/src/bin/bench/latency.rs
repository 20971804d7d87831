//! One driver on an idle cluster: from sending the submission until a watch reports that the driver
//! runs, and that it has finished.

use std::time::Instant;

use hdrhistogram::Histogram;
use muster_proto::v1::driver::State;
use muster_proto::v1::{WatchEventsRequest, event};
use muster_testkit::{Cluster, Options, Submit};
use tokio_stream::StreamExt as _;

use crate::figure::Figures;
use crate::load;
use crate::noop;

const ROUNDS: usize = 300;

pub(crate) async fn measure(figures: &mut Figures) {
    let cluster = Cluster::start(Options { workers: 1, ..load::options() });
    let program = noop::build(cluster.dir());
    let driver = Submit::program(&[program.to_str().expect("a plain path")]);
    let mut client = cluster.client();
    let mut watch = cluster.client().watch_events(WatchEventsRequest::default()).await.expect("it opens").into_inner();
    let mut running = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3).expect("the bounds are sound");
    let mut finished = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3).expect("the bounds are sound");
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        client.submit_driver(driver.0.clone()).await.expect("the submission is accepted");
        'one: loop {
            let answer = watch.next().await.expect("the watch goes on").expect("the watch is sound");
            for event in answer.events {
                let Some(event::Subject::Driver(driver)) = event.subject else { continue };
                let took = begin.elapsed().as_micros() as u64;
                match driver.state() {
                    State::Running => running.saturating_record(took),
                    State::Finished => {
                        finished.saturating_record(took);
                        break 'one;
                    }
                    _ => {}
                }
            }
        }
    }
    figures.add("idle cluster, submit to running, p50", running.value_at_quantile(0.5) as f64 / 1e3, "ms");
    figures.add("idle cluster, submit to finished, p50", finished.value_at_quantile(0.5) as f64 / 1e3, "ms");
    figures.add("idle cluster, submit to finished, p99", finished.value_at_quantile(0.99) as f64 / 1e3, "ms");
}
