//! What people are told about a cluster that is up.

use super::layout::{ClusterLayout, ETCD};
use super::plan::ClusterPlan;
use crate::args::ConnectionArgs;
use crate::contexts::Target;
use crate::output::size;

/// The directory, the address, and what to do next.
pub(crate) fn ready_text(plan: &ClusterPlan, address: &str, ends: &str) -> String {
    let workers = if plan.workers == 1 { "1 worker".to_owned() } else { format!("{} workers", plan.workers) };
    let cores = if plan.cores == 1 { "1 core".to_owned() } else { format!("{} cores", plan.cores) };
    let each = if plan.workers == 1 { "" } else { " each" };
    let mut text = format!("Muster is up: {}, {workers} ({cores}, {}{each})\n", masters(address), size(plan.memory));
    text.push_str(&places(&plan.layout));
    text.push_str(&next_steps(&plan.layout, address));
    text.push_str(ends);
    text
}

/// Where the masters are, such as `master 127.0.0.1:7077`.
pub(crate) fn masters(addresses: &str) -> String {
    if addresses.contains(',') { format!("masters {addresses}") } else { format!("master {addresses}") }
}

/// The directory, the logs, and the address of etcd.
pub(crate) fn places(layout: &ClusterLayout) -> String {
    let mut text = format!("  directory  {}\n  logs       {}\n", layout.dir().display(), layout.logs().display());
    if let Ok(etcd) = std::fs::read_to_string(layout.address(ETCD)) {
        text.push_str(&format!("  etcd       {}\n", etcd.trim()));
    }
    text
}

/// Commands to try.
pub(crate) fn next_steps(layout: &ClusterLayout, address: &str) -> String {
    let mut text = String::from("\nNext:\n");
    // The environment or a context may name another cluster.
    if !Target::of(&ConnectionArgs::default()).is_ok_and(|target| target.masters == address) {
        text.push_str(&format!("  export MUSTER_MASTER={address}\n"));
    }
    text.push_str("  muster submit --wait -- /bin/sh -c 'echo hello; exit 3'\n  muster list drivers\n");
    text.push_str(&format!("  {}\n", down_line(layout)));
    text
}

/// The command that ends this cluster.
pub(crate) fn down_line(layout: &ClusterLayout) -> String {
    format!("muster down --dir {}", layout.dir().display())
}
