//! What each command does.

mod access;
mod backup;
mod cluster;
mod completions;
mod drain;
mod end_quarantined;
mod events;
mod follow;
mod forget;
mod forget_attempt;
mod get;
mod kill;
mod list;
mod log_copy;
mod login;
mod logs;
mod revoke;
mod spec;
mod submit;
mod summary;
mod tail;
mod token;
mod verdict;
mod wait;
mod watch;

pub(crate) use summary::running_summary;

use crate::args::{Cli, CliCommand, WorkerSubcommand};
use crate::contexts::Target;
use crate::exit::ExitStatus;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::print;
use crate::up;

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> Result<ExitStatus, CommandFailure> {
    let master = || MasterClient::new(&Target::of(&cli.connection)?);
    match cli.command {
        CliCommand::Submit(args) => return submit::submit(master()?, *args).await,
        CliCommand::Get(args) => get::get(master()?, args).await?,
        CliCommand::List(args) => list::list(master()?, args).await?,
        CliCommand::Logs(args) => logs::logs(master()?, args).await?,
        CliCommand::Kill(args) => return kill::kill(master()?, args).await,
        CliCommand::Drain(args) => return drain::drain(Target::of(&cli.connection)?, args).await,
        CliCommand::Undrain(args) => return drain::undrain(Target::of(&cli.connection)?, args).await,
        CliCommand::Worker(args) => match args.command {
            WorkerSubcommand::Revoke { worker } => revoke::revoke(master()?, &worker).await?,
            WorkerSubcommand::Forget { worker } => forget::forget(master()?, &worker).await?,
            WorkerSubcommand::ForgetAttempt { attempt } => {
                forget_attempt::forget_attempt(master()?, &attempt).await?;
            }
            WorkerSubcommand::EndQuarantined { worker, attempt } => {
                end_quarantined::end_quarantined(master()?, &worker, &attempt).await?;
            }
        },
        CliCommand::Events(args) => events::events(master()?, args).await?,
        CliCommand::Cluster(args) => cluster::cluster(master()?, args).await?,
        CliCommand::Backup(args) => backup::backup(master()?, args).await?,
        CliCommand::Login(args) => login::login(&cli.connection, args).await?,
        CliCommand::Token(args) => token::token(master()?, args).await?,
        CliCommand::Access(args) => access::access(master()?, args).await?,
        CliCommand::Whoami => token::whoami(&master()?).await?,
        CliCommand::Context(args) => login::context(args)?,
        CliCommand::Up(args) => up::up(args).await?,
        CliCommand::Down(args) => up::down(args).await?,
        CliCommand::Completions(args) => completions::completions(args.shell)?,
        CliCommand::Version => put(&format!("muster {}\n", env!("CARGO_PKG_VERSION")))?,
    }
    Ok(ExitStatus::OK)
}

/// Prints to standard output.
pub(crate) fn put(text: &str) -> Result<(), CommandFailure> {
    print(text).map_err(CommandFailure::Output)
}
