use super::{Config, store, summary};
use crate::clock::{Clock, DAY, Millis, day_start};
use crate::db::Db;
use crate::events::{self, Publisher};
use crate::prices::history;
use crate::tasks::Task;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How many days are made up for after a long absence.
const MADE_UP: Millis = 7;

/// How long to wait before asking again whether prices are copied.
const PAUSE: Duration = Duration::from_millis(100);

/// How often; after that the next run asks.
const PAUSES: u32 = 30;

/// Sums up the day of each market when it is due.
///
/// When it was done last stands in the database, so a node that was away makes
/// up for what it missed; and each summary is looked for again in the
/// transaction that tells it, so it is told once though all nodes run this.
pub struct Timer {
    db: Db,
    publisher: Publisher,
    clock: Clock,
    /// After the beginning of a business day; none for never.
    after_midnight: Option<Millis>,
    /// What is known to be done, so that nothing is read for it every second.
    done_to: AtomicI64,
}

impl Timer {
    /// A timer after `config`, which was checked.
    pub fn new(db: Db, publisher: Publisher, clock: Clock, config: &Config) -> Timer {
        let after_midnight = config.after_midnight().unwrap_or_default();
        Timer { db, publisher, clock, after_midnight, done_to: AtomicI64::new(i64::MIN) }
    }
}

impl Task for Timer {
    const NAME: &'static str = "market-summary";

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        let now = self.clock.now();
        let last = self.after_midnight.map_or(0, |after| last_due(now, after));
        if last <= self.done_to.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(told_to) = self.db.read(store::told_to).await? else {
            // The first start there ever was: nothing was missed before it.
            self.publisher.commit(move |tx| Ok(store::set_told_to(tx.write(), now)?)).await?;
            return Ok(());
        };
        let Some(after_midnight) = self.after_midnight else {
            self.done_to.store(last, Ordering::Relaxed);
            return Ok(());
        };
        for due in due(told_to, now, after_midnight) {
            if !self.wait_for_copies().await? {
                return Ok(());
            }
            for market in self.db.read(store::all).await? {
                summary::sum_up(&self.db, &self.publisher, market, due).await?;
            }
            self.publisher.commit(move |tx| Ok(store::set_told_to(tx.write(), due)?)).await?;
        }
        self.done_to.store(last, Ordering::Relaxed);
        Ok(())
    }
}

impl Timer {
    /// Waits until every price of before now is copied to where many are
    /// looked up at once, but not for ever; not for those that come meanwhile.
    async fn wait_for_copies(&self) -> events::Result<bool> {
        let Some(last) = self.db.read(history::uncopied_to).await? else { return Ok(true) };
        for _ in 0..PAUSES {
            if self.db.read(history::copied_to).await? >= last {
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }
}

/// The last moment a summary was due at.
fn last_due(now: Millis, after_midnight: Millis) -> Millis {
    let today = day_start(now) + after_midnight;
    if today <= now { today } else { today - DAY }
}

/// When summaries were due that are not told yet, the oldest first.
fn due(told_to: Millis, now: Millis, after_midnight: Millis) -> Vec<Millis> {
    let last = last_due(now, after_midnight);
    let all = (0..MADE_UP).rev().map(|days| last - days * DAY);
    all.filter(|due| *due > told_to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse;

    #[test]
    fn what_was_missed_is_made_up_for_but_not_for_ever() {
        let at = |text| parse(text).expect("a time");
        let six = 18 * 3_600_000;
        let now = at("2026-11-22T18:00:00+08:00");
        let told = at("2026-11-21T18:00:00+08:00");
        assert!(due(told, now - 1, six).is_empty());
        assert_eq!(due(told, now, six), [now]);
        assert!(due(now, now + DAY - 1, six).is_empty());
        assert_eq!(due(told - 1, now, six), [told, now]);
        assert_eq!(due(0, now, six).len(), 7);
        // Begun in the middle of a day: the summary of that day is due.
        assert_eq!(due(now - 3_600_000, now + 5, six), [now]);
    }
}
