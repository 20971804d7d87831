//! Conversions of programs and outcomes, both ways. A command goes out either in full (to the
//! worker that runs it) or redacted (to everybody else); every conversion of a command names which.

use muster_types::{
    Artifact, ArtifactUri, Command, Exit, Fault, Outcome, REDACTED, Reason, RestartPolicy, Secret, name_looks_secret,
};

use crate::text::shorten;
use crate::time::duration;
use crate::{WireError, v1};

/// The command with all its secrets, for the worker that runs it.
pub(crate) fn command_in_full(command: &Command) -> v1::Command {
    v1::Command {
        program: command.program.clone(),
        args: command.args.clone(),
        env: command.env.clone(),
        secret_env: command.secret_env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
        work_dir: command.work_dir.clone().unwrap_or_default(),
    }
}

/// The command for people: secret values are replaced, and also the values of variables whose names
/// look secret.
pub(crate) fn command_redacted(command: &Command) -> v1::Command {
    let shown = |name: &String, value: &String| {
        let value = if name_looks_secret(name) { REDACTED.to_owned() } else { value.clone() };
        (name.clone(), value)
    };
    v1::Command {
        program: command.program.clone(),
        args: command.args.clone(),
        env: command.env.iter().map(|(name, value)| shown(name, value)).collect(),
        secret_env: command.secret_env.keys().map(|name| (name.clone(), REDACTED.to_owned())).collect(),
        work_dir: command.work_dir.clone().unwrap_or_default(),
    }
}

/// A command as a worker gets it. The master has checked it; texts that would break an exec are
/// refused here again.
pub(crate) fn command_from_master(wire: v1::Command) -> Result<Command, WireError> {
    if wire.program.is_empty() {
        return Err(WireError::new("program", "is missing"));
    }
    let texts = wire.args.iter().chain(wire.env.values()).chain(wire.secret_env.values());
    if texts.chain([&wire.program, &wire.work_dir]).any(|text| text.contains('\0')) {
        return Err(WireError::new("command", "a text has a NUL"));
    }
    if wire.env.keys().chain(wire.secret_env.keys()).any(|name| name.is_empty() || name.contains(['\0', '='])) {
        return Err(WireError::new("env", "a name is empty, or has a NUL or an equals sign"));
    }
    Ok(Command {
        program: wire.program,
        args: wire.args,
        env: wire.env,
        secret_env: wire.secret_env.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        work_dir: Some(wire.work_dir).filter(|path| !path.is_empty()),
    })
}

/// The artifact with the full URI, for the worker that fetches it.
pub(crate) fn artifact_in_full(artifact: &Artifact) -> v1::Artifact {
    v1::Artifact {
        uri: artifact.uri.expose().to_owned(),
        sha256: artifact.sha256.as_ref().map(hex).unwrap_or_default(),
        file_name: artifact.file_name.clone(),
        executable: artifact.executable,
    }
}

/// The artifact for people, without a password in the URI.
pub(crate) fn artifact_redacted(artifact: &Artifact) -> v1::Artifact {
    v1::Artifact { uri: artifact.uri.to_string(), ..artifact_in_full(artifact) }
}

/// An artifact as a worker gets it. Its address and its name are checked by whoever fetches it, so
/// that one that an earlier master took ends its attempt and not the stream.
pub(crate) fn artifact_from_master(wire: v1::Artifact) -> Result<Artifact, WireError> {
    let sha256 = match wire.sha256.as_str() {
        "" => None,
        text => Some(sha256_of(text).ok_or_else(|| WireError::new("sha256", "is not 64 hexadecimal digits"))?),
    };
    Ok(Artifact { uri: ArtifactUri::new(wire.uri), sha256, file_name: wire.file_name, executable: wire.executable })
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Parses 64 hexadecimal digits.
pub(crate) fn sha256_of(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0u8; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl From<&RestartPolicy> for v1::RestartPolicy {
    fn from(policy: &RestartPolicy) -> Self {
        v1::RestartPolicy {
            condition: v1::RestartCondition::from(policy.condition).into(),
            max_attempts: policy.max_attempts,
            window: Some(duration(policy.window)),
            backoff_initial: Some(duration(policy.backoff_initial)),
            backoff_max: Some(duration(policy.backoff_max)),
            backoff_reset_after: Some(duration(policy.backoff_reset_after)),
        }
    }
}

impl From<&Outcome> for v1::Outcome {
    fn from(outcome: &Outcome) -> Self {
        let (exit_code, signal) = match outcome.exit {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(signal) => (None, Some(signal)),
            Exit::None => (None, None),
        };
        v1::Outcome {
            exit_code,
            signal,
            out_of_memory: outcome.out_of_memory,
            fault: v1::Fault::from(outcome.fault).into(),
            reason: outcome.reason.as_str().to_owned(),
            message: outcome.message.clone(),
        }
    }
}

/// The most bytes of an outcome's message that are kept: it is stored with the record.
const MAX_OUTCOME_MESSAGE: usize = 1024;

impl TryFrom<v1::Outcome> for Outcome {
    type Error = WireError;

    /// A reason of a newer release is kept in the message. It is not an error, because its attempt
    /// could then never be closed.
    fn try_from(wire: v1::Outcome) -> Result<Self, WireError> {
        let exit = match (wire.exit_code, wire.signal) {
            (Some(code), None) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::None,
            (Some(_), Some(_)) => return Err(WireError::new("signal", "is set beside exit_code")),
        };
        let fault = wire.fault().try_into().unwrap_or(Fault::Platform);
        let mut message = wire.message;
        let reason = Reason::from_word(&wire.reason).unwrap_or_else(|| {
            message = format!("{}: {message}", crate::text::excerpt(&wire.reason, 64));
            if exit == Exit::None { Reason::SpawnFailed } else { Reason::Exited }
        });
        shorten(&mut message, MAX_OUTCOME_MESSAGE);
        Ok(Outcome { exit, out_of_memory: wire.out_of_memory, fault, reason, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha256_is_64_hexadecimal_digits() {
        let text = "00ff".repeat(16);
        assert_eq!(sha256_of(&text).map(|bytes| hex(&bytes)), Some(text));
        assert_eq!(sha256_of(&"0".repeat(63)), None);
        assert_eq!(sha256_of(&"+f".repeat(32)), None);
    }

    #[test]
    fn a_reason_of_a_newer_release_still_closes_its_attempt() {
        let wire = v1::Outcome { reason: "EATEN".into(), message: "by a grue".into(), ..Default::default() };
        let outcome = Outcome::try_from(wire).unwrap();
        assert_eq!((outcome.reason, outcome.fault), (Reason::SpawnFailed, Fault::Platform));
        assert_eq!(outcome.message, "EATEN: by a grue");
    }
}
