use super::instance::{Memory, State, Zone};
use super::rule::{Basis, Condition, Margin, Op, Past, Reference};
use super::{Amount, Instance, Ratio};

/// The line that a level op is on one side of.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    line: Option<Ratio>,
    downward: bool,
    margin: Margin,
}

impl Bounds {
    /// The line of `condition` as it now is.
    pub fn of(condition: &Condition, memory: &Memory, past: &Past) -> Bounds {
        let line = match condition.op {
            Op::Lte | Op::Gte | Op::StockLte | Op::StockGte => {
                condition.threshold.map(Ratio::whole)
            }
            Op::CoverDaysLte => past.outflow.and_then(|outflow| {
                let line = Ratio::whole(condition.days?).times(outflow, condition.window_days?);
                Some(line)
            }),
            Op::DropPct | Op::RisePct | Op::DropAbs | Op::RiseAbs => {
                reference(condition, memory, past).map(|from| moved(condition, from.ratio()))
            }
            _ => None,
        };
        Bounds { line, downward: condition.op.is_downward(), margin: condition.margin }
    }

    /// Whether `value` is on the side that is waited for; the line belongs to it.
    pub fn satisfied(&self, value: Ratio) -> Option<bool> {
        let line = self.line?;
        Some(if self.downward { value <= line } else { value >= line })
    }

    /// Whether `value` is back beyond the line, by the margin.
    pub fn recovered(&self, value: Ratio) -> bool {
        let (Some(line), Some(back)) = (self.line, self.back()) else { return false };
        if self.downward { value > line && value >= back } else { value < line && value <= back }
    }

    /// How far back a value has to come.
    fn back(&self) -> Option<Ratio> {
        let (line, sign) = (self.line?, if self.downward { 1 } else { -1 });
        Some(match self.margin {
            Margin::Fen(fen) => line.plus(sign * fen),
            Margin::Bp(bp) => line.times(10_000 + sign * bp, 10_000),
            Margin::Tenth => {
                let (one, tenth) = (line.plus(sign), line.times(10 + sign, 10));
                if self.downward { one.max(tenth) } else { one.min(tenth) }
            }
        })
    }

    /// The line in whole fen, as it is shown.
    pub fn shown(&self) -> Option<i64> {
        self.line.map(|line| if self.downward { line.floor() } else { line.ceil() })
    }
}

/// What a move is measured from.
fn reference(condition: &Condition, memory: &Memory, past: &Past) -> Option<Amount> {
    match condition.reference? {
        Reference::Created => memory.created,
        Reference::LastFired => memory.fired.or(memory.created),
        Reference::Fixed(fen) => Some(Amount::plain(fen)),
        _ => past.reference,
    }
}

/// The line that a move of the size of `condition` leads to.
fn moved(condition: &Condition, from: Ratio) -> Ratio {
    let (bp, fen) = (condition.pct_bp.unwrap_or(0), condition.threshold.unwrap_or(0));
    match condition.op {
        Op::DropPct => from.times(10_000 - bp, 10_000),
        Op::RisePct => from.times(10_000 + bp, 10_000),
        Op::DropAbs => from.plus(-fen),
        _ => from.plus(fen),
    }
}

/// When an instance has to be looked at: at a value at or below `below`, or at
/// or above `above`. Whatever lies between changes nothing about it, so that a
/// tick finds by an index the instances that it changes and no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// At this price, as it is asked, or less.
    pub below: Option<i64>,
    /// At this price or more.
    pub above: Option<i64>,
    /// At every tick.
    pub always: bool,
    /// When the grams of a unit change, too: the two prices were made with them.
    pub weighed: bool,
}

impl Watch {
    /// When `instance` has to be looked at, for a product whose unit has `grams`.
    pub fn of(condition: &Condition, instance: &Instance, grams: i64) -> Watch {
        if instance.state.is_over() {
            return Watch::default();
        }
        let every = Watch { always: true, ..Watch::default() };
        if condition.is_moving() || instance.memory.arriving {
            return every;
        }
        if condition.op == Op::Stale {
            // Armed it waits for silence; otherwise for any tick.
            return if instance.state == State::Armed { Watch::default() } else { every };
        }
        let edges = match condition.op.is_level() {
            true => level_edges(condition, instance),
            false => zone_edges(condition, instance),
        };
        let Some((below, above)) = edges else { return every };
        if condition.basis == Basis::Listed {
            let (below, above) = (below.map(Ratio::floor), above.map(Ratio::ceil));
            return Watch { below, above, always: false, weighed: false };
        }
        // fen × 500 ≤ line × grams
        let asked = |line: Ratio| line.times(grams, super::amount::PLAIN);
        Watch {
            below: below.map(|line| asked(line).floor()),
            above: above.map(|line| asked(line).ceil()),
            always: false,
            weighed: true,
        }
    }
}

/// The values at which a level changes; none if that cannot be said yet.
fn level_edges(
    condition: &Condition,
    instance: &Instance,
) -> Option<(Option<Ratio>, Option<Ratio>)> {
    let bounds = Bounds::of(condition, &instance.memory, &Past::default());
    let line = bounds.line?;
    let next = match instance.state {
        State::Armed | State::NoData => {
            return Some(if bounds.downward { (Some(line), None) } else { (None, Some(line)) });
        }
        State::Fired => bounds.back()?,
        _ => line,
    };
    // Strictly beyond the line: at it, the level is satisfied. An edge that is
    // looked at too early is looked at in vain, and no more than that.
    Some(if bounds.downward { (None, Some(next)) } else { (Some(next), None) })
}

/// The values at which an instance leaves its zone.
fn zone_edges(
    condition: &Condition,
    instance: &Instance,
) -> Option<(Option<Ratio>, Option<Ratio>)> {
    let (lo, hi) = match condition.op {
        Op::EnterRange | Op::ExitRange => (condition.lo?, condition.hi?),
        Op::BackInStock | Op::OutOfStock => (0, 0),
        _ => (condition.threshold?, condition.threshold?),
    };
    let (lo, hi) = (Ratio::whole(lo), Ratio::whole(hi));
    // By weight a value may lie between two fen, so the range itself is the edge.
    let beyond = if condition.basis == Basis::Listed { 1 } else { 0 };
    Some(match instance.memory.zone? {
        Zone::Below => (None, Some(lo)),
        Zone::Above => (Some(hi), None),
        Zone::At => (Some(lo.plus(-beyond)), Some(hi.plus(beyond))),
    })
}
