//! What each command does.

mod backup;
mod cluster;
mod completions;
mod drain;
mod end_quarantined;
mod events;
mod follow;
mod forget;
mod get;
mod kill;
mod list;
mod logs;
mod pump;
mod spec;
mod submit;
mod summary;
mod tail;
mod verdict;
mod wait;
mod watch;

pub(crate) use summary::running_summary;

use crate::args::{Cli, Command, WorkerCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::master::Master;
use crate::output::print;
use crate::up;

/// Does what was asked.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let master = || Master::new(&cli.connection.master);
    match cli.command {
        Command::Submit(args) => return submit::submit(master()?, *args).await,
        Command::Get(args) => get::get(master()?, args).await?,
        Command::List(args) => list::list(master()?, args).await?,
        Command::Logs(args) => logs::logs(master()?, args).await?,
        Command::Kill(args) => return kill::kill(master()?, args).await,
        Command::Drain(args) => drain::drain(master()?, args).await?,
        Command::Undrain(args) => drain::undrain(master()?, args).await?,
        Command::Worker(args) => match args.command {
            WorkerCommand::Forget { worker } => forget::forget(master()?, &worker).await?,
            WorkerCommand::EndQuarantined { worker, attempt } => {
                end_quarantined::end_quarantined(master()?, &worker, &attempt).await?;
            }
        },
        Command::Events(args) => events::events(master()?, args).await?,
        Command::Cluster(args) => cluster::cluster(master()?, args).await?,
        Command::Backup(args) => backup::backup(master()?, args).await?,
        Command::Up(args) => up::up(args).await?,
        Command::Down(args) => up::down(args).await?,
        Command::Completions(args) => completions::completions(args.shell)?,
        Command::Version => put(&format!("muster {}\n", env!("CARGO_PKG_VERSION")))?,
    }
    Ok(Exit::OK)
}

/// Prints to standard output.
pub(crate) fn put(text: &str) -> Result<(), Failure> {
    print(text).map_err(Failure::Output)
}
