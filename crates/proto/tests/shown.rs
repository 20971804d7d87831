//! Records as people see them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::{render, v1};
use muster_types::*;

fn record() -> DriverRecord {
    let attempt = |number, outcome: Option<Outcome>| AttemptRecord {
        number: AttemptNumber(number),
        worker: WorkerUid(1),
        worker_name: "w1".into(),
        incarnation: Incarnation { counter: 1, random: 1 },
        resources: AllocatedResources { cores: 1, memory: 1 << 20, addresses: BTreeMap::new() },
        token: Secret::new("the-token"),
        assigned: WallTime(1),
        started: Some(WallTime(2)),
        ended: outcome.as_ref().map(|_| WallTime(3)),
        outcome,
        launch_timed_out: false,
    };
    DriverRecord {
        uid: DriverUid(0xabc),
        id: "driver-1".into(),
        spec: Arc::new(DriverSpec {
            command: Arc::new(Command {
                program: "/bin/true".into(),
                env: BTreeMap::from([("DB_PASSWORD".into(), "sesame".into()), ("LANG".into(), "C".into())]),
                secret_env: BTreeMap::from([("A".into(), Secret::new("hunter2"))]),
                ..Command::default()
            }),
            resources: Resources::new(1, 1 << 20),
            artifacts: Arc::new([Artifact {
                uri: muster_types::ArtifactUri::new("https://user:opensesame@host/f"),
                sha256: None,
                file_name: "f".into(),
                executable: false,
            }]),
            restart: RestartPolicy::default(),
            on_worker_lost: WorkerLostPolicy::Wait,
            kill_grace: Duration::from_secs(10),
            labels: BTreeMap::new(),
            worker_selector: BTreeMap::new(),
            log_limit: DEFAULT_LOG_LIMIT,
            run_as: None,
        }),
        request: Some("the-request".into()),
        owner: Some("ann".into()),
        trace: None,
        state: DriverState::Killing,
        created: WallTime(1_000),
        updated: WallTime(2_000),
        ended: None,
        attempts: vec![attempt(1, Some(Outcome::exited(Exit::Code(3)))), attempt(2, None)],
        kill: None,
        failures: vec![WallTime(3)],
        consecutive_failures: 1,
        generation: 1,
        version: 31,
    }
}

#[test]
fn a_driver_is_shown_without_its_secrets() {
    let driver = render::driver(&record(), render::DriverExtras { pid: Some(99), ..Default::default() });
    let command = driver.spec.as_ref().unwrap().command.as_ref().unwrap();
    assert_eq!(command.env["LANG"], "C");
    assert_eq!((command.env["DB_PASSWORD"].as_str(), command.secret_env["A"].as_str()), (REDACTED, REDACTED));
    let bytes = String::from_utf8_lossy(&prost::Message::encode_to_vec(&driver)).into_owned();
    for secret in ["sesame", "hunter2", "the-token"] {
        assert!(!bytes.contains(secret), "{secret} is shown");
    }
}

#[test]
fn each_attempt_says_where_it_stands() {
    let extras = render::DriverExtras { pid: Some(99), wait_channel: Some("nfs_wait"), ..Default::default() };
    let driver = render::driver(&record(), extras);
    let shown: Vec<_> = driver.attempts.iter().map(|a| (a.state(), a.pid, a.wait_channel.as_str())).collect();
    use v1::driver::State;
    assert_eq!(shown, [(State::Failed, 0, ""), (State::Killing, 99, "nfs_wait")]);
    assert_eq!(driver.outcome, None, "the last attempt has not ended");
    assert_eq!(muster_proto::tokens::version_of_etag(&driver.etag), Ok(31));
}
