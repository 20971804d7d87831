//! `muster list`.

use muster_client::v1::driver::State;
use muster_client::v1::{
    Driver, GetDriverRequest, ListApplicationsResponse, ListDriversResponse, ListExecutorsResponse, ListWorkersResponse,
};

use super::put;
use crate::args::{Format, ListArgs, ListKind};
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{DisplayClock, Screen, TableRow, WireMessage, table, tell, to_json};

/// The most drivers whose reasons are looked up; nobody reads more.
const EXPLAINED: usize = 20;

/// Lists all objects of one kind, through all pages of the answer.
pub(super) async fn list(master: MasterClient, args: ListArgs) -> Result<(), CommandFailure> {
    let filter = filter(&args);
    let limit = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    if args.application.is_some() && args.kind != ListKind::Executors {
        return Err(CommandFailure::Usage(
            "--application is for executors: `muster list executors --application ID`".into(),
        ));
    }
    let client = master.client();
    match args.kind {
        ListKind::Drivers => {
            let mut items = master.ask(client.drivers(&filter, limit)).await?.items;
            if matches!(args.show.output, Format::Table | Format::Wide) {
                explain(&master, &mut items).await;
            }
            show(&args, items, |drivers| ListDriversResponse { drivers, ..Default::default() })
        }
        ListKind::Applications => {
            let items = master.ask(client.applications(&filter, limit)).await?.items;
            show(&args, items, |applications| ListApplicationsResponse { applications, ..Default::default() })
        }
        ListKind::Executors => {
            let application = args.application.clone().unwrap_or_default();
            let items = match master.ask(client.executors(&application, &filter, limit)).await {
                Ok(listed) => listed.items,
                Err(failure) if failure.is_not_found() => return Err(master.no_application(&application).await),
                Err(failure) => return Err(failure),
            };
            show(&args, items, |executors| ListExecutorsResponse { executors, ..Default::default() })
        }
        ListKind::Workers => {
            let items = master.ask(client.workers(&filter, limit)).await?.items;
            show(&args, items, |workers| ListWorkersResponse { workers, ..Default::default() })
        }
    }
}

/// Looks up why the first few pending drivers wait. Lists leave the reasons out, because they cost
/// the master some work.
async fn explain(master: &MasterClient, drivers: &mut [Driver]) {
    let waiting = drivers.iter_mut().filter(|driver| driver.state() == State::Pending && driver.pending.is_none());
    for driver in waiting.take(EXPLAINED) {
        let request = GetDriverRequest { driver_id: driver.uid.clone() };
        // A list without reasons is still useful.
        let Ok(answer) = master.client().get_driver(request).await else { return };
        driver.pending = answer.driver.and_then(|driver| driver.pending);
    }
}

fn show<T: TableRow, A: WireMessage>(
    args: &ListArgs,
    items: Vec<T>,
    answer: impl FnOnce(Vec<T>) -> A,
) -> Result<(), CommandFailure> {
    match args.show.output {
        Format::Json => put(&to_json(&answer(items))?),
        Format::Name => put(&items.iter().map(|item| format!("{}\n", item.name())).collect::<String>()),
        Format::Table | Format::Wide if items.is_empty() => {
            tell(nothing(args));
            Ok(())
        }
        Format::Table | Format::Wide => {
            put(&table(&items, args.show.output == Format::Wide, DisplayClock::now(), Screen::stdout()))
        }
    }
}

/// The message for an empty list. It goes to standard error, where it does not disturb programs.
fn nothing(args: &ListArgs) -> &'static str {
    let narrowed = args.state.is_some() || args.worker.is_some() || !args.labels.is_empty() || args.filter.is_some();
    match (args.kind, narrowed) {
        (_, true) => "nothing matches",
        (ListKind::Drivers, false) => "there are no drivers; `muster submit -- PROGRAM` runs one",
        (ListKind::Applications, false) => "there are no applications",
        (ListKind::Executors, false) => "there are no executors",
        (ListKind::Workers, false) => "there are no workers",
    }
}

/// The arguments as one filter in the syntax of the wire.
fn filter(args: &ListArgs) -> String {
    let state = args.state.iter().map(|state| format!("state={}", state.to_ascii_uppercase().replace('-', "_")));
    let worker = args.worker.iter().map(|worker| format!("worker={}", quoted(worker)));
    let labels = args.labels.iter().map(|label| format!("labels.{}={}", label.key, quoted(&label.value)));
    let terms: Vec<String> = state.chain(worker).chain(labels).chain(args.filter.clone()).collect();
    terms.join(" AND ")
}

/// Quotes a value that is empty or contains white space.
fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains(char::is_whitespace) { format!("\"{value}\"") } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, CliCommand};
    use clap::Parser as _;

    fn filter_of(line: &[&str]) -> String {
        let cli = Cli::try_parse_from(["muster", "list", "drivers"].iter().chain(line)).expect("the line is right");
        let CliCommand::List(args) = cli.command else { unreachable!("it is a list") };
        filter(&args)
    }

    #[test]
    fn filters_are_joined() {
        assert_eq!(filter_of(&[]), "");
        assert_eq!(
            filter_of(&["--state", "backing-off", "--worker", "w1", "-l", "a=b c", "--filter", "labels.x=y"]),
            "state=BACKING_OFF AND worker=w1 AND labels.a=\"b c\" AND labels.x=y"
        );
    }
}
