//! One trace from a submission to the exit, whoever leads.

use muster_proto::v1::driver::State;
use muster_testkit::{ClusterSpec, Collector, ExportedSpan, HaCluster};
use serde_json::json;

use crate::other_clients::{assert_success, grpcio};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The spans of this name, in the order of their attempts.
fn named<'a>(spans: &'a [ExportedSpan], name: &str) -> Vec<&'a ExportedSpan> {
    let mut named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    named.sort_by_key(|span| span.attribute("muster.attempt").to_owned());
    named
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_is_one_tree_of_spans_over_its_second_attempt_and_the_end_of_its_leader() {
    let collector = Collector::start().await;
    let mut spec = ClusterSpec { workers: 1, tls: false, ..ClusterSpec::default() };
    spec.master_args.extend(collector.args());
    spec.worker_args.extend(collector.args());
    let mut cluster = HaCluster::start(spec).await;
    cluster.wait_for_masters(3).await;
    let (leader, epoch) = cluster.leader().await;

    // By a client of another family, over a standby.
    let go = cluster.dir().join("go");
    let script = format!(
        "echo $TRACEPARENT; test $MUSTER_ATTEMPT = 1 && exit 3; while ! test -e {}; do sleep 0.05; done",
        go.display()
    );
    let driver = json!({
        "driver_id": "traced",
        "driver": {
            "command": {
                "program": "/bin/sh", "args": ["-c", script, "argument-hunter2"],
                "env": {"PLAIN": "environment-hunter2"}, "secret_env": {"SECRET": "secret-hunter2"},
            },
            "restart": {"condition": "RESTART_CONDITION_ON_FAILURE", "backoff_initial": "0.1s"},
        },
    });
    let mut command = grpcio("traced.py");
    command.arg(cluster.address(&cluster.standby().await)).arg(format!("00-{TRACE}-{CALLER}-01"));
    command.arg(driver.to_string());
    let output = tokio::task::spawn_blocking(move || command.output().expect("python3 runs"));
    let output = output.await.expect("it ends");
    assert_success(&output);
    let uid = String::from_utf8_lossy(&output.stdout).trim().to_owned();

    // What the leader does not export before its end is lost.
    collector
        .wait_for("the second launch", |span| span.name == "launch" && span.attribute("muster.attempt") == "2")
        .await;
    collector.wait_for("the first end", |span| span.name == "attempt").await;
    cluster.wait_for_state("traced", State::Running).await;
    cluster.kill(&leader);
    let (next, _) = cluster.leader_after(epoch).await;
    std::fs::write(&go, "").expect("the file can be made");
    cluster.wait_for_state("traced", State::Finished).await;
    let is_second = |span: &ExportedSpan| span.attribute("muster.attempt") == "2";
    collector.wait_for("the end", |span| span.name == "attempt" && is_second(span)).await;
    collector.wait_for("the run", |span| span.name == "run" && is_second(span)).await;

    let spans: Vec<_> = collector.spans().into_iter().filter(|span| span.trace == TRACE).collect();
    let submitted = named(&spans, "muster.v1.MasterService/SubmitDriver");
    let [submitted] = submitted[..] else { panic!("one submission: {spans:#?}") };
    assert_eq!((submitted.parent.as_str(), submitted.kind), (CALLER, 2), "a server's, below the caller's");
    assert_eq!(submitted.attribute("rpc.system.name"), "grpc");
    assert_eq!(submitted.attribute("rpc.method"), "muster.v1.MasterService/SubmitDriver");
    assert_eq!(submitted.attribute("rpc.response.status_code"), "OK");
    assert_eq!(submitted.resource["service.instance.id"], cluster.address(&leader));
    let committed = named(&spans, "commit");
    let [committed] = committed[..] else { panic!("one commit: {spans:#?}") };
    assert_eq!((&committed.parent, committed.attribute("muster.driver.uid")), (&submitted.id, uid.as_str()));

    let attempts = named(&spans, "attempt");
    let [first, second] = attempts[..] else { panic!("two attempts: {spans:#?}") };
    for attempt in [first, second] {
        assert_eq!((&attempt.parent, attempt.attribute("muster.driver.uid")), (&submitted.id, uid.as_str()));
    }
    let end = |span: &ExportedSpan| {
        (span.attribute("process.exit.code").to_owned(), span.attribute("muster.end.reason").to_owned())
    };
    assert_eq!((end(first), first.status.clone()), (("3".to_owned(), "EXITED".to_owned()), (2, "EXITED".to_owned())));
    assert_eq!((end(second), second.has_failed()), (("0".to_owned(), "EXITED".to_owned()), false));
    assert_eq!(first.resource["service.instance.id"], cluster.address(&leader));
    assert_eq!(second.resource["service.instance.id"], cluster.address(&next), "the next leader saw it end");

    let worker = first.attribute("muster.worker.uid");
    for name in ["launch", "spawn", "run"] {
        let steps = named(&spans, name);
        let parents: Vec<_> = steps.iter().map(|span| span.parent.as_str()).collect();
        assert_eq!(parents, [first.id.as_str(), second.id.as_str()], "{name}: {spans:#?}");
        assert!(steps.iter().all(|span| span.attribute("muster.worker.uid") == worker), "{name}");
    }
    let runs = named(&spans, "run");
    assert_eq!((end(runs[0]), runs[0].has_failed(), runs[1].has_failed()), (end(first), true, false));
    assert_eq!(runs[0].resource["service.name"], "muster-worker");
    assert_eq!(spans.len(), 10, "{spans:#?}");
    assert!(spans.iter().all(|span| span.time.0 <= span.time.1), "{spans:#?}");

    for (number, attempt) in [(1, first), (2, second)] {
        let log = cluster.state("w1").join("logs").join(format!("d-{uid}-{number}")).join("stdout");
        let heard = std::fs::read_to_string(&log).expect("the log is there");
        assert_eq!(heard.trim(), format!("00-{TRACE}-{}-01", attempt.id), "TRACEPARENT of attempt {number}");
    }
    assert!(!format!("{:?}", collector.spans()).contains("hunter2"), "a span shows what is a program's alone");
}
