//! Text in columns: which column is which, and what each row tells.

use super::faults::{Fault, RowError, SheetError, clip};
use super::headers::{Field, Heading, heading, is_glued};
use super::records::{MAX_COLUMNS, MAX_LINE_BYTES, Place, Record, line_too_long, record};
use super::values;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// In the order of trust. The full-width comma is what a Chinese keyboard
/// writes; it may also stand inside a name, so it comes last.
const SEPARATORS: [&str; 5] = [",", "\t", ";", "|", "，"];

/// How many rows of empty cells may stand above the header.
const MAX_BLANK_ROWS: usize = 64;

/// Which column is which.
pub(super) struct Columns {
    separator: &'static str,
    fields: Vec<Option<Field>>,
    pub ignored: Vec<String>,
}

impl Columns {
    /// Reads the header and leaves `place` behind it.
    pub(super) fn read(text: &str, place: &mut Place) -> Result<Columns, SheetError> {
        let declared = declared_separator(text, place);
        let (separator, header, next) = best_reading(text, *place, declared);
        *place = next;
        if !text.contains(['\n', '\r']) && looks_glued(&header) {
            return Err(SheetError::NewlinesLost);
        }
        if header.unclosed {
            return Err(SheetError::UnclosedQuote);
        }
        if header.bytes > MAX_LINE_BYTES {
            return Err(SheetError::LineTooLong { limit: MAX_LINE_BYTES });
        }
        if header.columns > MAX_COLUMNS {
            return Err(SheetError::TooManyColumns { columns: header.columns, limit: MAX_COLUMNS });
        }
        assign(separator, &header)
    }

    /// The fields of the row at `place`, or why it was refused; `None` if the
    /// row is blank.
    pub(super) fn cells(&self, record: &Record<'_>) -> Option<Cells> {
        let refuse = |value: &str, fault| Some(Err(RowError::new(record.line, None, value, fault)));
        let first = record.cells.first().map_or("", |cell| cell);
        if record.unclosed {
            return refuse(first, unclosed_quote());
        }
        if record.blank {
            return None;
        }
        if record.bytes > MAX_LINE_BYTES {
            return refuse(first, line_too_long());
        }
        if let Some(cell) = record.misquoted {
            return refuse(cell, bad_quote());
        }
        if record.columns != self.fields.len() {
            return refuse(first, wrong_columns(record.columns, self.fields.len()));
        }
        Some(self.assigned(record))
    }

    /// The separator between two cells.
    pub(super) fn separator(&self) -> &'static str {
        self.separator
    }

    fn assigned(&self, record: &Record<'_>) -> Cells {
        let mut cells = BTreeMap::new();
        for (field, cell) in self.fields.iter().zip(&record.cells) {
            let value = match field {
                Some(field) => values::normalise(*field, as_shown(cell)),
                None => values::check_characters(cell).map(|()| None),
            };
            let value = value.map_err(|fault| RowError::new(record.line, *field, cell, fault))?;
            if let (Some(field), Some(value)) = (field, value) {
                cells.insert(*field, value);
            }
        }
        Ok(cells)
    }
}

type Cells = Result<BTreeMap<Field, String>, RowError>;

/// The separator of Excel's own line `sep=;` in front of the header, which is
/// then passed.
fn declared_separator(text: &str, place: &mut Place) -> Option<&'static str> {
    let rest = text[place.at..].strip_prefix("sep=")?;
    let separator = SEPARATORS.iter().find(|separator| rest.starts_with(**separator))?;
    let rest = &rest[separator.len()..];
    let line_break = ["\r\n", "\n", "\r"].iter().find(|end| rest.starts_with(**end))?;
    place.at = text.len() - rest.len() + line_break.len();
    place.line += 1;
    Some(separator)
}

/// The header split by the separator that makes most sense of it: the one by
/// which most columns have a known name.
fn best_reading<'t>(
    text: &'t str,
    place: Place,
    declared: Option<&'static str>,
) -> (&'static str, Record<'t>, Place) {
    let known = |cell: &Cow<'_, str>| heading(cell) != Heading::Unknown;
    let readings = SEPARATORS.iter().filter(|separator| declared.is_none_or(|d| d == **separator));
    let readings = readings.filter_map(|separator| {
        let mut next = place;
        let header = first_with_text(text, &mut next, separator)?;
        let names = header.cells.iter().filter(|cell| known(cell)).count();
        Some((names, (*separator, header, next)))
    });
    let best = readings.reduce(|best, other| if other.0 > best.0 { other } else { best });
    best.map_or_else(|| (",", Record::empty(place.line), place), |(_, reading)| reading)
}

fn first_with_text<'t>(text: &'t str, place: &mut Place, separator: &str) -> Option<Record<'t>> {
    // Excel writes empty rows as `,,,`; a file of nothing else is not searched.
    for _ in 0..MAX_BLANK_ROWS {
        let record = record(text, place, separator)?;
        if !record.blank {
            return Some(record);
        }
    }
    None
}

/// Whether the only line there is holds rows as well, run into each other:
/// `product,price7542,128.00longjing,99.00`.
fn looks_glued(header: &Record<'_>) -> bool {
    let known = |cell: &Cow<'_, str>| heading(cell) != Heading::Unknown;
    let is_number = |cell: &str| {
        let cell = cell.trim();
        !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    header.cells.iter().any(known)
        && header.cells.iter().any(|cell| is_glued(cell) || is_number(cell))
}

fn assign(separator: &'static str, header: &Record<'_>) -> Result<Columns, SheetError> {
    let mut fields: Vec<Option<Field>> = Vec::with_capacity(header.columns);
    let mut ignored = Vec::new();
    for (index, cell) in header.cells.iter().enumerate() {
        let column = index + 1;
        let field = match heading(cell) {
            Heading::Known(field) => Some(field),
            Heading::Unknown => None,
            Heading::Measured(field) => {
                let (field, found) = (field.name(), clip(cell));
                return Err(SheetError::MeasuredColumn { field, column, found });
            }
        };
        if let Some(field) = field
            && let Some(first) = fields.iter().position(|known| *known == Some(field))
        {
            let (field, first) = (field.name(), first + 1);
            return Err(SheetError::DuplicateColumn { field, first, second: column });
        }
        if field.is_none() && !values::trim(cell).is_empty() {
            ignored.push(clip(cell));
        }
        fields.push(field);
    }
    if fields.iter().all(Option::is_none) {
        return Err(SheetError::NoHeader { found: clip(&header.cells.join(separator)) });
    }
    if !fields.contains(&Some(Field::Product)) {
        return Err(SheetError::NoProductColumn);
    }
    Ok(Columns { separator, fields, ignored })
}

/// What a spreadsheet takes for the beginning of a formula, wide or narrow, and
/// so has an apostrophe in front of it in an export. The apostrophe is among
/// them, so that taking one away always gives back what was there before.
pub const GUARDED: &[char] = &['=', '+', '-', '@', '\t', '\r', '\'', '＝', '＋', '－', '＠'];

/// What Excel would show for `="0012"`, by which programs save leading zeros.
fn as_shown(cell: &str) -> &str {
    let formula = cell.trim().strip_prefix("=\"").and_then(|text| text.strip_suffix('"'));
    let text = formula.unwrap_or(cell);
    // What an export puts in front of what a spreadsheet would take for a formula.
    text.strip_prefix('\'').filter(|rest| rest.starts_with(GUARDED)).unwrap_or(text)
}

fn unclosed_quote() -> Fault {
    Fault::new(
        "unclosed_quote",
        "a quote opened in this row is never closed; nothing from here on was read",
        "这一行的引号没有闭合；从这里开始的内容都没有读取",
    )
}

fn bad_quote() -> Fault {
    Fault::new(
        "bad_quote",
        "there is text behind a closing quote; a quote inside quotes must be doubled",
        "引号闭合后还有内容；引号内的引号必须写两遍",
    )
}

fn wrong_columns(found: usize, wanted: usize) -> Fault {
    let (en, zh) = if found > wanted {
        (
            "; a comma inside a value needs quotes, as in \"1,288.00\"",
            "；含逗号的值要加引号，例如 \"1,288.00\"",
        )
    } else {
        ("", "")
    };
    Fault::new(
        "wrong_columns",
        format!("{found} columns where the header has {wanted}{en}"),
        format!("这一行有 {found} 列，表头有 {wanted} 列{zh}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<(&'static str, Vec<Option<Field>>), SheetError> {
        let columns = Columns::read(text, &mut Place::START.clone())?;
        Ok((columns.separator, columns.fields))
    }

    #[test]
    fn the_separator_is_the_one_that_makes_sense_of_the_header() {
        let both = vec![Some(Field::Product), Some(Field::Price)];
        for (text, separator) in [
            ("货号,价格", ","),
            ("货号\t价格\n", "\t"),
            ("货号;价格", ";"),
            ("货号|价格", "|"),
            ("货号，价格", "，"),
            ("\"货号\";\"价格\"", ";"),
            ("\n \n;\n货号;价格", ";"),
            ("sep=;\r\n货号;价格", ";"),
        ] {
            assert_eq!(header(text), Ok((separator, both.clone())), "{text}");
        }
        let quoted = "\"货号\";\"价格\";\"a,b,c,d\"";
        assert_eq!(header(quoted), Ok((";", vec![both[0], both[1], None])));
        assert_eq!(header("product"), Ok((",", vec![Some(Field::Product)])));
    }

    #[test]
    fn a_header_that_will_not_do_is_refused() {
        let wide = format!("product{}", ",x".repeat(64));
        let long = format!("product,{}\n", "x".repeat(MAX_LINE_BYTES));
        for (text, code) in [
            ("7542,128.00,40\n7543,99,1", "no_header"),
            ("名称,价格\n大益,128", "no_product_column"),
            ("货号,价格,Price\n", "duplicate_column"),
            ("货号,单价(元/公斤)\n", "column_unit"),
            (&wide, "too_many_columns"),
            (&long, "line_too_long"),
            ("product,\"price\n7542,128", "unclosed_quote"),
        ] {
            assert_eq!(header(text).map_err(|err| err.code()), Err(code), "{text}");
        }
    }

    #[test]
    fn a_file_without_its_line_breaks_is_recognised() {
        for text in [
            "product,price7542-2003,128.00longjing,99.00",
            "货号,价格7542,128.00",
            "货号;价格;库存7542;128.00;40",
            "序号,货号,价格1,7542,128.00",
            "product,price,foo7542,128,xlongjing,99,y",
            "\"product\",\"price\"\"7542\",\"128\"",
        ] {
            assert_eq!(header(text), Err(SheetError::NewlinesLost), "{text}");
            let long = format!("{text}{}", text.repeat(9_999));
            assert_eq!(header(&long), Err(SheetError::NewlinesLost), "{text}");
        }
        assert!(header("product,price").is_ok());
        assert!(header("product,price,foo").is_ok());
        assert!(header("product,price\n7542,128").is_ok());
    }
}
