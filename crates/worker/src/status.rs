//! What the worker's own service shows of the link and of the runner. The tasks of both write it,
//! and anyone reads it.

use std::sync::Arc;

use muster_proto::server::HttpPages;
use muster_types::{Capabilities, Epoch, Incarnation};
use tokio::sync::watch;

use crate::launch::ClusterVariables;

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
pub struct AgentStatus(Arc<watch::Sender<StatusView>>);

impl AgentStatus {
    /// A state in which nothing is known yet.
    pub fn new() -> AgentStatus {
        AgentStatus(Arc::new(watch::Sender::new(StatusView::default())))
    }

    /// Changes the state, and wakes those who wait.
    pub fn change(&self, change: impl FnOnce(&mut StatusView)) {
        self.0.send_modify(change);
    }

    /// Changes the state, and wakes those who wait if `change` returns true.
    pub fn change_if(&self, change: impl FnOnce(&mut StatusView) -> bool) {
        self.0.send_if_modified(change);
    }

    /// A copy of the present state.
    pub fn view(&self) -> StatusView {
        self.0.borrow().clone()
    }

    /// A receiver to wait for changes.
    pub fn subscribe(&self) -> watch::Receiver<StatusView> {
        self.0.subscribe()
    }
}

impl HttpPages for AgentStatus {
    fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }
}

impl Default for AgentStatus {
    fn default() -> AgentStatus {
        AgentStatus::new()
    }
}
