//! What the worker's own service shows of the link and of the runner. The tasks of both write it,
//! and anyone reads it.

use std::sync::Arc;

use muster_types::{Capabilities, Epoch, Incarnation};
use tokio::sync::watch;

use crate::launch::ClusterVariables;
use crate::metrics::WorkerMetrics;

/// The present state.
#[derive(Debug, Clone, Default)]
pub struct StatusView {
    /// Address and epoch of the leader that has this worker's inventory.
    pub registered: Option<(String, Epoch)>,
    /// The highest epoch seen.
    pub epoch: Option<Epoch>,
    /// Incarnation of the runner, while there is one.
    pub incarnation: Option<Incarnation>,
    /// What the machine lets the worker do.
    pub capabilities: Capabilities,
    /// What programs are told of the cluster.
    pub cluster: Arc<ClusterVariables>,
}

impl StatusView {
    /// Ready means that the worker is registered: a leader has its inventory.
    pub fn is_ready(&self) -> bool {
        self.registered.is_some()
    }
}

/// The present state, shared by all clones.
#[derive(Debug, Clone)]
pub struct AgentStatus(Arc<SharedStatus>);

#[derive(Debug)]
struct SharedStatus {
    view: watch::Sender<StatusView>,
    metrics: WorkerMetrics,
}

impl AgentStatus {
    /// A state in which nothing is known yet.
    pub fn new() -> AgentStatus {
        let view = watch::Sender::new(StatusView::default());
        AgentStatus(Arc::new(SharedStatus { view, metrics: WorkerMetrics::default() }))
    }

    /// Changes the state, and wakes those who wait.
    pub fn change(&self, change: impl FnOnce(&mut StatusView)) {
        self.0.view.send_modify(change);
    }

    /// Changes the state, and wakes those who wait if `change` returns true.
    pub fn change_if(&self, change: impl FnOnce(&mut StatusView) -> bool) {
        self.0.view.send_if_modified(change);
    }

    /// A copy of the present state.
    pub fn view(&self) -> StatusView {
        self.0.view.borrow().clone()
    }

    /// What link and runner measure.
    pub fn metrics(&self) -> &WorkerMetrics {
        &self.0.metrics
    }

    /// A receiver to wait for changes.
    pub fn subscribe(&self) -> watch::Receiver<StatusView> {
        self.0.view.subscribe()
    }
}

impl Default for AgentStatus {
    fn default() -> AgentStatus {
        AgentStatus::new()
    }
}
