//! The command line of `muster`.

mod access;
mod cluster;
mod connection;
mod context;
mod manage;
mod show;
mod submit;
mod token;
mod up;

use clap::{Args, Parser, Subcommand};
use clap_complete::engine::ArgValueCompleter;

pub(crate) use access::{AccessArgs, AccessSubcommand, PrincipalArgs};
pub(crate) use cluster::{BackupArgs, ClusterArgs, ClusterCommand};
pub(crate) use connection::{ConnectionArgs, DEFAULT_MASTER};
pub(crate) use context::{ContextArgs, ContextCommand, LoginArgs};
pub(crate) use manage::{DrainArgs, KillArgs, UndrainArgs, WorkerArgs, WorkerSubcommand, WorkerTarget};
pub(crate) use show::{EventsArgs, Format, GetArgs, GetKind, ListArgs, ListKind, LogsArgs, ShowArgs};
pub(crate) use submit::{OnWorkerLost, Restart, SubmitArgs};
pub(crate) use token::{CreateTokenArgs, TokenArgs, TokenSubcommand};
pub(crate) use up::{DownArgs, UpArgs};

use crate::complete;

const EXIT_CODES_AND_ENVIRONMENT: &str = "\
Exit codes:
  0    done
  1    failed: refused, not found, or not reachable (nothing was done); 125 with `submit --wait`
  2    wrong usage; 125 with `submit --wait`, whose other codes are the driver's
  124  the time given by --timeout or --deadline passed first
  125  the outcome is unknown (asking again with the same --request-id is safe); with `submit --wait` also: Muster could not run the driver to its end
  130  interrupted
  `submit --wait` exits with the driver's own code, 128 + n when signal n ended it, 126 when its program cannot be run, 127 when it is not found.

Environment:
  MUSTER_MASTER   addresses of the masters, as --master
  MUSTER_CA_FILE  file with the cluster's CA, as --ca
  MUSTER_CLIENT_CERT, MUSTER_CLIENT_KEY  files with a certificate that names you, as --client-cert and --client-key
  MUSTER_CONTEXT  name of the context, as --context
  MUSTER_LOG      what to log on standard error, such as debug; nothing unless set
  NO_COLOR        set to anything: no colours";

const FIRST_STEPS: &str = "\
First steps:
  muster up                                    # a whole cluster on this machine; leave it in this terminal
  muster submit --wait -- /bin/sh -c 'echo hello'
  muster list drivers
  source <(muster completions bash)            # ids complete, too";

/// The end of `--help`.
fn after_help() -> String {
    format!("{EXIT_CODES_AND_ENVIRONMENT}\n\n{}\n\n{FIRST_STEPS}", muster_units::HELP)
}

/// Submits, watches and ends drivers on a Muster cluster, and brings up clusters on one machine.
///
/// A driver is a program that the cluster runs for you: exactly one copy, inside its limits,
/// whatever part of the cluster is upgraded, restarted or lost. A driver may register applications,
/// which are granted executors: further processes on the workers.
#[derive(Debug, Parser)]
#[command(name = "muster", version, after_help = after_help(), subcommand_required = true, max_term_width = 120, disable_help_subcommand = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Run a program on the cluster.
    Submit(Box<SubmitArgs>),
    /// Show one driver, application, executor or worker in full.
    Get(GetArgs),
    /// List drivers, applications, executors or workers.
    List(ListArgs),
    /// Show the output of a driver or an executor.
    Logs(LogsArgs),
    /// End drivers or applications, and wait until nothing of them is left.
    Kill(KillArgs),
    /// Place nothing more on a worker.
    Drain(DrainArgs),
    /// Undo a drain.
    Undrain(UndrainArgs),
    /// Care for the list of workers.
    Worker(WorkerArgs),
    /// Show what happens, as it happens.
    Events(EventsArgs),
    /// Show the cluster as a whole; have its leader hand over.
    Cluster(ClusterArgs),
    /// Write all that is durable into a file.
    Backup(BackupArgs),
    /// Remember a cluster that is reached over TLS, and go there from now on.
    Login(LoginArgs),
    /// Make, list and revoke the tokens that masters ask for.
    Token(TokenArgs),
    /// Roles of users and groups that certificates and JWTs name.
    Access(AccessArgs),
    /// Print for whom the masters take you.
    Whoami,
    /// Show, choose and forget the clusters that `muster login` remembered.
    Context(ContextArgs),
    /// Bring up a whole cluster on this machine.
    Up(UpArgs),
    /// End a cluster that `muster up` brought up.
    Down(DownArgs),
    /// Print what a shell needs to complete commands, options and ids.
    Completions(CompletionsArgs),
    /// Print the version.
    Version,
}

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = "\
To have it in every shell:
  bash  echo 'source <(muster completions bash)' >> ~/.bashrc
  zsh   echo 'source <(muster completions zsh)' >> ~/.zshrc      # after compinit
  fish  muster completions fish > ~/.config/fish/completions/muster.fish

Ids are completed by asking the master (--master, MUSTER_MASTER), for at most half a second. bash splits words at colons: name another master than the default by MUSTER_MASTER there.")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

fn drivers() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::drivers)
}

fn drivers_and_applications() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::drivers_and_applications)
}

fn live_drivers_and_applications() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::live_drivers_and_applications)
}

fn applications() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::applications)
}

fn executors() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::executors)
}

fn workers() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::workers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_surface_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_says_what_it_does() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {} has no help", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }

    #[test]
    fn the_line_of_the_manual_is_read() {
        let line = "muster submit --cores 1 --memory 256M --id n --env A=1 --secret-env B=2 --label k=v --selector z=a \
                    --resource gpu=1 --artifact /bin/x --restart on-failure --max-attempts 3 --on-worker-lost rerun \
                    --kill-grace 10s --work-dir /tmp --request-id r --wait --timeout 1m -- /bin/sh -c x";
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("the line is right");
        let CliCommand::Submit(submit) = cli.command else { unreachable!("it is a submit") };
        assert_eq!(submit.command, ["/bin/sh", "-c", "x"]);
        assert_eq!(submit.memory.map(|size| size.0), Some(256 << 20));
        assert!(submit.wait);
    }

    #[test]
    fn a_program_needs_no_dashes_before_it() {
        let cli = Cli::try_parse_from(["muster", "submit", "--cores", "2", "echo", "-n", "--wait"]).expect("right");
        let CliCommand::Submit(submit) = cli.command else { unreachable!("it is a submit") };
        assert_eq!(submit.command, ["echo", "-n", "--wait"]);
        assert!(!submit.wait);
    }

    #[test]
    fn an_option_that_does_not_exist_is_not_taken_for_the_program() {
        let error = Cli::try_parse_from(["muster", "submit", "--wiat", "--", "x"]).expect_err("wrong").to_string();
        assert!(error.contains("--wiat") && error.contains("--wait"), "{error}");
    }

    #[test]
    fn a_wrong_value_says_what_would_be_right() {
        let error = Cli::try_parse_from(["muster", "submit", "--memory", "256X", "--", "x"]).expect_err("wrong");
        let text = error.to_string();
        assert!(text.contains("256X") && text.contains("256M") && text.contains("--memory"), "{text}");
    }
}
