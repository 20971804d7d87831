//! A failover with as many workers as a large cluster has, each with a certificate and a connection
//! of its own, and what the leader holds in memory for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_proto::BearerToken;
use muster_testkit::{AccessFile, ClusterSpec, HaCluster, Submit};

use crate::figure::Figures;
use crate::load::submit_as;
use crate::process::{cpu_time, resident};
use crate::simulated::{self, Play};

/// Kills of leaders.
const ROUNDS: usize = 5;

pub(crate) async fn measure(figures: &mut Figures, count: usize) {
    let access = AccessFile::new();
    let token = access.token("ann", "submitter");
    let path = access.path().to_str().expect("a path is text").to_owned();
    let master_args = ["--access-file", &path, "--submissions-per-caller", "1000000"];
    let master_args = master_args.map(str::to_owned).to_vec();
    let shown = BearerToken::new(&token).ok();
    let spec = ClusterSpec { workers: 0, tls: true, token: shown, master_args, ..ClusterSpec::default() };
    let mut cluster = HaCluster::start(spec).await;
    cluster.wait_for_masters(3).await;
    let addresses: Vec<_> = cluster.masters().iter().map(|name| cluster.address(name)).collect();
    let ca = cluster.ca().expect("it was asked for");
    let begin = Instant::now();
    let pki = ca.parent().expect("it is in a directory");
    let workers = simulated::workers_with_certificates(&addresses, pki, count, 1, Play::Forever).await;
    figures.add(format!("{count} workers with certificates, first time here"), begin.elapsed().as_secs_f64(), "s");
    let (mut leader, _) = cluster.leader().await;
    let clients = vec![cluster.plain(&leader); 4];
    let driver = Submit::program(&["/bin/true"]);
    submit_as(&clients, Some(&token), &driver, count, 8).await;
    workers.wait_for_launches(count).await;
    figures.add("resident memory of the leader", resident(cluster.daemon(&leader).pid()), "MiB");

    let (mut back, mut spent, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let others: Vec<_> = cluster.masters().into_iter().filter(|name| *name != leader).collect();
        let before: BTreeMap<_, _> =
            others.into_iter().map(|name| (name.clone(), cpu_time(cluster.daemon(&name).pid()))).collect();
        let begin = Instant::now();
        cluster.kill(&leader);
        workers.wait_for_farewells(count).await;
        workers.wait_for_welcomes(count).await;
        back.push(begin.elapsed());
        let gone = leader;
        (leader, _) = cluster.leader().await;
        spent.push(cpu_time(cluster.daemon(&leader).pid()) - before[&leader]);
        memory.push(resident(cluster.daemon(&leader).pid()));
        cluster.start_master(&gone);
        cluster.wait_for_masters(3).await;
    }
    back.sort();
    spent.sort();
    memory.sort_by(f64::total_cmp);
    let seconds = |time: Duration| time.as_secs_f64();
    figures.add("leader kill -9 → all back, median", seconds(back[ROUNDS / 2]), "s");
    figures.add("leader kill -9 → all back, the slowest", seconds(back[ROUNDS - 1]), "s");
    // The workers' own handshakes are on the same processors, and a fleet's are not.
    figures.add("processor time of the next leader until then, median", seconds(spent[ROUNDS / 2]), "s");
    figures.add("resident memory of the next leader, the largest", memory[ROUNDS - 1], "MiB");
}
