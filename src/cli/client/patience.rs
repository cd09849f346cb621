//! Asking again: for how long, and how often.

use std::time::{Duration, Instant};

use super::{Answer, Error};

/// No wait between two tries is longer, unless the server asks for it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to keep asking, and what to say meanwhile.
pub struct Patience<'a> {
    /// Counted from the first failure of a request; a success starts it anew.
    pub limit: Duration,
    /// Told before each wait.
    pub say: &'a mut dyn FnMut(&str),
}

impl Patience<'_> {
    pub(super) fn keep(
        &mut self,
        mut ask: impl FnMut() -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        let mut backoff = Backoff::new(Duration::from_millis(200));
        let mut failing_since: Option<Instant> = None;
        loop {
            let outcome = ask();
            let (why, least) = match &outcome {
                Ok(answer) if answer.is_passing() => {
                    (answer.problem().to_string(), answer.retry_after)
                }
                Err(err @ Error::Unreachable { .. }) => (err.to_string(), None),
                _ => return outcome,
            };
            let wait = backoff.wait(least);
            let since = *failing_since.get_or_insert_with(Instant::now);
            if since.elapsed() + wait > self.limit {
                return outcome;
            }
            // A wait too short to notice is not worth a line.
            if wait > Duration::from_secs(1) {
                (self.say)(&format!("{why}; once more in {}", seconds(wait)));
            }
            std::thread::sleep(wait);
        }
    }
}

/// Full jitter: any wait from nothing up to a bound that doubles. A thousand
/// clients cut off together so do not come back together.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    tries: u32,
}

impl Backoff {
    /// The first wait is at most `base`.
    pub fn new(base: Duration) -> Backoff {
        Backoff { base, tries: 0 }
    }

    /// It worked: the next wait is a first one again, with this base.
    pub fn reset(&mut self, base: Duration) {
        *self = Backoff::new(base);
    }

    /// The next wait, never under what the server asked for.
    pub fn wait(&mut self, least: Option<Duration>) -> Duration {
        let bound = self.base.saturating_mul(1 << self.tries.min(10)).min(LONGEST_WAIT);
        self.tries += 1;
        match least {
            // All were told the same; a tenth more spreads them.
            Some(least) => least + rand::random_range(Duration::ZERO..=least / 10),
            None => rand::random_range(Duration::ZERO..=bound),
        }
    }
}

/// `1.2 s`.
pub fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}
