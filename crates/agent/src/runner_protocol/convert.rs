//! Conversion between messages and protobuf.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    Acknowledgement, AllocatedResources, ApplicationUid, AttemptKey, AttemptNumber, AttemptState, Capabilities,
    DriverUid, ExecutorId, Exit, Fault, Incarnation, KilledBy, Outcome, Reason, Report, Time, WallTime,
};

use super::message::{
    Accepted, AgentHello, Kill, KillReason, Limits, ProcessCredentials, Program, Renewal, RunnerHello, Start, ToAgent,
    ToRunner,
};
use super::wire;

/// A field is missing or holds a value that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadField(pub(crate) &'static str);

const LOG_LIMIT_WORD: &str = "log-limit";

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn attempt_to_wire(key: &AttemptKey) -> wire::Attempt {
    wire::Attempt { executor: key.is_executor(), uid: key.uid().to_be_bytes().to_vec(), number: key.number() }
}

pub(crate) fn attempt_from_wire(key: Option<wire::Attempt>) -> Result<AttemptKey, BadField> {
    let key = key.ok_or(BadField("attempt"))?;
    if key.executor {
        let uid = ApplicationUid::from_slice(&key.uid).ok_or(BadField("attempt.uid"))?;
        Ok(AttemptKey::Executor(uid, ExecutorId(key.number)))
    } else {
        let uid = DriverUid::from_slice(&key.uid).ok_or(BadField("attempt.uid"))?;
        Ok(AttemptKey::Driver(uid, AttemptNumber(key.number)))
    }
}

pub(crate) fn resources_to_wire(resources: &AllocatedResources) -> wire::Resources {
    wire::Resources {
        cores: resources.cores,
        memory: resources.memory,
        custom: resources
            .addresses
            .iter()
            .map(|(name, addresses)| wire::Custom {
                name: name.to_string(),
                addresses: addresses.iter().map(|address| address.to_string()).collect(),
            })
            .collect(),
    }
}

pub(crate) fn resources_from_wire(resources: Option<wire::Resources>) -> AllocatedResources {
    let Some(resources) = resources else { return AllocatedResources::default() };
    AllocatedResources {
        cores: resources.cores,
        memory: resources.memory,
        addresses: resources
            .custom
            .into_iter()
            .map(|custom| (Arc::from(custom.name), custom.addresses.into_iter().map(Arc::from).collect()))
            .collect(),
    }
}

pub(crate) fn accepted_to_wire(accepted: &Accepted) -> wire::Accepted {
    wire::Accepted {
        attempt: Some(attempt_to_wire(&accepted.attempt)),
        id: accepted.id.clone(),
        leased: accepted.leased,
        resources: Some(resources_to_wire(&accepted.resources)),
        kill_grace_nanos: nanos(accepted.kill_grace),
    }
}

pub(crate) fn accepted_from_wire(accepted: Option<wire::Accepted>) -> Result<Accepted, BadField> {
    let accepted = accepted.ok_or(BadField("accepted"))?;
    Ok(Accepted {
        attempt: attempt_from_wire(accepted.attempt)?,
        id: accepted.id,
        leased: accepted.leased,
        resources: resources_from_wire(accepted.resources),
        kill_grace: Duration::from_nanos(accepted.kill_grace_nanos),
    })
}

pub(crate) fn outcome_to_wire(outcome: &Outcome) -> wire::Outcome {
    wire::Outcome {
        exit: match outcome.exit {
            Exit::Code(code) => Some(wire::outcome::Exit::Code(code)),
            Exit::Signal(signal) => Some(wire::outcome::Exit::Signal(signal)),
            Exit::None => None,
        },
        out_of_memory: outcome.out_of_memory,
        fault: match outcome.fault {
            Fault::Program => 1,
            Fault::Platform => 2,
            Fault::User => 3,
        },
        reason: outcome.reason.as_str().to_owned(),
        message: outcome.message.clone(),
    }
}

pub(crate) fn outcome_from_wire(outcome: Option<wire::Outcome>) -> Result<Outcome, BadField> {
    let outcome = outcome.ok_or(BadField("outcome"))?;
    Ok(Outcome {
        exit: match outcome.exit {
            Some(wire::outcome::Exit::Code(code)) => Exit::Code(code),
            Some(wire::outcome::Exit::Signal(signal)) => Exit::Signal(signal),
            None => Exit::None,
        },
        out_of_memory: outcome.out_of_memory,
        fault: match outcome.fault {
            1 => Fault::Program,
            2 => Fault::Platform,
            3 => Fault::User,
            _ => return Err(BadField("outcome.fault")),
        },
        reason: Reason::from_word(&outcome.reason).ok_or(BadField("outcome.reason"))?,
        message: outcome.message,
    })
}

fn renewal_to_wire(renewal: &Renewal) -> wire::Renewal {
    wire::Renewal {
        sent_nanos: renewal.sent.0,
        sent_wall_millis: renewal.sent_wall.0,
        lease_nanos: nanos(renewal.lease),
    }
}

fn renewal_from_wire(renewal: wire::Renewal) -> Renewal {
    Renewal {
        sent: Time(renewal.sent_nanos),
        sent_wall: WallTime(renewal.sent_wall_millis),
        lease: Duration::from_nanos(renewal.lease_nanos),
    }
}

fn start_to_wire(start: &Start) -> wire::Start {
    let Program { program, args, env, work_dir, stdout, stderr, credentials } = &start.program;
    wire::Start {
        accepted: Some(accepted_to_wire(&start.accepted)),
        program: program.clone(),
        args: args.clone(),
        env: env.iter().map(|(name, value)| wire::Variable { name: name.clone(), value: value.clone() }).collect(),
        work_dir: work_dir.clone(),
        stdout: stdout.clone(),
        stderr: stderr.clone(),
        memory: start.limits.memory,
        cpu_millis: start.limits.cpu_millis,
        pids: start.limits.pids,
        credentials: credentials.as_ref().map(|ProcessCredentials { uid, gid, groups }| wire::ProcessCredentials {
            uid: *uid,
            gid: *gid,
            groups: groups.clone(),
        }),
    }
}

fn start_from_wire(start: wire::Start) -> Result<Start, BadField> {
    Ok(Start {
        accepted: accepted_from_wire(start.accepted)?,
        program: Program {
            program: start.program,
            args: start.args,
            env: start.env.into_iter().map(|variable| (variable.name, variable.value)).collect(),
            work_dir: start.work_dir,
            stdout: start.stdout,
            stderr: start.stderr,
            credentials: start.credentials.map(|wire::ProcessCredentials { uid, gid, groups }| ProcessCredentials {
                uid,
                gid,
                groups,
            }),
        },
        limits: Limits { memory: start.memory, cpu_millis: start.cpu_millis, pids: start.pids },
    })
}

fn reason_to_word(reason: KillReason) -> &'static str {
    match reason {
        KillReason::By(by) => by.as_str(),
        KillReason::LogLimit => LOG_LIMIT_WORD,
    }
}

fn reason_from_word(word: &str) -> Result<KillReason, BadField> {
    if word == LOG_LIMIT_WORD {
        return Ok(KillReason::LogLimit);
    }
    KilledBy::from_word(word).map(KillReason::By).ok_or(BadField("kill.reason"))
}

fn kill_to_wire(kill: &Kill) -> wire::Kill {
    wire::Kill {
        attempt: Some(attempt_to_wire(&kill.attempt)),
        at_once: kill.at_once,
        grace_nanos: kill.grace.map(nanos),
        reason: reason_to_word(kill.reason).to_owned(),
    }
}

fn kill_from_wire(kill: wire::Kill) -> Result<Kill, BadField> {
    Ok(Kill {
        attempt: attempt_from_wire(kill.attempt)?,
        at_once: kill.at_once,
        grace: kill.grace_nanos.map(Duration::from_nanos),
        reason: reason_from_word(&kill.reason)?,
    })
}

fn capabilities_to_wire(capabilities: &Capabilities) -> wire::Capabilities {
    wire::Capabilities {
        tree: capabilities.tree,
        memory_limit: capabilities.memory_limit,
        cpu_limit: capabilities.cpu_limit,
        pids_limit: capabilities.pids_limit,
        freezer: capabilities.freezer,
        dies_with_runner: capabilities.dies_with_runner,
        tree_method: capabilities.tree_method.clone(),
        earlier_ended: Some(capabilities.earlier_ended),
        own_users: capabilities.own_users,
        private_tmp: capabilities.private_tmp,
    }
}

fn capabilities_from_wire(capabilities: wire::Capabilities) -> Capabilities {
    Capabilities {
        tree: capabilities.tree,
        memory_limit: capabilities.memory_limit,
        cpu_limit: capabilities.cpu_limit,
        pids_limit: capabilities.pids_limit,
        freezer: capabilities.freezer,
        dies_with_runner: capabilities.dies_with_runner,
        earlier_ended: capabilities.earlier_ended.unwrap_or(capabilities.tree),
        punch_hole: false,
        own_users: capabilities.own_users,
        protected_runner: false,
        owner_users: false,
        private_tmp: capabilities.private_tmp,
        tree_method: capabilities.tree_method,
    }
}

fn state_to_wire(state: &AttemptState) -> wire::report::State {
    match state {
        AttemptState::Accepted => wire::report::State::Accepted(wire::Empty {}),
        AttemptState::Running => wire::report::State::Running(wire::Empty {}),
        AttemptState::Killing { wait_channel } => {
            wire::report::State::Killing(wire::Killing { wait_channel: wait_channel.clone() })
        }
        AttemptState::Frozen => wire::report::State::Frozen(wire::Empty {}),
        AttemptState::Ended(outcome) => wire::report::State::Ended(outcome_to_wire(outcome)),
    }
}

fn state_from_wire(state: Option<wire::report::State>) -> Result<AttemptState, BadField> {
    Ok(match state.ok_or(BadField("report.state"))? {
        wire::report::State::Accepted(_) => AttemptState::Accepted,
        wire::report::State::Running(_) => AttemptState::Running,
        wire::report::State::Killing(killing) => AttemptState::Killing { wait_channel: killing.wait_channel },
        wire::report::State::Frozen(_) => AttemptState::Frozen,
        wire::report::State::Ended(outcome) => AttemptState::Ended(outcome_from_wire(Some(outcome))?),
    })
}

fn report_to_wire(report: &Report) -> wire::Report {
    wire::Report {
        attempt: Some(attempt_to_wire(&report.attempt)),
        sequence: report.sequence,
        state: Some(state_to_wire(&report.state)),
        pid: report.pid,
        started_millis: report.started.map(|time| time.0),
        ended_millis: report.ended.map(|time| time.0),
        resources: Some(resources_to_wire(&report.resources)),
        id: report.id.clone(),
    }
}

fn report_from_wire(report: wire::Report) -> Result<Report, BadField> {
    Ok(Report {
        attempt: attempt_from_wire(report.attempt)?,
        sequence: report.sequence,
        state: state_from_wire(report.state)?,
        pid: report.pid,
        started: report.started_millis.map(WallTime),
        ended: report.ended_millis.map(WallTime),
        resources: resources_from_wire(report.resources),
        id: report.id,
    })
}

fn runner_hello_to_wire(hello: &RunnerHello) -> wire::RunnerHello {
    wire::RunnerHello {
        version: hello.version,
        incarnation_counter: hello.incarnation.counter,
        incarnation_random: hello.incarnation.random,
        boot_id: hello.boot_id.clone(),
        capabilities: Some(capabilities_to_wire(&hello.capabilities)),
        pid: hello.pid,
        renewal: hello.renewal.as_ref().map(renewal_to_wire),
    }
}

fn runner_hello_from_wire(hello: wire::RunnerHello) -> Result<RunnerHello, BadField> {
    Ok(RunnerHello {
        version: hello.version,
        incarnation: Incarnation { counter: hello.incarnation_counter, random: hello.incarnation_random },
        boot_id: hello.boot_id,
        capabilities: capabilities_from_wire(hello.capabilities.ok_or(BadField("hello.capabilities"))?),
        pid: hello.pid,
        renewal: hello.renewal.map(renewal_from_wire),
    })
}

pub(super) fn to_runner_to_wire(message: &ToRunner) -> wire::ToRunner {
    use wire::to_runner::Body;
    let body = match message {
        ToRunner::Hello(hello) => {
            Body::Hello(wire::AgentHello { version_min: hello.version_min, version_max: hello.version_max })
        }
        ToRunner::Renew(renewal) => Body::Renew(renewal_to_wire(renewal)),
        ToRunner::Accept(accepted) => Body::Accept(accepted_to_wire(accepted)),
        ToRunner::Start(start) => Body::Start(Box::new(start_to_wire(start))),
        ToRunner::Abandon(attempt, outcome) => Body::Abandon(wire::Abandon {
            attempt: Some(attempt_to_wire(attempt)),
            outcome: Some(outcome_to_wire(outcome)),
        }),
        ToRunner::Kill(kill) => Body::Kill(kill_to_wire(kill)),
        ToRunner::Thaw(attempt) => Body::Thaw(attempt_to_wire(attempt)),
        ToRunner::Closed(closed) => {
            Body::Closed(wire::Closed { attempt: Some(attempt_to_wire(&closed.attempt)), sequence: closed.sequence })
        }
        ToRunner::Inventory(number) => Body::Inventory(*number),
        ToRunner::Ping(number) => Body::Ping(*number),
        ToRunner::Shutdown(grace) => Body::ShutdownNanos(nanos(*grace)),
    };
    wire::ToRunner { body: Some(body) }
}

pub(super) fn to_runner_from_wire(message: wire::ToRunner) -> Result<ToRunner, BadField> {
    use wire::to_runner::Body;
    Ok(match message.body.ok_or(BadField("body"))? {
        Body::Hello(hello) => {
            ToRunner::Hello(AgentHello { version_min: hello.version_min, version_max: hello.version_max })
        }
        Body::Renew(renewal) => ToRunner::Renew(renewal_from_wire(renewal)),
        Body::Accept(accepted) => ToRunner::Accept(accepted_from_wire(Some(accepted))?),
        Body::Start(start) => ToRunner::Start(Box::new(start_from_wire(*start)?)),
        Body::Abandon(abandon) => {
            ToRunner::Abandon(attempt_from_wire(abandon.attempt)?, outcome_from_wire(abandon.outcome)?)
        }
        Body::Kill(kill) => ToRunner::Kill(kill_from_wire(kill)?),
        Body::Thaw(attempt) => ToRunner::Thaw(attempt_from_wire(Some(attempt))?),
        Body::Closed(closed) => {
            ToRunner::Closed(Acknowledgement { attempt: attempt_from_wire(closed.attempt)?, sequence: closed.sequence })
        }
        Body::Inventory(number) => ToRunner::Inventory(number),
        Body::Ping(number) => ToRunner::Ping(number),
        Body::ShutdownNanos(grace) => ToRunner::Shutdown(Duration::from_nanos(grace)),
    })
}

pub(super) fn to_agent_to_wire(message: &ToAgent) -> wire::ToAgent {
    use wire::to_agent::Body;
    let body = match message {
        ToAgent::Hello(hello) => Body::Hello(runner_hello_to_wire(hello)),
        ToAgent::Refused(message) => Body::Refused(message.clone()),
        ToAgent::Report(report) => Body::Report(report_to_wire(report)),
        ToAgent::Inventory { number, reports, last } => Body::Inventory(wire::Inventory {
            number: *number,
            reports: reports.iter().map(report_to_wire).collect(),
            last: *last,
        }),
        ToAgent::Pong(number) => Body::Pong(*number),
    };
    wire::ToAgent { body: Some(body) }
}

pub(super) fn to_agent_from_wire(message: wire::ToAgent) -> Result<ToAgent, BadField> {
    use wire::to_agent::Body;
    Ok(match message.body.ok_or(BadField("body"))? {
        Body::Hello(hello) => ToAgent::Hello(Box::new(runner_hello_from_wire(hello)?)),
        Body::Refused(message) => ToAgent::Refused(message),
        Body::Report(report) => ToAgent::Report(Box::new(report_from_wire(report)?)),
        Body::Inventory(inventory) => ToAgent::Inventory {
            number: inventory.number,
            reports: inventory.reports.into_iter().map(report_from_wire).collect::<Result<_, _>>()?,
            last: inventory.last,
        },
        Body::Pong(number) => ToAgent::Pong(number),
    })
}
