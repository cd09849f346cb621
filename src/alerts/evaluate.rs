//! The evaluator: one pure function from a rule, what an instance remembers
//! and what happened to what the instance is after it, and whether it fired.
//!
//! The monitor, `explain`, `simulate` and the answer to whoever makes a rule all
//! go through it; nothing else decides whether a rule fires. It knows no
//! clock and no database: whoever calls it says what time it is and what went
//! before.

use super::bounds::Bounds;
use super::instance::{Cause, Evaluation, Instance, State, Zone};
use super::rule::{Condition, Mode, Op, Past, Reference};
use super::{Amount, Ratio};
use crate::clock::Millis;

/// A value that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The position of its event.
    pub seq: i64,
    /// When it came.
    pub at: Millis,
    /// The value; none if a stock is unknown.
    pub value: Option<Amount>,
    /// The value before it; none if there was none or it was unknown.
    pub prev: Option<Amount>,
    /// Whether it puts right what was wrong, and is no news.
    pub correction: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The rule begins, or begins anew, with the value as it is. `seen` says
    /// whether that value counts as one that was there before.
    Start {
        /// The value.
        value: Option<Amount>,
        /// When.
        at: Millis,
        /// What a firing would have for its cause.
        seq: i64,
        /// Whether the next tick is only to be seen (after a pause).
        blind: bool,
    },
    /// A product began to match the filter of the rule.
    Arrival(Tick),
    /// A value was seen.
    Tick(Tick),
    /// What the instance was due for.
    Timer {
        /// When it was due.
        at: Millis,
        /// The value at that time.
        value: Option<Amount>,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The instance after it.
    pub instance: Instance,
    /// Why it fired, if it did.
    pub fired: Option<Cause>,
    /// Why it did not.
    pub outcome: &'static str,
    /// What the value was compared with.
    pub threshold: Option<i64>,
    /// Whether the condition holds; none if nobody can say.
    pub holds: Option<bool>,
}

/// One evaluation of `condition`.
struct Look<'a> {
    condition: &'a Condition,
    past: &'a Past,
    instance: Instance,
    at: Millis,
    value: Option<Amount>,
    correction: bool,
}

/// Looks at an instance after `input` happened.
pub fn evaluate(condition: &Condition, before: &Instance, past: &Past, input: &Input) -> Verdict {
    let (at, cause, value, correction) = match *input {
        Input::Start { value, at, seq, .. } => (at, seq, value, false),
        Input::Arrival(tick) | Input::Tick(tick) => {
            (tick.at, tick.seq, tick.value, tick.correction)
        }
        Input::Timer { at, value } => (at, at, value, false),
    };
    let instance = before.clone();
    let mut look = Look { condition, past, instance, at, value, correction };
    if before.state.is_over() {
        return look.end(Ok("over"), cause);
    }
    let outcome = match *input {
        Input::Start { blind, .. } => look.start(blind),
        Input::Arrival(tick) => look.arrival(tick),
        Input::Tick(tick) => look.tick(tick),
        Input::Timer { .. } => look.timer(),
    };
    look.end(outcome, cause)
}

/// A firing with its cause, or why there is none.
type Outcome = Result<&'static str, Cause>;

impl Look<'_> {
    fn end(mut self, outcome: Outcome, cause: i64) -> Verdict {
        let bounds = self.bounds();
        let holds = self.holds(&bounds);
        if self.instance.state == State::Armed && self.condition.op == Op::Stale {
            self.instance.due = self.stale_at();
        } else if !matches!(self.instance.state, State::Pending | State::Held) {
            self.instance.due = None;
        }
        let threshold = bounds.shown();
        let fired = outcome.err();
        let said = outcome.unwrap_or("fired");
        self.instance.remember(Evaluation {
            at: self.at,
            cause,
            value: self.value.map(|value| value.ratio().floor()),
            threshold,
            state: self.instance.state.as_str().to_owned(),
            outcome: said.to_owned(),
        });
        Verdict { instance: self.instance, fired, outcome: said, threshold, holds }
    }

    fn bounds(&self) -> Bounds {
        Bounds::of(self.condition, &self.instance.memory, self.past)
    }

    fn ratio(&self) -> Option<Ratio> {
        self.value.map(Amount::ratio)
    }

    /// Whether a level is satisfied; none if nobody can say.
    fn holds(&self, bounds: &Bounds) -> Option<bool> {
        if self.condition.op == Op::Stale {
            return Some(self.stale_at()? <= self.at);
        }
        if self.condition.op == Op::CoverDaysLte && self.past.outflow == Some(0) {
            return self.value.map(|_| false);
        }
        bounds.satisfied(self.ratio()?)
    }

    fn stale_at(&self) -> Option<Millis> {
        let hours = self.condition.hours.unwrap_or(0);
        Some(self.past.last_tick?.saturating_add(hours.saturating_mul(3_600_000)))
    }

    /// The rule begins: a level that is true fires at once, or has to recover
    /// first; what waits for a moment only looks.
    fn start(&mut self, blind: bool) -> Outcome {
        self.instance.state = State::Armed;
        self.instance.due = None;
        self.instance.memory.arriving = false;
        self.instance.memory.created = self.value;
        self.instance.memory.fired = None;
        if !self.condition.op.is_level() {
            self.instance.memory.zone = if blind { None } else { self.zone() };
            return Ok(if self.lacks_history() { self.no_data() } else { "waits" });
        }
        match self.holds(&self.bounds()) {
            None if self.lacks_history() => Ok(self.no_data()),
            None => Ok("no_value"),
            Some(false) => Ok("not_true"),
            Some(true) if self.condition.fire_if_true_now => self.came_true(Cause::AlreadyTrue),
            Some(true) => {
                self.instance.state = State::Fired;
                Ok("already_true")
            }
        }
    }

    /// Something began to match: a level that is true was not so before.
    fn arrival(&mut self, tick: Tick) -> Outcome {
        self.instance.state = State::Armed;
        self.instance.memory.created = tick.value;
        self.instance.memory.zone = self.zone();
        self.instance.memory.arriving = tick.value.is_none();
        if !self.condition.op.is_level() {
            return Ok(if self.lacks_history() { self.no_data() } else { "waits" });
        }
        match self.holds(&self.bounds()) {
            None if self.lacks_history() => Ok(self.no_data()),
            None => Ok("no_value"),
            Some(false) => Ok("not_true"),
            Some(true) => self.came_true(Cause::NewArrival),
        }
    }

    fn tick(&mut self, tick: Tick) -> Outcome {
        let arriving = std::mem::take(&mut self.instance.memory.arriving);
        if self.instance.memory.created.is_none() {
            self.instance.memory.created = tick.value;
        }
        if self.value.is_none() {
            return self.unknown();
        }
        let cause = if arriving { Cause::NewArrival } else { Cause::Tick };
        if self.condition.op.is_level() { self.level(tick, cause) } else { self.moment(tick) }
    }

    /// A stock of which nobody knows any more is neither high nor low.
    fn unknown(&mut self) -> Outcome {
        if matches!(self.instance.state, State::Pending | State::Held) {
            self.instance.state = State::Armed;
        }
        Ok("unknown")
    }

    fn level(&mut self, tick: Tick, cause: Cause) -> Outcome {
        let bounds = self.bounds();
        let Some(holds) = self.holds(&bounds) else {
            return Ok(if self.lacks_history() { self.no_data() } else { "no_value" });
        };
        match (self.instance.state, holds) {
            (State::Armed | State::NoData, true) if self.correction => {
                self.instance.state = State::Fired;
                Ok("correction")
            }
            // What was unknown has not fallen: nobody saw it higher.
            (State::Armed | State::NoData, true)
                if self.condition.op.kind() == super::Kind::Stock && tick.prev.is_none() =>
            {
                self.instance.state = State::Fired;
                Ok("was_unknown")
            }
            (State::Armed | State::NoData, true) => self.came_true(cause),
            (State::Armed | State::NoData | State::Held, false) => {
                self.instance.state = State::Armed;
                Ok("not_true")
            }
            (State::Pending, false) => {
                self.instance.state = State::Armed;
                Ok("did_not_hold")
            }
            (State::Pending, true) => Ok("holding"),
            (State::Held, true) => Ok("cooldown"),
            (_, true) => Ok("still_true"),
            (_, false) if self.has_recovered(&bounds) => {
                self.instance.state = State::Armed;
                Ok("rearmed")
            }
            (_, false) => Ok("within_margin"),
        }
    }

    fn has_recovered(&self, bounds: &Bounds) -> bool {
        self.condition.op == Op::Stale || self.ratio().is_some_and(|value| bounds.recovered(value))
    }

    /// Looks for the moment that an event op waits for.
    fn moment(&mut self, tick: Tick) -> Outcome {
        if self.lacks_history() {
            return Ok(self.no_data());
        }
        if self.instance.state == State::NoData {
            self.instance.state = State::Armed;
        }
        let (from, to) = (self.instance.memory.zone, self.zone());
        self.instance.memory.zone = to;
        if self.instance.state == State::Pending || self.instance.state == State::Held {
            // It lasts as long as the value stays where it came to.
            if from == to {
                return Ok("holding");
            }
            self.instance.state = State::Armed;
        }
        let happened = match self.condition.op {
            Op::NewLow | Op::NewHigh | Op::AnyChange => self.struck(tick),
            _ => from.zip(to).is_some_and(|(from, to)| self.arrived(from, to)),
        };
        // Stock that was unknown did not come from anywhere.
        let unknown = self.condition.op.kind() == super::Kind::Stock && tick.prev.is_none();
        match happened {
            false => Ok("not_true"),
            true if self.correction => Ok("correction"),
            true if unknown => Ok("was_unknown"),
            true => self.came_true(Cause::Tick),
        }
    }

    /// Whether going from one zone to another is what is waited for.
    fn arrived(&self, from: Zone, to: Zone) -> bool {
        use Zone::{Above, At, Below};
        match self.condition.op {
            Op::CrossDown => from == Above && to != Above,
            Op::CrossUp => from == Below && to != Below,
            Op::Cross => (from == Above && to != Above) || (from == Below && to != Below),
            Op::EnterRange => from != At && to == At,
            Op::ExitRange => from == At && to != At,
            Op::BackInStock => from == At && to == Above,
            Op::OutOfStock => from == Above && to == At,
            _ => false,
        }
    }

    fn struck(&self, tick: Tick) -> bool {
        let (Some(value), reference) = (self.ratio(), self.past.reference) else { return false };
        match self.condition.op {
            Op::NewLow => reference.is_some_and(|least| value < least.ratio()),
            Op::NewHigh => reference.is_some_and(|most| value > most.ratio()),
            _ => tick.prev.is_some_and(|prev| {
                let bp = self.condition.pct_bp.unwrap_or(0);
                let prev = prev.ratio();
                value != prev
                    && (value <= prev.times(10_000 - bp, 10_000)
                        || value >= prev.times(10_000 + bp, 10_000))
            }),
        }
    }

    fn zone(&self) -> Option<Zone> {
        let value = self.ratio()?;
        let (lo, hi) = match self.condition.op {
            Op::EnterRange | Op::ExitRange => (self.condition.lo?, self.condition.hi?),
            Op::BackInStock | Op::OutOfStock => (0, 0),
            Op::CrossDown | Op::CrossUp | Op::Cross => {
                (self.condition.threshold?, self.condition.threshold?)
            }
            _ => return None,
        };
        Some(if value < Ratio::whole(lo) {
            Zone::Below
        } else if value > Ratio::whole(hi) {
            Zone::Above
        } else {
            Zone::At
        })
    }

    /// Whether what the value is measured from cannot be told.
    fn lacks_history(&self) -> bool {
        match self.condition.op {
            Op::NewLow | Op::NewHigh => self.past.reference.is_none(),
            Op::CoverDaysLte => self.past.outflow.is_none(),
            op if op.has_reference() => match self.condition.reference {
                // The first tick has none before it; that is no lack.
                Some(Reference::PrevTick) => false,
                Some(reference) if !reference.is_fixed() => self.past.reference.is_none(),
                _ => false,
            },
            _ => false,
        }
    }

    fn no_data(&mut self) -> &'static str {
        self.instance.state = State::NoData;
        "no_data"
    }

    /// It is true: it fires, unless it has to last first.
    fn came_true(&mut self, cause: Cause) -> Outcome {
        if self.condition.hold_s > 0 {
            self.instance.state = State::Pending;
            self.instance.due = Some(self.at.saturating_add(self.condition.hold_s * 1000));
            return Ok("holding");
        }
        self.fire(cause)
    }

    fn fire(&mut self, cause: Cause) -> Outcome {
        if self.instance.fired_that_day(self.condition.mode, self.at) {
            return Ok(self.drop_it("once_a_day"));
        }
        if let Some(until) = self.instance.cooldown_until(self.condition.cooldown_s)
            && self.at < until
        {
            if !self.condition.op.is_level() {
                return Ok(self.drop_it("cooldown"));
            }
            self.instance.state = State::Held;
            self.instance.due = Some(until);
            return Ok("cooldown");
        }
        self.instance.memory.fired = self.value;
        self.instance.memory.fired_at = Some(self.at);
        self.instance.state = match self.condition.mode {
            Mode::Once => State::Done,
            // Each further step fires again, without the value coming back.
            _ if self.steps() => State::Armed,
            _ if self.condition.op.is_level() => State::Fired,
            _ => State::Armed,
        };
        Err(cause)
    }

    fn steps(&self) -> bool {
        self.condition.op.has_reference() && self.condition.reference == Some(Reference::LastFired)
    }

    fn drop_it(&mut self, why: &'static str) -> &'static str {
        self.instance.memory.suppressed += 1;
        self.instance.state =
            if self.condition.op.is_level() { State::Fired } else { State::Armed };
        why
    }

    /// What the instance was due for.
    fn timer(&mut self) -> Outcome {
        let holds = match self.condition.op.is_level() {
            true => self.holds(&self.bounds()).unwrap_or(false),
            // Whatever broke it would have been a tick.
            false => true,
        };
        match self.instance.state {
            State::Pending if holds => self.fire(Cause::Held),
            State::Held if holds => self.fire(Cause::AfterCooldown),
            State::Pending | State::Held => {
                self.instance.state = State::Armed;
                Ok("not_true")
            }
            State::Armed if self.condition.op == Op::Stale && holds => self.fire(Cause::Silence),
            _ => Ok("not_due"),
        }
    }
}

#[cfg(test)]
mod tests;
