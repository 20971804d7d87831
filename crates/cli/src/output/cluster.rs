//! The cluster as a whole.

use std::collections::BTreeMap;

use muster_client::v1::Cluster;

use super::driver::wanted;
use super::fields::Fields;
use super::screen::{Screen, Tone};
use super::time::Clock;

/// All about the cluster.
pub(crate) fn cluster_page(cluster: &Cluster, clock: Clock, screen: Screen) -> String {
    let mut page = Fields::new(screen);
    page.field("Cluster", &cluster.name).field("Uid", &cluster.uid).field("Leader", &cluster.leader);
    page.field("Leads since", clock.stamp(cluster.leader_since.as_ref())).field("Epoch", &cluster.epoch);
    page.field("Standbys", cluster.standbys.join(", ")).field("Version", &cluster.version);
    page.field("Store", &cluster.store).field("Commit", cluster.commit.to_string());
    page.field("Has", cluster.total.as_ref().map(wanted).unwrap_or_default());
    page.field("Used", cluster.used.as_ref().map(wanted).unwrap_or_default());
    page.field("Workers", counts(&cluster.workers));
    if cluster.unconfirmed_workers > 0 {
        let text = format!("{} not heard since this leader began", cluster.unconfirmed_workers);
        page.toned("", Tone::Warn, text);
    }
    page.field("Drivers", counts(&cluster.drivers)).field("Applications", counts(&cluster.applications));
    if cluster.quarantined_attempts > 0 {
        let text = format!(
            "{} run that the restored store does not name; `muster get worker` shows them, `muster worker end-quarantined` ends them",
            cluster.quarantined_attempts
        );
        page.toned("Attempts", Tone::Warn, text);
    }
    page.toned("Quarantined", Tone::Bad, cluster.quarantined_records.join("\n"));
    page.finish()
}

/// Counts by state, such as `2 ALIVE, 1 LOST`.
fn counts(counts: &BTreeMap<String, u32>) -> String {
    let parts: Vec<_> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {}", state.strip_prefix("STATE_").unwrap_or(state)))
        .collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}
