//! Programs, their resources, and their outcomes.

use std::sync::Arc;

use muster_types::{
    AllocatedResources, Artifact, ArtifactUri, Command, Exit, Fault, Incarnation, Outcome, Reason, Resources,
    RestartCondition, RestartPolicy, Secret,
};

use super::enums::StoredEnum as _;
use super::{DecodeError, Stored, nested, proto};

impl Stored for Command {
    type Message = proto::Command;

    fn to_message(&self) -> proto::Command {
        let secret = |(name, value): (&String, &Secret)| (name.clone(), value.expose().to_owned());
        proto::Command {
            program: self.program.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            secret_env: self.secret_env.iter().map(secret).collect(),
            work_dir: self.work_dir.clone(),
        }
    }

    fn from_message(message: proto::Command) -> Result<Command, DecodeError> {
        Ok(Command {
            program: message.program,
            args: message.args,
            env: message.env,
            secret_env: message.secret_env.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            work_dir: message.work_dir,
        })
    }
}

impl Stored for Artifact {
    type Message = proto::Artifact;

    fn to_message(&self) -> proto::Artifact {
        proto::Artifact {
            uri: self.uri.expose().to_owned(),
            sha256: self.sha256.map(|digest| digest.to_vec()),
            file_name: self.file_name.clone(),
            executable: self.executable,
        }
    }

    fn from_message(message: proto::Artifact) -> Result<Artifact, DecodeError> {
        let digest = |bytes: Vec<u8>| bytes.try_into().map_err(|_| DecodeError::Field("sha256"));
        Ok(Artifact {
            uri: ArtifactUri::new(message.uri),
            sha256: message.sha256.map(digest).transpose()?,
            file_name: message.file_name,
            executable: message.executable,
        })
    }
}

impl Stored for Resources {
    type Message = proto::Resources;

    fn to_message(&self) -> proto::Resources {
        proto::Resources {
            cores: self.cores,
            memory: self.memory,
            custom: self.custom.iter().map(|(name, amount)| (name.to_string(), *amount)).collect(),
        }
    }

    fn from_message(message: proto::Resources) -> Result<Resources, DecodeError> {
        Ok(Resources {
            cores: message.cores,
            memory: message.memory,
            custom: message.custom.into_iter().map(|(name, amount)| (name.into(), amount)).collect(),
        })
    }
}

impl Stored for AllocatedResources {
    type Message = proto::AllocatedResources;

    fn to_message(&self) -> proto::AllocatedResources {
        let addresses = |list: &Vec<Arc<str>>| proto::Addresses { list: super::strings(list) };
        proto::AllocatedResources {
            cores: self.cores,
            memory: self.memory,
            addresses: self.addresses.iter().map(|(name, list)| (name.to_string(), addresses(list))).collect(),
        }
    }

    fn from_message(message: proto::AllocatedResources) -> Result<AllocatedResources, DecodeError> {
        let addresses = |list: proto::Addresses| list.list.into_iter().map(Arc::from).collect();
        Ok(AllocatedResources {
            cores: message.cores,
            memory: message.memory,
            addresses: message.addresses.into_iter().map(|(name, list)| (name.into(), addresses(list))).collect(),
        })
    }
}

impl Stored for RestartPolicy {
    type Message = proto::RestartPolicy;

    fn to_message(&self) -> proto::RestartPolicy {
        proto::RestartPolicy {
            condition: self.condition.to_number(),
            max_attempts: self.max_attempts,
            window: Some(self.window.to_message()),
            backoff_initial: Some(self.backoff_initial.to_message()),
            backoff_max: Some(self.backoff_max.to_message()),
            backoff_reset_after: Some(self.backoff_reset_after.to_message()),
        }
    }

    fn from_message(message: proto::RestartPolicy) -> Result<RestartPolicy, DecodeError> {
        Ok(RestartPolicy {
            condition: RestartCondition::from_number(message.condition, "condition")?,
            max_attempts: message.max_attempts,
            window: nested(message.window, "window")?,
            backoff_initial: nested(message.backoff_initial, "backoff_initial")?,
            backoff_max: nested(message.backoff_max, "backoff_max")?,
            backoff_reset_after: nested(message.backoff_reset_after, "backoff_reset_after")?,
        })
    }
}

impl Stored for Incarnation {
    type Message = proto::Incarnation;

    fn to_message(&self) -> proto::Incarnation {
        proto::Incarnation { counter: self.counter, random: self.random }
    }

    fn from_message(message: proto::Incarnation) -> Result<Incarnation, DecodeError> {
        Ok(Incarnation { counter: message.counter, random: message.random })
    }
}

impl Stored for Outcome {
    type Message = proto::Outcome;

    fn to_message(&self) -> proto::Outcome {
        proto::Outcome {
            exit: match self.exit {
                Exit::Code(code) => Some(proto::outcome::Exit::Code(code)),
                Exit::Signal(signal) => Some(proto::outcome::Exit::Signal(signal)),
                Exit::None => None,
            },
            out_of_memory: self.out_of_memory,
            fault: self.fault.to_number(),
            reason: self.reason.to_number(),
            message: self.message.clone(),
        }
    }

    fn from_message(message: proto::Outcome) -> Result<Outcome, DecodeError> {
        Ok(Outcome {
            exit: match message.exit {
                Some(proto::outcome::Exit::Code(code)) => Exit::Code(code),
                Some(proto::outcome::Exit::Signal(signal)) => Exit::Signal(signal),
                None => Exit::None,
            },
            out_of_memory: message.out_of_memory,
            fault: Fault::from_number(message.fault, "fault")?,
            reason: Reason::from_number(message.reason, "reason")?,
            message: message.message,
        })
    }
}
