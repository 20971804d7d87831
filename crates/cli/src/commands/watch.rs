//! One driver, one application or one worker, seen again whenever something happens to it.

use muster_client::EventWatch;
use muster_client::v1::{Application, Driver, WatchEventsRequest, Worker};

use crate::failure::CommandFailure;
use crate::master::MasterClient;

/// Waits until something happens to what a request names. A watch that is too old to go on says so
/// once, as if something had happened.
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

    /// Begins (again) at a place, which came with what is known.
    fn from(&mut self, resume_token: String) {
        let request = WatchEventsRequest { resume_token, ..self.names.clone() };
        self.watch = Some(self.master.client().watch_events(request));
    }

    /// Waits; whether the place is lost, so that all must be read anew. Without a place, it is lost
    /// already.
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
            /// Of one that was just answered.
            pub(super) fn of(master: &MasterClient, last: $type) -> $name {
                let names = WatchEventsRequest { $list: vec![last.uid.clone()], ..WatchEventsRequest::default() };
                $name { changes: ChangeWaiter::of(master, names), last }
            }

            /// As it was last seen.
            pub(super) fn $thing(&self) -> &$type {
                &self.last
            }

            /// Waits until something has happened to it, and looks again.
            pub(super) async fn next(&mut self) -> Result<(), CommandFailure> {
                if !self.changes.next().await? {
                    return self.look().await;
                }
                let (seen, token) = self.changes.master.$thing(&self.last.uid).await?;
                self.last = seen;
                self.changes.from(token);
                Ok(())
            }

            /// Looks again at once.
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
