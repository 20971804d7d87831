//! Commands to a worker.

use std::sync::Arc;

use muster_types::{ApplicationUid, Incarnation, KilledBy, Launch, Secret, WorkerCommand};

use super::numbers::{NOT_A_UID, attempt_of, uid_bytes};
use crate::process::{artifact_from_master, artifact_in_full, command_from_master, command_in_full};
use crate::time::{duration, required_length};
use crate::wire_error::required;
use crate::{WireError, v1};

impl From<&Launch> for v1::Launch {
    /// With every secret, for the worker that runs it. `masters` stays empty: the worker has them
    /// from the welcome.
    fn from(launch: &Launch) -> Self {
        v1::Launch {
            attempt: Some(launch.attempt.into()),
            id: launch.id.clone(),
            leased: launch.leased,
            command: Some(command_in_full(&launch.command)),
            artifacts: launch.artifacts.iter().map(artifact_in_full).collect(),
            resources: Some((&launch.resources).into()),
            kill_grace: Some(duration(launch.kill_grace)),
            log_limit_bytes: launch.log_limit,
            token: launch.token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default(),
            variables: launch.variables.clone(),
            resources_component: launch.resources_component.to_string(),
            masters: Vec::new(),
            owner: launch.owner.as_deref().unwrap_or_default().to_owned(),
            run_as: launch.run_as.clone().unwrap_or_default(),
            traceparent: launch.trace.map(|trace| trace.to_string()).unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Launch> for Launch {
    type Error = WireError;

    fn try_from(wire: v1::Launch) -> Result<Self, WireError> {
        let command = required(wire.command, "command")?;
        let resources = required(wire.resources, "resources")?;
        let artifacts: Result<Arc<[_]>, WireError> = wire.artifacts.into_iter().map(artifact_from_master).collect();
        Ok(Launch {
            attempt: attempt_of(wire.attempt.as_ref())?,
            id: wire.id,
            leased: wire.leased,
            command: Arc::new(command_from_master(command).map_err(|error| error.within("command"))?),
            artifacts: artifacts.map_err(|error| error.within("artifacts"))?,
            resources: resources.try_into().map_err(|error: WireError| error.within("resources"))?,
            kill_grace: required_length(wire.kill_grace, "kill_grace")?,
            log_limit: wire.log_limit_bytes,
            token: Some(wire.token).filter(|token| !token.is_empty()).map(Secret::new),
            variables: wire.variables,
            resources_component: wire.resources_component.into(),
            owner: Some(wire.owner).filter(|owner| !owner.is_empty()).map(Into::into),
            run_as: Some(wire.run_as).filter(|account| !account.is_empty()),
            // A trace is never a reason not to run.
            trace: wire.traceparent.parse().ok(),
        })
    }
}

impl From<&WorkerCommand> for v1::WorkerCommand {
    fn from(command: &WorkerCommand) -> Self {
        use v1::worker_command::Command as Wire;
        let command = match command {
            WorkerCommand::Launch(launch) => Wire::Launch(Box::new((&**launch).into())),
            WorkerCommand::Kill { attempt, at_once, by } => {
                Wire::Kill(v1::Kill { attempt: Some((*attempt).into()), at_once: *at_once, by: by.as_str().to_owned() })
            }
            WorkerCommand::Thaw { attempt } => Wire::Thaw(v1::Thaw { attempt: Some((*attempt).into()) }),
            WorkerCommand::ApplicationGone(uid) => {
                Wire::ApplicationGone(v1::ApplicationGone { uid: uid_bytes(uid.to_bytes()) })
            }
        };
        v1::WorkerCommand { command: Some(command) }
    }
}

impl TryFrom<v1::WorkerCommand> for WorkerCommand {
    type Error = WireError;

    fn try_from(wire: v1::WorkerCommand) -> Result<Self, WireError> {
        use v1::worker_command::Command as Wire;
        match required(wire.command, "command")? {
            Wire::Launch(launch) => {
                let launch = Launch::try_from(*launch).map_err(|error| error.within("launch"))?;
                Ok(WorkerCommand::Launch(Arc::new(launch)))
            }
            Wire::Kill(kill) => Ok(WorkerCommand::Kill {
                attempt: attempt_of(kill.attempt.as_ref()).map_err(|error| error.within("kill"))?,
                at_once: kill.at_once,
                // A word of a newer master must not keep the attempt alive. `Fence` is true of
                // every kill: the attempt is not wanted any more.
                by: KilledBy::from_word(&kill.by).unwrap_or(KilledBy::Fence),
            }),
            Wire::Thaw(thaw) => Ok(WorkerCommand::Thaw {
                attempt: attempt_of(thaw.attempt.as_ref()).map_err(|error| error.within("thaw"))?,
            }),
            Wire::ApplicationGone(gone) => ApplicationUid::from_slice(&gone.uid)
                .map(WorkerCommand::ApplicationGone)
                .ok_or_else(|| WireError::new("application_gone.uid", NOT_A_UID)),
        }
    }
}

impl v1::Commands {
    /// Commands in order, for one incarnation.
    pub fn of(incarnation: Incarnation, commands: &[WorkerCommand]) -> v1::Commands {
        v1::Commands { incarnation: Some(incarnation.into()), commands: commands.iter().map(Into::into).collect() }
    }

    /// The incarnation that the commands are for, and the commands. A command that cannot be read
    /// refuses all of them, because their order counts.
    pub fn into_parts(self) -> Result<(Incarnation, Vec<WorkerCommand>), WireError> {
        let incarnation = Incarnation::from(&required(self.incarnation, "incarnation")?);
        let parse =
            |command: v1::WorkerCommand| command.try_into().map_err(|error: WireError| error.within("commands"));
        Ok((incarnation, self.commands.into_iter().map(parse).collect::<Result<_, _>>()?))
    }
}
