//! Watches of events.

use std::collections::HashSet;
use std::sync::Arc;

use muster_proto::errors::Failure;
use muster_proto::v1;
use muster_proto::validate::{self, WatchFrom};

use crate::events::{EventFilter, EventStream, OutOfRange, WatchEnd, WatchError};
use crate::leader::LeaderContext;

pub(crate) fn open(leading: &LeaderContext, wire: v1::WatchEventsRequest) -> Result<EventStream, Failure> {
    let request = validate::watch_events(wire)?;
    let wanted = wanted(leading, &request)?;
    let from = match request.from {
        WatchFrom::Now => leading.token(leading.view.read().commit),
        WatchFrom::Oldest => leading.broker.oldest(),
        WatchFrom::Token(token) => token,
    };
    let newest = leading.view.read().commit;
    leading.broker.check(from, newest).map_err(compacted)?;
    leading.answered(EventStream::new(leading.broker.clone(), wanted, from))
}

/// The uids of the objects that a watch names; an unknown name is an error. `None`: the watch names
/// nothing and gets all events.
fn wanted(leading: &LeaderContext, request: &validate::WatchEvents) -> Result<EventFilter, Failure> {
    let mut uids = HashSet::new();
    for name in &request.drivers {
        let found = leading.view.driver(name).1.map(|driver| driver.record.uid.0);
        uids.insert(found.ok_or_else(|| unknown("driver", name))?);
    }
    for name in &request.applications {
        let found = leading.view.application(name).1.map(|application| application.record.uid.0);
        uids.insert(found.ok_or_else(|| unknown("application", name))?);
    }
    for name in &request.workers {
        let found = leading.view.worker(name).1.map(|worker| worker.record.uid.0);
        uids.insert(found.ok_or_else(|| unknown("worker", name))?);
    }
    Ok((!uids.is_empty()).then(|| Arc::new(uids)))
}

fn unknown(kind: &'static str, name: &str) -> Failure {
    Failure::NotFound { kind, name: name.to_owned() }
}

fn compacted(range: OutOfRange) -> Failure {
    Failure::Compacted { oldest: range.oldest.to_string(), current: range.current.to_string() }
}

/// The entry of the error table for the end of a watch.
pub(crate) fn ended(error: WatchError) -> Failure {
    match error {
        WatchError::OutOfRange(range) => compacted(range),
        WatchError::Ended(WatchEnd::TooSlow, token) => Failure::WatcherTooSlow { resume_token: token.to_string() },
        WatchError::Ended(WatchEnd::Shutdown, _) => Failure::GoingAway,
    }
}
