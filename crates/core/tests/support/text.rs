//! The effects of an input, as text for people to compare.

use muster_core::invariants::Fold;
use muster_core::{Answer, ApplicationEvent, Effect, ExecutorView, Group, Rejection, ViewUpdate};
use muster_types::{
    AttemptKey, DriverRecord, DriverState, Event, ExecutorRecord, Exit, Outcome, PendingCause, PendingReason, Subject,
    WorkerCommand, WorkerState, Write,
};

pub fn groups(groups: &[Group], fold: &Fold) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            lines.push("--".to_owned());
        }
        lines.extend(group.writes.iter().map(|write| format!("write {}", self::write(write))));
        lines.extend(group.events.iter().map(event));
        lines.extend(group.effects.iter().map(|effect| self::effect(effect, fold)));
    }
    lines
}

fn write(write: &Write) -> String {
    match write {
        Write::PutDriver(record) => driver(record),
        Write::DeleteDriver(uid) => format!("delete driver {uid}"),
        Write::PutApplication(record) => {
            let targets: Vec<_> = record.targets.iter().map(|(profile, n)| format!("{}={n}", profile.0)).collect();
            let ending =
                record.ending.as_ref().map(|ending| format!(" ending {} by {}", ending.state.as_str(), ending.by));
            let failures =
                if record.failures.is_empty() { String::new() } else { format!(" failures {}", record.failures.len()) };
            let (id, state, targets) = (&record.id, record.state.as_str(), targets.join(","));
            format!("application {id} {state} targets {targets}{}{failures}", ending.unwrap_or_default())
        }
        Write::DeleteApplication(_) => "delete application".to_owned(),
        Write::PutExecutors(record) => {
            let list: Vec<_> = record.executors.iter().map(executor).collect();
            format!("executors #{}: {}", record.sequence, list.join(", "))
        }
        Write::DeleteExecutors(_, sequence) => format!("delete executors #{sequence}"),
        Write::PutWorker(record) => {
            let drain = if record.drain.is_some() { " draining" } else { "" };
            let lost = if record.lost { " lost" } else { "" };
            let forgotten = if record.forgotten { " forgotten" } else { "" };
            let key = record.key.map(|key| format!(" key {}", key.0[0])).unwrap_or_default();
            let revoked = if record.revoked { " revoked" } else { "" };
            format!("worker {} inc {}{key}{drain}{lost}{forgotten}{revoked}", record.name, record.incarnation.counter)
        }
        Write::DeleteWorker(uid) => format!("delete worker {uid}"),
        Write::PutToken(record) => {
            let revoked = if record.revoked.is_some() { " revoked" } else { "" };
            format!("token {} {} {}{revoked}", record.id, record.grant.as_str(), record.name)
        }
        Write::DeleteToken(id) => format!("delete token {id}"),
        Write::PutRoles(roles) => {
            let all: Vec<_> = roles.0.iter().map(|(principal, role)| format!("{principal} {role}")).collect();
            format!("roles [{}]", all.join(", "))
        }
        Write::PutEvents(_) => "events".to_owned(),
        Write::DeleteEvents(_) => "delete events".to_owned(),
    }
}

fn driver(record: &DriverRecord) -> String {
    let attempts: Vec<_> = record
        .attempts
        .iter()
        .map(|a| match &a.outcome {
            None => format!(" {}@{}.{}", a.number, a.worker_name, a.incarnation.counter),
            Some(outcome) => {
                format!(" {}@{}.{} {}", a.number, a.worker_name, a.incarnation.counter, self::outcome(outcome))
            }
        })
        .collect();
    let kill = record.kill.as_ref().map(|kill| format!(" kill by {}", kill.by.as_str())).unwrap_or_default();
    format!("driver {} {}{}{kill}", record.id, record.state.as_str(), attempts.join(";"))
}

fn executor(record: &ExecutorRecord) -> String {
    let outcome = record.outcome.as_ref().map(|outcome| format!(" {}", self::outcome(outcome))).unwrap_or_default();
    format!("{} {}@{}{outcome}", record.id, record.state.as_str(), record.worker_name)
}

pub fn outcome(outcome: &Outcome) -> String {
    let exit = match outcome.exit {
        Exit::Code(code) => format!("({code})"),
        Exit::Signal(signal) => format!("(signal {signal})"),
        Exit::None => String::new(),
    };
    format!("{}{exit} {:?}", outcome.reason.as_str(), outcome.fault)
}

fn event(event: &Event) -> String {
    let message = if event.message.is_empty() { String::new() } else { format!(" \"{}\"", event.message) };
    let about = match &event.subject {
        Subject::Driver { id, state, attempt, worker, outcome, .. } => {
            let attempt = attempt.map(|attempt| format!("/{attempt}")).unwrap_or_default();
            let worker = worker.as_ref().map(|worker| format!(" on {worker}")).unwrap_or_default();
            let outcome = outcome.as_ref().map(|outcome| format!(": {}", self::outcome(outcome))).unwrap_or_default();
            format!("driver {id}{attempt} {}{worker}{outcome}", state.as_str())
        }
        Subject::Application { id, state, .. } => format!("application {id} {}", state.as_str()),
        Subject::Executor { application, executor, state, worker, outcome, .. } => {
            let outcome = outcome.as_ref().map(|outcome| format!(": {}", self::outcome(outcome))).unwrap_or_default();
            format!("executor {application}:{executor} {} on {worker}{outcome}", state.as_str())
        }
        Subject::Worker { name, state, draining, .. } => {
            format!("worker {name} {}{}", state.as_str(), if *draining { " draining" } else { "" })
        }
        Subject::RoleBinding { principal, role } => {
            format!("role {principal} {}", role.map_or("none", |role| role.as_str()))
        }
        Subject::Token { id, revoked, .. } => format!("token {id}{}", if *revoked { " revoked" } else { "" }),
    };
    format!("event {about}{message}")
}

pub fn key(key: AttemptKey, fold: &Fold) -> String {
    match key {
        AttemptKey::Driver(uid, number) => {
            let name = fold.drivers.get(&uid).map_or_else(|| "?".to_owned(), |record| record.id.to_string());
            format!("{name}/{number}")
        }
        AttemptKey::Executor(uid, id) => {
            let name = fold.applications.get(&uid).map_or_else(|| "?".to_owned(), |record| record.id.to_string());
            format!("{name}:{id}")
        }
    }
}

fn command(command: &WorkerCommand, fold: &Fold) -> String {
    match command {
        WorkerCommand::Launch(launch) => {
            format!("launch {}{}", key(launch.attempt, fold), if launch.leased { " leased" } else { "" })
        }
        WorkerCommand::Kill { attempt, at_once, by } => {
            format!("kill {} by {}{}", key(*attempt, fold), by.as_str(), if *at_once { " at once" } else { "" })
        }
        WorkerCommand::Thaw { attempt } => format!("thaw {}", key(*attempt, fold)),
        WorkerCommand::ApplicationGone(_) => "application gone".to_owned(),
    }
}

fn effect(effect: &Effect, fold: &Fold) -> String {
    match effect {
        Effect::Reply(_, Ok(answer)) => format!("reply {}", self::answer(answer)),
        Effect::Reply(_, Err(rejection)) => format!("reject {}", self::rejection(rejection)),
        Effect::Welcome(link) => format!("welcome w{}.{}", link.worker.0, link.session.0),
        Effect::Refuse(link, refusal) => format!("refuse w{}.{} {}", link.worker.0, link.session.0, refusal.as_str()),
        Effect::Send(link, commands) => {
            let list: Vec<_> = commands.iter().map(|command| self::command(command, fold)).collect();
            format!("send w{}.{}: {}", link.worker.0, link.session.0, list.join(", "))
        }
        Effect::Acknowledge(link, list) => {
            let list: Vec<_> = list.iter().map(|ack| format!("{}#{}", key(ack.attempt, fold), ack.sequence)).collect();
            format!("acknowledge w{}.{}: {}", link.worker.0, link.session.0, list.join(", "))
        }
        Effect::Reconnect(link) => format!("say-hello w{}.{}", link.worker.0, link.session.0),
        Effect::Session(_, session, event) => format!("session {}: {}", session.0, session_event(event)),
        Effect::EndSession(_, session, end) => format!("end-session {} {end:?}", session.0),
        Effect::WorkerLossCommitted(worker) => format!("lost w{}", worker.0),
        Effect::UpdateView(show) => format!("show {}", self::show(show)),
    }
}

fn show(show: &ViewUpdate) -> String {
    match show {
        ViewUpdate::Driver(shown) => format!("driver {} {}", shown.record.id, shown.record.state.as_str()),
        ViewUpdate::DriverGone(_) => "driver gone".to_owned(),
        ViewUpdate::Application(shown) => {
            let counts = shown.profiles.iter().map(|p| format!("{}+{}/{}", p.running, p.launching, p.target));
            format!(
                "application {} {} {}",
                shown.record.id,
                shown.record.state.as_str(),
                counts.collect::<Vec<_>>().join(",")
            )
        }
        ViewUpdate::ApplicationGone(_) => "application gone".to_owned(),
        ViewUpdate::Executor(shown) => format!("executor {}", shown_executor(shown)),
        ViewUpdate::ExecutorGone(_, id) => format!("executor {id} gone"),
        ViewUpdate::Worker(shown) => {
            let quarantined = if shown.quarantined.is_empty() { "" } else { " quarantined" };
            // One that is alive has a stream.
            let has_stream = shown.connected.is_some() && shown.state != WorkerState::Alive;
            format!(
                "worker {} {}{} used {} drivers {} executors {}{quarantined}",
                shown.record.name,
                shown.state.as_str(),
                if has_stream { " with a stream" } else { "" },
                shown.used.cores,
                shown.drivers,
                shown.executors
            )
        }
        ViewUpdate::WorkerGone(_) => "worker gone".to_owned(),
        ViewUpdate::Token(record) => {
            let revoked = if record.revoked.is_some() { " revoked" } else { "" };
            format!("token {}{revoked}", record.id)
        }
        ViewUpdate::TokenGone(id) => format!("token {id} gone"),
        ViewUpdate::Roles(roles) => format!("{} roles", roles.0.len()),
    }
}

fn shown_executor(shown: &ExecutorView) -> String {
    let draining = if shown.draining { " draining" } else { "" };
    format!("{}:{} {}{draining}", shown.application_id, shown.record.id, shown.record.state.as_str())
}

fn session_event(event: &ApplicationEvent) -> String {
    match event {
        ApplicationEvent::Added(shown) => format!("added {}", shown_executor(shown)),
        ApplicationEvent::Running(shown) => format!("running {}", shown_executor(shown)),
        ApplicationEvent::Ended(shown) => {
            let outcome = shown.record.outcome.as_ref().map(outcome).unwrap_or_default();
            format!("ended {} {outcome}", shown_executor(shown))
        }
        ApplicationEvent::ProcessLost(shown) => format!("process-lost {}", shown_executor(shown)),
        ApplicationEvent::WorkerLost(shown) => format!("worker-lost {} {}", shown_executor(shown), shown.record.host),
        ApplicationEvent::Draining(shown, deadline) => {
            format!("draining {}{}", shown_executor(shown), if deadline.is_some() { " with deadline" } else { "" })
        }
        ApplicationEvent::Pending { profile, missing, reason } => {
            format!("pending profile {} missing {missing}: {}", profile.0, pending(reason))
        }
        ApplicationEvent::ApplicationEnded { state, by, message } => {
            format!("application ended {} by {by} \"{message}\"", state.as_str())
        }
    }
}

fn pending(reason: &PendingReason) -> String {
    let causes: Vec<_> = reason
        .causes
        .iter()
        .map(|(cause, count, sentence)| match cause {
            PendingCause::Restored => format!("{} {count} \"{sentence}\"", cause.as_str()),
            PendingCause::Backoff if sentence.contains("finished") => {
                format!("{} {count} \"{sentence}\"", cause.as_str())
            }
            _ => format!("{} {count}", cause.as_str()),
        })
        .collect();
    format!("{}{}", causes.join(", "), if reason.never_fits { " (never fits)" } else { "" })
}

fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Driver(shown) => {
            let pending = shown.pending.as_ref().map(|reason| format!(" pending: {}", pending(reason)));
            let retry =
                if shown.retry.is_some() && shown.record.state == DriverState::BackingOff { " retries" } else { "" };
            format!("driver {} {}{retry}{}", shown.record.id, shown.record.state.as_str(), pending.unwrap_or_default())
        }
        Answer::Application(shown) => {
            let reason = shown.profiles.iter().filter_map(|p| {
                p.pending.as_ref().map(|r| format!(" profile {} pending: {}", p.profile.0, pending(r)))
            });
            format!("application {} {}{}", shown.record.id, shown.record.state.as_str(), reason.collect::<String>())
        }
        Answer::Worker(shown) => format!("worker {} {}", shown.record.name, shown.state.as_str()),
        Answer::Session(_, session, executors) => {
            let list: Vec<_> = executors.iter().map(|shown| shown_executor(shown)).collect();
            format!("session {}: [{}]", session.0, list.join(", "))
        }
        Answer::Targets(taken, sequence) => format!("targets taken {taken}, sequence {sequence}"),
        Answer::Killed(results) => {
            let list: Vec<_> = results.iter().map(|(id, result)| format!("{id} {result:?}")).collect();
            format!("killed: {}", list.join(", "))
        }
        Answer::RoleBound => "role bound".to_owned(),
        Answer::Token(record) => {
            format!("token {}{}", record.id, if record.revoked.is_some() { " revoked" } else { "" })
        }
    }
}

fn rejection(rejection: &Rejection) -> String {
    match rejection {
        Rejection::NeverFits(reason) => format!("NeverFits: {}", pending(reason)),
        other => format!("{other:?}"),
    }
}
