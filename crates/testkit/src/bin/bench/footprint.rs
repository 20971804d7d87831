//! The sizes of the binaries, start to ready, and what idle daemons hold in memory.

use std::time::{Duration, Instant};

use muster_testkit::{BINARIES, Binaries, Cluster, Options};

use crate::figure::Figures;
use crate::load;
use crate::process::resident;

const ROUNDS: usize = 9;

pub(crate) async fn measure(figures: &mut Figures) {
    let binaries = Binaries::locate();
    for name in BINARIES {
        let file = std::fs::metadata(binaries.path(name)).expect("it was located");
        figures.add(format!("size on disk, {name}"), file.len() as f64 / f64::from(1 << 20), "MiB");
    }

    let (mut masters, mut workers) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let mut cluster = Cluster::start(Options { workers: 0, ..load::options() });
        masters.push(begin.elapsed());
        let begin = Instant::now();
        cluster.start_worker("w1");
        workers.push(begin.elapsed());
    }
    figures.add("start to ready, master, p50", median(&mut masters), "ms");
    figures.add("start to registered, worker with runner, p50", median(&mut workers), "ms");

    let cluster = Cluster::start(Options { workers: 1, ..load::options() });
    let id = cluster.submit(muster_testkit::Submit::program(&["/bin/true"])).await;
    cluster.wait_for_end(&id).await;
    // A daemon is idle once the first work is over and its buffers are given back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let master = cluster.master.as_ref().expect("the master runs").pid();
    let (agent, runner) = (cluster.workers["w1"].pid(), cluster.runner_pid("w1") as u32);
    figures.add("idle resident memory, master", resident(master), "MiB");
    figures.add("idle resident memory, worker with runner", resident(agent) + resident(runner), "MiB");
    figures.add("idle resident memory, runner alone", resident(runner), "MiB");
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}
