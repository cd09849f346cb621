use super::change::Value;
use super::lease::Turn;
use super::round::{INSTANCES, Round, Step};
use super::store::{self, Found};
use crate::alerts::bounds::Watch;
use crate::alerts::evaluate::{Input, Tick, Verdict, evaluate};
use crate::alerts::instance::{Cause, Instance, State};
use crate::alerts::past::Book;
use crate::alerts::rule::{Rule, Status};
use crate::alerts::series::{Latest, Series, subject};
use crate::alerts::store as rules;
use crate::alerts::tell::{self, Firing};
use crate::clock::Millis;
use crate::db;
use crate::events::{self, Recorded, Tx};
use std::collections::HashSet;
use std::time::Instant;

/// The judging of one round.
pub(super) struct Judge {
    turn: Turn,
    reached: i64,
    looked_at: usize,
    round: Round,
}

impl Judge {
    /// Has dealt with everything up to `from`.
    pub(super) fn new(turn: Turn, from: i64) -> Judge {
        Judge { turn, reached: from, looked_at: 0, round: Round::default() }
    }

    /// How many instances it has looked at.
    pub(super) fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// Of the present event, rules up to this one have been looked at.
    pub(super) fn within(&self) -> i64 {
        self.turn.within
    }

    /// Notes that of the present event rules up to `rule` have been looked at.
    pub(super) fn set_within(&mut self, rule: i64) {
        self.turn.within = rule;
    }

    /// Has dealt with the event at `seq`.
    pub(super) fn passed(&mut self, seq: i64) {
        self.reached = seq;
        self.turn.within = 0;
    }

    pub(super) fn count_poison(&mut self) {
        self.round.poison += 1;
    }

    pub(super) fn count_look(&mut self) {
        self.looked_at += 1;
    }

    pub(super) fn count_fired(&mut self, fired: usize) {
        self.round.fired += fired as u64;
    }

    /// What it comes to.
    pub(super) fn end(mut self) -> (Turn, i64, Round) {
        self.round.evaluated = self.looked_at as u64;
        (self.turn, self.reached, self.round)
    }

    /// A series has another value.
    pub(super) fn value(
        &mut self,
        tx: &mut Tx<'_>,
        event: &Recorded,
        new: &Value,
    ) -> events::Result<Step> {
        let (key, began) = (new.series.to_string(), Instant::now());
        let Some(latest) = rules::series(tx.read(), &key)? else { return Ok(Step::Whole) };
        let observed_at = new.observed_at.unwrap_or(event.time);
        // What was seen before what is known is history. A clock that was set back
        // makes nothing history: what came just now was seen just now.
        let earlier = observed_at < event.time && observed_at < latest.observed_at;
        if event.seq <= latest.seq || earlier {
            return Ok(Step::Whole);
        }
        let most = INSTANCES as i64;
        let mut found = match new.value {
            Some(value) => store::touched(tx.read(), &key, value, event.seq, most)?,
            None => store::waiting(tx.read(), &key, event.seq, most)?,
        };
        if new.grams != latest.grams {
            found.extend(store::weighed(tx.read(), &key, event.seq, most)?);
        }
        let mut part = found.len() >= INSTANCES;
        if !part {
            let moving = store::moving(tx.read(), &key, self.turn.within, event.seq, most)?;
            part = moving.len() >= INSTANCES;
            if let Some((last, _)) = moving.last() {
                self.turn.within = last.rule_id;
            }
            found.extend(moving);
        }
        let now = Latest {
            value: new.value,
            grams: new.grams,
            seq: event.seq,
            at: event.time,
            observed_at,
        };
        let mut book = Book::new(&new.series, event.seq);
        let mut seen = HashSet::new();
        for found in found.into_iter().filter(|(instance, _)| seen.insert(instance.rule_id)) {
            self.tick(tx, event, &mut book, (&latest, &now), found, new.correction)?;
        }
        if part {
            return Ok(Step::Part);
        }
        store::accept(tx.write(), &key, &now)?;
        self.round.seconds.push(began.elapsed().as_secs_f64());
        Ok(Step::Whole)
    }

    fn tick(
        &mut self,
        tx: &mut Tx<'_>,
        event: &Recorded,
        book: &mut Book<'_>,
        (before, now): (&Latest, &Latest),
        found: Found,
        correction: bool,
    ) -> events::Result<()> {
        let Some((mut rule, instance, key)) = self.open(tx, event.seq, found)? else {
            return Ok(());
        };
        let Some(series) = Series::parse(&key) else { return Ok(()) };
        let condition = rule.spec.condition.clone();
        let mut past = book.past(tx.read(), &condition, Some(before), now.at)?;
        // Silence is broken by this very tick.
        past.last_tick = Some(now.at);
        let tick = Tick {
            seq: event.seq,
            at: now.at,
            value: now.amount(&condition),
            prev: before.amount(&condition),
            correction,
        };
        let verdict = evaluate(&condition, &instance, &past, &Input::Tick(tick));
        self.settle(tx, &mut rule, &series, &instance, verdict, event.seq, now)
    }

    /// What is due by `at` happens, longest due first.
    pub(super) fn timers(&mut self, tx: &mut Tx<'_>, at: Millis, most: i64) -> events::Result<()> {
        for found in store::due(tx.read(), at, most)? {
            let Some(due) = found.0.run_at else { continue };
            let last_seq = found.0.last_seq;
            let Some((mut rule, instance, key)) = self.open(tx, last_seq, found)? else {
                continue;
            };
            let (Some(series), Some(latest)) =
                (Series::parse(&key), rules::series(tx.read(), &key)?)
            else {
                // Nobody follows what it waits for: it would be due for ever.
                rules::blind(tx.write(), rule.id)?;
                continue;
            };
            let condition = rule.spec.condition.clone();
            let mut book = Book::new(&series, latest.seq);
            let mut past = book.past(tx.read(), &condition, Some(&latest), due)?;
            past.last_tick = Some(latest.at);
            let input = Input::Timer { at: due, value: latest.amount(&condition) };
            let mut verdict = evaluate(&condition, &instance, &past, &input);
            // Whatever comes of it, it is not due at the same time again.
            if verdict.instance.due == Some(due) {
                verdict.instance.due = None;
            }
            let latest = Latest { observed_at: due, ..latest };
            self.settle_at(tx, &mut rule, &series, &instance, verdict, (last_seq, due), &latest)?;
        }
        Ok(())
    }

    /// The rule and instance that were found, if they are sound and look out.
    fn open(
        &mut self,
        tx: &mut Tx<'_>,
        seq: i64,
        (instance, rule): Found,
    ) -> events::Result<Option<(Rule, Instance, String)>> {
        self.looked_at += 1;
        let id = rule.id;
        let read = instance.instance().and_then(|it| Ok((rule.rule()?, it)));
        match read {
            Ok((rule, it)) if rule.status == Status::Active => {
                Ok(Some((rule, it, instance.series)))
            }
            // It was stopped after it was found.
            Ok(_) => {
                rules::blind(tx.write(), id)?;
                Ok(None)
            }
            Err(db::Error::Corrupt(why)) => {
                tracing::error!(rule = id, error = why, "a rule cannot be read and is set aside");
                self.round.poison += 1;
                let now = tx.now();
                rules::blind(tx.write(), id)?;
                store::end_rule(tx.write(), id, Status::Paused.as_str(), now)?;
                store::set_aside(tx.write(), seq, id, &why, now)?;
                Ok(None)
            }
            Err(err) => Err(err.into()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are one evaluation and where it belongs")]
    pub(super) fn settle(
        &mut self,
        tx: &mut Tx<'_>,
        rule: &mut Rule,
        series: &Series,
        before: &Instance,
        verdict: Verdict,
        seq: i64,
        latest: &Latest,
    ) -> events::Result<()> {
        self.settle_at(tx, rule, series, before, verdict, (seq, seq), latest)
    }

    /// Keeps what came of an evaluation, and tells of it if it fired. `cause` is
    /// the position of the tick or the time of the timer.
    #[expect(clippy::too_many_arguments, reason = "they are one evaluation and where it belongs")]
    fn settle_at(
        &mut self,
        tx: &mut Tx<'_>,
        rule: &mut Rule,
        series: &Series,
        before: &Instance,
        verdict: Verdict,
        (seq, cause): (i64, i64),
        latest: &Latest,
    ) -> events::Result<()> {
        let Verdict { instance, fired, threshold, .. } = verdict;
        self.round.suppressed += u64::from(instance.memory.suppressed > before.memory.suppressed);
        let watch = Watch::of(&rule.spec.condition, &instance, latest.grams);
        rules::save_instance(tx.write(), rule.id, &series.to_string(), &instance, watch, seq)?;
        let Some(why) = fired else { return Ok(()) };
        let by_clock = matches!(why, Cause::Held | Cause::AfterCooldown | Cause::Silence);
        let firing = Firing {
            series: series.clone(),
            subject: subject(tx.read(), series)?,
            cause: why,
            cause_seq: cause,
            at: instance.memory.fired_at.unwrap_or(latest.at),
            observed_at: if by_clock { cause } else { latest.observed_at },
            value: latest.value,
            threshold,
        };
        self.count_fired(tell::fire(tx, rule, &[firing])?);
        if instance.state == State::Done {
            tell::finish_if_over(tx, rule)?;
        }
        Ok(())
    }
}
