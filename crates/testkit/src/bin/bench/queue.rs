//! Submissions into a long queue before many full workers cost what they cost an empty master.

use muster_testkit::{Cluster, Options, Submit};

use crate::figure::Figures;
use crate::load;
use crate::load::{CONNECTIONS, connect, submit};
use crate::simulated;
use crate::simulated::Play;

const WORKERS: usize = 1_000;
const WAITING: usize = 100_000;
/// Submissions of each measured part. Parts alternate, so that a noisy neighbour hits both.
const COUNT: usize = 20_000;
const ROUNDS: usize = 3;

pub(crate) async fn measure(figures: &mut Figures) {
    let empty = Cluster::start(Options { workers: 0, ..load::options() });
    let full = Cluster::start(Options { workers: 0, ..load::options() });
    let workers = simulated::workers(&[full.address().to_owned()], 0, WORKERS, 1, Play::Forever).await;
    let (to_empty, to_full) = (connect(empty.address(), CONNECTIONS).await, connect(full.address(), CONNECTIONS).await);
    let driver = Submit::program(&["/bin/true"]);
    submit(&to_full, &driver, WORKERS, 8).await;
    workers.wait_for_launches(WORKERS).await;
    submit(&to_full, &driver, WAITING, 8).await;
    let (mut at_empty, mut at_full) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        at_empty.push(submit(&to_empty, &driver, COUNT, 8).await.rate());
        at_full.push(submit(&to_full, &driver, COUNT, 8).await.rate());
    }
    at_empty.sort_by(f64::total_cmp);
    at_full.sort_by(f64::total_cmp);
    figures.add("submissions, empty master", at_empty[ROUNDS / 2], "per second");
    figures.add("submissions, 1,000 full workers and 100,000 waiting", at_full[ROUNDS / 2], "per second");
    figures.add("submissions, full against empty", 100.0 * at_full[ROUNDS / 2] / at_empty[ROUNDS / 2], "percent");
}
