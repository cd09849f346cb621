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
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_763_799_330_123), "2025-11-22T08:15:30.123Z");
        assert_eq!(parse("2025-11-22T16:15:30.123+08:00"), Some(1_763_799_330_123));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn the_business_day_turns_at_midnight_in_shanghai() {
        assert_eq!(business_day(parse("2026-11-22T15:59:59Z").expect("a time")), "2026-11-22");
        assert_eq!(business_day(parse("2026-11-22T16:00:00Z").expect("a time")), "2026-11-23");
    }
}
