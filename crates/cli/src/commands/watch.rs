//! Reads one driver, application or worker again whenever something happens to it.

use muster_client::EventWatch;
use muster_client::v1::{Application, Driver, WatchEventsRequest, Worker};

use crate::failure::CommandFailure;
use crate::master::MasterClient;

/// Waits for events of the object that a request names. A watch that is too old to resume reports a
/// lost position once.
#[derive(Debug)]
struct ChangeWaiter {
    master: MasterClient,
    names: WatchEventsRequest,
    watch: Option<EventWatch>,
}

impl ChangeWaiter {
    fn of(master: &MasterClient, names: WatchEventsRequest) -> ChangeWaiter {
        ChangeWaiter { master: master.clone(), names, watch: None }
    }

    /// Begins the watch, or begins it anew, at the token of the last read.
    fn from(&mut self, resume_token: String) {
        let request = WatchEventsRequest { resume_token, ..self.names.clone() };
        self.watch = Some(self.master.client().watch_events(request));
    }

    /// Waits for an event. Returns `true` when there is no position to resume from, before the
    /// first read and after a compaction; the object must then be read anew.
    async fn next(&mut self) -> Result<bool, CommandFailure> {
        let Some(watch) = &mut self.watch else { return Ok(true) };
        match watch.next().await {
            Ok(_) => Ok(false),
            Err(error) if error.is_compacted() => {
                self.watch = None;
                Ok(true)
            }
            Err(error) => Err(self.master.read_failure(error)),
        }
    }
}

macro_rules! seen_again {
    ($(#[$doc:meta])* $name:ident, $thing:ident: $type:ident, $list:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            changes: ChangeWaiter,
            last: $type,
        }

        impl $name {
            /// Watches an object that was just read.
            pub(super) fn of(master: &MasterClient, last: $type) -> $name {
                let names = WatchEventsRequest { $list: vec![last.uid.clone()], ..WatchEventsRequest::default() };
                $name { changes: ChangeWaiter::of(master, names), last }
            }

            /// The object as it was last read.
            pub(super) fn $thing(&self) -> &$type {
                &self.last
            }

            /// Waits until something has happened to the object, and reads it again.
            pub(super) async fn next(&mut self) -> Result<(), CommandFailure> {
                if !self.changes.next().await? {
                    return self.look().await;
                }
                let (seen, token) = self.changes.master.$thing(&self.last.uid).await?;
                self.last = seen;
                self.changes.from(token);
                Ok(())
            }

            /// Reads the object again at once.
            pub(super) async fn look(&mut self) -> Result<(), CommandFailure> {
                self.last = self.changes.master.$thing(&self.last.uid).await?.0;
                Ok(())
            }
        }
    };
}

seen_again! {
    /// A driver.
    DriverWatch, driver: Driver, driver_ids
}
seen_again! {
    /// An application.
    ApplicationWatch, application: Application, application_ids
}
seen_again! {
    /// A worker.
    WorkerWatch, worker: Worker, worker_ids
}
