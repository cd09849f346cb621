//! A merchant's file as rows, whatever program wrote it.
//!
//! Nothing here knows products or prices beyond their spelling, and nothing
//! touches the database.

use super::decode::decode;
use super::faults::Fault;
pub use super::faults::{RowError, SheetError};
pub use super::format::Format;
pub use super::headers::Field;
use super::ndjson;
use super::records::{Place, record};
use super::table::Columns;
use super::values;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One row of the file. Blank rows are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The physical line on which the row starts; the first is 1.
    pub line: u64,
    /// What it tells, always with a [`Field::Product`]; empty cells are left out.
    pub cells: Result<BTreeMap<Field, String>, RowError>,
}

/// The rows of a file, read as they are asked for.
pub struct Sheet<'a> {
    /// The encoding of the file: `utf-8`, `utf-16le`, `utf-16be` or `gb18030`.
    pub encoding: &'static str,
    /// How the rows are written down.
    pub format: Format,
    text: Cow<'a, str>,
    place: Place,
    /// What the header said; JSON has none.
    columns: Option<Columns>,
}

/// Reads the beginning of a file.
pub fn open(bytes: &[u8], format: Format) -> Result<Sheet<'_>, SheetError> {
    let (text, encoding) = decode(bytes)?;
    if values::trim(&text).is_empty() {
        return Err(SheetError::Empty);
    }
    let mut place = Place::START;
    let columns = match format {
        Format::Csv => Some(Columns::read(&text, &mut place)?),
        Format::Ndjson => {
            ndjson::check(&text)?;
            None
        }
    };
    Ok(Sheet { encoding, format, text, place, columns })
}

impl Sheet<'_> {
    /// The columns whose names were not understood, at most 64 characters of
    /// each. What they hold is not read.
    pub fn ignored_columns(&self) -> &[String] {
        self.columns.as_ref().map_or(&[], |columns| &columns.ignored)
    }
}

impl Iterator for Sheet<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            let (line, cells) = match &self.columns {
                Some(columns) => {
                    let record = record(&self.text, &mut self.place, columns.separator())?;
                    (record.line, columns.cells(&record))
                }
                None => {
                    let (line, text) = ndjson::line(&self.text, &mut self.place)?;
                    (line, ndjson::cells(line, text))
                }
            };
            if let Some(cells) = cells {
                return Some(Row {
                    line,
                    cells: cells.and_then(|cells| with_product(line, cells)),
                });
            }
        }
    }
}

/// A row that names no product tells nothing.
fn with_product(
    line: u64,
    cells: BTreeMap<Field, String>,
) -> Result<BTreeMap<Field, String>, RowError> {
    if cells.contains_key(&Field::Product) {
        return Ok(cells);
    }
    let fault = Fault::new(
        "missing_product",
        "the row does not say which product it is about",
        "这一行没有商品编号",
    );
    Err(RowError::new(line, Some(Field::Product), "", fault))
}

#[cfg(test)]
mod tests {
    use super::super::records::MAX_LINE_BYTES;
    use super::*;
    use proptest::prelude::*;

    fn codes(text: &str, format: Format) -> Vec<(u64, &'static str)> {
        let sheet = open(text.as_bytes(), format).unwrap_or_else(|err| panic!("{err}"));
        sheet.map(|row| (row.line, row.cells.map_or_else(|err| err.code, |_| "ok"))).collect()
    }

    #[test]
    fn a_chinese_excel_file_is_read() {
        let text = "货号,名称,价格,库存,单位,颜色\r\n\
                    7542,大益 7542,\"￥1,288.00\",40,饼,红\r\n\
                    ,,,,,\r\n\
                    longjing,西湖龙井,680元,,斤,\r\n";
        let bytes = encoding_rs::GBK.encode(text).0;
        let sheet = open(&bytes, Format::sniff(&bytes)).expect("a sheet");
        assert_eq!((sheet.encoding, sheet.format.name()), ("gb18030", "csv"));
        assert_eq!(sheet.ignored_columns(), ["颜色"]);
        let rows: Vec<_> = sheet.map(|row| (row.line, row.cells.expect("good"))).collect();
        let row = |cells: &[(Field, &str)]| -> BTreeMap<Field, String> {
            cells.iter().map(|(field, value)| (*field, (*value).to_owned())).collect()
        };
        let cake = row(&[
            (Field::Product, "7542"),
            (Field::Name, "大益 7542"),
            (Field::Price, "1288.00"),
            (Field::Stock, "40"),
            (Field::Unit, "piece"),
        ]);
        let loose = row(&[
            (Field::Product, "longjing"),
            (Field::Name, "西湖龙井"),
            (Field::Price, "680"),
            (Field::Unit, "jin"),
        ]);
        assert_eq!(rows, [(2, cake), (4, loose)]);
    }

    #[test]
    fn a_bad_row_is_told_by_its_line_and_spares_the_others() {
        let long = format!("a,{},", "9".repeat(MAX_LINE_BYTES));
        let wide = format!("a{}", ",1".repeat(99));
        let text = [
            "product,price,note", // 1
            "a,12,8x,",           // 2
            "a,12x,",             // 3
            "",                   // 4
            "a,1,\"two",          // 5
            "lines\"",            // 6
            ",1,",                // 7
            "a,1",                // 8
            "a,1,\0",             // 9
            "a,1,\"b\"c",         // 10
            &long,                // 11
            &wide,                // 12
            "a,1,5\" cake",       // 13
            "\"\"a\"\",,",        // 14
            "a,1,\"open",         // 15
            "a,1,",
        ]
        .join("\r\n");
        let wanted = [
            (2, "wrong_columns"),
            (3, "bad_price"),
            (5, "ok"),
            (7, "missing_product"),
            (8, "wrong_columns"),
            (9, "control_character"),
            (10, "bad_quote"),
            (11, "line_too_long"),
            (12, "wrong_columns"),
            (13, "ok"),
            (14, "bad_quote"),
            (15, "unclosed_quote"),
        ];
        assert_eq!(codes(&text, Format::Csv), wanted);
    }

    #[test]
    fn json_lines_are_read_beside_bad_ones() {
        let text = "\u{feff}{\"product\":\"a\",\"price\":1}\r\n\n{\"price\":1}\rnonsense\n";
        let wanted = [(1, "ok"), (3, "missing_product"), (4, "not_an_object")];
        assert_eq!(codes(text, Format::Ndjson), wanted);
    }

    #[test]
    fn an_empty_file_is_no_file() {
        for text in ["", "\u{feff}", " \r\n　\n"] {
            let err = open(text.as_bytes(), Format::Csv).err().map(|err| err.code());
            assert_eq!(err, Some("empty_file"));
        }
    }

    /// Bytes that come near to being a sheet.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let scraps = prop::sample::select(vec![
            "product",
            "货号",
            "price",
            "价格(元)",
            ",",
            "，",
            ";",
            "\t",
            "\"",
            "\"\"",
            "\n",
            "\r",
            "\r\n",
            "1,288.00",
            "¥",
            "元",
            "-",
            "{",
            "}",
            "[",
            ":",
            "\"product\":",
            "\\u",
            "null",
            "\0",
            "\u{feff}",
            "sep=",
            "é",
            "𠮷",
        ]);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(scraps, 0..60).prop_map(|scraps| scraps.concat().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in nearly(), header in any::<bool>()) {
            let mut file = if header { b"product,price,note\n".to_vec() } else { Vec::new() };
            file.extend(&bytes);
            let lines = bytes.len() as u64 + 2;
            for format in [Format::Csv, Format::Ndjson, Format::sniff(&file)] {
                match open(&file, format) {
                    Err(err) => prop_assert!(!err.detail_en().is_empty() && !err.detail_zh().is_empty()),
                    Ok(sheet) => {
                        let mut last = 0;
                        for row in sheet {
                            prop_assert!(last < row.line && row.line <= lines);
                            last = row.line;
                            if let Err(err) = row.cells {
                                prop_assert_eq!(err.line, last);
                                prop_assert!(err.value.chars().count() <= 64);
                            }
                        }
                    }
                }
            }
        }

        /// What a careful writer writes is read back, cell by cell, at the
        /// line where the writer stood.
        #[test]
        fn every_row_comes_back_with_its_line(
            notes in prop::collection::vec("([a-z é大益\",;]|\n|\r\n|\r){0,12}", 1..20),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            separator in prop::sample::select(vec![",", "\t", ";", "|", "，"]),
            blank in 0_usize..4,
        ) {
            let mut file = format!("货号{separator}备注{end}");
            let mut wanted = Vec::new();
            for note in &notes {
                file.push_str(&end.repeat(blank));
                // Counted anew, not by the function under test.
                let above = file.replace("\r\n", "\n").replace('\r', "\n");
                wanted.push((above.matches('\n').count() as u64 + 1, note));
                file.push_str(&format!("7542{separator}\"{}\"{end}", note.replace('"', "\"\"")));
            }
            let rows: Vec<Row> = open(file.as_bytes(), Format::Csv).expect("a sheet").collect();
            prop_assert_eq!(rows.len(), wanted.len());
            for (row, (line, note)) in rows.iter().zip(wanted) {
                let note = values::normalise(Field::Note, note).expect("no fault");
                prop_assert_eq!(row.line, line);
                let cells = row.cells.as_ref().expect("a good row");
                prop_assert_eq!(cells.get(&Field::Note), note.as_ref());
            }
        }

        #[test]
        fn a_price_never_changes_its_amount(fen in 1_u64..10_000_000_000) {
            let price = format!("{}.{:02}", fen / 100, fen % 100);
            for file in [
                format!("product,price\na,￥{price}元\n"),
                format!("product;单价（元）\na;{price}\n"),
            ] {
                let mut sheet = open(file.as_bytes(), Format::Csv).expect("a sheet");
                let cells = sheet.next().expect("a row").cells.expect("a good row");
                prop_assert_eq!(cells.get(&Field::Price), Some(&price));
            }
        }
    }
}
