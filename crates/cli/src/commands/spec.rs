//! Makes the request of a submission from the arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_client::v1::{
    Artifact, Command, DriverSpec, Resources, RestartCondition, RestartPolicy, SubmitDriverRequest, WorkerLostPolicy,
};
use muster_units::TimeSpan;

use crate::args::{OnWorkerLost, Restart, SubmitArgs};
use crate::failure::CommandFailure;
use crate::parse::{ArtifactRef, Pair, SecretSource, is_variable_name, read_env_file};

/// The request of a submission. Its request id is left empty unless it was given.
pub(super) fn request(args: &SubmitArgs) -> Result<SubmitDriverRequest, CommandFailure> {
    Ok(SubmitDriverRequest {
        driver: Some(spec(args)?),
        driver_id: args.id.clone().unwrap_or_default(),
        request_id: args.request_id.clone().unwrap_or_default(),
        validate_only: args.validate_only,
    })
}

fn spec(args: &SubmitArgs) -> Result<DriverSpec, CommandFailure> {
    let mut words = args.command.iter();
    let command = Command {
        // clap requires a program.
        program: words.next().cloned().unwrap_or_default(),
        args: words.cloned().collect(),
        env: environment(args)?,
        secret_env: secrets(&args.secret_env)?,
        work_dir: args.work_dir.clone().unwrap_or_default(),
    };
    let mut spec = DriverSpec {
        command: Some(command),
        resources: Some(resources(args)?),
        artifacts: args.artifacts.iter().map(artifact).collect(),
        restart: restart(args),
        kill_grace: args.kill_grace.map(wire),
        labels: map(&args.labels, "--label")?,
        worker_selector: map(&args.selectors, "--selector")?,
        log_limit_bytes: args.log_limit.map_or(0, |size| size.0),
        run_as: args.run_as.clone().unwrap_or_default(),
        ..DriverSpec::default()
    };
    if let Some(policy) = args.on_worker_lost {
        spec.set_on_worker_lost(match policy {
            OnWorkerLost::Rerun => WorkerLostPolicy::Rerun,
            OnWorkerLost::Wait => WorkerLostPolicy::Wait,
        });
    }
    Ok(spec)
}

fn resources(args: &SubmitArgs) -> Result<Resources, CommandFailure> {
    let mut custom = BTreeMap::new();
    for resource in &args.resources {
        if custom.insert(resource.name.clone(), resource.count).is_some() {
            return Err(twice("--resource", &resource.name));
        }
    }
    // Zero asks for the master's default.
    let memory_bytes = args.memory.map_or(0, |size| size.0);
    if args.memory.is_some() && memory_bytes == 0 {
        return Err(CommandFailure::Usage("--memory 0: a program needs memory; leave it out for the default".into()));
    }
    Ok(Resources { cores: args.cores.unwrap_or(0), memory_bytes, custom })
}

/// The variables of the files in their order, then those of the command line, which win.
fn environment(args: &SubmitArgs) -> Result<BTreeMap<String, String>, CommandFailure> {
    let mut all = BTreeMap::new();
    for path in &args.env_files {
        all.extend(
            read_env_file(path).map_err(CommandFailure::EnvFile)?.into_iter().map(|pair| (pair.key, pair.value)),
        );
    }
    for (key, value) in map(&args.env, "--env")? {
        if !is_variable_name(&key) {
            return Err(CommandFailure::Usage(format!(
                "--env {key}=…: '{key}' cannot name a variable; names are letters, digits and _, and begin with no digit"
            )));
        }
        all.insert(key, value);
    }
    Ok(all)
}

fn secrets(secrets: &[SecretSource]) -> Result<BTreeMap<String, String>, CommandFailure> {
    let mut all = BTreeMap::new();
    for secret in secrets {
        let value = match &secret.value {
            Some(value) => value.clone(),
            None => std::env::var(&secret.key).map_err(|_| {
                CommandFailure::Usage(format!(
                    "--secret-env {0}: there is no variable {0} in your environment; set it, or write {0}=VALUE",
                    secret.key
                ))
            })?,
        };
        if all.insert(secret.key.clone(), value).is_some() {
            return Err(twice("--secret-env", &secret.key));
        }
    }
    Ok(all)
}

fn restart(args: &SubmitArgs) -> Option<RestartPolicy> {
    let said = args.restart.is_some()
        || args.max_attempts.is_some()
        || [args.restart_window, args.backoff, args.backoff_max].iter().any(Option::is_some);
    let condition = args.restart.map_or(RestartCondition::Unspecified, |restart| match restart {
        Restart::Never => RestartCondition::Never,
        Restart::OnFailure => RestartCondition::OnFailure,
        Restart::Always => RestartCondition::Always,
    });
    said.then(|| RestartPolicy {
        condition: condition as i32,
        max_attempts: args.max_attempts.unwrap_or(0),
        window: args.restart_window.map(wire),
        backoff_initial: args.backoff.map(wire),
        backoff_max: args.backoff_max.map(wire),
        backoff_reset_after: None,
    })
}

fn artifact(artifact: &ArtifactRef) -> Artifact {
    Artifact {
        uri: artifact.uri.clone(),
        sha256: artifact.sha256.clone(),
        file_name: artifact.file_name.clone(),
        executable: artifact.executable,
    }
}

fn map(pairs: &[Pair], option: &str) -> Result<BTreeMap<String, String>, CommandFailure> {
    let mut all = BTreeMap::new();
    for pair in pairs {
        if all.insert(pair.key.clone(), pair.value.clone()).is_some() {
            return Err(twice(option, &pair.key));
        }
    }
    Ok(all)
}

fn twice(option: &str, key: &str) -> CommandFailure {
    CommandFailure::Usage(format!("{option} {key} is given twice; leave one out"))
}

/// A length of time for the wire.
pub(super) fn wire(span: TimeSpan) -> prost_types::Duration {
    to_wire(span.0)
}

fn to_wire(time: Duration) -> prost_types::Duration {
    // A length that does not fit is longer than any bound, so the master refuses it.
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, CliCommand as Parsed};
    use clap::Parser as _;

    fn of(line: &[&str]) -> Result<DriverSpec, CommandFailure> {
        let words = ["muster", "submit"].iter().chain(line);
        let cli = Cli::try_parse_from(words).expect("the line is right");
        let Parsed::Submit(args) = cli.command else { unreachable!("it is a submit") };
        Ok(request(&args)?.driver.unwrap_or_default())
    }

    #[test]
    fn what_is_left_out_is_left_to_the_master() {
        let spec = of(&["--", "true"]).expect("right");
        let plain = Command { program: "true".into(), ..Command::default() };
        assert_eq!(spec.command.expect("a command").program, plain.program);
        assert_eq!(spec.resources, Some(Resources::default()));
        assert!(spec.restart.is_none() && spec.kill_grace.is_none());
    }

    #[test]
    fn the_command_line_wins_over_files() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("env");
        std::fs::write(&path, "A=file\nB=file\n").expect("a file");
        let path = path.to_str().expect("a plain path");
        let spec = of(&["--env-file", path, "--env", "A=line", "--", "true"]).expect("right");
        let env: Vec<_> = spec.command.expect("a command").env.into_iter().collect();
        assert_eq!(env, [("A".into(), "line".into()), ("B".into(), "file".into())]);
    }

    #[test]
    fn a_secret_comes_from_the_environment() {
        let home = std::env::var("HOME").expect("tests have a HOME");
        let spec = of(&["--secret-env", "HOME", "--", "true"]).expect("right");
        assert_eq!(spec.command.expect("a command").secret_env["HOME"], home);
        let Err(failure) = of(&["--secret-env", "NO_SUCH_VARIABLE", "--", "true"]) else { unreachable!("not set") };
        assert!(failure.to_string().contains("NO_SUCH_VARIABLE=VALUE"), "{failure}");
    }

    #[test]
    fn the_same_key_twice_is_a_mistake() {
        let Err(failure) = of(&["--label", "a=1", "--label", "a=2", "--", "true"]) else { unreachable!("twice") };
        assert_eq!(failure.to_string(), "--label a is given twice; leave one out");
    }
}
