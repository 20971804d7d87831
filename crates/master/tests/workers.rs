//! Workers with certificates as a master sees them: who gets one, and for whom it speaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::follower::Follower;
use common::worker::FakeWorker;
use common::*;
use muster_master::add_token;
use muster_proto::v1;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_proto::v1::link_request::Message as Up;
use muster_proto::v1::link_response::Message as Down;
use muster_proto::v1::worker_link_service_client::WorkerLinkServiceClient;
use muster_store::{AnyCandidate, Candidacy, Location, NewCluster};
use muster_tls::{Authority, Connector, HeldCertificate, Trust, WorkerKey};
use muster_types::{AttemptState, Role, Secret, Session, WallTime, WorkerUid};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use v1::master_service_client::MasterServiceClient;

/// A master with TLS and credentials.
struct Secured {
    master: Master,
    trust: Trust,
    admin: Secret,
    lab: Secret,
    dir: tempfile::TempDir,
}

impl Secured {
    async fn start() -> Secured {
        let dir = tempfile::tempdir().unwrap();
        let (pki, access) = (dir.path().join("pki"), dir.path().join("access.toml"));
        let authority = Authority::create(&pki).unwrap();
        let admin = add_token(&access, "ann", muster_types::TokenGrant::User(Role::Admin), None).unwrap();
        let lab = add_token(&access, "lab", muster_types::TokenGrant::Worker, None).unwrap();
        let master = Master::start(&flags(dir.path()).each_ref().map(String::as_str)).await;
        Secured { master, trust: Trust::in_ca(authority.pem()).unwrap(), admin, lab, dir }
    }

    async fn channel(&self, held: Option<&HeldCertificate>) -> Channel {
        self.channel_to(&self.master.address, held).await
    }

    async fn channel_to(&self, address: &str, held: Option<&HeldCertificate>) -> Channel {
        let trust = held.map_or_else(|| self.trust.clone(), |held| self.trust.showing(held));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        endpoint.connect_with_connector(Connector::new(Some(trust), SOON)).await.unwrap()
    }

    fn key(&self, name: &str) -> WorkerKey {
        let file: PathBuf = self.dir.path().join(name);
        WorkerKey::load_or_make(&file).unwrap()
    }

    async fn issue(&self, key: &WorkerKey, uid: WorkerUid, token: Option<&Secret>) -> Result<HeldCertificate, Status> {
        let wanted = v1::IssueWorkerCertificateRequest {
            worker_uid: uid.to_string(),
            certificate_request: key.request().unwrap().into(),
        };
        let mut client = AccessServiceClient::new(self.channel(None).await);
        let answer = client.issue_worker_certificate(with(token, wanted)).await?;
        let held = HeldCertificate::default();
        key.show(&answer.into_inner().certificate_chain, &held).unwrap();
        Ok(held)
    }

    /// Says hello, and gives what comes first: the stream after a welcome, or the refusal.
    async fn hello(
        &self,
        worker: &mut FakeWorker,
        held: Option<&HeldCertificate>,
        token: Option<&Secret>,
    ) -> Result<Open, String> {
        worker.hello.session = Session(worker.hello.session.0 + 1);
        let (up, requests) = mpsc::channel(8);
        up.send(v1::LinkRequest { message: Some(Up::Hello(Box::new((&worker.hello).into()))) }).await.unwrap();
        let mut client = WorkerLinkServiceClient::new(self.channel(held).await);
        let opened = client.link(with(token, ReceiverStream::new(requests))).await;
        let mut down = opened.map_err(|status| reason_of(&status))?.into_inner();
        match soon("an answer to the hello", down.message()).await {
            Ok(Some(v1::LinkResponse { message: Some(Down::Welcome(_)), .. })) => Ok(Open { up, down }),
            Ok(Some(v1::LinkResponse { message: Some(Down::Goodbye(goodbye)), .. })) => Err(goodbye.refusal),
            Err(status) => Err(reason_of(&status)),
            other => panic!("{other:?}"),
        }
    }

    async fn operator(&self) -> MasterServiceClient<Channel> {
        MasterServiceClient::new(self.channel(None).await)
    }
}

/// The flags of a master with the CA and the access file of a directory.
fn flags(dir: &Path) -> [String; 3] {
    let [pki, access] = ["pki", "access.toml"].map(|name| dir.join(name).to_str().unwrap().to_owned());
    ["--tls".to_owned(), format!("--pki={pki}"), format!("--access-file={access}")]
}

struct Open {
    up: mpsc::Sender<v1::LinkRequest>,
    down: Streaming<v1::LinkResponse>,
}

fn with<T>(token: Option<&Secret>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {}", token.expose()).parse().unwrap());
    }
    request
}

fn reason_of(status: &Status) -> String {
    muster_proto::errors::reason_of(status).unwrap_or_else(|| status.to_string())
}

fn worker(name: &str) -> (FakeWorker, WorkerUid) {
    let worker = FakeWorker::new(name, 4);
    let uid = worker.hello.worker;
    (worker, uid)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_worker_needs_a_token_of_workers_and_a_known_one_its_key_alone() {
    let secured = Secured::start().await;
    let (key, other) = (secured.key("w1.key"), secured.key("other.key"));
    let (mut w1, uid) = worker("w1");
    let refused = |result: Result<HeldCertificate, Status>| reason_of(&result.unwrap_err());
    assert_eq!(refused(secured.issue(&key, uid, None).await), "NO_CREDENTIAL");
    assert_eq!(refused(secured.issue(&key, uid, Some(&secured.admin)).await), "ROLE_REQUIRED");
    let held = secured.issue(&key, uid, Some(&secured.lab)).await.unwrap();
    assert_eq!(refused(secured.issue(&key, uid, None).await), "NO_CREDENTIAL", "it is known from its hello on");
    let _open = secured.hello(&mut w1, Some(&held), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    secured.issue(&key, uid, None).await.unwrap();
    for token in [None, Some(&secured.lab)] {
        let refused = secured.issue(&other, uid, token).await.unwrap_err();
        assert_failure(&refused, Code::PermissionDenied, "KEY_MISMATCH");
        let way_out = format!("`muster worker revoke {uid}`");
        assert!(refused.message().contains(&way_out), "{refused}");
    }
    let mut client = AccessServiceClient::new(secured.channel(None).await);
    for (worker_uid, certificate_request) in
        [("7", key.request().unwrap()), (uid.to_string().as_str(), vec![7; 64]), (&uid.to_string(), Vec::new())]
    {
        let wanted = v1::IssueWorkerCertificateRequest {
            worker_uid: worker_uid.to_owned(),
            certificate_request: certificate_request.into(),
        };
        let refused = client.issue_worker_certificate(with(Some(&secured.lab), wanted)).await.unwrap_err();
        assert_failure(&refused, Code::InvalidArgument, "BAD_REQUEST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_speaks_for_its_worker_alone() {
    let secured = Secured::start().await;
    let ((mut w1, one), (mut w2, two)) = (worker("w1"), worker("w2"));
    let of_one = secured.issue(&secured.key("w1.key"), one, Some(&secured.lab)).await.unwrap();
    let of_two = secured.issue(&secured.key("w2.key"), two, Some(&secured.lab)).await.unwrap();
    let refused = |result: Result<Open, String>| result.err().unwrap_or_default();
    assert_eq!(refused(secured.hello(&mut w1, None, None).await), "NO_CREDENTIAL");
    assert_eq!(refused(secured.hello(&mut w1, None, Some(&secured.lab)).await), "ROLE_REQUIRED");
    assert_eq!(refused(secured.hello(&mut w1, Some(&of_two), None).await), "UID_MISMATCH");
    let _one = secured.hello(&mut w1, Some(&of_one), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    let _two = secured.hello(&mut w2, Some(&of_two), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    // The uid is one's own, and its key another's, which a token had got before the first hello.
    let mut client = MasterServiceClient::new(secured.channel(Some(&of_two)).await);
    let drain = |worker: &str| v1::DrainWorkerRequest { worker_id: worker.to_owned(), ..Default::default() };
    let refusal = client.drain_worker(drain("w1")).await.unwrap_err();
    assert_failure(&refusal, Code::PermissionDenied, "NOT_OWNER");
    let refusal = client.drain_worker(drain(&one.to_string())).await.unwrap_err();
    assert_failure(&refusal, Code::PermissionDenied, "NOT_OWNER");
    let drained = client.drain_worker(drain("w2")).await.unwrap().into_inner().worker.unwrap();
    assert!(drained.draining && drained.key_digest == secured.key("w2.key").digest().to_string(), "{drained:?}");
    // It looks at itself while it drains, and takes the drain back: itself alone, again.
    let get = |worker: &str| v1::GetWorkerRequest { worker_id: worker.to_owned() };
    let undrain = |worker: &str| v1::UndrainWorkerRequest { worker_id: worker.to_owned(), ..Default::default() };
    for (named, code, reason) in [("w1", Code::PermissionDenied, "NOT_OWNER"), ("nobody", Code::NotFound, "NOT_FOUND")]
    {
        assert_failure(&client.get_worker(get(named)).await.unwrap_err(), code, reason);
        assert_failure(&client.undrain_worker(undrain(named)).await.unwrap_err(), code, reason);
    }
    let seen = client.get_worker(get(&two.to_string())).await.unwrap().into_inner().worker.unwrap();
    assert!(seen.draining && seen.name == "w2", "{seen:?}");
    let undrained = client.undrain_worker(undrain("w2")).await.unwrap().into_inner().worker.unwrap();
    assert!(!undrained.draining, "{undrained:?}");
    let refusal = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap_err();
    assert_failure(&refusal, Code::PermissionDenied, "ROLE_REQUIRED");
}

/// A standby cannot hand on a certificate, so it says who leads, and the worker goes there.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_sends_a_worker_to_the_leader() {
    let secured = Secured::start().await;
    let (mut w1, uid) = worker("w1");
    let held = secured.issue(&secured.key("w1.key"), uid, Some(&secured.lab)).await.unwrap();
    let _open = secured.hello(&mut w1, Some(&held), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    let (follower, control) = Follower::new();
    control.lead(&secured.master.address, 1);
    let standby = Master::start_on(follower, &flags(secured.dir.path()).each_ref().map(String::as_str)).await;
    let drain = v1::DrainWorkerRequest { worker_id: uid.to_string(), ..Default::default() };
    let mut client = MasterServiceClient::new(secured.channel_to(&standby.address, Some(&held)).await);
    let refusal = client.drain_worker(drain).await.unwrap_err();
    assert_failure(&refusal, Code::Unavailable, "NOT_LEADER");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_for_one_uid_before_its_first_hello_are_one_afterwards() {
    let secured = Secured::start().await;
    let (mut w1, uid) = worker("w1");
    let first = secured.issue(&secured.key("first.key"), uid, Some(&secured.lab)).await.unwrap();
    let second = secured.issue(&secured.key("second.key"), uid, Some(&secured.lab)).await.unwrap();
    let _open = secured.hello(&mut w1, Some(&first), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    let refused = secured.hello(&mut w1, Some(&second), None).await.err().unwrap();
    assert_eq!(refused, "KEY_MISMATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_worker_is_gone_from_then_on() {
    let secured = Secured::start().await;
    let key = secured.key("w1.key");
    let (mut w1, uid) = worker("w1");
    let held = secured.issue(&key, uid, Some(&secured.lab)).await.unwrap();
    let mut open = secured.hello(&mut w1, Some(&held), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    let mut operator = secured.operator().await;
    let revoke = v1::RevokeWorkerRequest { worker_id: "w1".into(), request_id: "r1".into() };
    for _ in 0..2 {
        let revoked = operator.revoke_worker(with(Some(&secured.admin), revoke.clone())).await.unwrap();
        assert!(revoked.into_inner().worker.unwrap().revoked);
    }
    let ended = soon("the link ends", async {
        loop {
            match open.down.message().await {
                Ok(Some(v1::LinkResponse { message: Some(Down::Goodbye(_)), .. })) | Ok(None) | Err(_) => return,
                Ok(Some(_)) => {}
            }
        }
    });
    ended.await;
    drop(open.up);
    assert_eq!(secured.hello(&mut w1, Some(&held), None).await.err().unwrap(), "REVOKED");
    let refused = secured.issue(&key, uid, Some(&secured.lab)).await.unwrap_err();
    assert_failure(&refused, Code::PermissionDenied, "REVOKED");
}

/// The stream of a worker ends with its certificate, and goes on if that was made anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_stands_while_there_is_a_newer_certificate_of_its_key() {
    let secured = Secured::start().await;
    let authority = Authority::open(&secured.dir.path().join("pki")).unwrap();
    let short = |key: &WorkerKey, uid| {
        let held = HeldCertificate::default();
        let life = Duration::from_secs(3);
        key.show(&authority.issue_worker(&key.request().unwrap(), uid, life).unwrap().chain, &held).unwrap();
        held
    };
    let ((mut w1, one), (mut w2, two)) = (worker("w1"), worker("w2"));
    let (first, second) = (secured.key("w1.key"), secured.key("w2.key"));
    let (of_one, of_two) = (short(&first, one), short(&second, two));
    let ends = secured.hello(&mut w1, Some(&of_one), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    let mut stands = secured.hello(&mut w2, Some(&of_two), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    secured.issue(&second, two, None).await.unwrap();
    assert_failure(&failure_of(ends.down).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    let beat = v1::LinkRequest { message: Some(Up::Heartbeat(v1::Heartbeat { number: 7 })) };
    stands.up.send(beat).await.unwrap();
    let answered = soon("the second stream goes on", async {
        loop {
            let message = stands.down.message().await.unwrap().unwrap().message;
            if let Some(Down::HeartbeatAnswer(answer)) = message {
                return answer.number;
            }
        }
    });
    assert_eq!(answered.await, 7);
}

async fn embedded(store: &Path) -> AnyCandidate {
    let new_cluster = NewCluster { name: "test".into(), is_name_default: true, now: WallTime(1) };
    let candidacy = Candidacy::new(String::new(), String::new(), Duration::from_secs(3));
    muster_store::open(&Location::Embedded(store.to_owned()), new_cluster, candidacy).await.unwrap()
}

/// What is in the clear at a master in transition: an old worker, its program, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_credentials_is_taken_in_the_clear_until_it_has_some() {
    let secured = Secured::start().await;
    let store = secured.dir.path().join("store");
    let plain = Master::start_on(embedded(&store).await, &[]).await;
    let (mut w1, uid) = worker("w1");
    let mut link = w1.join(&plain, &[]).await;
    submit(&mut plain.client().await, "old").await;
    let launch = link.launch().await;
    let running = w1.report(&launch, AttemptState::Running);
    link.report(std::slice::from_ref(&running)).await;
    until(&mut plain.client().await, "old", v1::driver::State::Running).await;
    let token = launch.token.unwrap();
    plain.stop().await.unwrap();
    drop(link);

    let mut transition = flags(secured.dir.path()).to_vec();
    transition.push("--plaintext-transition".to_owned());
    let transition: Vec<&str> = transition.iter().map(String::as_str).collect();
    let master = Master::start_on(embedded(&store).await, &transition).await;
    let secured = Secured { master, ..secured };
    let _link = w1.join(&secured.master, &[running]).await;
    let (mut w2, _) = worker("w2");
    assert_eq!(w2.turned_away(&secured.master).await.refusal, "NO_CREDENTIAL", "it is not known");

    // A program has its token in each message, and on loopback as the bearer, too.
    let registration = |driver_token: &str| v1::RegisterApplicationRequest {
        application: Some(v1::ApplicationSpec { name: "a".into(), ..sleepers() }),
        driver_token: driver_token.into(),
        ..Default::default()
    };
    let mut programs = secured.master.applications().await;
    let none = programs.register_application(registration("")).await.unwrap_err();
    assert_failure(&none, Code::Unauthenticated, "NO_CREDENTIAL");
    let wrong = token.expose().replace(char::is_alphabetic, "0");
    let fenced = programs.register_application(registration(&wrong)).await.unwrap_err();
    assert_failure(&fenced, Code::FailedPrecondition, "FENCED");
    for bearer in [None, Some(&token)] {
        programs.register_application(with(bearer, registration(token.expose()))).await.unwrap();
    }

    // Nobody else: not even who shows a good credential, which is one no longer.
    let mut client = secured.master.client().await;
    for (shown, reason) in
        [(None, "NO_CREDENTIAL"), (Some(&secured.admin), "BAD_CREDENTIAL"), (Some(&token), "BAD_CREDENTIAL")]
    {
        let refused = client.list_drivers(with(shown, v1::ListDriversRequest::default())).await.unwrap_err();
        assert_failure(&refused, Code::Unauthenticated, reason);
        let refused = client.submit_driver(with(shown, v1::SubmitDriverRequest::default())).await.unwrap_err();
        assert_failure(&refused, Code::Unauthenticated, reason);
    }
    let wanted = v1::IssueWorkerCertificateRequest::default();
    let mut access = AccessServiceClient::new(secured.master.channel().await);
    let refused = access.issue_worker_certificate(with(Some(&secured.lab), wanted)).await.unwrap_err();
    assert_failure(&refused, Code::Unauthenticated, "BAD_CREDENTIAL");
    client.watch_leader(v1::WatchLeaderRequest {}).await.unwrap();

    let notices = async || {
        let mut admin = secured.operator().await;
        let shown = admin.get_cluster(with(Some(&secured.admin), v1::GetClusterRequest {})).await.unwrap();
        shown.into_inner().cluster.unwrap().notices.join("\n")
    };
    let shown = notices().await;
    assert!(shown.contains("--plaintext-transition") && shown.contains("of 1 workers"), "{shown}");

    // A standby has nothing to hand on, and says who leads.
    let (follower, control) = Follower::new();
    control.lead(&secured.master.address, 1);
    let standby = Master::start_on(follower, &transition).await;
    let refused = standby.applications().await.register_application(registration(token.expose())).await.unwrap_err();
    assert_failure(&refused, Code::Unavailable, "NOT_LEADER");

    // Who has shown a certificate shows it from then on.
    let held = secured.issue(&secured.key("w1.key"), uid, Some(&secured.lab)).await.unwrap();
    let _open = secured.hello(&mut w1, Some(&held), None).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(w1.turned_away(&secured.master).await.refusal, "NO_CREDENTIAL");
    assert!(notices().await.contains("of 0 workers"));
    programs.register_application(registration(token.expose())).await.unwrap();
    let revoke = v1::RevokeWorkerRequest { worker_id: "w1".into(), ..Default::default() };
    secured.operator().await.revoke_worker(with(Some(&secured.admin), revoke)).await.unwrap();
    let refused = programs.register_application(registration(token.expose())).await.unwrap_err();
    assert_failure(&refused, Code::Unauthenticated, "BAD_CREDENTIAL");
}

/// Masters are started anew one after the other, each once the one before is ready.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_transition_a_standby_is_ready_while_the_leader_has_no_tls() {
    let dir = tempfile::tempdir().unwrap();
    Authority::create(&dir.path().join("pki")).unwrap();
    add_token(&dir.path().join("access.toml"), "ann", muster_types::TokenGrant::User(Role::Admin), None).unwrap();
    let transition = [&flags(dir.path())[..], &["--plaintext-transition".to_owned(), "--unready-after=1s".to_owned()]];
    let transition = transition.concat();
    let plain = Master::start(&[]).await;
    let (follower, control) = Follower::new();
    control.lead(&plain.address, 1);
    let standby = Master::start_on(follower, &transition.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let trust = Trust::in_ca(&std::fs::read_to_string(dir.path().join("pki/ca.crt")).unwrap()).unwrap();
    let status = async || {
        let endpoint = Endpoint::from_shared(format!("http://{}", standby.address)).unwrap();
        let channel = endpoint.connect_with_connector(Connector::new(Some(trust.clone()), SOON)).await.unwrap();
        let asked = tonic_health::pb::HealthCheckRequest { service: "readiness".into() };
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
        health.check(asked).await.unwrap().into_inner().status()
    };
    let is = async |wanted| (status().await == wanted).then_some(());
    // The first leader is believed, and each further one is asked.
    control.vacate();
    eventually("nobody leads", async || is(ServingStatus::NotServing).await).await;
    control.lead(&plain.address, 2);
    eventually("the leader answers in the clear", async || is(ServingStatus::Serving).await).await;
}

/// Whoever proves nothing, and so may be anybody, must not be able to fill the audit.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_in_the_clear_is_counted_and_not_told_each_time() {
    let dir = tempfile::tempdir().unwrap();
    Authority::create(&dir.path().join("pki")).unwrap();
    add_token(&dir.path().join("access.toml"), "ann", muster_types::TokenGrant::User(Role::Admin), None).unwrap();
    let transition = [&flags(dir.path())[..], &["--plaintext-transition".to_owned()]].concat();
    let master = Master::start(&transition.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut programs, mut client) = (master.applications().await, master.client().await);
    let (mut unknown, _) = worker("unknown");
    for _ in 0..50 {
        let driver_token = format!("{:032x}.1.{}", 7, "0".repeat(32));
        let wrong = v1::RegisterApplicationRequest {
            application: Some(v1::ApplicationSpec { name: "a".into(), ..sleepers() }),
            driver_token,
            ..Default::default()
        };
        programs.register_application(wrong).await.unwrap_err();
        client.step_down(v1::StepDownRequest::default()).await.unwrap_err();
        assert_eq!(unknown.turned_away(&master).await.refusal, "NO_CREDENTIAL");
    }
    drop((programs, client));
    let lines: Vec<serde_json::Value> =
        master.into_audit().await.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (method, by) in [
        ("ApplicationService/RegisterApplication", "plaintext"),
        ("WorkerLinkService/Link", "plaintext"),
        ("MasterService/StepDown", "nothing"),
    ] {
        let of_method: Vec<_> = lines.iter().filter(|line| line["method"] == method).collect();
        let counted: u64 = of_method.iter().map(|line| line["repeated"].as_u64().unwrap_or(1)).sum();
        assert_eq!(counted, 50, "{of_method:?}");
        assert!(of_method.iter().any(|line| line["repeated"].is_u64()), "{of_method:?}");
        assert!(of_method.iter().all(|line| line["by"] == by && line["verdict"] != "ok"), "{of_method:?}");
    }
}

fn sleepers() -> v1::ApplicationSpec {
    let resources = v1::Resources { cores: 1, memory_bytes: 1 << 20, ..Default::default() };
    let profile = v1::ExecutorProfile { resources: Some(resources), ..Default::default() };
    let template = v1::ExecutorTemplate { command: sleeper().command, ..Default::default() };
    v1::ApplicationSpec { template: Some(template), profiles: vec![profile], ..Default::default() }
}
