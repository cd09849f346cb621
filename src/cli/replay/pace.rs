//! When each row is due, and how far it is.

use std::io::{IsTerminal, Write, stderr};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::file::shown;

/// Between two lines of progress where there is no terminal.
const LINES_APART: Duration = Duration::from_secs(5);
/// No wait is longer than ten years, whatever a file says.
const LONGEST: f64 = 3e8;

/// How much faster than life; none is as fast as it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(Option<f64>);

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Speed, Self::Err> {
        if text == "max" {
            return Ok(Speed(None));
        }
        let times = text.strip_suffix(['x', 'X']).unwrap_or(text).parse::<f64>();
        match times {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed(Some(times))),
            _ => Err("a speed is `max`, or a number like `1x` or `3600x`"),
        }
    }
}

/// Turns the times of a file into waits.
#[derive(Debug)]
pub struct Pace {
    speed: Speed,
    started: Instant,
    first: Option<i64>,
}

impl Pace {
    /// The clock starts with the first row.
    pub fn new(speed: Speed) -> Pace {
        Pace { speed, started: Instant::now(), first: None }
    }

    /// How long until a row that happened at `at` is due.
    pub fn until(&mut self, at: i64) -> Duration {
        let Some(speed) = self.speed.0 else { return Duration::ZERO };
        let first = *self.first.get_or_insert_with(|| {
            self.started = Instant::now();
            at
        });
        // Out of order is due at once.
        let due = (at.saturating_sub(first).max(0) as f64 / speed).min(LONGEST);
        Duration::from_secs_f64(due).saturating_sub(self.started.elapsed())
    }
}

/// A bar on a terminal, plain lines elsewhere.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    rows: u64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Nothing is done yet.
    pub fn new(rows: u64) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:24} {human_pos}/{human_len} rows  {per_sec:0}  {eta} left  {msg}",
            );
            let bar = ProgressBar::new(rows)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Progress { bar, rows, started: Instant::now(), last_line: Instant::now() }
    }

    /// `row` has its turn; it happened at `at`.
    pub fn at(&mut self, row: u64, at: i64) {
        if let Some(bar) = &self.bar {
            bar.set_message(shown(at));
            bar.set_position(row);
        } else if self.last_line.elapsed() >= LINES_APART {
            self.last_line = Instant::now();
            let rate = row as f64 / self.started.elapsed().as_secs_f64();
            let left = self.rows.saturating_sub(row) as f64 / rate.max(0.001);
            let (rows, at) = (self.rows, shown(at));
            say(&format!("{row}/{rows} rows, {rate:.0}/s, {left:.0} s left, at {at}"));
        }
    }

    /// Sleeps until a row is due, and tells of itself meanwhile.
    pub fn wait(&mut self, mut left: Duration, row: u64, at: i64) {
        while !left.is_zero() {
            let nap = left.min(LINES_APART);
            thread::sleep(nap);
            left -= nap;
            self.at(row, at);
        }
    }

    /// A line that does not disturb the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_number_of_times_or_max() {
        assert_eq!("max".parse(), Ok(Speed(None)));
        assert_eq!("3600x".parse(), Ok(Speed(Some(3600.0))));
        assert_eq!("0.5x".parse(), Ok(Speed(Some(0.5))));
        for text in ["", "x", "0x", "-1x", "infx", "nanx", "fast"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_row_is_due_when_its_time_has_passed_faster_than_life() {
        let mut pace = Pace::new(Speed(Some(60.0)));
        assert_eq!(pace.until(1000), Duration::ZERO);
        let wait = pace.until(1600);
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(pace.until(900), Duration::ZERO);
        assert!(pace.until(i64::MAX) > Duration::from_secs(100_000_000));
        assert_eq!(Pace::new(Speed(None)).until(i64::MAX), Duration::ZERO);
    }
}
