//! `muster cluster`.

use super::put;
use crate::args::{Format, ShowArgs};
use crate::failure::Failure;
use crate::master::Master;
use crate::output::{Clock, Screen, cluster_page, to_json};

/// Shows the cluster as a whole.
pub(super) async fn cluster(master: Master, args: ShowArgs) -> Result<(), Failure> {
    let cluster = master.ask(master.client().get_cluster()).await?;
    match args.output {
        Format::Json => put(&to_json(&cluster)?),
        Format::Name => put(&format!("{}\n", cluster.name)),
        Format::Table | Format::Wide => put(&cluster_page(&cluster, Clock::now(), Screen::stdout())),
    }
}
