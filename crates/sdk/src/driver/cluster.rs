//! What the driver asks of the master, and hears from it.

use muster_client::{Client, v1};
use muster_dag::ExecutorLoss;
use muster_types::ExecutorId;
use v1::application_session_event::Event;

use super::failure::last_words;
use super::{CallerInput, CallerInputs};
use crate::error_text::error_text;
use crate::{Application, ApplicationSession, SessionEvent};

/// The signals by which a process ends are shown as a shell shows them.
const SIGNAL_CODES: i32 = 128;

/// The application, as the loop uses it. Nothing here waits.
#[derive(Debug, Clone)]
pub(crate) struct ClusterControl {
    pub(crate) application: Application,
    pub(crate) client: Client,
}

impl ClusterControl {
    /// Has the master end an executor and start another one.
    pub(crate) fn replace(&self, executor: ExecutorId) {
        let application = self.application.clone();
        tokio::spawn(async move {
            // An error means that the application has ended, of which the session tells.
            let _ = application.kill_executors(vec![executor.0], true).await;
        });
    }

    /// The end of what an executor has written to standard error.
    pub(crate) fn last_words(&self, executor: u32) -> impl Future<Output = String> + use<> {
        last_words(self.client.clone(), self.application.uid().to_owned(), executor)
    }
}

/// Follows the session until the application has ended, and tells the loop.
pub(crate) async fn follow(mut session: ApplicationSession, driver: CallerInputs) {
    loop {
        let input = match session.next().await {
            Ok(Some(SessionEvent::State(executors))) => Some(CallerInput::ExecutorsAlive(executors)),
            Ok(Some(SessionEvent::Event(event))) => input_of(*event),
            Ok(None) => Some(CallerInput::Ended("the application has ended".into())),
            Err(error) => {
                let text = format!("the session with the master has ended: {}", error_text(&error));
                Some(CallerInput::Ended(text.into()))
            }
        };
        let Some(input) = input else { continue };
        let is_last = matches!(input, CallerInput::Ended(_));
        if !driver.tell(input) || is_last {
            return;
        }
    }
}

fn input_of(event: v1::ApplicationSessionEvent) -> Option<CallerInput> {
    let executor = ExecutorId(event.executor.map_or(0, |executor| executor.executor_id));
    match event.event? {
        Event::Ended(ended) => Some(CallerInput::ExecutorLost(executor, loss_of(&ended))),
        Event::ProcessLost(_) => Some(CallerInput::ExecutorLost(executor, ExecutorLoss::ProcessLost)),
        Event::WorkerLost(_) => Some(CallerInput::ExecutorLost(executor, ExecutorLoss::WorkerLost)),
        Event::Draining(_) => Some(CallerInput::ExecutorDraining(executor)),
        Event::Pending(pending) => {
            let reasons = pending.reason.unwrap_or_default().reasons;
            let reasons: Vec<String> = reasons.into_iter().map(|reason| reason.message).collect();
            Some(CallerInput::ExecutorsPending(pending.missing, reasons.join("; ")))
        }
        Event::ApplicationEnded(ended) => {
            let text = format!("the application has ended (by {}): {}", ended.by, ended.message);
            Some(CallerInput::Ended(text.into()))
        }
        Event::Added(_) | Event::Running(_) => None,
    }
}

/// Whose doing an end was decides whether it counts against the tasks: what somebody asked for, and
/// what befell the machine, does not.
fn loss_of(ended: &v1::ExecutorEnded) -> ExecutorLoss {
    let outcome = ended.outcome.clone().unwrap_or_default();
    match (ended.killed_by.as_str(), outcome.exit_code, outcome.signal) {
        ("application", ..) => ExecutorLoss::Killed,
        ("", Some(code), _) => ExecutorLoss::Exited { code },
        ("", None, Some(signal)) if outcome.fault() == v1::Fault::Program => {
            ExecutorLoss::Exited { code: SIGNAL_CODES + signal }
        }
        ("", None, None) if outcome.fault() == v1::Fault::Program => ExecutorLoss::ProcessLost,
        _ => ExecutorLoss::WorkerLost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_doing_an_end_was_is_kept() {
        let loss = |exit_code, signal, fault: v1::Fault, by: &str| {
            let outcome = v1::Outcome { exit_code, signal, fault: fault.into(), ..Default::default() };
            loss_of(&v1::ExecutorEnded { outcome: Some(outcome), killed_by: by.to_owned() })
        };
        use v1::Fault::{Platform, Program, User};
        assert_eq!(loss(Some(3), None, Program, ""), ExecutorLoss::Exited { code: 3 });
        assert_eq!(loss(None, Some(9), Program, ""), ExecutorLoss::Exited { code: 137 });
        assert_eq!(loss(None, None, Program, ""), ExecutorLoss::ProcessLost);
        assert_eq!(loss(None, None, Platform, ""), ExecutorLoss::WorkerLost);
        assert_eq!(loss(None, Some(15), User, "application"), ExecutorLoss::Killed);
        for by in ["operator", "preemption", "drain", "lease"] {
            assert_eq!(loss(None, Some(15), User, by), ExecutorLoss::WorkerLost, "{by}");
        }
    }
}
