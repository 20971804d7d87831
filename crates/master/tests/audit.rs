//! The audit and the limits, as an operator meets them: what has a line, what a line says, and what
//! is in none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::collections::BTreeMap;

use common::follower::leader_and_standby;
use common::worker::FakeWorker;
use common::*;
use muster_master::add_token;
use muster_proto::methods::{Method, READS};
use muster_proto::v1;
use muster_testenv::wire::Call;
use muster_types::{Role, Secret, TokenGrant};
use serde_json::Value;
use tonic::Code;

struct AccessFile {
    path: std::path::PathBuf,
    admin: Secret,
    ann: Secret,
    bob: Secret,
    _dir: tempfile::TempDir,
}

impl AccessFile {
    fn new() -> AccessFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.toml");
        let add = |name, role| add_token(&path, name, TokenGrant::User(role), None).unwrap();
        let (admin, ann, bob) = (add("root", Role::Admin), add("ann", Role::Submitter), add("bob", Role::Submitter));
        AccessFile { path, admin, ann, bob, _dir: dir }
    }

    fn flags(&self) -> [&str; 2] {
        ["--access-file", self.path.to_str().unwrap()]
    }

    async fn leader(&self, flags: &[&str]) -> Master {
        Master::start(&[&self.flags(), flags].concat()).await
    }
}

async fn lines_of(master: Master) -> Vec<Value> {
    master.into_audit().await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn submission(id: &str) -> v1::SubmitDriverRequest {
    let mut spec = sleeper();
    spec.command.as_mut().unwrap().secret_env.insert("PASSWORD".to_owned(), "5ec2e7".to_owned());
    v1::SubmitDriverRequest {
        driver: Some(spec),
        driver_id: id.to_owned(),
        request_id: format!("request-{id}"),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mutation_and_each_refusal_has_a_line_and_no_line_a_secret() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let (mut at_leader, mut at_standby) = (leader.client().await, standby.client().await);
    let pi = at_leader
        .submit_driver(signed(file.ann.expose(), submission("pi")))
        .await
        .unwrap()
        .into_inner()
        .driver
        .unwrap();
    let named = v1::SubmitDriverRequest { driver_id: String::new(), ..submission("any") };
    let any = at_standby.submit_driver(signed(file.ann.expose(), named)).await.unwrap().into_inner().driver.unwrap();
    let kill = v1::KillDriverRequest { driver_id: "pi".to_owned(), ..Default::default() };
    let refused = at_leader.kill_driver(signed(file.bob.expose(), kill.clone())).await.unwrap_err();
    assert_failure(&refused, Code::PermissionDenied, "NOT_OWNER");
    at_leader.kill_driver(kill.clone()).await.unwrap_err();
    at_standby.kill_driver(signed("mst_0123456789ab_5ec2e7", kill)).await.unwrap_err();
    at_leader.step_down(signed(file.ann.expose(), v1::StepDownRequest::default())).await.unwrap_err();
    at_leader.get_driver(signed(file.bob.expose(), v1::GetDriverRequest { driver_id: "pi".to_owned() })).await.unwrap();

    let said = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        [text("caller"), text("method"), text("resource"), text("uid"), text("verdict"), text("reason")].join(" ")
    };
    let at_leader = lines_of(leader).await;
    assert_eq!(
        at_leader.iter().map(said).collect::<Vec<_>>(),
        [
            format!("ann MasterService/SubmitDriver driver/pi {} ok ", pi.uid),
            format!("ann MasterService/SubmitDriver driver/{} {} ok ", any.driver_id, any.uid),
            "bob MasterService/KillDriver driver/pi  denied NOT_OWNER".to_owned(),
            "system:anonymous MasterService/KillDriver   denied NO_CREDENTIAL".to_owned(),
            "ann MasterService/StepDown   denied ROLE_REQUIRED".to_owned(),
        ]
    );
    let first = &at_leader[0];
    assert_eq!((first["audit"].as_u64(), first["role"].as_str()), (Some(1), Some("submitter")));
    assert_eq!(first["request_id"], "request-pi");
    assert!(first["by"].as_str().unwrap().starts_with("token:"), "{first}");
    assert!(first["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
    assert_eq!((&first["forwarded"], &at_leader[1]["forwarded"]), (&Value::Null, &Value::Bool(true)));
    assert!(first["time"].as_str().unwrap().ends_with('Z'), "{first}");
    let at_standby = lines_of(standby).await;
    assert_eq!(
        at_standby.iter().map(said).collect::<Vec<_>>(),
        ["system:anonymous MasterService/KillDriver   denied BAD_CREDENTIAL"]
    );
    let text = format!("{at_leader:?}{at_standby:?}");
    for secret in [&file.ann, &file.bob, &file.admin] {
        let secret = secret.expose().rsplit('_').next().unwrap();
        assert!(!text.contains(secret) && !text.contains("5ec2e7"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_is_forgotten() {
    let file = AccessFile::new();
    let leader = file.leader(&[]).await;
    let bearer = format!("Bearer {}", file.admin.expose());
    // A message that makes no sense, so that nothing is done.
    let senseless = |method: &Method| Call::new(method.path(), &()).body(vec![0, 0, 0, 0, 1, 0xff]);
    for method in Method::ALL {
        senseless(method).with("authorization", bearer.clone()).at(&leader.address).await;
    }
    let (mut ok, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for line in lines_of(leader).await {
        let method = format!("/muster.v1.{}", line["method"].as_str().unwrap());
        let lines = if line["verdict"] == "denied" { &mut refused } else { &mut ok };
        *lines.entry(method).or_insert(0) += 1;
    }
    for method in Method::ALL.iter().filter(|method| method.path().starts_with("/muster.v1.")) {
        let is_elsewhere = ["Worker", "ExecutorLink", "Output"].iter().any(|of| method.path().contains(of));
        let is_for_others = is_elsewhere && !method.path().contains("MasterService");
        let is_refused = is_for_others && *method != Method::AccessIssueWorkerCertificate;
        let is_audited =
            !READS.contains(&method.path()) || matches!(method, Method::MasterReadLog | Method::MasterBackup);
        assert_eq!(refused.contains_key(method.path()), is_refused, "{method:?}");
        assert_eq!(ok.contains_key(method.path()), is_audited && !is_refused, "{method:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_refusals_are_one_line_and_a_count() {
    let file = AccessFile::new();
    let leader = file.leader(&[]).await;
    let mut client = leader.client().await;
    for _ in 0..50 {
        client.step_down(v1::StepDownRequest::default()).await.unwrap_err();
    }
    let lines = lines_of(leader).await;
    let counted: u64 = lines.iter().map(|line| line["repeated"].as_u64().unwrap_or(1)).sum();
    assert_eq!(counted, 50, "{lines:?}");
    assert!(lines.len() < 20, "{lines:?}");
}

/// A stream begins before its hello is judged, so its line waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_told_of_by_what_became_of_its_hello() {
    let file = AccessFile::new();
    let token = add_token(&file.path, "lab", TokenGrant::Worker, None).unwrap();
    let leader = file.leader(&[]).await;
    let bearer = || Some(format!("Bearer {}", token.expose()).parse().unwrap());
    let (mut worker, mut namesake) = (FakeWorker::new("w1", 4), FakeWorker::new("w2", 4));
    (worker.bearer, namesake.bearer) = (bearer(), bearer());
    let _link = worker.join(&leader, &[]).await;
    namesake.hello.name = "w1".into();
    assert_eq!(namesake.dial(&leader).await.goodbye().await.refusal, "NAME_TAKEN");
    let mut lines = lines_of(leader).await;
    lines.retain(|line| line["method"] == "WorkerLinkService/Link");
    let said: Vec<_> = lines.iter().map(|line| (line["verdict"].as_str(), line["reason"].as_str())).collect();
    assert_eq!(said, [(Some("ok"), None), (Some("denied"), Some("NAME_TAKEN"))], "{lines:?}");
    assert_eq!(lines[0]["resource"], "worker/w1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_too_much_is_told_when_to_come_back() {
    let file = AccessFile::new();
    let leader = file.leader(&["--submissions-per-caller", "1", "--streams-per-caller", "2"]).await;
    let mut client = leader.client().await;
    let mut refused = None;
    for number in 0..10 {
        let submitted = client.submit_driver(signed(file.ann.expose(), submission(&format!("d{number}")))).await;
        refused = refused.or(submitted.err());
    }
    let refused = refused.unwrap();
    assert_failure(&refused, Code::ResourceExhausted, "RATE_LIMITED");
    assert!(muster_proto::errors::retry_after(&refused).is_some() && muster_proto::errors::may_succeed_later(&refused));
    client.submit_driver(signed(file.bob.expose(), submission("b"))).await.unwrap();

    let mut streams = Vec::new();
    for _ in 0..2 {
        let watch = signed(file.ann.expose(), v1::WatchEventsRequest::default());
        streams.push(client.watch_events(watch).await.unwrap().into_inner());
    }
    let third = client.watch_events(signed(file.ann.expose(), v1::WatchEventsRequest::default())).await.unwrap_err();
    assert_failure(&third, Code::ResourceExhausted, "RATE_LIMITED");
    drop(streams.pop());
    eventually("the place is free", async || {
        client.watch_events(signed(file.ann.expose(), v1::WatchEventsRequest::default())).await.ok()
    })
    .await;
    drop(client);
    let lines = lines_of(leader).await;
    assert!(lines.iter().any(|line| line["reason"] == "RATE_LIMITED" && line["caller"] == "ann"), "{lines:?}");
}
