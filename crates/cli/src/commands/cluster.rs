//! `muster cluster`.

use muster_client::new_request_id;
use muster_client::v1::StepDownRequest;

use super::put;
use crate::args::{ClusterArgs, ClusterCommand, Format, ShowArgs};
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{DisplayClock, Screen, cluster_page, to_json};

/// Shows the cluster as a whole, or does something with it.
pub(super) async fn cluster(master: MasterClient, args: ClusterArgs) -> Result<(), CommandFailure> {
    match args.command {
        None => show(master, args.show).await,
        Some(ClusterCommand::StepDown { request_id }) => step_down(master, request_id).await,
    }
}

async fn show(master: MasterClient, args: ShowArgs) -> Result<(), CommandFailure> {
    let cluster = master.ask(master.client().get_cluster()).await?;
    match args.output {
        Format::Json => put(&to_json(&cluster)?),
        Format::Name => put(&format!("{}\n", cluster.name)),
        Format::Table | Format::Wide => put(&cluster_page(&cluster, DisplayClock::now(), Screen::stdout())),
    }
}

async fn step_down(master: MasterClient, request_id: Option<String>) -> Result<(), CommandFailure> {
    let client = master.client();
    let call = |request_id| client.step_down(StepDownRequest { request_id, ..Default::default() });
    let next = master.change_as(request_id.unwrap_or_else(new_request_id), call).await?;
    put(&format!("{} leads now, with epoch {}\n", next.leader, next.epoch))
}
