//! What the worker's own service shows of the link and of the runner. Written by those who know,
//! read by anyone.

use std::sync::Arc;

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

/// The one place of it.
#[derive(Debug, Clone)]
pub struct AgentStatus(Arc<watch::Sender<StatusView>>);

impl AgentStatus {
    /// Nothing known yet.
    pub fn new() -> AgentStatus {
        AgentStatus(Arc::new(watch::Sender::new(StatusView::default())))
    }

    /// Changes it.
    pub fn change(&self, change: impl FnOnce(&mut StatusView)) {
        self.0.send_modify(change);
    }

    /// Changes it and tells those who wait, if the function says that it did change something.
    pub fn change_if(&self, change: impl FnOnce(&mut StatusView) -> bool) {
        self.0.send_if_modified(change);
    }

    /// A copy.
    pub fn view(&self) -> StatusView {
        self.0.borrow().clone()
    }

    /// To wait on.
    pub fn subscribe(&self) -> watch::Receiver<StatusView> {
        self.0.subscribe()
    }
}

impl Default for AgentStatus {
    fn default() -> AgentStatus {
        AgentStatus::new()
    }
}
