//! Rows of cells, as they stand in a text.
//!
//! The crate `csv` is not asked here: it counts lines by LF alone, takes an
//! unclosed quote for the end of the file and knows no separator of three
//! bytes, and a merchant is to be told the very line.

use super::faults::Fault;
use super::values;
use std::borrow::Cow;

/// The longest row that is read.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The most columns a row may have.
pub const MAX_COLUMNS: usize = 64;

/// Where reading has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The byte to be read next.
    pub at: usize,
    /// The physical line it stands on.
    pub line: u64,
}

impl Place {
    /// The beginning of a text.
    pub(super) const START: Place = Place { at: 0, line: 1 };
}

/// One row as it stands in the text; more than one line if a quoted cell has
/// line breaks.
#[derive(Debug)]
pub(super) struct Record<'t> {
    /// The physical line on which it starts.
    pub line: u64,
    /// Its cells, of which only the first [`MAX_COLUMNS`] are kept.
    pub cells: Vec<Cow<'t, str>>,
    /// How many cells there are.
    pub columns: usize,
    /// How long it is, without the line break.
    pub bytes: usize,
    /// Every cell is empty.
    pub blank: bool,
    /// A quote was opened and goes on to the end of the text.
    pub unclosed: bool,
    /// A cell with text behind its closing quote.
    pub misquoted: Option<&'t str>,
}

impl Record<'_> {
    /// A row of nothing.
    pub(super) fn empty(line: u64) -> Self {
        Record {
            line,
            cells: Vec::new(),
            columns: 0,
            bytes: 0,
            blank: true,
            unclosed: false,
            misquoted: None,
        }
    }
}

/// Reads the next row that is more than an empty line, and moves `place`
/// behind it. Each byte is looked at a fixed number of times, and what is too
/// long is not copied.
pub(super) fn record<'t>(text: &'t str, place: &mut Place, separator: &str) -> Option<Record<'t>> {
    skip_blank_lines(text, place);
    if place.at >= text.len() {
        return None;
    }
    let start = *place;
    let mut record = Record::empty(start.line);
    loop {
        let cell = read_cell(text, place, separator, &mut record);
        record.blank &= values::trim(&cell).is_empty();
        record.columns += 1;
        if record.columns <= MAX_COLUMNS {
            record.cells.push(cell);
        }
        let rest = &text[place.at..];
        if rest.starts_with(separator) {
            place.at += separator.len();
            continue;
        }
        record.bytes = place.at - start.at;
        // `""7542""` is an empty cell only to who looks no further.
        record.blank &= record.misquoted.is_none() && !record.unclosed;
        let line_break = if rest.starts_with("\r\n") { 2 } else { rest.len().min(1) };
        place.at += line_break;
        place.line += u64::from(line_break > 0);
        return Some(record);
    }
}

fn skip_blank_lines(text: &str, place: &mut Place) {
    let rest = &text[place.at..];
    let blank = &rest[..rest.len() - rest.trim_start().len()];
    if let Some(end) = blank.rfind(['\n', '\r']) {
        place.line += line_breaks(&blank[..=end]);
        place.at += end + 1;
    }
}

fn read_cell<'t>(
    text: &'t str,
    place: &mut Place,
    separator: &str,
    record: &mut Record<'t>,
) -> Cow<'t, str> {
    let start = place.at;
    let rest = &text[start..];
    let padding = |c| matches!(c, ' ' | '\u{3000}');
    let Some(quoted) = rest.trim_start_matches(padding).strip_prefix('"') else {
        place.at += cell_end(rest, separator);
        return Cow::Borrowed(&text[start..place.at]);
    };
    let open = text.len() - quoted.len();
    let Some(length) = closing_quote(quoted) else {
        record.unclosed = true;
        place.at = text.len();
        return Cow::Borrowed(&text[start..start + cell_end(rest, separator)]);
    };
    let inside = &quoted[..length];
    place.line += line_breaks(inside);
    let after = open + length + 1;
    place.at = after + cell_end(&text[after..], separator);
    if !text[after..place.at].trim_matches(padding).is_empty() {
        record.misquoted = Some(&text[start..place.at]);
    }
    // Too long is refused later, and need not be copied for that.
    if inside.contains("\"\"") && inside.len() <= MAX_LINE_BYTES {
        Cow::Owned(inside.replace("\"\"", "\""))
    } else {
        Cow::Borrowed(inside)
    }
}

/// How far an unquoted cell goes.
fn cell_end(rest: &str, separator: &str) -> usize {
    let first = separator.as_bytes().first().copied().unwrap_or(b',');
    let ends = |at: &usize| {
        let byte = rest.as_bytes()[*at];
        matches!(byte, b'\n' | b'\r')
            || (byte == first && rest.as_bytes()[*at..].starts_with(separator.as_bytes()))
    };
    (0..rest.len()).find(ends).unwrap_or(rest.len())
}

/// Where the quoted text ends: at a quote that is not doubled.
fn closing_quote(quoted: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += quoted[at..].find('"')?;
        if !quoted[at + 1..].starts_with('"') {
            return Some(at);
        }
        at += 2;
    }
}

/// How many lines end within `text`: by LF, CR LF or CR.
fn line_breaks(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let ends = |at: &usize| match bytes[*at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    (0..bytes.len()).filter(ends).count() as u64
}

/// A line beyond [`MAX_LINE_BYTES`].
pub(super) fn line_too_long() -> Fault {
    Fault::new(
        "line_too_long",
        format!("the row is longer than {MAX_LINE_BYTES} bytes"),
        format!("这一行超过 {MAX_LINE_BYTES} 字节"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(u64, Vec<String>)> {
        let mut place = Place::START;
        std::iter::from_fn(|| record(text, &mut place, ","))
            .map(|record| (record.line, record.cells.iter().map(|c| c.to_string()).collect()))
            .collect()
    }

    #[test]
    fn rows_end_as_every_system_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "\"c\"\"1\",\"d", "2\"", "", " \"e,3\" ,f\"4"].join(end);
            let wanted = [
                (1, vec!["a".to_owned(), "b".to_owned()]),
                (2, vec!["c\"1".to_owned(), format!("d{end}2")]),
                (5, vec!["e,3".to_owned(), "f\"4".to_owned()]),
            ];
            assert_eq!(rows(&text), wanted, "{end:?}");
            assert_eq!(rows(&format!("{text}{end}")), wanted, "{end:?}");
        }
        assert_eq!(rows("a,\n,b").len(), 2);
        assert_eq!(rows("a,").first().map(|row| row.1.len()), Some(2));
    }
}
