//! One application with 512 executors on one worker: from its registration until all run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use muster_proto::v1::application_session_event::Event;
use muster_proto::v1::{
    ApplicationSpec, Command, ExecutorProfile, ExecutorTemplate, RegisterApplicationRequest, Resources,
    UnregisterApplicationRequest, WatchApplicationRequest, executor,
};
use muster_testkit::{Cluster, Options, WorkerOptions};
use tokio_stream::StreamExt as _;

use crate::figure::Figures;
use crate::load;
use crate::noop;

const EXECUTORS: u32 = 512;
const ROUNDS: usize = 5;

pub(crate) async fn measure(figures: &mut Figures) {
    for limits in ["off", "on"] {
        let args = ["--limits", limits].map(str::to_owned).to_vec();
        let worker = WorkerOptions { cores: EXECUTORS, memory: "64GiB".into(), args, ..Options::default().worker };
        let cluster = Cluster::start(Options { workers: 1, worker, ..load::options() });
        let program = noop::build_idle(cluster.dir());
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(round(&cluster, &program).await);
        }
        rounds.sort_by(f64::total_cmp);
        let kind = if limits == "off" { "tree only" } else { "with limits" };
        figures.add(format!("512 executors running, {kind}, p50"), rounds[ROUNDS / 2], "ms");
    }
}

async fn round(cluster: &Cluster, program: &Path) -> f64 {
    let command = Command { program: program.display().to_string(), ..Command::default() };
    let resources = Resources { cores: 1, memory_bytes: 16 << 20, custom: BTreeMap::new() };
    let profile = ExecutorProfile { resources: Some(resources), target: EXECUTORS, ..ExecutorProfile::default() };
    let spec = ApplicationSpec {
        name: "bench".into(),
        template: Some(ExecutorTemplate { command: Some(command), ..ExecutorTemplate::default() }),
        profiles: vec![profile],
        ..ApplicationSpec::default()
    };
    let begin = Instant::now();
    let request = RegisterApplicationRequest { application: Some(spec), ..RegisterApplicationRequest::default() };
    let answer = cluster.applications().register_application(request).await.expect("it is registered").into_inner();
    let id = answer.application.expect("the answer carries it").application_id;
    let request = WatchApplicationRequest { application_id: id.clone(), ..WatchApplicationRequest::default() };
    let mut session = cluster.applications().watch_application(request).await.expect("it opens").into_inner();
    let mut running = std::collections::BTreeSet::new();
    while running.len() < EXECUTORS as usize {
        let answer = session.next().await.expect("the session goes on").expect("the session is sound");
        let known = answer.snapshot.into_iter().filter(|executor| executor.state() == executor::State::Running);
        running.extend(known.map(|executor| executor.executor_id));
        for event in answer.events {
            if let (Some(Event::Running(_)), Some(executor)) = (event.event, event.executor) {
                running.insert(executor.executor_id);
            }
        }
    }
    let took = begin.elapsed();
    let request = UnregisterApplicationRequest { application_id: id, success: true, ..Default::default() };
    cluster.applications().unregister_application(request).await.expect("it is unregistered");
    cluster.wait_for_worker("w1", "emptiness", |worker| worker.empty).await;
    took.as_secs_f64() * 1e3
}
