//! Now, and the business day. Nothing else in the house asks the system for
//! the time of day; what only measures a span uses `Instant`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds since 1970 in UTC.
pub type Millis = i64;

/// Where the time comes from. Cloning it gives the same clock.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's.
    System,
    /// One that tests set.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => Timestamp::now().as_millisecond(),
            Clock::Set(now) => now.load(Ordering::Relaxed),
        }
    }
}

/// `2026-11-22T08:15:30.123Z`.
pub fn rfc3339(at: Millis) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = TimeZone::UTC.to_datetime(at);
    // Every event has its time once or twice: `format!` would be a tenth of encoding it.
    let mut text = String::with_capacity(24);
    let mut number = |number: i16, digits: u32, after: char| {
        // Nothing here happened before the year 0.
        let number = number.unsigned_abs();
        for digit in (0..digits).rev() {
            text.push(char::from(b'0' + (number / 10_u16.pow(digit) % 10) as u8));
        }
        text.push(after);
    };
    number(at.year(), 4, '-');
    number(at.month().into(), 2, '-');
    number(at.day().into(), 2, 'T');
    number(at.hour().into(), 2, ':');
    number(at.minute().into(), 2, ':');
    number(at.second().into(), 2, '.');
    number(at.millisecond(), 3, 'Z');
    text
}

/// Reads an RFC 3339 time with any offset.
pub fn parse(text: &str) -> Option<Millis> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// The business day a moment belongs to, in Asia/Shanghai: `2026-11-22`.
pub fn business_day(at: Millis) -> String {
    // No daylight saving there since 1991, so a fixed offset will do.
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone).strftime("%Y-%m-%d").to_string()
}

/// A day in milliseconds.
pub const DAY: Millis = 86_400_000;

/// How far Shanghai is ahead of UTC.
const SHANGHAI: Millis = 8 * 3_600_000;

/// When the business day of `at` began.
pub fn day_start(at: Millis) -> Millis {
    (at + SHANGHAI).div_euclid(DAY) * DAY - SHANGHAI
}

/// When the week of `at` began, on a Monday of business days.
pub fn week_start(at: Millis) -> Millis {
    // The first Monday after 1970 is the fifth day.
    const MONDAY: Millis = 4 * DAY - SHANGHAI;
    (at - MONDAY).div_euclid(7 * DAY) * 7 * DAY + MONDAY
}

/// When the same business day began a year before; of 29 February the 28th.
pub fn year_before(at: Millis) -> Millis {
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    let day =
        Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    let before = day.date().saturating_sub(jiff::Span::new().years(1));
    before.to_zoned(zone).map_or(at - 365 * DAY, |at| at.timestamp().as_millisecond())
}

/// When the business day written as `2026-11-22` begins.
pub fn parse_day(text: &str) -> Option<Millis> {
    if text.len() != 10 {
        return None;
    }
    let day: jiff::civil::Date = text.parse().ok()?;
    let begin = day.to_zoned(TimeZone::fixed(jiff::tz::offset(8))).ok()?;
    Some(begin.timestamp().as_millisecond())
}

/// The same day as a number that counts up by one: days since 1970 there.
pub fn business_day_number(at: Millis) -> i64 {
    (at + SHANGHAI).div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_763_799_330_123), "2025-11-22T08:15:30.123Z");
        assert_eq!(parse("2025-11-22T16:15:30.123+08:00"), Some(1_763_799_330_123));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
    }

    #[test]
    fn the_number_of_a_business_day_turns_with_it() {
        let at = parse("2026-11-22T16:00:00Z").expect("a time");
        assert_eq!(business_day_number(at), business_day_number(at - 1) + 1);
        assert_eq!(business_day_number(at), business_day_number(at + 86_399_999));
    }

    #[test]
    fn the_business_day_turns_at_midnight_in_shanghai() {
        assert_eq!(business_day(parse("2026-11-22T15:59:59Z").expect("a time")), "2026-11-22");
        assert_eq!(business_day(parse("2026-11-22T16:00:00Z").expect("a time")), "2026-11-23");
    }

    #[test]
    fn days_and_weeks_begin_at_midnight_in_shanghai() {
        let at = |text| parse(text).expect("a time");
        assert_eq!(day_start(at("2026-11-22T15:59:59.999Z")), at("2026-11-21T16:00:00Z"));
        assert_eq!(day_start(at("2026-11-22T16:00:00Z")), at("2026-11-22T16:00:00Z"));
        // 2026-11-22 is a Sunday.
        assert_eq!(week_start(at("2026-11-22T15:59:59.999Z")), at("2026-11-15T16:00:00Z"));
        assert_eq!(week_start(at("2026-11-22T16:00:00Z")), at("2026-11-22T16:00:00Z"));
        assert_eq!(week_start(at("1960-01-01T00:00:00Z")), at("1959-12-27T16:00:00Z"));
        assert_eq!(parse_day("2026-11-22"), Some(at("2026-11-21T16:00:00Z")));
        assert_eq!((parse_day("2026-11-31"), parse_day("2026-1-1")), (None, None));
        assert_eq!(year_before(at("2026-11-22T12:00:00Z")), at("2025-11-21T16:00:00Z"));
        assert_eq!(year_before(at("2024-02-29T12:00:00Z")), at("2023-02-27T16:00:00Z"));
    }
}
