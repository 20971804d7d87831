//! Where output goes, and whether it may have colours.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};

use anstyle::Style;

/// The styles of text.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    /// As it is.
    pub(crate) const PLAIN: Style = Style::new();
    /// All is well.
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    /// Something is on its way, or needs an eye.
    pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
    /// Something went wrong.
    pub(crate) const BAD: Style = AnsiColor::Red.on_default();
    /// Of less interest.
    pub(crate) const DIM: Style = Style::new().dimmed();
    /// A heading.
    pub(crate) const HEAD: Style = Style::new().bold();
}

/// Whether an output may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    colours: bool,
}

impl Screen {
    /// Standard output: coloured on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn stdout() -> Screen {
        Screen { colours: io::stdout().is_terminal() && colours_wanted() }
    }

    /// Standard error, likewise.
    pub(crate) fn stderr() -> Screen {
        Screen { colours: io::stderr().is_terminal() && colours_wanted() }
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Screen = Screen { colours: false };

    /// With colours.
    #[cfg(test)]
    pub(crate) const COLOURED: Screen = Screen { colours: true };

    /// A text in a style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.colours && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// A text of others as one line that commands no terminal: control characters, and marks that turn
/// the direction of writing, are shown as escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let commands = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if commands(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// See <https://no-color.org>.
fn colours_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes to standard output at once.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to standard error. A failure is ignored, because nobody could be told of it.
pub(crate) fn tell(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.write_all(b"\n"));
}
