//! Columns.

use super::screen::{Screen, Tone};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Cell {
        Cell { text: text.into(), tone }
    }

    /// How it is meant.
    pub(crate) fn tone(&self) -> Tone {
        self.tone
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(Tone::Plain, text)
    }
}

/// What can stand in a table.
pub(crate) trait Row {
    /// Headings of the columns; those from `WIDE_FROM` on are shown in wide tables only.
    const HEADINGS: &'static [&'static str];
    /// See `HEADINGS`.
    const WIDE_FROM: usize;
    /// The id alone.
    fn name(&self) -> String;
    /// One cell per heading.
    fn cells(&self, clock: super::Clock) -> Vec<Cell>;
}

/// A table of rows with headings; empty when there are no rows.
pub(crate) fn table<R: Row>(rows: &[R], wide: bool, clock: super::Clock, screen: Screen) -> String {
    let columns = if wide { R::HEADINGS.len() } else { R::WIDE_FROM };
    let cells = rows.iter().map(|row| row.cells(clock).into_iter().take(columns).collect()).collect();
    columns_of(&R::HEADINGS[..columns], cells, "", screen)
}

/// Headings and rows of cells, each line after an indent.
pub(crate) fn columns_of(headings: &[&str], rows: Vec<Vec<Cell>>, indent: &str, screen: Screen) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = headings.iter().map(|heading| Cell::new(Tone::Head, *heading)).collect();
    let lines: Vec<Vec<Cell>> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| lines.iter().map(|line| line.get(column).map_or(0, width)).max().unwrap_or(0))
        .collect();
    lines.iter().map(|line| line_of(line, &widths, indent, screen)).collect()
}

fn line_of(cells: &[Cell], widths: &[usize], indent: &str, screen: Screen) -> String {
    let mut line = indent.to_owned();
    let mut gap = 0;
    for (cell, wanted) in cells.iter().zip(widths) {
        // An empty cell shows as -, so that a line splits into the same words everywhere.
        let text = if cell.text.is_empty() { "-" } else { &cell.text };
        line.extend(std::iter::repeat_n(' ', gap));
        line.push_str(&screen.paint(cell.tone, text));
        gap = wanted - text.chars().count() + 2;
    }
    line.push('\n');
    line
}

fn width(cell: &Cell) -> usize {
    cell.text.chars().count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["a".into(), Cell::new(Tone::Good, "RUNNING"), "".into()],
            vec!["long-name".into(), "X".into(), "z".into()],
        ]
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let text = columns_of(&["ID", "STATE", "W"], rows(), "", Screen::PLAIN);
        assert_eq!(text, "ID         STATE    W\na          RUNNING  -\nlong-name  X        z\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let text = columns_of(&["ID", "STATE", "W"], rows(), "", Screen::COLOURED);
        assert!(text.contains("\x1b[32mRUNNING\x1b[0m  -"), "{text:?}");
        let mut plain = text.clone();
        for code in ["\x1b[32m", "\x1b[1m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, columns_of(&["ID", "STATE", "W"], rows(), "", Screen::PLAIN));
    }

    #[test]
    fn nothing_is_printed_for_nothing() {
        assert_eq!(columns_of(&["ID"], Vec::new(), "", Screen::PLAIN), "");
    }
}
