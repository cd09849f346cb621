//! Rows of cells as a spreadsheet reads them, and as an import reads them back.

use crate::import::GUARDED;
use std::fmt::Write;

/// Writes one row.
pub(super) fn push_row<'c>(out: &mut String, cells: impl IntoIterator<Item = Cell<'c>>) {
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match cell {
            Cell::None => {}
            // Writing into a string does not fail.
            Cell::Number(number) => drop(write!(out, "{number}")),
            Cell::Text(text) => push_text(out, text),
            Cell::Made(text) => push_text(out, &text),
        }
    }
    out.push_str("\r\n");
}

/// What stands in a row.
pub(super) enum Cell<'c> {
    None,
    Number(i64),
    Text(&'c str),
    Made(String),
}

impl<'c> From<&'c str> for Cell<'c> {
    fn from(text: &'c str) -> Cell<'c> {
        Cell::Text(text)
    }
}

impl<'c> From<&'c Option<String>> for Cell<'c> {
    fn from(text: &'c Option<String>) -> Cell<'c> {
        text.as_deref().map_or(Cell::None, Cell::Text)
    }
}

impl From<Option<i64>> for Cell<'_> {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Cell::None, Cell::Number)
    }
}

fn push_text(out: &mut String, text: &str) {
    let quoted = text.contains([',', '"', '\n', '\r', ' ', '\u{3000}', ';', '\t', '|', '，']);
    if quoted {
        out.push('"');
    }
    if text.starts_with(GUARDED) {
        out.push('\'');
    }
    match text.contains('"') {
        true => out.push_str(&text.replace('"', "\"\"")),
        false => out.push_str(text),
    }
    if quoted {
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> String {
        let mut out = String::new();
        push_row(&mut out, cells.iter().map(|cell| Cell::from(*cell)));
        out
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_cell_says_an_import_reads_it_back(
            text in "[=+@'＝\\-]{0,3}[a-z茶\",;|]{0,8}",
        ) {
            let mut table = String::from("product,note,form\r\n");
            push_row(&mut table, ["x", &*text, "end"].map(Cell::from));
            let sheet = crate::import::open(table.as_bytes(), crate::import::Format::Csv);
            let mut sheet = sheet.unwrap_or_else(|err| panic!("{table}: {}", err.detail_en()));
            let cells = sheet.next().and_then(|row| row.cells.ok()).unwrap_or_default();
            let note = cells.get(&crate::import::Field::Note);
            proptest::prop_assert_eq!(note.map_or("", String::as_str), text.as_str(), "{}", table);
        }
    }

    #[test]
    fn no_cell_begins_as_a_formula_does() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "'=1"] {
            let row = row(&[text]);
            let begin = row.trim_start_matches('"');
            assert!(begin.starts_with('\''), "{row}");
        }
        assert_eq!(row(&["a", "", "b c", "d\"e", "f\ng"]), "a,,\"b c\",\"d\"\"e\",\"f\ng\"\r\n");
    }
}
