//! How a market goes: what it tells of itself, what its listings say of it,
//! and once a day a summary of both.

mod index;
mod routes;
mod store;
mod summary;
mod timer;
mod trend;

pub use routes::{Docs, routes};
pub use timer::Timer;

use crate::clock::Millis;
use serde::Deserialize;

/// `[markets]` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// When the day is summed up, in Shanghai; empty for never.
    pub summary_at: String,
}

impl Config {
    /// When the day is summed up, in milliseconds after its beginning; none for never.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn after_midnight(&self) -> Result<Option<Millis>, &'static str> {
        const WANT: &str = "is a time of day, as in 18:00, or empty for never";
        if self.summary_at.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&str> = self.summary_at.split(':').collect();
        let number = |at: usize, below: Millis| match parts.get(at) {
            Some(text) if text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok().filter(|number| *number < below).ok_or(WANT)
            }
            None if at == 2 => Ok(0),
            _ => Err(WANT),
        };
        if parts.len() > 3 {
            return Err(WANT);
        }
        let (hours, minutes, seconds) = (number(0, 24)?, number(1, 60)?, number(2, 60)?);
        Ok(Some(((hours * 60 + minutes) * 60 + seconds) * 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_at_a_time_of_day_or_never() {
        let at = |text: &str| Config { summary_at: text.to_owned() }.after_midnight();
        assert_eq!(at(""), Ok(None));
        assert_eq!(at("18:00"), Ok(Some(18 * 3_600_000)));
        assert_eq!(at("00:00:01"), Ok(Some(1_000)));
        for bad in ["18", "24:00", "18:60", "6pm", "18:0", "-1:00", "18:00:00:00", "１８:00"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
