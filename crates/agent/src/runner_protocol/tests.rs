use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    Acknowledgement, AllocatedResources, ApplicationUid, AttemptKey, AttemptNumber, AttemptState, Capabilities,
    DriverUid, ExecutorId, Exit, Fault, Incarnation, KilledBy, Outcome, Reason, Report, Time, WallTime,
};

use super::*;

fn driver() -> AttemptKey {
    AttemptKey::Driver(DriverUid(7), AttemptNumber(3))
}

fn executor() -> AttemptKey {
    AttemptKey::Executor(ApplicationUid(u128::MAX), ExecutorId(0))
}

fn resources() -> AllocatedResources {
    let addresses = BTreeMap::from([(Arc::from("gpu"), vec![Arc::from("0"), Arc::from("1")])]);
    AllocatedResources { cores: 2, memory: 1 << 40, addresses }
}

fn accepted() -> Accepted {
    Accepted {
        attempt: driver(),
        id: "driver-a".into(),
        leased: true,
        resources: resources(),
        kill_grace: Duration::from_millis(1500),
    }
}

fn renewal() -> Renewal {
    Renewal { sent: Time(5), sent_wall: WallTime(1_700_000_000_000), lease: Duration::from_secs(45) }
}

fn report(state: AttemptState) -> Report {
    Report {
        attempt: executor(),
        sequence: 9,
        state,
        pid: Some(4_000_000),
        started: Some(WallTime(1)),
        ended: None,
        resources: resources(),
        id: "app".into(),
    }
}

fn every_to_runner() -> Vec<ToRunner> {
    let outcome = Outcome::without_exit(Fault::Platform, Reason::ArtifactFailed, "404");
    let program = Program {
        program: "sleep".into(),
        args: vec!["1".into(), String::new()],
        env: vec![("PATH".into(), "/bin".into()), ("EMPTY".into(), String::new())],
        work_dir: "/w".into(),
        stdout: "/o".into(),
        stderr: "/e".into(),
        credentials: Some(ProcessCredentials { uid: 65_534, gid: 7, groups: vec![7, 0, u32::MAX - 1] }),
    };
    let limits = Limits { memory: Some(1), cpu_millis: None, pids: Some(0) };
    vec![
        ToRunner::Hello(AgentHello { version_min: 1, version_max: 2 }),
        ToRunner::Renew(renewal()),
        ToRunner::Accept(accepted()),
        ToRunner::Start(Box::new(Start { accepted: accepted(), program, limits })),
        ToRunner::Abandon(driver(), outcome),
        ToRunner::Kill(Kill {
            attempt: executor(),
            at_once: true,
            grace: None,
            reason: KillReason::By(KilledBy::Drain),
        }),
        ToRunner::Kill(Kill {
            attempt: driver(),
            at_once: false,
            grace: Some(Duration::ZERO),
            reason: KillReason::LogLimit,
        }),
        ToRunner::Thaw(executor()),
        ToRunner::Closed(Acknowledgement { attempt: driver(), sequence: u64::MAX }),
        ToRunner::Inventory(0),
        ToRunner::Ping(12),
        ToRunner::Shutdown(Duration::from_secs(10)),
    ]
}

fn every_to_agent() -> Vec<ToAgent> {
    let hello = RunnerHello {
        version: 1,
        incarnation: Incarnation { counter: 4, random: u64::MAX },
        boot_id: "boot".into(),
        capabilities: Capabilities {
            tree: true,
            freezer: true,
            own_users: true,
            private_tmp: true,
            tree_method: "cgroup2".into(),
            ..Capabilities::default()
        },
        pid: 77,
        renewal: Some(renewal()),
    };
    let states = [
        AttemptState::Accepted,
        AttemptState::Running,
        AttemptState::Killing { wait_channel: None },
        AttemptState::Killing { wait_channel: Some("nfs_wait".into()) },
        AttemptState::Frozen,
        AttemptState::Ended(Outcome::exited(Exit::Code(0))),
        AttemptState::Ended(Outcome { out_of_memory: true, ..Outcome::exited(Exit::Signal(9)) }),
        AttemptState::Ended(Outcome::without_exit(Fault::User, Reason::NeverStarted, "")),
    ];
    let mut messages = vec![
        ToAgent::Hello(Box::new(hello)),
        ToAgent::Refused("no version in common".into()),
        ToAgent::Inventory { number: 3, reports: vec![], last: false },
        ToAgent::Inventory { number: 3, reports: states.iter().cloned().map(report).collect(), last: true },
        ToAgent::Pong(u64::MAX),
    ];
    messages.extend(states.into_iter().map(|state| ToAgent::Report(Box::new(report(state)))));
    messages
}

fn read_in_pieces<M: Framed>(bytes: &[u8], piece: usize) -> Vec<M> {
    let mut reader = FrameReader::default();
    let mut messages = Vec::new();
    for chunk in bytes.chunks(piece) {
        reader.push(chunk);
        while let Some(message) = reader.take().unwrap() {
            messages.push(message);
        }
    }
    messages
}

#[test]
fn every_message_arrives_as_it_was_sent_however_the_bytes_are_cut() {
    let (down, up) = (every_to_runner(), every_to_agent());
    let (mut down_bytes, mut up_bytes) = (Vec::new(), Vec::new());
    down.iter().for_each(|message| message.append_frame(&mut down_bytes));
    up.iter().for_each(|message| message.append_frame(&mut up_bytes));
    for piece in [1, 3, 64, 1 << 20] {
        assert_eq!(read_in_pieces::<ToRunner>(&down_bytes, piece), down);
        assert_eq!(read_in_pieces::<ToAgent>(&up_bytes, piece), up);
    }
}

#[test]
fn a_frame_beyond_the_bound_is_refused_before_it_is_read() {
    let mut reader = FrameReader::<ToRunner>::default();
    reader.push(&u32::MAX.to_le_bytes());
    assert!(matches!(reader.take(), Err(FrameError::TooLong(_))));
}

#[test]
fn a_frame_without_a_body_is_refused() {
    let mut reader = FrameReader::<ToAgent>::default();
    reader.push(&[0, 0, 0, 0]);
    assert!(matches!(reader.take(), Err(FrameError::Field("body"))));
}

#[test]
fn secrets_in_the_environment_are_not_shown() {
    let program = Program { env: vec![("TOKEN".into(), "hunter2".into())], ..Program::default() };
    let shown = format!("{program:?}");
    assert!(shown.contains("TOKEN") && !shown.contains("hunter2"));
}
