//! A line on standard error that says what is waited for: on a terminal, and nowhere else.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shown until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins with a text.
    pub(crate) fn begin(text: impl Into<Cow<'static, str>>) -> Progress {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
        // Our template is valid, so the fallback is never used.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress { bar }
    }

    /// Replaces the text.
    pub(crate) fn say(&self, text: impl Into<Cow<'static, str>>) {
        self.bar.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
