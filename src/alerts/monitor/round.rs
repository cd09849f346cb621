use super::NAME;
use super::change::{self, Change};
use super::judge::Judge;
use super::lease::Lease;
use super::{members, store};
use crate::alerts::rule::Status;
use crate::alerts::store as rules;
use crate::alerts::tell;
use crate::clock::Millis;
use crate::db;
use crate::events::{self, Recorded, Tx};
use crate::notifications::Said;
use crate::telemetry::Metrics;
use std::time::{Duration, Instant};

/// How many events one round reads.
const EVENTS: i64 = 128;

/// How many instances it looks at …
pub(super) const INSTANCES: usize = 512;

/// … and for how long, so that no write waits much longer than this.
const TIME: Duration = Duration::from_millis(30);

/// What came of one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Whether there was nothing to do, or it was another's turn.
    pub idle: bool,
    pub evaluated: u64,
    pub fired: u64,
    pub suppressed: u64,
    pub poison: u64,
    /// Seconds that each value took.
    pub seconds: Vec<f64>,
}

impl Round {
    /// Counts what was committed.
    pub(super) fn count(&self, metrics: &Metrics) {
        metrics.alert_evaluations.inc_by(self.evaluated);
        metrics.alert_firings.inc_by(self.fired);
        metrics.alert_suppressed.inc_by(self.suppressed);
        metrics.alert_poison.inc_by(self.poison);
        self.seconds.iter().for_each(|seconds| metrics.alert_seconds.observe(*seconds));
    }
}

/// Whether an event has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All of it.
    Whole,
    /// There are rules left that it concerns.
    Part,
}

/// Judges the next events and what is due, within bounds. `looked` is up to
/// where nothing concerns a rule; `careful` takes one event at a time; `aside`
/// is why the next one is to be set aside.
pub(super) fn round(
    tx: &mut Tx<'_>,
    lease: &Lease,
    looked: i64,
    careful: bool,
    aside: Option<&str>,
) -> events::Result<Round> {
    let Some(turn) = lease.take(tx)? else {
        return Ok(Round { idle: true, ..Round::default() });
    };
    let head = tx.next_seq() - 1;
    let Some(checkpoint) = events::checkpoint(tx.read(), NAME)? else {
        tx.reached(NAME, head)?;
        turn.keep(tx)?;
        return Ok(Round::default());
    };
    let from = looked.min(head).max(checkpoint);
    let mut judge = Judge::new(turn, from);
    let page = events::recorded(tx.read(), from, if careful { 1 } else { EVENTS })?;
    let full = page.len() as i64 == EVENTS || careful;
    let began = Instant::now();
    let mut next_due = store::next_due(tx.read())?;
    let mut stopped = false;
    for event in &page {
        if began.elapsed() > TIME || judge.looked_at() >= INSTANCES {
            stopped = true;
            break;
        }
        // What was due before it happened before it.
        while next_due.is_some_and(|due| due <= event.time) {
            judge.timers(tx, event.time, INSTANCES as i64)?;
            next_due = store::next_due(tx.read())?;
            if judge.looked_at() >= INSTANCES {
                break;
            }
        }
        if next_due.is_some_and(|due| due <= event.time) {
            stopped = true;
            break;
        }
        if let Some(why) = aside {
            poison(tx, &mut judge, event, why)?;
        } else if judge_event(tx, &mut judge, event)? == Step::Part {
            stopped = true;
            break;
        }
        judge.passed(event.seq);
        next_due = store::next_due(tx.read())?;
    }
    if !stopped && !full {
        let now = tx.now();
        let most = INSTANCES.saturating_sub(judge.looked_at()).max(1);
        judge.timers(tx, now, most as i64)?;
        expire(tx, now)?;
    }
    let idle = judge.looked_at() == 0 && page.is_empty();
    let (turn, reached, mut round) = judge.end();
    if reached > checkpoint {
        tx.reached(NAME, reached)?;
    }
    turn.keep(tx)?;
    round.idle = idle;
    Ok(round)
}

fn judge_event(tx: &mut Tx<'_>, judge: &mut Judge, event: &Recorded) -> events::Result<Step> {
    match change::read(event) {
        Ok(None) => Ok(Step::Whole),
        Ok(Some(Change::Value(value))) => judge.value(tx, event, &value),
        Ok(Some(Change::Listed(listing))) => members::listed(tx, judge, event, &listing),
        Ok(Some(Change::Withdrawn(product))) => members::withdrawn(tx, judge, event, &product),
        Err(err) => {
            poison(tx, judge, event, &err.to_string())?;
            Ok(Step::Whole)
        }
    }
}

fn poison(tx: &mut Tx<'_>, judge: &mut Judge, event: &Recorded, why: &str) -> events::Result<()> {
    tracing::error!(
        seq = event.seq,
        kind = event.kind,
        error = why,
        "an event cannot be judged and is set aside"
    );
    judge.count_poison();
    let now = tx.now();
    Ok(store::set_aside(tx.write(), event.seq, 0, why, now)?)
}

/// Ends rules whose time is over, and tells their owners once.
fn expire(tx: &mut Tx<'_>, now: Millis) -> events::Result<()> {
    for row in store::expired(tx.read(), now, 100)? {
        let id = row.id;
        store::end_rule(tx.write(), id, Status::Expired.as_str(), now)?;
        rules::blind(tx.write(), id)?;
        match row.rule() {
            Ok(mut rule) => {
                rule.status = Status::Expired;
                let why = Said::new("已到期", "its time is over");
                tell::notice(tx, &rule, "expired", why)?;
            }
            Err(db::Error::Corrupt(why)) => {
                tracing::error!(rule = id, error = why, "a rule cannot be read and is ended");
            }
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}
