//! Waiting for a driver's end, without polling.

use std::time::Duration;

use muster_proto::v1::event::Subject;
use muster_proto::{enums, v1};
use muster_types::DriverState;

use crate::{CallError, Client};

/// A wait that ended before the driver did.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The time was up. Holds the driver as it was read after that.
    #[error("the time is up; driver {} is {}", .0.driver_id, state(.0))]
    TimedOut(Box<v1::Driver>),
    /// A call failed.
    #[error("cannot wait for the driver")]
    Call(#[from] CallError),
}

fn state(driver: &v1::Driver) -> &'static str {
    enums::driver_state(driver).map_or("in a state unknown here", DriverState::as_str)
}

impl Client {
    /// Waits until a driver, given by name or uid, has ended, and returns it. Without a `timeout`
    /// it waits as long as that takes.
    pub async fn wait_for_driver(&self, id: &str, timeout: Option<Duration>) -> Result<v1::Driver, WaitError> {
        self.wait_for_driver_seeing(id, timeout, |_| {}).await
    }

    /// The same. `seen` gets the driver each time it is read, and each of its events.
    pub async fn wait_for_driver_seeing(
        &self,
        id: &str,
        timeout: Option<Duration>,
        mut seen: impl FnMut(WaitProgress<'_>),
    ) -> Result<v1::Driver, WaitError> {
        let first = self.show(id).await?;
        // By uid, because another driver may take the name once this one is forgotten.
        let uid = first.0.uid.clone();
        let end = self.until_ended(first, &mut seen);
        match timeout {
            None => end.await,
            Some(timeout) => match tokio::time::timeout(timeout, end).await {
                Ok(ended) => ended,
                Err(_) => Err(WaitError::TimedOut(Box::new(self.show(&uid).await?.0))),
            },
        }
    }

    async fn until_ended(
        &self,
        (mut driver, mut token): (v1::Driver, String),
        seen: &mut impl FnMut(WaitProgress<'_>),
    ) -> Result<v1::Driver, WaitError> {
        loop {
            seen(WaitProgress::Driver(&driver));
            if enums::driver_state(&driver).is_some_and(DriverState::is_terminal) {
                return Ok(driver);
            }
            match self.until_end_event(&driver.uid, token, seen).await {
                // The events since then are no longer kept; what they said is in the driver itself.
                Err(error) if !error.is_compacted() => return Err(error.into()),
                Ok(()) | Err(_) => (driver, token) = self.show(&driver.uid).await?,
            }
        }
    }

    async fn until_end_event(
        &self,
        uid: &str,
        resume_token: String,
        seen: &mut impl FnMut(WaitProgress<'_>),
    ) -> Result<(), CallError> {
        let driver_ids = vec![uid.to_owned()];
        let mut watch = self.watch_events(v1::WatchEventsRequest { resume_token, driver_ids, ..Default::default() });
        loop {
            let event = watch.next().await?;
            seen(WaitProgress::Event(&event));
            let Some(Subject::Driver(driver)) = &event.subject else { continue };
            let state = DriverState::try_from(driver.state()).ok();
            if driver.uid == uid && state.is_some_and(DriverState::is_terminal) {
                return Ok(());
            }
        }
    }

    async fn show(&self, id: &str) -> Result<(v1::Driver, String), CallError> {
        let answer = self.get_driver(v1::GetDriverRequest { driver_id: id.to_owned() }).await?;
        Ok((answer.driver.unwrap_or_default(), answer.resume_token))
    }
}

/// What is seen during a wait.
#[derive(Debug, Clone, Copy)]
pub enum WaitProgress<'a> {
    /// The driver as it was read.
    Driver(&'a v1::Driver),
    /// One of its events.
    Event(&'a v1::Event),
}
