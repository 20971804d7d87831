//! Traces with one master: what is malformed, what goes on below, and collectors that do not work.

use std::time::Duration;

use muster_client::{Client, ConnectOptions, TraceContext};
use muster_proto::v1::{self, LogStream, RestartCondition};
use muster_testenv::company::Company;
use muster_testkit::{Binaries, Cluster, Collector, ExportedSpan, Options, Submit, eventually, wait_for_file};
use tonic::Request;

/// A cluster of one worker, which exports to a collector. It is in the clear.
fn exporting(args: &[String]) -> Cluster {
    let mut options = Options { workers: 1, tls: false, ..Options::default() };
    options.master_args.extend_from_slice(args);
    options.worker.args.extend_from_slice(args);
    Cluster::start(options)
}

/// A submission with this header.
fn with_header(submit: Submit, traceparent: &str) -> Request<v1::SubmitDriverRequest> {
    let mut request = Request::new(submit.0);
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("it can be a header"));
    request
}

fn is(span: &ExportedSpan, name: &str, driver: &v1::Driver) -> bool {
    span.name == name && span.attribute("muster.driver.uid") == driver.uid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_traceparent_is_ignored_and_an_unsampled_one_goes_on_unseen() {
    let collector = Collector::start().await;
    let cluster = exporting(&collector.args());
    let submit = || Submit::shell("echo $TRACEPARENT");
    for malformed in ["nonsense", "00-1-2-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let answer = cluster.client().submit_driver(with_header(submit(), malformed)).await.expect("it is accepted");
        let driver = answer.into_inner().driver.expect("the answer carries the driver");
        cluster.wait_for_end(&driver.driver_id).await;
        let attempt = collector.wait_for("its end", |span| is(span, "attempt", &driver)).await;
        let above = collector.wait_for("its submission", |span| span.id == attempt.parent).await;
        assert_eq!((above.parent.as_str(), &above.trace), ("", &attempt.trace), "{malformed}: a trace of its own");
        let heard = cluster.log(&driver.driver_id, 1, LogStream::Stdout).await;
        assert_eq!(heard.trim(), format!("00-{}-{}-01", attempt.trace, attempt.id));
    }

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let unsampled = format!("00-{trace}-00f067aa0ba902b7-00");
    let answer = cluster.client().submit_driver(with_header(submit(), &unsampled)).await.expect("it is accepted");
    let driver = answer.into_inner().driver.expect("the answer carries the driver");
    cluster.wait_for_end(&driver.driver_id).await;
    let heard = cluster.log(&driver.driver_id, 1, LogStream::Stdout).await;
    assert!(heard.starts_with(&format!("00-{trace}-")) && heard.trim().ends_with("-00"), "{heard}");
    // A later driver has been exported, so that the earlier one would have been.
    let later = cluster.submit(submit().id("later")).await;
    let later = cluster.wait_for_end(&later).await;
    collector.wait_for("its end", |span| is(span, "attempt", &later)).await;
    assert!(collector.spans().iter().all(|span| span.trace != trace), "nobody records it");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_the_callers_trace_goes_on_in_the_program() {
    let cluster = exporting(&[]);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = cluster.client().submit_driver(with_header(Submit::shell("echo $TRACEPARENT"), traceparent)).await;
    let driver = answer.expect("it is accepted").into_inner().driver.expect("the answer carries the driver");
    cluster.wait_for_end(&driver.driver_id).await;
    assert_eq!(cluster.log(&driver.driver_id, 1, LogStream::Stdout).await.trim(), traceparent);
    let untraced = cluster.submit(Submit::shell("echo ${TRACEPARENT-none}")).await;
    cluster.wait_for_end(&untraced).await;
    assert_eq!(cluster.log(&untraced, 1, LogStream::Stdout).await.trim(), "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_executors_of_an_application_are_in_the_trace_of_who_registers_it() {
    let collector = Collector::start().await;
    let cluster = exporting(&collector.args());
    // As a program with the sdk does.
    let trace = TraceContext::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7, true);
    let options = ConnectOptions { trace, ..ConnectOptions::default() };
    let client = Client::with_options(cluster.address().parse().expect("it is an address"), options);
    let request = v1::RegisterApplicationRequest { application: Some(one_executor()), ..Default::default() };
    let application = client.register_application(request).await.expect("it is registered");
    let of = |span: &ExportedSpan| span.attribute("muster.application.uid") == application.uid;
    let attempt = collector.wait_for("an executor's end", |span| span.name == "attempt" && of(span)).await;
    let above = collector.wait_for("its registration", |span| span.id == attempt.parent).await;
    assert_eq!(above.name, "muster.v1.ApplicationService/RegisterApplication");
    assert_eq!((above.parent.as_str(), attempt.attribute("muster.executor.id")), ("00f067aa0ba902b7", "0"));
    let spawn = collector.wait_for("its start", |span| span.name == "spawn" && of(span)).await;
    assert_eq!(spawn.parent, attempt.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_executors_of_a_driver_that_says_nothing_of_traces_are_in_its_own() {
    let collector = Collector::start().await;
    let cluster = exporting(&collector.args());
    let token_file = cluster.dir().join("driver.token");
    let script = format!("echo $MUSTER_TOKEN > {}; exec sleep 1000", token_file.display());
    let driver = cluster.submit(Submit::shell(&script).restart(RestartCondition::Never)).await;
    // A program over stubs alone, which has its token and sends no header.
    let request = v1::RegisterApplicationRequest {
        application: Some(one_executor()),
        driver_token: wait_for_file(&token_file, Duration::from_secs(60)),
        ..Default::default()
    };
    let client = Client::new(cluster.address().parse().expect("it is an address"));
    let application = client.register_application(request).await.expect("it is registered");
    let of = |span: &ExportedSpan| span.attribute("muster.application.uid") == application.uid;
    let executor = collector.wait_for("an executor's end", |span| span.name == "attempt" && of(span)).await;
    cluster.kill_driver(&driver).await;
    let driver = cluster.wait_for_end(&driver).await;
    let attempt = collector.wait_for("the driver's end", |span| is(span, "attempt", &driver)).await;
    assert_eq!(executor.parent, attempt.id);
}

/// An application with one executor, which ends at once.
fn one_executor() -> v1::ApplicationSpec {
    let command = v1::Command { program: "/bin/true".to_owned(), ..Default::default() };
    let resources = v1::Resources { cores: 1, memory_bytes: 64 << 20, ..Default::default() };
    let profile = v1::ExecutorProfile { resources: Some(resources), target: 1, ..Default::default() };
    v1::ApplicationSpec {
        name: "traced".to_owned(),
        template: Some(v1::ExecutorTemplate { command: Some(command), ..Default::default() }),
        profiles: vec![profile],
        ..Default::default()
    }
}

/// Drivers that are submitted and end while a collector does not work.
const DRIVERS: usize = 20;

async fn work_goes_on(cluster: &Cluster) {
    for number in 0..DRIVERS {
        let id = cluster.submit(Submit::shell("true").id(&format!("d{number}"))).await;
        cluster.wait_for_end(&id).await;
    }
}

/// How often the log of the master says that the collector takes nothing.
fn complaints(cluster: &Cluster) -> usize {
    let log = std::fs::read_to_string(cluster.dir().join("master.log")).unwrap_or_default();
    log.matches("the OpenTelemetry collector takes no spans").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_mentioned_once_and_nothing_waits_for_it() {
    let gone = Collector::start().await;
    let args = gone.args();
    drop(gone);
    let cluster = exporting(&args);
    work_goes_on(&cluster).await;
    eventually("a complaint", Duration::from_secs(60), async || (complaints(&cluster) > 0).then_some(())).await;
    // More spans are lost; the log knows.
    cluster.wait_for_end(&cluster.submit(Submit::shell("true").restart(RestartCondition::Never)).await).await;
    assert_eq!(complaints(&cluster), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_collector_that_hangs() {
    let collector = Collector::start_hanging().await;
    let cluster = exporting(&collector.args());
    let first = cluster.submit(Submit::shell("true")).await;
    cluster.wait_for_end(&first).await;
    eventually("an export that hangs", Duration::from_secs(60), async || (collector.calls() > 0).then_some(())).await;
    work_goes_on(&cluster).await;
    assert!(collector.spans().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_over_tls_is_trusted_by_its_ca() {
    let company = Company::new("company");
    let signed = company.server(&["127.0.0.1"]);
    let collector = Collector::start_over_tls(&signed.certificate, &signed.key).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let ca = company.write_ca(folder.path().join("ca.crt"));
    let ca = ["--otlp-ca".to_owned(), ca.to_str().expect("the path is text").to_owned()];
    let cluster = exporting(&[&collector.args()[..], &ca].concat());
    let driver = cluster.wait_for_end(&cluster.submit(Submit::shell("true")).await).await;
    collector.wait_for("its end", |span| is(span, "attempt", &driver)).await;
    collector.wait_for("its run", |span| is(span, "run", &driver)).await;

    // The machine trusts no such CA.
    let stranger = exporting(&collector.args());
    stranger.wait_for_end(&stranger.submit(Submit::shell("true")).await).await;
    eventually("a complaint", Duration::from_secs(60), async || (complaints(&stranger) > 0).then_some(())).await;
}

#[test]
fn what_cannot_be_exported_to_is_said_at_the_start() {
    for program in ["muster-master", "muster-worker"] {
        for (args, said) in [
            (&["--otlp-endpoint", "collector:4317"][..], "http://HOST:PORT"),
            (&["--otlp-endpoint", "http://ann:sesame@collector:4317"], "http://HOST:PORT"),
            (&["--otlp-endpoint", "http://127.0.0.1:1", "--otlp-ca", "/none"], "https://"),
            (&["--otlp-endpoint", "https://127.0.0.1:1", "--otlp-ca", "/none"], "cannot read --otlp-ca"),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let mut command = std::process::Command::new(Binaries::locate().path(program));
            command.arg("--state-dir").arg(folder.path().join("state")).args(["--listen", "127.0.0.1:0"]).args(args);
            let output = command.output().expect("it runs");
            let text = muster_testkit::said(&output);
            assert!(
                !output.status.success() && text.contains(said) && !text.contains("sesame"),
                "{program} {args:?}: {text}"
            );
        }
    }
}
