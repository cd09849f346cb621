//! A market over a stretch of time.

use super::store::{DayRow, Record};
use crate::clock::{DAY, Millis, business_day, parse_day, rfc3339, week_start, year_before};
use crate::money::{change_bp, yuan_text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How far from the same day of the year before a summary may be to count as
/// its counterpart: markets close over the new year.
const NEAR: Millis = 15 * DAY;

/// How many days are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Day,
    Week,
    Month,
}

impl Width {
    /// When the stretch that `at`, the beginning of a day, is in begins.
    pub fn start(self, at: Millis) -> Millis {
        match self {
            Width::Day => crate::clock::day_start(at),
            Width::Week => week_start(at),
            Width::Month => month_start(at),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Width::Day => "1d",
            Width::Week => "1w",
            Width::Month => "1m",
        }
    }
}

fn month_start(at: Millis) -> Millis {
    let day = business_day(at);
    let first = format!("{}-01", day.get(..7).unwrap_or_default());
    parse_day(&first).unwrap_or(at)
}

/// The days from `from` on taken together; those before are what they are
/// compared with. `days` are in order. With each, when it begins.
pub(super) fn points(days: &[DayRow], width: Width, from: Millis) -> Vec<(Millis, Value)> {
    let levels: BTreeMap<Millis, i64> = days.iter().map(|day| (day.begins, day.level)).collect();
    let wanted: Vec<&DayRow> =
        days.iter().filter(|day| width.start(day.begins) >= width.start(from)).collect();
    let same = |one: &&DayRow, next: &&DayRow| width.start(one.begins) == width.start(next.begins);
    let point = |days: &[&DayRow]| {
        let (first, last) = (days.first()?, days.last()?);
        let level = last.level;
        let before = levels.range(..first.begins).next_back().map(|(_, level)| *level);
        let year = year_before(last.begins);
        let last_year = levels.range(year - NEAR..=year).next_back().map(|(_, before)| *before);
        let all = days.iter().map(|day| day.level);
        let sum = |of: fn(&DayRow) -> i64| days.iter().map(|day| of(day)).sum::<i64>();
        let start = width.start(first.begins);
        let value = json!({
            "start": rfc3339(start),
            "index": yuan_text(level),
            "high": yuan_text(all.clone().max()?),
            "low": yuan_text(all.min()?),
            "change_bp": before.map(|before| change_bp(before, level)),
            "year_on_year_bp": last_year.map(|before| change_bp(before, level)),
            "index_products": last.counted,
            "days": days.len(),
            "up": sum(|day| day.up),
            "down": sum(|day| day.down),
            "unchanged": sum(|day| day.unchanged),
            "as_of": rfc3339(last.due),
        });
        Some((start, value))
    };
    wanted.chunk_by(same).filter_map(point).collect()
}

/// What a market told of its periods from `from` on, each with how it compares
/// with the same period a year before. `records` are in order, and the last of
/// a period counts.
pub(super) fn told(records: &[Record], from: Millis, now: Millis) -> Vec<Value> {
    let newest: BTreeMap<(Millis, &str), &Record> =
        records.iter().map(|record| ((record.begins, &*record.span), record)).collect();
    let value = |record: &&Record| {
        let before = newest.get(&(year_before(record.begins), &*record.span));
        let change = |of: fn(&Record) -> Option<i64>| {
            let (from, to) = (before.and_then(|before| of(before))?, of(record)?);
            (from > 0).then(|| change_bp(from, to))
        };
        json!({
            "period": record.period,
            "span": record.span,
            "start": rfc3339(record.begins),
            "volume_kg": record.volume_kg,
            "turnover": record.turnover.map(yuan_text),
            "turnover_fen": record.turnover,
            "average": record.average.map(yuan_text),
            "average_fen": record.average,
            "index": record.level.map(yuan_text),
            "year_on_year": before.map(|_| json!({
                "volume_bp": change(|it| it.volume_kg),
                "turnover_bp": change(|it| it.turnover),
                "average_bp": change(|it| it.average),
                "index_bp": change(|it| it.level),
            })),
            "as_of": rfc3339(record.told_at),
            "age_seconds": (now - record.told_at).max(0) / 1_000,
        })
    };
    newest.values().filter(|record| record.begins >= from).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(begins: &str, level: i64) -> DayRow {
        let begins = parse_day(begins).expect("a day");
        DayRow {
            market: "fangcun".to_owned(),
            begins,
            due: begins + 18 * 3_600_000,
            level,
            base: 100_000,
            anchor: 0,
            counted: 7,
            up: 2,
            down: 1,
            unchanged: 4,
        }
    }

    #[test]
    fn days_are_taken_together_and_compared() {
        let days = [
            day("2025-11-20", 100_000),
            day("2026-10-31", 110_000),
            day("2026-11-02", 120_000),
            day("2026-11-30", 125_000),
        ];
        let from = parse_day("2026-11-01").expect("a day");
        let [(start, month)] = &points(&days, Width::Month, from)[..] else { panic!() };
        assert_eq!(*start, from);
        assert_eq!((&month["index"], &month["low"]), (&json!("1250.00"), &json!("1200.00")));
        assert_eq!(month["change_bp"], change_bp(110_000, 125_000));
        assert_eq!(month["year_on_year_bp"], 2_500);
        assert_eq!((&month["up"], &month["days"]), (&json!(4), &json!(2)));
        assert_eq!(points(&days, Width::Day, from).len(), 2);
        assert_eq!(points(&days, Width::Week, from)[0].1["year_on_year_bp"], Value::Null);
    }

    #[test]
    fn a_period_is_compared_with_the_same_of_the_year_before() {
        let record = |seq, period: &str, average| Record {
            seq,
            market: "xinchang".to_owned(),
            told_at: 0,
            period: Some(period.to_owned()),
            begins: parse_day(&format!("{period}-01")).expect("a day"),
            span: "month".to_owned(),
            volume_kg: None,
            turnover: None,
            average: Some(average),
            level: Some(5_493),
        };
        // The second word on a period is the one that counts.
        let records =
            [record(1, "2025-09", 16_000), record(2, "2026-09", 1), record(3, "2026-09", 17_282)];
        let from = parse_day("2026-01-01").expect("a day");
        let [month] = &told(&records, from, 5_000)[..] else { panic!() };
        assert_eq!((&month["average"], &month["index"]), (&json!("172.82"), &json!("54.93")));
        assert_eq!(month["year_on_year"]["average_bp"], 801);
        assert_eq!(month["year_on_year"]["volume_bp"], Value::Null);
        assert_eq!(month["age_seconds"], 5);
    }
}
