//! Where callers tell the loop things.

use tokio::sync::mpsc;

use super::CallerInput;

/// Where callers tell the loop things. It is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct CallerInputs(mpsc::UnboundedSender<CallerInput>);

impl CallerInputs {
    pub(super) fn new(sender: mpsc::UnboundedSender<CallerInput>) -> CallerInputs {
        CallerInputs(sender)
    }

    /// Tells the loop something. Returns false when it has ended: then all jobs have.
    pub(crate) fn tell(&self, input: CallerInput) -> bool {
        self.0.send(input).is_ok()
    }
}
