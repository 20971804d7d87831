//! The cluster as a whole.

use std::collections::BTreeMap;

use muster_client::v1::{Cluster, Master, Recovery};

use super::driver::wanted;
use super::fields::Fields;
use super::screen::{Screen, style};
use super::table::{TableCell, columns_of};
use super::time::DisplayClock;
use super::units::count;

/// All about the cluster.
pub(crate) fn cluster_page(cluster: &Cluster, clock: DisplayClock, screen: Screen) -> String {
    let mut page = Fields::new(screen);
    page.field("Cluster", &cluster.name).field("Uid", &cluster.uid).field("Leader", &cluster.leader);
    page.field("Leads since", clock.stamp(cluster.leader_since.as_ref())).field("Epoch", &cluster.epoch);
    if cluster.generation > 0 {
        page.field("Generation", cluster.generation.to_string());
    }
    if cluster.masters.is_empty() {
        page.field("Standbys", cluster.standbys.join(", "));
    }
    page.field("Version", &cluster.version).field("Store", &cluster.store).field("Commit", cluster.commit.to_string());
    page.field("Has", cluster.total.as_ref().map(wanted).unwrap_or_default());
    page.field("Used", cluster.used.as_ref().map(wanted).unwrap_or_default());
    page.field("Workers", counts(&cluster.workers));
    if cluster.unconfirmed_workers > 0 {
        let text = format!("{} not heard since this leader began", cluster.unconfirmed_workers);
        page.toned("", style::WARN, text);
    }
    page.toned(
        "Recovery",
        style::WARN,
        cluster.recovery.as_ref().map(|recovery| recovering(recovery, clock)).unwrap_or_default(),
    );
    page.field("Drivers", counts(&cluster.drivers)).field("Applications", counts(&cluster.applications));
    if cluster.quarantined_attempts > 0 {
        let text = format!(
            "{} run that the restored store does not name; `muster get worker` shows them, `muster worker end-quarantined` ends them",
            cluster.quarantined_attempts
        );
        page.toned("Attempts", style::WARN, text);
    }
    page.toned("Quarantined", style::BAD, cluster.quarantined_records.join("\n"));
    page.toned("Notices", style::BAD, cluster.notices.join("\n"));
    if !cluster.masters.is_empty() {
        page.part("Masters:", &masters(&cluster.masters, clock, screen));
    }
    page.finish()
}

/// What a new leader waits for, such as `2 workers awaited; those that are silent are lost in 48s`.
fn recovering(recovery: &Recovery, clock: DisplayClock) -> String {
    let awaited = format!("{} awaited", count(recovery.awaited_workers.into(), "worker"));
    match &recovery.deadline {
        Some(deadline) => format!("{awaited}; those that are silent are lost {}", clock.until(deadline)),
        None => awaited,
    }
}

/// The masters in standby order, the leader first.
fn masters(masters: &[Master], clock: DisplayClock, screen: Screen) -> String {
    let headings = ["ADDRESS", "VERSION", "ROLE", "SINCE"];
    let rows = masters.iter().map(|master| {
        let role = if master.leads { TableCell::new(style::GOOD, "leads") } else { "stands by".into() };
        let since = clock.stamp(master.since.as_ref());
        vec![master.address.clone().into(), master.version.clone().into(), role, since.into()]
    });
    columns_of(&headings, rows.collect(), "  ", screen)
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
