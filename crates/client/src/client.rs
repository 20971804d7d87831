//! The handle to a cluster.

use std::sync::Arc;
use std::time::Duration;

use crate::routes::Routes;
use crate::{ConnectOptions, MasterAddresses};

/// A handle to a cluster. Cheap to clone; connections are shared, and come up when they are first
/// needed.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) routes: Arc<Routes>,
    pub(crate) options: ConnectOptions,
}

impl Client {
    /// A client with default options for the cluster of these masters.
    pub fn new(masters: MasterAddresses) -> Client {
        Client::with_options(masters, ConnectOptions::default())
    }

    /// A client with these options.
    pub fn with_options(masters: MasterAddresses, options: ConnectOptions) -> Client {
        Client { routes: Arc::new(Routes::new(masters)), options }
    }

    /// A client with another deadline for calls. It shares the connections of this one.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Client {
        let try_timeout = self.options.try_timeout.min(deadline);
        Client {
            routes: self.routes.clone(),
            options: ConnectOptions { deadline, try_timeout, ..self.options.clone() },
        }
    }
}

/// A fresh request id. Ids are ordered by time, so that a master can tell an id that is older than
/// those it keeps.
pub fn new_request_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Fills in a request id where the caller gave none.
pub(crate) fn fill(request_id: &mut String) {
    if request_id.is_empty() {
        *request_id = new_request_id();
    }
}
