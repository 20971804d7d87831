//! Link messages survive the conversion to the wire and back, and no message of a peer makes the
//! parsing panic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_proto::{LeaderWelcome, v1};
use muster_types::*;
use prost::Message as _;

fn resources() -> AllocatedResources {
    let addresses = BTreeMap::from([("gpu".into(), vec!["0".into(), "1".into()])]);
    AllocatedResources { cores: 4, memory: 8 << 30, addresses }
}

fn hello() -> Hello {
    Hello {
        cluster: Some(ClusterUid(7)),
        worker: WorkerUid(u128::MAX),
        name: "w-1".into(),
        machine_id: "machine".into(),
        boot_id: "boot".into(),
        incarnation: Incarnation { counter: 3, random: 9 },
        session: Session(12),
        epoch: Some(Epoch { generation: 1, revision: 2, leader: LeaderUid(3) }),
        capabilities: Capabilities { tree: true, tree_method: "cgroup2".into(), ..Default::default() },
        total: resources(),
        labels: BTreeMap::from([("zone".into(), "a".into())]),
        variables: BTreeSet::from(["JAVA_HOME".into()]),
        host: "host-1".into(),
        address: "host-1:7078".into(),
        version: "0.1.0".into(),
        key: None,
    }
}

fn driver_attempt() -> AttemptKey {
    AttemptKey::Driver(DriverUid(5), AttemptNumber(2))
}

fn launch() -> Launch {
    Launch {
        attempt: driver_attempt(),
        id: "driver-1".into(),
        leased: true,
        command: Arc::new(Command {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "echo {{CORES}}".into()],
            env: BTreeMap::from([("API_KEY".into(), "sesame".into())]),
            secret_env: BTreeMap::from([("A".into(), Secret::new("hunter2"))]),
            work_dir: Some("/tmp".into()),
        }),
        artifacts: Arc::new([Artifact {
            uri: muster_types::ArtifactUri::new("https://u:p@h/a?sig=1"),
            sha256: Some([0xab; 32]),
            file_name: "a".into(),
            executable: true,
        }]),
        resources: resources(),
        kill_grace: Duration::from_millis(1500),
        log_limit: 1 << 20,
        token: Some(Secret::new("5.2.abcdef")),
        variables: BTreeMap::from([("ATTEMPT".into(), "2".into())]),
        resources_component: "driver".into(),
        owner: Some("ann".into()),
        run_as: Some("build".into()),
        trace: TraceContext::new(1 << 100, 2, true),
    }
}

fn commands() -> Vec<WorkerCommand> {
    vec![
        WorkerCommand::Launch(Arc::new(launch())),
        WorkerCommand::Kill { attempt: driver_attempt(), at_once: true, by: KilledBy::Drain },
        WorkerCommand::Thaw { attempt: driver_attempt() },
        WorkerCommand::ApplicationGone(ApplicationUid(6)),
    ]
}

fn reports() -> Vec<Report> {
    let states = [
        AttemptState::Accepted,
        AttemptState::Running,
        AttemptState::Killing { wait_channel: Some("nfs_wait".into()) },
        AttemptState::Killing { wait_channel: None },
        AttemptState::Frozen,
        AttemptState::Ended(Outcome::exited(Exit::Signal(9))),
        AttemptState::Ended(Outcome { out_of_memory: true, ..Outcome::exited(Exit::Code(137)) }),
    ];
    let ended = Reason::ALL.map(|reason| AttemptState::Ended(Outcome::without_exit(Fault::User, reason, "why")));
    let report = |(sequence, state)| Report {
        attempt: AttemptKey::Executor(ApplicationUid(6), ExecutorId(0)),
        sequence,
        state,
        pid: Some(77),
        started: Some(WallTime(1_700_000_000_123)),
        ended: None,
        resources: resources(),
        id: "app-1".into(),
    };
    (1..).zip(states.into_iter().chain(ended)).map(report).collect()
}

#[test]
fn everything_that_goes_up_comes_back() {
    assert_eq!(Hello::try_from(v1::Hello::from(&hello())).unwrap(), hello());
    let wire = v1::Reports::from(&reports()[..]);
    assert_eq!(Vec::<Report>::try_from(wire).unwrap(), reports());
    assert_eq!(v1::Inventory::part(&reports(), true).into_part().unwrap(), (reports(), true));
}

#[test]
fn everything_that_goes_down_comes_back() {
    let incarnation = Incarnation { counter: 1, random: 2 };
    assert_eq!(v1::Commands::of(incarnation, &commands()).into_parts().unwrap(), (incarnation, commands()));
    let acknowledged = vec![Acknowledgement { attempt: driver_attempt(), sequence: 8 }];
    let wire = v1::Acknowledgements::from(&acknowledged[..]);
    assert_eq!(Vec::<Acknowledgement>::try_from(&wire).unwrap(), acknowledged);
    let welcome = LeaderWelcome {
        version: 1,
        cluster: ClusterUid(1),
        cluster_name: "home".into(),
        heartbeat: Duration::from_millis(200),
        lease: Duration::from_secs(2),
        masters: vec!["a:1".into()],
    };
    assert_eq!(LeaderWelcome::try_from(v1::Welcome::from(&welcome)).unwrap(), welcome);
    let epoch = Epoch { generation: 1, revision: u64::MAX, leader: LeaderUid(9) };
    assert_eq!(Epoch::try_from(&v1::Epoch::from(epoch)).unwrap(), epoch);
}

#[test]
fn a_bad_field_is_named_with_its_path() {
    let mut wire = v1::Commands::of(Incarnation { counter: 1, random: 2 }, &commands());
    let Some(v1::worker_command::Command::Kill(kill)) = &mut wire.commands[1].command else { panic!("a kill") };
    kill.attempt.as_mut().unwrap().uid.truncate(3);
    assert_eq!(wire.into_parts().unwrap_err().to_string(), "commands.kill.attempt.uid: is not 16 bytes");

    let mut hello = v1::Hello::from(&hello());
    hello.total.as_mut().unwrap().custom.get_mut("gpu").unwrap().addresses.push("0".into());
    let error = Hello::try_from(hello).unwrap_err().to_string();
    assert_eq!(error, "total.custom.addresses: an address is listed twice");
}

#[test]
fn a_state_of_a_newer_release_closes_nothing() {
    let mut wire = v1::Report::from(&reports()[5]);
    wire.state = 99;
    assert_eq!(Report::try_from(wire).unwrap().state, AttemptState::Running);
}

#[test]
fn a_secret_is_in_no_debug_text() {
    let wire = v1::Commands::of(Incarnation { counter: 1, random: 2 }, &commands());
    let shown = format!("{wire:?}");
    for secret in ["hunter2", "sesame", "abcdef"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

mod anything {
    use super::*;
    use muster_proto::validate;
    use proptest::prelude::*;
    use proptest::sample::Index;

    /// Parses every kind of outside message from the same bytes.
    fn convert(bytes: &[u8]) {
        macro_rules! each {
            ($($message:ty => $convert:expr),+ $(,)?) => {$(
                if let Ok(message) = <$message>::decode(bytes) {
                    let _ = $convert(message);
                }
            )+};
        }
        each! {
            v1::Hello => Hello::try_from,
            v1::Welcome => LeaderWelcome::try_from,
            v1::Reports => Vec::<Report>::try_from,
            v1::Inventory => v1::Inventory::into_part,
            v1::Commands => v1::Commands::into_parts,
            v1::Acknowledgements => |m| Vec::<Acknowledgement>::try_from(&m),
            v1::Epoch => |m| Epoch::try_from(&m),
            v1::SubmitDriverRequest => validate::submit_driver,
            v1::KillDriverRequest => validate::kill_driver,
            v1::RegisterApplicationRequest => validate::register_application,
            v1::RequestExecutorsRequest => validate::request_executors,
            v1::KillExecutorsRequest => validate::kill_executors,
            v1::UnregisterApplicationRequest => validate::unregister,
            v1::WatchApplicationRequest => validate::watch_application,
            v1::DrainWorkerRequest => validate::drain_worker,
            v1::ListDriversRequest => validate::list_drivers,
            v1::ListExecutorsRequest => validate::list_executors,
            v1::WatchEventsRequest => validate::watch_events,
            v1::ReadLogRequest => validate::read_log,
            v1::WorkerServiceReadLogRequest => validate::read_worker_log,
        }
    }

    fn samples() -> Vec<Vec<u8>> {
        let launch = v1::Launch::from(&launch());
        let driver = v1::DriverSpec {
            command: launch.command.clone(),
            artifacts: launch.artifacts.clone(),
            restart: Some((&RestartPolicy::default()).into()),
            kill_grace: launch.kill_grace,
            ..Default::default()
        };
        let template = v1::ExecutorTemplate { command: launch.command.clone(), ..Default::default() };
        let profile = v1::ExecutorProfile { template: Some(template.clone()), ..Default::default() };
        let application = v1::ApplicationSpec {
            name: "a".into(),
            template: Some(template),
            profiles: vec![profile.clone()],
            ..Default::default()
        };
        let target = v1::ProfileTarget { new_profile: Some(profile), ..Default::default() };
        vec![
            v1::Hello::from(&hello()).encode_to_vec(),
            v1::Reports::from(&reports()[..]).encode_to_vec(),
            v1::Commands::of(Incarnation { counter: 1, random: 2 }, &commands()).encode_to_vec(),
            v1::SubmitDriverRequest { driver: Some(driver), ..Default::default() }.encode_to_vec(),
            v1::RegisterApplicationRequest { application: Some(application), ..Default::default() }.encode_to_vec(),
            v1::RequestExecutorsRequest { targets: vec![target], ..Default::default() }.encode_to_vec(),
        ]
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            convert(&bytes);
        }

        #[test]
        fn damaged_messages_never_panic(
            sample: Index,
            damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..8),
        ) {
            let samples = samples();
            let mut bytes = sample.get(&samples).clone();
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            convert(&bytes);
        }
    }
}
