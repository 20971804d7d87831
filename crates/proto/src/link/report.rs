//! Reports and their acknowledgements.

use muster_types::{Acknowledgement, AttemptState, Outcome, Report};

use super::numbers::attempt_of;
use crate::text::shorten;
use crate::time::{timestamp, wall_time};
use crate::wire_error::required;
use crate::{WireError, v1};

/// Bounds of the texts in a report, which are shown.
const MAX_ID: usize = 63;
const MAX_WAIT_CHANNEL: usize = 64;

impl From<&Report> for v1::Report {
    fn from(report: &Report) -> Self {
        let mut wire = v1::Report {
            attempt: Some(report.attempt.into()),
            sequence: report.sequence,
            state: v1::AttemptState::Unspecified.into(),
            pid: report.pid.unwrap_or(0),
            start_time: report.started.map(timestamp),
            end_time: report.ended.map(timestamp),
            outcome: None,
            resources: Some((&report.resources).into()),
            wait_channel: String::new(),
            id: report.id.clone(),
        };
        let state = match &report.state {
            AttemptState::Accepted => v1::AttemptState::Accepted,
            AttemptState::Running => v1::AttemptState::Running,
            AttemptState::Killing { wait_channel } => {
                wire.wait_channel = wait_channel.clone().unwrap_or_default();
                v1::AttemptState::Killing
            }
            AttemptState::Frozen => v1::AttemptState::Frozen,
            AttemptState::Ended(outcome) => {
                wire.outcome = Some(outcome.into());
                v1::AttemptState::Ended
            }
        };
        wire.set_state(state);
        wire
    }
}

impl TryFrom<v1::Report> for Report {
    type Error = WireError;

    fn try_from(mut wire: v1::Report) -> Result<Self, WireError> {
        let state = state_of(&mut wire)?;
        let resources = required(wire.resources, "resources")?;
        if wire.id.len() > MAX_ID {
            return Err(WireError::new("id", "is longer than 63 bytes"));
        }
        Ok(Report {
            attempt: attempt_of(wire.attempt.as_ref())?,
            sequence: wire.sequence,
            state,
            pid: Some(wire.pid).filter(|pid| *pid != 0),
            started: wire.start_time.as_ref().map(wall_time),
            ended: wire.end_time.as_ref().map(wall_time),
            resources: resources.try_into().map_err(|error: WireError| error.within("resources"))?,
            id: wire.id,
        })
    }
}

fn state_of(wire: &mut v1::Report) -> Result<AttemptState, WireError> {
    match wire.state() {
        v1::AttemptState::Accepted => Ok(AttemptState::Accepted),
        // A state that this release does not know counts as running, which closes nothing.
        v1::AttemptState::Running | v1::AttemptState::Unspecified => Ok(AttemptState::Running),
        v1::AttemptState::Killing => {
            let mut channel = std::mem::take(&mut wire.wait_channel);
            shorten(&mut channel, MAX_WAIT_CHANNEL);
            Ok(AttemptState::Killing { wait_channel: Some(channel).filter(|channel| !channel.is_empty()) })
        }
        v1::AttemptState::Frozen => Ok(AttemptState::Frozen),
        v1::AttemptState::Ended => {
            let outcome = required(wire.outcome.take(), "outcome")?;
            Ok(AttemptState::Ended(Outcome::try_from(outcome).map_err(|error| error.within("outcome"))?))
        }
    }
}

/// A list of reports; the first bad one refuses the list.
fn reports_of(list: Vec<v1::Report>, field: &str) -> Result<Vec<Report>, WireError> {
    list.into_iter().map(|report| Report::try_from(report).map_err(|error| error.within(field))).collect()
}

impl From<&[Report]> for v1::Reports {
    fn from(reports: &[Report]) -> Self {
        v1::Reports { reports: reports.iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::Reports> for Vec<Report> {
    type Error = WireError;

    fn try_from(wire: v1::Reports) -> Result<Self, WireError> {
        reports_of(wire.reports, "reports")
    }
}

impl v1::Inventory {
    /// A part of an inventory; `complete` on the last.
    pub fn part(attempts: &[Report], complete: bool) -> v1::Inventory {
        v1::Inventory { attempts: attempts.iter().map(Into::into).collect(), complete }
    }

    /// The reports of this part, and whether it is the last.
    pub fn into_part(self) -> Result<(Vec<Report>, bool), WireError> {
        Ok((reports_of(self.attempts, "attempts")?, self.complete))
    }
}

impl From<Acknowledgement> for v1::Acknowledgement {
    fn from(acknowledgement: Acknowledgement) -> Self {
        v1::Acknowledgement { attempt: Some(acknowledgement.attempt.into()), sequence: acknowledgement.sequence }
    }
}

impl TryFrom<&v1::Acknowledgement> for Acknowledgement {
    type Error = WireError;

    fn try_from(wire: &v1::Acknowledgement) -> Result<Self, WireError> {
        Ok(Acknowledgement { attempt: attempt_of(wire.attempt.as_ref())?, sequence: wire.sequence })
    }
}

impl From<&[Acknowledgement]> for v1::Acknowledgements {
    fn from(acknowledgements: &[Acknowledgement]) -> Self {
        v1::Acknowledgements { reports: acknowledgements.iter().copied().map(Into::into).collect() }
    }
}

impl TryFrom<&v1::Acknowledgements> for Vec<Acknowledgement> {
    type Error = WireError;

    fn try_from(wire: &v1::Acknowledgements) -> Result<Self, WireError> {
        wire.reports.iter().map(|one| one.try_into().map_err(|error: WireError| error.within("reports"))).collect()
    }
}
