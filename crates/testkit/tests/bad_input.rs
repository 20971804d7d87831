//! Bad input gets a clear error that names every wrong field, loses nothing and starts nothing.

use std::collections::BTreeMap;

use muster_proto::v1::driver::State;
use muster_proto::v1::read_log_request::Subject;
use muster_proto::v1::{
    ApplicationSpec, Artifact, Command, DriverSpec, ExecutorProfile, ExecutorTemplate, GetDriverRequest,
    GetWorkerRequest, KillDriverRequest, KillExecutorsRequest, ListDriversRequest, ReadLogRequest,
    RegisterApplicationRequest, RequestExecutorsRequest, Resources, SubmitDriverRequest, UnregisterApplicationRequest,
    WatchApplicationRequest,
};
use muster_testkit::{Cluster, Options, Submit};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The fields that a refusal names.
fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error of ours says so");
    assert_eq!(info.domain, "muster");
    let bad = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    bad.into_iter().map(|violation| violation.field).collect()
}

fn assert_names(status: &Status, wanted: &[&str]) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let named = fields(status);
    for field in wanted {
        assert!(named.iter().any(|name| name.starts_with(field)), "{field} is not named in {named:?}");
    }
}

#[tokio::test]
async fn a_wrong_driver_is_told_all_that_is_wrong_at_once() {
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    let mut client = cluster.client();

    let status = client.submit_driver(SubmitDriverRequest::default()).await.expect_err("nothing is not a driver");
    assert_names(&status, &["driver"]);

    let mut submit = Submit::program(&["nul\0byte"]).id("Not A Name").request("no spaces");
    let spec = submit.spec();
    let command = spec.command.get_or_insert_default();
    command.env = BTreeMap::from([("1BAD".into(), "x".into()), ("MUSTER_TOKEN".into(), "x".into())]);
    command.args = vec!["nul\0".into()];
    spec.artifacts = vec![Artifact {
        uri: "gopher://x".into(),
        sha256: "zz".into(),
        file_name: "../up".into(),
        ..Default::default()
    }];
    spec.kill_grace = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    spec.on_worker_lost = 99;
    spec.log_limit_bytes = 1;
    let status = client.submit_driver(submit.0).await.expect_err("it is all wrong");
    let wanted = [
        "driver_id",
        "request_id",
        "driver.command.program",
        "driver.command.env",
        "driver.command.args",
        "driver.artifacts",
        "driver.kill_grace",
        "driver.on_worker_lost",
        "driver.log_limit_bytes",
    ];
    assert_names(&status, &wanted);

    let mut huge = Submit::program(&["/bin/true"]);
    huge.spec().command.get_or_insert_default().args = vec!["x".repeat(100); 1000];
    let status = client.submit_driver(huge.0).await.expect_err("a spec of 100 kB is too large");
    assert_names(&status, &["driver"]);

    let both = BTreeMap::from([("TWICE".to_owned(), "1".to_owned())]);
    let mut twice = Submit::program(&["/bin/true"]);
    let command = twice.spec().command.get_or_insert_default();
    (command.env, command.secret_env) = (both.clone(), both);
    assert_names(&client.submit_driver(twice.0).await.expect_err("it contradicts itself"), &["driver.command"]);

    let drivers = client.list_drivers(ListDriversRequest::default()).await.expect("drivers are listed").into_inner();
    assert!(drivers.drivers.is_empty(), "nothing was stored");
    let worker = cluster.worker("w1").await.expect("the worker is there");
    assert!(worker.empty);
}

#[tokio::test]
async fn every_call_refuses_nothing_at_all_and_what_is_not_there() {
    let cluster = Cluster::start(Options { workers: 0, ..Options::default() });
    let (mut client, mut api) = (cluster.client(), cluster.applications());
    macro_rules! refused {
        ($call:expr, $code:pat) => {
            let status = $call.await.map(|_| ()).expect_err("it is refused");
            assert!(matches!(status.code(), $code), "{}: {status:?}", stringify!($call));
            fields(&status);
        };
    }
    refused!(client.get_driver(GetDriverRequest::default()), Code::InvalidArgument);
    refused!(client.get_driver(GetDriverRequest { driver_id: "none".into() }), Code::NotFound);
    refused!(client.get_worker(GetWorkerRequest { worker_id: "none".into() }), Code::NotFound);
    refused!(client.kill_driver(KillDriverRequest::default()), Code::InvalidArgument);
    refused!(client.kill_driver(KillDriverRequest { driver_id: "none".into(), ..Default::default() }), Code::NotFound);
    refused!(client.read_log(ReadLogRequest::default()), Code::InvalidArgument);
    refused!(
        client.read_log(ReadLogRequest { subject: Some(Subject::DriverId("none".into())), ..Default::default() }),
        Code::NotFound
    );
    refused!(
        client.list_drivers(ListDriversRequest { filter: "colour=red".into(), ..Default::default() }),
        Code::InvalidArgument
    );
    refused!(
        client.list_drivers(ListDriversRequest { filter: "state=ASLEEP".into(), ..Default::default() }),
        Code::InvalidArgument
    );
    refused!(
        client.list_drivers(ListDriversRequest { page_token: "x".into(), ..Default::default() }),
        Code::InvalidArgument
    );
    refused!(api.register_application(RegisterApplicationRequest::default()), Code::InvalidArgument);
    refused!(
        api.watch_application(WatchApplicationRequest { application_id: "none".into(), ..Default::default() }),
        Code::NotFound
    );
    refused!(api.request_executors(RequestExecutorsRequest::default()), Code::InvalidArgument);
    refused!(
        api.kill_executors(KillExecutorsRequest { application_id: "none".into(), ..Default::default() }),
        Code::NotFound
    );
    refused!(
        api.unregister_application(UnregisterApplicationRequest {
            application_id: "none".into(),
            ..Default::default()
        }),
        Code::NotFound
    );

    // The master still serves.
    let id = cluster.submit(Submit::shell("true").id("name")).await;
    let status = client.submit_driver(Submit::shell("true").id(&id).0).await.expect_err("the name is taken");
    assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
}

#[tokio::test]
async fn a_wrong_application_is_told_all_that_is_wrong_at_once() {
    let cluster = Cluster::start(Options { workers: 0, ..Options::default() });
    let command = Command { program: "/bin/true".into(), args: vec!["{{NOT CLOSED".into()], ..Command::default() };
    let template = ExecutorTemplate { command: Some(command), ..ExecutorTemplate::default() };
    let profile =
        ExecutorProfile { profile_id: 1, resources: Some(Resources::default()), ..ExecutorProfile::default() };
    let spec = ApplicationSpec {
        name: String::new(),
        template: Some(template),
        profiles: vec![profile.clone(), profile],
        session_grace: Some(prost_types::Duration { seconds: 1_000_000, nanos: 0 }),
        ..ApplicationSpec::default()
    };
    let request = RegisterApplicationRequest { application: Some(spec), ..RegisterApplicationRequest::default() };
    let status = cluster.applications().register_application(request).await.expect_err("it is all wrong");
    assert_names(&status, &["application.name", "application.profiles", "application.session_grace"]);
}

#[tokio::test]
async fn secrets_never_come_back() {
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    let mut submit = Submit::shell("test \"$HIDDEN\" = 1s-it-here && test \"$MY_PASSWORD\" = 0r-here");
    let command = submit.spec().command.get_or_insert_default();
    command.secret_env = BTreeMap::from([("HIDDEN".into(), "1s-it-here".into())]);
    command.env = BTreeMap::from([("MY_PASSWORD".into(), "0r-here".into()), ("PLAIN".into(), "shown".into())]);
    // A script that names the values would show them itself, so it is replaced: the question is
    // whether the environment comes back.
    let spec: &mut DriverSpec = submit.spec();
    spec.command.get_or_insert_default().args =
        vec!["-c".into(), "test ${#HIDDEN} = 10 && test ${#MY_PASSWORD} = 7".into()];
    let id = cluster.submit(submit).await;
    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(driver.state(), muster_proto::v1::driver::State::Finished, "{driver:?}");
    let mut seen = format!("{driver:?}");
    seen.push_str(&cluster.muster_ok(&["get", "driver", &id, "-o", "json"]));
    seen.push_str(&cluster.muster_ok(&["events", "--since-oldest", "-o", "json"]));
    for file in ["master.log", "w1.log"] {
        seen.push_str(&std::fs::read_to_string(cluster.dir().join(file)).unwrap_or_default());
    }
    assert!(seen.contains("shown"));
    assert!(!seen.contains("1s-it-here") && !seen.contains("0r-here"), "{seen}");
}

#[tokio::test]
async fn braces_are_a_variable_that_is_known_or_pass_as_they_are() {
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    let mut client = cluster.client();
    for unknown in ["{{NOBODY_DEFINES_IT}}", "{{SCRATCH_DIR}}", "{{EXECUTOR_ID}}", "{{LABEL_nowhere}}"] {
        let status = client.submit_driver(Submit::program(&["/bin/echo", unknown]).0).await.expect_err(unknown);
        assert_names(&status, &["driver.command"]);
        assert!(status.message().contains(unknown), "{status:?}");
    }
    let mut secret = Submit::program(&["/bin/echo"]);
    let command = secret.spec().command.get_or_insert_default();
    command.secret_env = BTreeMap::from([("A".into(), "{{HUNTER2}}".into())]);
    let status = client.submit_driver(secret.0).await.expect_err("nobody defines it");
    assert!(!format!("{status:?}").contains("HUNTER2"), "{status:?}");
    let others = ["{{.Names}}", "{{ x }}", "{{name}}", r"\{{CORES}}", "{{CORES}}"];
    let submit = Submit::program(&[&["/bin/echo"], others.as_slice()].concat()).id("braces");
    client.submit_driver(submit.0).await.expect("they are other languages' but for one");
    cluster.wait_for_state("braces", State::Finished).await;
    assert_eq!(cluster.muster_ok(&["logs", "braces"]), "{{.Names}} {{ x }} {{name}} {{CORES}} 1\n");
}
