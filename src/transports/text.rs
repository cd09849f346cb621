//! One event as a line for eyes: time in Shanghai, what it is about, what
//! happened. JSON is for programs; this may change from release to release.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::clock::{self, Millis};

/// The line for an event of `kind` whose envelope is `told`.
pub fn of(kind: &str, told: &Value, now: Millis) -> String {
    let data = &told["data"];
    let product = plain(&data["product"]);
    let about = match (product.is_empty(), kind) {
        (false, _) => product,
        (true, "product.arrived" | "product.updated") => plain(&data["id"]),
        (true, "market.updated") => plain(&data["market"]),
        (true, _) => plain(&told["topics"][0]),
    };
    let time = plain(&told["time"]);
    let time = clock::parse(&time).map_or(time, |at| moment(at, now));
    let mut words = vec![time, about, plain(&data["name"])];
    words.extend(happening(kind, data, now));
    words.retain(|word| !word.is_empty());
    printable(&words.join("  "))
}

/// The line, or with products in it the lines, for what a stream is told
/// besides events.
pub(super) fn control(kind: &str, told: &Value, now: Millis) -> String {
    let mut lines = String::new();
    for product in told["products"].as_array().into_iter().flatten() {
        let words = [plain(&product["id"]), plain(&product["name"]), price(product)];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        lines.extend([&*printable(&words.join("  ")), "\n"]);
    }
    let words = match kind {
        "hello" => {
            let topics = told["topics"].as_array().into_iter().flatten().map(plain);
            vec![topics.collect::<Vec<_>>().join(" "), plain(&told["cursor"])]
        }
        "heartbeat" => vec![moment(now, now)],
        "snapshot" => vec![labelled("part ", &told["part"], ""), plain(&told["cursor"])],
        "reset" => vec![plain(&told["reason"]), plain(&told["cursor"])],
        _ => {
            vec![plain(&told["code"]), labelled("come back after ", &told["retry_after_ms"], " ms")]
        }
    };
    let words = words.into_iter().filter(|word| !word.is_empty());
    let words: Vec<_> = std::iter::once(format!("# {kind}")).chain(words).collect();
    lines + &printable(&words.join("  ")) + "\n"
}

/// Text from outside, fit for a terminal: one line, no escape sequences, and
/// nothing that reverses the direction of what follows.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    text.chars().map(|c| if hidden(c) { ' ' } else { c }).collect()
}

fn happening(kind: &str, data: &Value, now: Millis) -> Vec<String> {
    match kind {
        "price.changed" => vec![price(data), change(&data["change_bp"])],
        "stock.changed" => vec![stock(data), plain(&data["note"])],
        "product.arrived" => vec!["arrived".into(), price(data), place(data)],
        "product.updated" => vec!["updated".into(), price(data), place(data)],
        "product.withdrawn" => vec!["withdrawn".into()],
        "clearance.started" => vec![
            format!("clearance {}", price(data)),
            labelled("was ¥", &data["was"], ""),
            data["ends_at"]
                .as_str()
                .and_then(clock::parse)
                .map_or_else(String::new, |at| format!("until {}", moment(at, now))),
        ],
        "clearance.ended" => {
            vec!["clearance over".into(), plain(&data["reason"]).replace('_', " ")]
        }
        "market.updated" => vec![
            plain(&data["title"]),
            plain(&data["period"]),
            labelled("average ¥", &data["average"], "/kg"),
            labelled("volume ", &data["volume_kg"], " kg"),
            labelled("index ", &data["index"], ""),
        ],
        _ => vec![kind.to_owned(), said(data)],
    }
}

/// What a broadcast or an event of an unknown type says: its text if it has
/// one, else all of it.
fn said(data: &Value) -> String {
    let words: Vec<_> = ["title", "body", "text", "message"]
        .iter()
        .map(|name| plain(&data[*name]))
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() { plain(data) } else { words.join("  ") }
}

fn price(data: &Value) -> String {
    let text = plain(&data["price_text"]);
    if text.is_empty() { labelled("¥", &data["price"], "") } else { text }
}

/// `▲0.40%` out of hundredths of a percent.
fn change(basis_points: &Value) -> String {
    let Some(points) = basis_points.as_i64() else {
        return "first price".to_owned();
    };
    let arrow = match points {
        1.. => "▲",
        0 => "=",
        _ => "▼",
    };
    let points = points.unsigned_abs();
    format!("{arrow}{}.{:02}%", points / 100, points % 100)
}

fn stock(data: &Value) -> String {
    let left = match (&data["quantity"], data["stock_unit"].as_str()) {
        (Value::Null, _) => "stock unknown".to_owned(),
        (quantity, _) if quantity.as_i64() == Some(0) => "sold out".to_owned(),
        (quantity, Some("gram")) => labelled("stock ", quantity, " g"),
        (quantity, _) => labelled("stock ", quantity, ""),
    };
    match data["delta"].as_i64() {
        Some(delta) => format!("{left} ({delta:+})"),
        None => left,
    }
}

fn place(data: &Value) -> String {
    let words = [plain(&data["category"]), plain(&data["market"])];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// Nothing at all for what is null.
fn labelled(before: &str, value: &Value, after: &str) -> String {
    let value = plain(value);
    if value.is_empty() { value } else { format!("{before}{value}{after}") }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

/// The time of day in Shanghai, with the date where it is not today.
fn moment(at: Millis, now: Millis) -> String {
    let format = if clock::business_day(at) == clock::business_day(now) { "%T" } else { "%F %T" };
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(kind: &str, data: Value) -> String {
        let told = json!({"id": "k-1", "type": kind, "topics": ["room/明前"], "time": "2026-11-22T02:31:02.500Z", "data": data});
        of(kind, &told, clock::parse("2026-11-22T15:00:00Z").expect("a time"))
    }

    #[test]
    fn every_type_has_its_line() {
        let about = |more: Value| {
            let mut data = json!({"product": "7542", "name": "大益 7542", "category": "dark.puer", "market": "fangcun"});
            data.as_object_mut()
                .expect("an object")
                .extend(more.as_object().cloned().expect("too"));
            data
        };
        for (kind, data, expected) in [
            (
                "price.changed",
                about(json!({"price_text": "¥1288.00/饼", "change_bp": 40})),
                "10:31:02  7542  大益 7542  ¥1288.00/饼  ▲0.40%",
            ),
            (
                "price.changed",
                about(json!({"price": "1288.00", "change_bp": -1205})),
                "10:31:02  7542  大益 7542  ¥1288.00  ▼12.05%",
            ),
            (
                "price.changed",
                about(json!({"price_text": "¥1.00/斤", "change_bp": null})),
                "10:31:02  7542  大益 7542  ¥1.00/斤  first price",
            ),
            (
                "stock.changed",
                about(json!({"quantity": 37, "delta": -3, "stock_unit": "piece", "note": "卖出"})),
                "10:31:02  7542  大益 7542  stock 37 (-3)  卖出",
            ),
            (
                "stock.changed",
                about(json!({"quantity": 0, "delta": -500, "stock_unit": "gram", "note": null})),
                "10:31:02  7542  大益 7542  sold out (-500)",
            ),
            (
                "product.arrived",
                json!({"id": "lj", "name": "龙井", "category": "green", "market": "xinchang", "price_text": null}),
                "10:31:02  lj  龙井  arrived  green · xinchang",
            ),
            ("product.withdrawn", about(json!({})), "10:31:02  7542  大益 7542  withdrawn"),
            (
                "clearance.started",
                about(
                    json!({"price_text": "¥99.00/饼", "was": "128.00", "ends_at": "2026-11-30T16:00:00.000Z"}),
                ),
                "10:31:02  7542  大益 7542  clearance ¥99.00/饼  was ¥128.00  until 2026-12-01 00:00:00",
            ),
            (
                "clearance.ended",
                about(json!({"reason": "sold_out"})),
                "10:31:02  7542  大益 7542  clearance over  sold out",
            ),
            (
                "market.updated",
                json!({"market": "fangcun", "name": "广州芳村", "title": "十月", "body": null, "average": "61.20", "index": 54.93}),
                "10:31:02  fangcun  广州芳村  十月  average ¥61.20/kg  index 54.93",
            ),
            (
                "room.message",
                json!({"text": "来了\u{1b}[31m\n两行"}),
                "10:31:02  room/明前  room.message  来了 [31m 两行",
            ),
            ("alert.fired", json!({"rule": 7}), r#"10:31:02  room/明前  alert.fired  {"rule":7}"#),
        ] {
            assert_eq!(line(kind, data), expected);
        }
    }

    #[test]
    fn what_is_broken_is_still_one_line() {
        assert_eq!(of("message", &Value::Null, 0), "message");
        assert_eq!(of("price.changed", &json!({"time": "soon"}), 0), "soon  first price");
    }
}
