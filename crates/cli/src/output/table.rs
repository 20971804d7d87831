//! Columns.

use anstyle::Style;

use super::screen::{Screen, printable, style};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableCell {
    text: String,
    style: Style,
}

impl TableCell {
    /// A text in a style.
    pub(crate) fn new(style: Style, text: impl Into<String>) -> TableCell {
        let text = text.into();
        TableCell { text: printable(&text).into_owned(), style }
    }

    /// The style of its text.
    pub(crate) fn style(&self) -> Style {
        self.style
    }
}

impl<T: Into<String>> From<T> for TableCell {
    fn from(text: T) -> TableCell {
        TableCell::new(style::PLAIN, text)
    }
}

/// An object that has a row in a table.
pub(crate) trait TableRow {
    /// Headings of the columns; those from `WIDE_FROM` on are shown in wide tables only.
    const HEADINGS: &'static [&'static str];
    /// See `HEADINGS`.
    const WIDE_FROM: usize;
    /// The id alone.
    fn name(&self) -> String;
    /// One cell per heading.
    fn cells(&self, clock: super::DisplayClock) -> Vec<TableCell>;
}

/// A table of rows with headings; empty when there are no rows.
pub(crate) fn table<R: TableRow>(rows: &[R], wide: bool, clock: super::DisplayClock, screen: Screen) -> String {
    let columns = if wide { R::HEADINGS.len() } else { R::WIDE_FROM };
    let cells = rows.iter().map(|row| row.cells(clock).into_iter().take(columns).collect()).collect();
    columns_of(&R::HEADINGS[..columns], cells, "", screen)
}

/// Headings and rows of cells, each line after an indent.
pub(crate) fn columns_of(headings: &[&str], rows: Vec<Vec<TableCell>>, indent: &str, screen: Screen) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = headings.iter().map(|heading| TableCell::new(style::HEAD, *heading)).collect();
    let lines: Vec<Vec<TableCell>> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| lines.iter().map(|line| line.get(column).map_or(0, width)).max().unwrap_or(0))
        .collect();
    lines.iter().map(|line| line_of(line, &widths, indent, screen)).collect()
}

fn line_of(cells: &[TableCell], widths: &[usize], indent: &str, screen: Screen) -> String {
    let mut line = indent.to_owned();
    let mut gap = 0;
    for (cell, wanted) in cells.iter().zip(widths) {
        // An empty cell shows as -, so that a line splits into the same words everywhere.
        let text = if cell.text.is_empty() { "-" } else { &cell.text };
        line.extend(std::iter::repeat_n(' ', gap));
        line.push_str(&screen.paint(cell.style, text));
        gap = wanted - text.chars().count() + 2;
    }
    line.push('\n');
    line
}

fn width(cell: &TableCell) -> usize {
    cell.text.chars().count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<TableCell>> {
        vec![
            vec!["a".into(), TableCell::new(style::GOOD, "RUNNING"), "".into()],
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
