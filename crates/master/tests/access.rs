//! Credentials as a client sees them: each method with each kind of token, at the leader and at a
//! standby, in frames of HTTP/2.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::follower::{Follower, leader_and_standby};
use common::worker::{FakeWorker, Link, exited};
use common::*;
use muster_master::add_token;
use muster_proto::methods::Method;
use muster_proto::v1;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_testenv::wire::{Call, Frames};
use muster_types::{Launch, Role, Secret, TokenGrant, WallTime};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use v1::master_service_client::MasterServiceClient;

/// An access file with a token for every role and for a worker, by their words.
struct AccessFile {
    path: PathBuf,
    tokens: BTreeMap<&'static str, Secret>,
    _dir: tempfile::TempDir,
}

impl AccessFile {
    fn new() -> AccessFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.toml");
        let of_role =
            |role: Role| (role.as_str(), add_token(&path, role.as_str(), TokenGrant::User(role), None).unwrap());
        let mut tokens = BTreeMap::from(Role::ALL.map(of_role));
        tokens.insert("worker", add_token(&path, "w", TokenGrant::Worker, None).unwrap());
        AccessFile { path, tokens, _dir: dir }
    }

    fn bearer(&self, of: &str) -> String {
        format!("Bearer {}", self.tokens[of].expose())
    }

    fn flags(&self) -> [&str; 2] {
        ["--access-file", self.path.to_str().unwrap()]
    }
}

/// The reason for which an answer refuses its caller.
fn refusal(frames: &Frames) -> Option<String> {
    let reason = frames.reason.clone().filter(|_| frames.http == 200 && [7, 16].contains(&frames.status()))?;
    assert!(frames.headers_only, "nothing is read of what is refused: {frames:?}");
    Some(reason)
}

/// A call whose message makes no sense, so that a method that is reached does nothing.
fn senseless(method: Method, bearer: Option<String>) -> Call {
    let call = Call::new(method.path(), &()).body(vec![0, 0, 0, 0, 1, 0xff]);
    bearer.into_iter().fold(call, |call, bearer| call.with("authorization", bearer))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_is_for_the_same_callers_at_a_leader_and_at_a_standby() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let mut allowed: BTreeMap<&str, Vec<Method>> = BTreeMap::new();
    for &method in Method::ALL {
        for of in ["", "viewer", "submitter", "operator", "admin", "worker"] {
            let call = senseless(method, (!of.is_empty()).then(|| file.bearer(of)));
            let at_leader = refusal(&call.at(&leader.address).await);
            let at_standby = refusal(&call.at(&standby.address).await);
            assert_eq!(at_leader, at_standby, "{method:?} {of}");
            let expected = if of.is_empty() { "NO_CREDENTIAL" } else { "ROLE_REQUIRED" };
            match at_leader {
                None => allowed.entry(of).or_default().push(method),
                Some(reason) => assert_eq!(reason, expected, "{method:?} {of}"),
            }
        }
    }
    let open = [
        Method::HealthCheck,
        Method::HealthList,
        Method::HealthWatch,
        Method::AccessGetCaller,
        Method::AccessGetTrustBundle,
        Method::AccessIssueWorkerCertificate,
        Method::MasterWatchLeader,
    ];
    assert_eq!(allowed[""], open, "and nothing else to nobody");
    let counts = ["viewer", "submitter", "operator", "admin", "worker"].map(|of| allowed[of].len());
    assert_eq!(counts, [21, 30, 37, 41, 11]);
    for (less, more) in [("viewer", "submitter"), ("submitter", "operator"), ("operator", "admin")] {
        assert!(allowed[less].iter().all(|method| allowed[more].contains(method)), "{less} {more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_is_told_who_it_is() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let expected = [
        ("viewer", "viewer", v1::Role::Viewer, "viewer"),
        ("admin", "admin", v1::Role::Admin, "admin"),
        ("worker", "system:worker:w", v1::Role::Unspecified, ""),
    ];
    for master in [&leader, &standby] {
        let mut client = AccessServiceClient::new(master.channel().await);
        for (token, caller, role, owner) in expected {
            let request = signed(&file.bearer(token).parse().unwrap(), v1::GetCallerRequest {});
            let answer = client.get_caller(request).await.unwrap().into_inner();
            let shown = v1::GetCallerResponse { caller: caller.into(), role: role.into(), owner: owner.into() };
            assert_eq!(answer, shown);
        }
    }
    let everybody = Master::start(&[]).await;
    let shown = AccessServiceClient::new(everybody.channel().await).get_caller(v1::GetCallerRequest {}).await.unwrap();
    assert_eq!((shown.get_ref().caller.as_str(), shown.get_ref().role()), ("system:local", v1::Role::Admin));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_without_a_credential_of_its_own() {
    let file = AccessFile::new();
    let flags = [file.flags().as_slice(), &["--unready-after", "300ms"]].concat();
    let (leader, standby, _control) = leader_and_standby(&flags).await;
    let asked = tonic_health::pb::HealthCheckRequest { service: "readiness".into() };
    let call = Call::new("/grpc.health.v1.Health/Check", &asked);
    // Several times as long as it takes to be found unready.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for address in [&leader.address, &standby.address] {
        let frames = call.at(address).await;
        assert_eq!((frames.status(), frames.messages[0].1.as_slice()), (0, [8, 1].as_slice()), "{frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_a_token_is_wrong_is_refused() {
    let file = AccessFile::new();
    let expired = add_token(&file.path, "late", TokenGrant::User(Role::Admin), Some(WallTime(1_000))).unwrap();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let good = file.bearer("admin");
    let other_secret = format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
    let stranger = AccessFile::new().bearer("admin");
    let attempt = format!("Bearer {}.1.{:032x}", muster_types::DriverUid(7), 7);
    let cases = [
        (other_secret, "BAD_CREDENTIAL"),
        (stranger, "BAD_CREDENTIAL"),
        (good.replacen("Bearer", "Basic", 1), "BAD_CREDENTIAL"),
        (good.to_uppercase(), "BAD_CREDENTIAL"),
        ("Bearer ".to_owned(), "BAD_CREDENTIAL"),
        ("Bearer mst_".to_owned(), "BAD_CREDENTIAL"),
        (format!("Bearer {}", expired.expose()), "CREDENTIAL_EXPIRED"),
        (attempt, "BAD_CREDENTIAL"),
    ];
    for (bearer, reason) in cases {
        for address in [&leader.address, &standby.address] {
            let frames = senseless(Method::MasterListDrivers, Some(bearer.clone())).at(address).await;
            assert_eq!(refusal(&frames).as_deref(), Some(reason), "{bearer}");
            assert_eq!(frames.status(), 16, "{bearer}");
            let shown = format!("{frames:?}");
            let secret = bearer.rsplit(['_', '.', ' ']).next().unwrap_or_default();
            assert!(secret.is_empty() || !shown.contains(secret), "{shown}");
        }
    }
    let twice = senseless(Method::MasterListDrivers, Some(good.clone())).with("authorization", good);
    assert_eq!(refusal(&twice.at(&leader.address).await).as_deref(), Some("BAD_CREDENTIAL"));
    let unknown = Call::new("/muster.v1.MasterService/Nothing", &());
    assert_eq!(unknown.at(&leader.address).await.status(), 12);
}

fn take_out(path: &Path, token: &Secret) {
    let id = token.expose().split('_').nth(1).unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(&format!("[[tokens]]\nid = \"{id}\"")).unwrap();
    let rest = rest.split_once("[[tokens]]").map_or(String::new(), |(_, rest)| format!("[[tokens]]{rest}"));
    std::fs::write(path, format!("{before}{rest}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_is_taken_out() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let mut streams = Vec::new();
    for master in [&leader, &standby] {
        let mut request = Request::new(v1::WatchEventsRequest::default());
        request.metadata_mut().insert("authorization", file.bearer("viewer").parse().unwrap());
        streams.push(master.client().await.watch_events(request).await.unwrap().into_inner());
    }
    take_out(&file.path, &file.tokens["viewer"]);
    for stream in streams {
        assert_failure(&failure_of(stream).await, Code::Unauthenticated, "BAD_CREDENTIAL");
    }
    // A file that makes no sense changes nothing.
    std::fs::write(&file.path, "tokens = 7").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let frames = senseless(Method::MasterListDrivers, Some(file.bearer("operator"))).at(&leader.address).await;
    assert_eq!(refusal(&frames), None, "{frames:?}");
}

type Bearer = MetadataValue<Ascii>;
type MasterClient = MasterServiceClient<Channel>;

fn signed<T>(bearer: &Bearer, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", bearer.clone());
    request
}

fn secretive(id: &str) -> v1::SubmitDriverRequest {
    let mut driver = sleeper();
    driver.command.as_mut().unwrap().env.insert("PLACE".into(), "valley".into());
    v1::SubmitDriverRequest {
        driver: Some(driver),
        driver_id: id.into(),
        request_id: format!("request-{id}"),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_its_owners_and_the_operators() {
    let file = AccessFile::new();
    let (ann, bob) = (user(&file, "ann"), user(&file, "bob"));
    let operator: Bearer = file.bearer("operator").parse().unwrap();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    for (master, id) in [(&leader, "one"), (&standby, "two")] {
        let mut client = master.client().await;
        let made = client.submit_driver(signed(&ann, secretive(id))).await.unwrap().into_inner().driver.unwrap();
        assert_eq!(made.owner, "ann");
        for (bearer, value) in [(&ann, "valley"), (&operator, "valley"), (&bob, "[redacted]")] {
            let shown = client.get_driver(signed(bearer, v1::GetDriverRequest { driver_id: id.into() })).await;
            let shown = shown.unwrap().into_inner().driver.unwrap();
            assert_eq!(shown.spec.unwrap().command.unwrap().env["PLACE"], value);
            let listed = client.list_drivers(signed(bearer, v1::ListDriversRequest::default())).await.unwrap();
            let listed = listed.into_inner().drivers.into_iter().find(|driver| driver.driver_id == id).unwrap();
            assert_eq!(listed.spec.unwrap().command.unwrap().env["PLACE"], value);
        }
        let again = client.submit_driver(signed(&bob, secretive(id))).await.unwrap_err();
        assert_failure(&again, Code::InvalidArgument, "REQUEST_ID_REUSED");

        let kill = || v1::KillDriverRequest { driver_id: id.into(), ..Default::default() };
        let refused = client.kill_driver(signed(&bob, kill())).await.unwrap_err();
        assert_failure(&refused, Code::PermissionDenied, "NOT_OWNER");
        let by_uid = v1::KillDriverRequest { driver_id: made.uid.clone(), ..Default::default() };
        let refused = client.kill_driver(signed(&bob, by_uid)).await.unwrap_err();
        assert_failure(&refused, Code::PermissionDenied, "NOT_OWNER");
        let read = v1::ReadLogRequest {
            subject: Some(v1::read_log_request::Subject::DriverId(id.into())),
            ..Default::default()
        };
        let refused = client.read_log(signed(&bob, read.clone())).await.map(drop).unwrap_err();
        assert_failure(&refused, Code::PermissionDenied, "NOT_OWNER");
        let nothing_yet = client.read_log(signed(&ann, read)).await.map(drop).unwrap_err();
        assert_failure(&nothing_yet, Code::FailedPrecondition, "WRONG_STATE");
        let ender = if id == "one" { &ann } else { &operator };
        client.kill_driver(signed(ender, kill())).await.unwrap();
        let ended = client.get_driver(signed(&bob, v1::GetDriverRequest { driver_id: id.into() })).await.unwrap();
        let ended = ended.into_inner().driver.unwrap();
        assert_eq!(ended.state(), v1::driver::State::Killed);
        assert_eq!(ended.spec.unwrap().command.unwrap().env["PLACE"], "[redacted]");
    }
}

/// The token of a user, who submits.
fn user(file: &AccessFile, name: &str) -> Bearer {
    let token = add_token(&file.path, name, TokenGrant::User(Role::Submitter), None).unwrap();
    format!("Bearer {}", token.expose()).parse().unwrap()
}

/// An application whose every part has a value that is not for everybody.
fn registration(id: &str, driver_token: &str) -> v1::RegisterApplicationRequest {
    let template = || {
        let mut command = sleeper().command.unwrap();
        command.env.insert("PLACE".into(), "valley".into());
        v1::ExecutorTemplate { command: Some(command), ..Default::default() }
    };
    let profile = v1::ExecutorProfile {
        profile_id: 1,
        resources: Some(v1::Resources { cores: 1, memory_bytes: 1 << 20, ..Default::default() }),
        template: Some(template()),
        variables: [("PLACE".to_owned(), "valley".to_owned())].into(),
        ..Default::default()
    };
    let profiles = vec![profile];
    let spec = v1::ApplicationSpec { name: "app".into(), profiles, template: Some(template()), ..Default::default() };
    v1::RegisterApplicationRequest {
        application: Some(spec),
        application_id: id.into(),
        request_id: format!("request-{id}"),
        driver_token: driver_token.into(),
    }
}

/// What an application that is shown tells of its values, each once.
fn values_of(application: v1::Application) -> std::collections::BTreeSet<String> {
    let spec = application.spec.unwrap();
    let templates = spec.profiles.iter().map(|profile| profile.template.as_ref()).chain([spec.template.as_ref()]);
    let mut values: Vec<_> = templates.map(|one| one.unwrap().command.as_ref().unwrap().env["PLACE"].clone()).collect();
    values.extend(spec.profiles.iter().map(|profile| profile.variables["PLACE"].clone()));
    assert_eq!(values.len(), 3);
    values.into_iter().collect()
}

fn targets(id: &str, sequence: u64, target: u32, driver_token: &str) -> v1::RequestExecutorsRequest {
    v1::RequestExecutorsRequest {
        application_id: id.into(),
        sequence,
        targets: vec![v1::ProfileTarget { profile_id: 1, target, ..Default::default() }],
        driver_token: driver_token.into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_in_client_mode_obeys_its_owner() {
    let file = AccessFile::new();
    let (ann, bob) = (user(&file, "ann"), user(&file, "bob"));
    let operator: Bearer = file.bearer("operator").parse().unwrap();
    let (leader, _standby, _control) = leader_and_standby(&file.flags()).await;
    let (mut applications, mut client) = (leader.applications().await, leader.client().await);
    let made = applications.register_application(signed(&ann, registration("app", ""))).await.unwrap().into_inner();
    assert_eq!(made.application.unwrap().owner, "ann");
    let again = applications.register_application(signed(&bob, registration("app", ""))).await.unwrap_err();
    assert_failure(&again, Code::InvalidArgument, "REQUEST_ID_REUSED");

    // With a target that nothing meets, the core is asked why; without, the view tells all.
    for target in [0, 1] {
        let wanted = targets("app", u64::from(target) + 1, target, "");
        applications.request_executors(signed(&ann, wanted)).await.unwrap();
        for (bearer, value) in [(&ann, "valley"), (&operator, "valley"), (&bob, "[redacted]")] {
            let get = v1::GetApplicationRequest { application_id: "app".into() };
            let shown = client.get_application(signed(bearer, get)).await.unwrap().into_inner().application.unwrap();
            assert_eq!(shown.profiles[0].target, target);
            assert_eq!(values_of(shown), [value.to_owned()].into());
            let listed =
                client.list_applications(signed(bearer, v1::ListApplicationsRequest::default())).await.unwrap();
            let listed = listed.into_inner().applications.into_iter().next().unwrap();
            assert_eq!(values_of(listed), [value.to_owned()].into());
        }
    }

    let id = || "app".to_owned();
    let watch = v1::WatchApplicationRequest { application_id: id(), ..Default::default() };
    let kill_executors = v1::KillExecutorsRequest { application_id: id(), executor_ids: vec![0], ..Default::default() };
    let end = || v1::UnregisterApplicationRequest { application_id: id(), ..Default::default() };
    let kill = || v1::KillApplicationRequest { application_id: id(), ..Default::default() };
    let subject = || Some(v1::read_log_request::Subject::ApplicationId(id()));
    let read = || v1::ReadLogRequest { subject: subject(), executor_id: Some(0), ..Default::default() };
    let refused: Vec<Status> = vec![
        applications.request_executors(signed(&bob, targets("app", 9, 1, ""))).await.map(drop).unwrap_err(),
        applications.kill_executors(signed(&bob, kill_executors)).await.map(drop).unwrap_err(),
        applications.watch_application(signed(&bob, watch)).await.map(drop).unwrap_err(),
        applications.unregister_application(signed(&bob, end())).await.map(drop).unwrap_err(),
        client.kill_application(signed(&bob, kill())).await.map(drop).unwrap_err(),
        client.read_log(signed(&bob, read())).await.map(drop).unwrap_err(),
    ];
    for status in refused {
        assert_failure(&status, Code::PermissionDenied, "NOT_OWNER");
    }
    let nothing_yet = client.read_log(signed(&ann, read())).await.map(drop).unwrap_err();
    assert_failure(&nothing_yet, Code::NotFound, "NOT_FOUND");
    client.kill_application(signed(&ann, kill())).await.unwrap();
    applications.register_application(signed(&ann, registration("next", ""))).await.unwrap();
    let end = v1::UnregisterApplicationRequest { application_id: "next".into(), ..Default::default() };
    applications.unregister_application(signed(&ann, end)).await.unwrap();
}

/// The token of a driver's first attempt, which runs on this worker.
async fn launched(client: &mut MasterClient, link: &mut Link, ann: &Bearer, id: &str) -> (Launch, String) {
    client.submit_driver(signed(ann, secretive(id))).await.unwrap();
    let launch = link.launch().await;
    let token = launch.token.as_ref().unwrap().expose().to_owned();
    (launch, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_steers_its_own_applications_and_nothing_else() {
    let file = AccessFile::new();
    let ann = user(&file, "ann");
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let mut worker = FakeWorker::new("w1", 4);
    worker.bearer = Some(file.bearer("worker").parse().unwrap());
    let mut link = worker.join(&leader, &[]).await;
    let mut client = leader.client().await;
    let (launch, token) = launched(&mut client, &mut link, &ann, "one").await;
    let (_, other) = launched(&mut client, &mut link, &ann, "two").await;
    let bearer = |token: &str| -> Bearer { format!("Bearer {token}").parse().unwrap() };
    let parts: Vec<&str> = token.split('.').collect();
    let another_attempt = format!("{}.9.{}", parts[0], parts[2]);

    for (master, id) in [(&leader, "first"), (&standby, "second")] {
        let mut applications = master.applications().await;
        // Only the whole token is one, and it says nothing of another attempt.
        let last = if token.ends_with('0') { "1" } else { "0" };
        for wrong in [format!("{}{last}", &token[..token.len() - 1]), another_attempt.clone()] {
            let status = applications.register_application(signed(&bearer(&wrong), registration(id, &wrong))).await;
            assert_failure(&status.unwrap_err(), Code::Unauthenticated, "BAD_CREDENTIAL");
        }
        let own = bearer(&token);
        for foreign in ["", &other, &another_attempt] {
            let status = applications.register_application(signed(&own, registration(id, foreign))).await.unwrap_err();
            assert_failure(&status, Code::InvalidArgument, "BAD_REQUEST");
        }
        let made = applications.register_application(signed(&own, registration(id, &token))).await.unwrap();
        assert_eq!(made.into_inner().application.unwrap().owner, "ann", "that of its driver");
        for foreign in ["", &other, &another_attempt] {
            let status = applications.request_executors(signed(&own, targets(id, 1, 0, foreign))).await.unwrap_err();
            assert_failure(&status, Code::InvalidArgument, "BAD_REQUEST");
        }
        applications.request_executors(signed(&own, targets(id, 1, 0, &token))).await.unwrap();
        // Nobody else steers it, whatever token is in the message: not its driver's owner either.
        for (stranger, named) in [(&bearer(&other), other.as_str()), (&ann, "")] {
            let status = applications.request_executors(signed(stranger, targets(id, 2, 0, named))).await.unwrap_err();
            assert_failure(&status, Code::FailedPrecondition, "FENCED");
        }
        let mut client = master.client().await;
        let status =
            client.get_driver(signed(&own, v1::GetDriverRequest { driver_id: "one".into() })).await.unwrap_err();
        assert_failure(&status, Code::PermissionDenied, "ROLE_REQUIRED");
    }

    link.report(&[worker.report(&launch, exited(0))]).await;
    let mut applications = leader.applications().await;
    soon("the token ends with its attempt", async {
        let mut sequence = 2;
        loop {
            sequence += 1;
            match applications.request_executors(signed(&bearer(&token), targets("first", sequence, 0, &token))).await {
                Err(status) if status.code() == Code::Unauthenticated => return,
                // The attempt is still open, or its application has ended with it.
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await;
}

/// How a stream ends.
async fn end_of(mut stream: tonic::Streaming<v1::WatchEventsResponse>) -> Status {
    soon("the stream ends", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends with a reason"),
                Err(status) => return status,
            }
        }
    })
    .await
}

fn soon_expired() -> WallTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // The file has whole seconds.
    WallTime(u64::try_from(now.as_millis()).unwrap() + 3_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_expires() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let short = add_token(&file.path, "short", TokenGrant::User(Role::Viewer), Some(soon_expired())).unwrap();
    let short: Bearer = format!("Bearer {}", short.expose()).parse().unwrap();
    let long: Bearer = file.bearer("viewer").parse().unwrap();
    let mut streams = Vec::new();
    for master in [&leader, &standby] {
        for bearer in [&short, &long] {
            let mut client = master.client().await;
            let opened = eventually("the token is known", async || {
                client.watch_events(signed(bearer, v1::WatchEventsRequest::default())).await.ok()
            });
            streams.push(opened.await.into_inner());
        }
    }
    // That of the other token ends sooner than it was to when it was opened.
    let text = std::fs::read_to_string(&file.path).unwrap();
    let expires = prost_types::Timestamp { seconds: i64::try_from(soon_expired().0 / 1_000).unwrap(), nanos: 0 };
    std::fs::write(
        &file.path,
        text.replace("name = \"viewer\"\n", &format!("name = \"viewer\"\nexpires = {expires}\n")),
    )
    .unwrap();
    for stream in streams {
        assert_failure(&end_of(stream).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    }
}

/// The files of two masters may differ for a while. The leader's decides; what a standby answers
/// itself, it answers by its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_file_decides_on_what_is_forwarded() {
    let (file, older) = (AccessFile::new(), AccessFile::new());
    let leader = Master::start(&file.flags()).await;
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &older.flags()).await;
    let refusal_at_standby =
        async |method: Method, bearer: String| refusal(&senseless(method, Some(bearer)).at(&standby.address).await);
    assert_eq!(refusal_at_standby(Method::MasterListDrivers, file.bearer("viewer")).await, None);
    let reason = refusal_at_standby(Method::MasterSubmitDriver, file.bearer("viewer")).await;
    assert_eq!(reason.as_deref(), Some("ROLE_REQUIRED"));
    let reason = refusal_at_standby(Method::MasterListDrivers, older.bearer("admin")).await;
    assert_eq!(reason.as_deref(), Some("BAD_CREDENTIAL"));
    let reason = refusal_at_standby(Method::Reflect, file.bearer("admin")).await;
    assert_eq!(reason.as_deref(), Some("BAD_CREDENTIAL"));
    assert_eq!(refusal_at_standby(Method::Reflect, older.bearer("viewer")).await, None);
}
