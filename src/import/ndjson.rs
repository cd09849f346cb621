//! One JSON object a line.

use super::faults::{Fault, RowError, SheetError};
use super::headers::{Field, Heading, heading};
use super::records::{MAX_COLUMNS, MAX_LINE_BYTES, Place, line_too_long};
use super::values;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Refuses what is JSON but not one object a line.
pub(super) fn check(text: &str) -> Result<(), SheetError> {
    let text = values::trim(text);
    let first_line = text.split(['\n', '\r']).next().unwrap_or_default();
    if text.starts_with('[') || (values::trim(first_line) == "{" && text.len() > 1) {
        return Err(SheetError::NotNdjson);
    }
    // A file of one line is one object, unless curl has deleted line breaks.
    if first_line.len() == text.len() && is_glued(text) {
        return Err(SheetError::NewlinesLost);
    }
    Ok(())
}

/// The line at `place`, which moves behind it.
pub(super) fn line<'t>(text: &'t str, place: &mut Place) -> Option<(u64, &'t str)> {
    let rest = text.get(place.at..).filter(|rest| !rest.is_empty())?;
    let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    let line_break = if after.starts_with("\r\n") { 2 } else { after.len().min(1) };
    let number = place.line;
    place.at += end + line_break;
    place.line += u64::from(line_break > 0);
    Some((number, line))
}

/// The fields of one line, or why it was refused; `None` if the line is blank.
pub(super) fn cells(number: u64, line: &str) -> Option<Cells> {
    let line = values::trim(line);
    if line.is_empty() {
        return None;
    }
    let refuse = |fault| Some(Err(RowError::new(number, None, line, fault)));
    if line.len() > MAX_LINE_BYTES {
        return refuse(line_too_long());
    }
    if !line.starts_with('{') {
        return refuse(not_an_object());
    }
    match serde_json::from_str::<Members<'_>>(line) {
        Ok(Members(members)) if members.len() > MAX_COLUMNS => refuse(too_many_fields()),
        Ok(Members(members)) => Some(assigned(number, &members)),
        Err(_) if is_glued(line) => refuse(glued()),
        Err(err) => refuse(bad_json(err.column())),
    }
}

type Cells = Result<BTreeMap<Field, String>, RowError>;

fn assigned(number: u64, members: &[(String, &RawValue)]) -> Cells {
    let mut seen = Vec::new();
    let mut cells = BTreeMap::new();
    for (name, value) in members {
        let Ok(field) = name.parse::<Field>() else {
            return Err(RowError::new(number, None, name, unknown_field(name)));
        };
        let refuse = |fault| RowError::new(number, Some(field), value.get(), fault);
        if seen.contains(&field) {
            return Err(refuse(duplicate_field(field)));
        }
        seen.push(field);
        if let Some(value) = scalar(field, value.get()).map_err(refuse)? {
            cells.insert(field, value);
        }
    }
    Ok(cells)
}

/// The value behind a field's name. A number is taken as it is written: by
/// way of a float 0.29 would be no longer 0.29.
fn scalar(field: Field, json: &str) -> Result<Option<String>, Fault> {
    match json.as_bytes().first() {
        Some(b'"') => {
            // Broken escapes, as half of a surrogate pair, show only here.
            let text: String = serde_json::from_str(json).map_err(|err| bad_json(err.column()))?;
            values::normalise(field, &text)
        }
        Some(b'-' | b'0'..=b'9') if takes_numbers(field) => values::normalise(field, json),
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') => Err(nested_value()),
        _ => Err(wrong_type(field)),
    }
}

fn takes_numbers(field: Field) -> bool {
    matches!(
        field,
        Field::Price
            | Field::ClearancePrice
            | Field::Stock
            | Field::Delta
            | Field::Vintage
            | Field::GramsPerUnit
    )
}

/// Whether a second value follows the first on its line, as in `{…}{…}`.
fn is_glued(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let is_first = matches!(values.next(), Some(Ok(_)));
    let rest = text.get(values.byte_offset()..).unwrap_or_default();
    is_first && rest.trim_start().starts_with('{')
}

/// The members of an object in their order, with those that come twice. At
/// most one more than [`MAX_COLUMNS`] is kept.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() <= MAX_COLUMNS {
                        members.push(member);
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

fn not_an_object() -> Fault {
    Fault::new(
        "not_an_object",
        "not a JSON object; send one {…} a line",
        "不是 JSON 对象；请每行发送一个 {…}",
    )
}

fn bad_json(column: usize) -> Fault {
    Fault::new(
        "bad_json",
        format!("not valid JSON at byte {column} of the line or value"),
        format!("不是有效的 JSON（第 {column} 字节处）"),
    )
}

fn glued() -> Fault {
    Fault::new(
        "bad_json",
        "more than one object on this line; send one a line",
        "这一行有多个对象；请每行只发送一个",
    )
}

fn too_many_fields() -> Fault {
    Fault::new(
        "too_many_columns",
        format!("more than {MAX_COLUMNS} fields"),
        format!("字段超过 {MAX_COLUMNS} 个"),
    )
}

fn unknown_field(name: &str) -> Fault {
    match heading(name) {
        Heading::Known(field) | Heading::Measured(field) => Fault::new(
            "unknown_field",
            format!("this field is not known in JSON; it is called `{field}`"),
            format!("JSON 里没有这个字段；它叫 `{field}`"),
        ),
        Heading::Unknown => Fault::new("unknown_field", "this field is not known", "没有这个字段"),
    }
}

fn duplicate_field(field: Field) -> Fault {
    Fault::new(
        "duplicate_field",
        format!("`{field}` stands here twice"),
        format!("`{field}` 出现了两次"),
    )
}

fn nested_value() -> Fault {
    Fault::new("nested_value", "an object or an array is no value here", "这里的值不能是对象或数组")
}

fn wrong_type(field: Field) -> Fault {
    let (en, zh) = if takes_numbers(field) {
        ("wanted is a number, a string or null", "应为数字、字符串或 null")
    } else {
        ("wanted is a string, in quotes, or null", "应为带引号的字符串或 null")
    };
    Fault::new("wrong_type", en, zh)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<(Field, String)>, &'static str> {
        let cells = cells(1, line).unwrap_or_else(|| Ok(BTreeMap::new()));
        cells.map(|cells| cells.into_iter().collect()).map_err(|err| err.code)
    }

    #[test]
    fn numbers_are_taken_as_written() {
        for (json, field, value) in [
            (r#"{"price":128.10}"#, Field::Price, "128.10"),
            (r#"{"price":"¥1,288"}"#, Field::Price, "1288"),
            (r#"{"price":9007199254740993}"#, Field::Price, "9007199254740993"),
            (r#"{"delta":-3}"#, Field::Delta, "-3"),
            (r#"{"stock":40,"note":null,"name":""}"#, Field::Stock, "40"),
            (r#"{"n\u0061me":"\u5927\u76ca"}"#, Field::Name, "大益"),
        ] {
            assert_eq!(read(json), Ok(vec![(field, value.to_owned())]), "{json}");
        }
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let wide = format!("{{{}\"product\":\"a\"}}", "\"product\":\"a\",".repeat(64));
        let deep = format!("{{\"product\":{}}}", "[".repeat(9_999));
        let long = format!("{{\"note\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES));
        for (json, code) in [
            (r#"{"price":1e3}"#, "bad_price"),
            (r#"{"price":0}"#, "bad_price"),
            (r#"{"stock":40.0}"#, "bad_quantity"),
            (r#"{"stock":-1}"#, "bad_quantity"),
            (r#"{"stock":true}"#, "wrong_type"),
            (r#"{"product":7542}"#, "wrong_type"),
            (r#"{"product":["a"]}"#, "nested_value"),
            (r#"{"product":{"a":1}}"#, "nested_value"),
            (r#"{"product":"a","product":"b"}"#, "duplicate_field"),
            (r#"{"product":"a","colour":"b"}"#, "unknown_field"),
            (r#"{"$serde_json::private::RawValue":"b"}"#, "unknown_field"),
            (r#"{"note":"\u0000"}"#, "control_character"),
            (r#"{"note":"\ud800"}"#, "bad_json"),
            (r#"{"price":1"#, "bad_json"),
            (r#"{"price":01}"#, "bad_json"),
            (r#"{"stock":1}{"stock":2}"#, "bad_json"),
            (r#"{"stock":1},"#, "bad_json"),
            (r#"["a"]"#, "not_an_object"),
            ("7542,128", "not_an_object"),
            (&wide, "too_many_columns"),
            (&deep, "bad_json"),
            (&long, "line_too_long"),
        ] {
            assert_eq!(read(json), Err(code), "{json}");
        }
    }

    #[test]
    fn whole_files_of_another_shape_are_refused() {
        for (text, wanted) in [
            ("[{\"product\":\"a\"}]", Err(SheetError::NotNdjson)),
            ("\n[\n{}\n]", Err(SheetError::NotNdjson)),
            ("{\n  \"product\": \"a\"\n}", Err(SheetError::NotNdjson)),
            ("{\"product\":\"a\"}{\"product\":\"b\"}", Err(SheetError::NewlinesLost)),
            ("{\"product\":\"a\"} {\"product\":\"b\"}\n", Err(SheetError::NewlinesLost)),
            ("{\"product\":\"a\"}", Ok(())),
            ("{\"note\":\"}{\"}", Ok(())),
            ("{\"product\":\"a\"}\n{\"product\":\"b\"}", Ok(())),
        ] {
            assert_eq!(check(text), wanted, "{text}");
        }
        assert_eq!(check(&"{\"stock\":1}".repeat(99_999)), Err(SheetError::NewlinesLost));
    }
}
