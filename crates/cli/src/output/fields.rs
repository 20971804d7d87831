//! A page of named fields, one per line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::Style;

use super::screen::{Screen, printable, style};

/// Width of the names.
const WIDTH: usize = 14;

/// Builds a page.
#[derive(Debug)]
pub(crate) struct Fields {
    text: String,
    screen: Screen,
}

impl Fields {
    /// An empty page.
    pub(crate) fn new(screen: Screen) -> Fields {
        Fields { text: String::new(), screen }
    }

    /// Adds a field, unless its value is empty. Further lines of the value are indented.
    pub(crate) fn field(&mut self, name: &str, value: impl AsRef<str>) -> &mut Fields {
        self.toned(name, style::PLAIN, value)
    }

    /// Adds a field in a style, unless its value is empty.
    pub(crate) fn toned(&mut self, name: &str, style: Style, value: impl AsRef<str>) -> &mut Fields {
        let value = value.as_ref();
        if value.is_empty() {
            return self;
        }
        let mut name = self.screen.paint(style::HEAD, &format!("{name:<WIDTH$}"));
        for line in value.lines() {
            let line = self.screen.paint(style, &printable(line));
            // Writing to a `String` cannot fail.
            let _ = writeln!(self.text, "{name}{line}");
            name = " ".repeat(WIDTH);
        }
        self
    }

    /// Adds a part with a heading after an empty line, unless its body is empty.
    pub(crate) fn part(&mut self, heading: &str, body: &str) -> &mut Fields {
        if !body.is_empty() {
            let heading = self.screen.paint(style::HEAD, heading);
            let _ = write!(self.text, "\n{heading}\n{body}");
        }
        self
    }

    /// The page.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

/// A map as `a=1, b=2`.
pub(crate) fn pairs(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

/// Words with the quotes that a shell needs, so that they can be copied.
pub(crate) fn shell_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(shell_word).collect::<Vec<_>>().join(" ")
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_commands_no_terminal() {
        let hostile = "a\u{1b}[31mb\u{202e}c\u{9b}d";
        let mut page = Fields::new(Screen::PLAIN);
        page.field("Program", format!("{hostile}\n{hostile}"));
        let cell =
            super::super::table::columns_of(&["ID"], vec![vec![format!("{hostile}\nx").into()]], "", Screen::PLAIN);
        for shown in [page.finish(), cell] {
            assert!(shown.contains("a\\u{1b}[31mb\\u{202e}c\\u{9b}d"), "{shown}");
            assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{9b}']) && shown.lines().count() == 2, "{shown}");
        }
    }

    #[test]
    fn fields_that_say_nothing_are_left_out() {
        let mut page = Fields::new(Screen::PLAIN);
        page.field("Driver", "a")
            .field("Worker", "")
            .field("Pending", "x\ny")
            .part("Attempts:", "")
            .part("Rest:", "z\n");
        assert_eq!(page.finish(), "Driver        a\nPending       x\n              y\n\nRest:\nz\n");
    }

    #[test]
    fn commands_can_be_copied_into_a_shell() {
        assert_eq!(shell_words(["/bin/sh", "-c", "echo 'a'; exit 3", ""]), r#"/bin/sh -c 'echo '\''a'\''; exit 3' ''"#);
    }
}
