//! What past values come to: means, medians, extremes. Plain functions over
//! what was read, so that the monitor and a simulation measure alike.

use super::rule::{Basis, Condition, Op, Reference};
use super::{Amount, Ratio};

pub use super::amount::PLAIN;
use crate::clock::{Millis, business_day};

const DAY: Millis = 86_400_000;

/// A value that was seen once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its position in the log.
    pub seq: i64,
    /// When it came.
    pub at: Millis,
    /// The value.
    pub value: Amount,
}

/// From when on the past of `condition` has to be known at `at`; none if it
/// does not look back.
pub fn looks_back(condition: &Condition, at: Millis) -> Option<Millis> {
    let days = match (condition.op, condition.reference) {
        (Op::NewLow | Op::NewHigh, _) => condition.days?,
        (op, Some(reference)) if op.has_reference() => match reference {
            Reference::Avg(days)
            | Reference::Median(days)
            | Reference::Low(days)
            | Reference::High(days) => days,
            Reference::Window(seconds) => return Some(at - seconds.saturating_mul(1_000)),
            Reference::PrevClose => 0,
            _ => return None,
        },
        _ => return None,
    };
    Some(at - days.saturating_mul(DAY))
}

/// The reference of `condition` at `at`, of the values `seen` before it, oldest
/// first: all from [`looks_back`] on, and the one before those. None if there
/// is too little: fewer than three, or less than half of the time.
pub fn reference(condition: &Condition, seen: &[Seen], at: Millis) -> Option<Amount> {
    let from = looks_back(condition, at)?;
    let within = &seen[seen.partition_point(|it| it.at < from)..];
    let least = || within.iter().map(|it| it.value).min_by_key(|it| it.ratio());
    let most = || within.iter().map(|it| it.value).max_by_key(|it| it.ratio());
    let enough = within.len() >= 3 && covers_half(seen, from, at);
    match (condition.op, condition.reference) {
        (Op::NewLow, _) | (_, Some(Reference::Low(_))) => least().filter(|_| enough),
        (Op::NewHigh, _) | (_, Some(Reference::High(_))) => most().filter(|_| enough),
        (_, Some(Reference::Avg(_))) => mean(seen, from, at).filter(|_| enough),
        (_, Some(Reference::Median(_))) => {
            median_of_closes(within).filter(|_| covers_half(seen, from, at))
        }
        (_, Some(Reference::Window(_))) => within.first().map(|it| it.value),
        (_, Some(Reference::PrevClose)) => {
            let today = business_day(at);
            seen.iter().rev().find(|it| business_day(it.at) != today).map(|it| it.value)
        }
        _ => None,
    }
}

fn covers_half(seen: &[Seen], from: Millis, at: Millis) -> bool {
    seen.first().is_some_and(|first| (at - first.at.max(from)) * 2 >= at - from)
}

/// What the value was on average, each as long as it lasted, in whole fen, half
/// to even.
fn mean(seen: &[Seen], from: Millis, at: Millis) -> Option<Amount> {
    let mut sum = 0_i128;
    let mut time = 0_i128;
    for (i, one) in seen.iter().enumerate() {
        let until = seen.get(i + 1).map_or(at, |next| next.at).min(at);
        let lasted = i128::from((until - one.at.max(from)).max(0));
        sum += i128::from(rounded(one.value)) * lasted;
        time += lasted;
    }
    (time > 0).then(|| Amount::plain(halves_to_even(sum, time)))
}

/// The median of the last value of each day; at least three days.
fn median_of_closes(within: &[Seen]) -> Option<Amount> {
    let mut closes: Vec<(String, Amount)> = Vec::new();
    for one in within {
        let day = business_day(one.at);
        match closes.last_mut() {
            Some((last, value)) if *last == day => *value = one.value,
            _ => closes.push((day, one.value)),
        }
    }
    if closes.len() < 3 {
        return None;
    }
    let mut values: Vec<Amount> = closes.into_iter().map(|(_, value)| value).collect();
    values.sort_by_key(|it| it.ratio());
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return Some(values[middle]);
    }
    let (one, other) = (rounded(values[middle - 1]), rounded(values[middle]));
    Some(Amount::plain(halves_to_even(i128::from(one) + i128::from(other), 2)))
}

fn rounded(value: Amount) -> i64 {
    if value.grams == PLAIN {
        return value.fen;
    }
    crate::money::per_500g(value.fen, value.grams)
}

fn halves_to_even(sum: i128, by: i128) -> i64 {
    let (whole, rest) = (sum.div_euclid(by), sum.rem_euclid(by));
    let up = match (rest * 2).cmp(&by) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => whole.rem_euclid(2),
    };
    i64::try_from(whole + up).unwrap_or(i64::MAX)
}

/// Past prices as `basis` compares them with the price of a unit of `grams`.
pub fn compared(basis: Basis, seen: &[Seen], grams: i64) -> Vec<Seen> {
    let value = |Amount { fen, grams: of }: Amount| match basis {
        Basis::Weight => Amount { fen, grams: of },
        Basis::Listed if of == grams => Amount::plain(fen),
        // It was sold by another unit then.
        Basis::Listed => Amount::plain(crate::money::by_weight(fen, of, grams)),
    };
    seen.iter().map(|it| Seen { value: value(it.value), ..*it }).collect()
}

/// A price as `basis` compares it.
pub fn priced(basis: Basis, fen: i64, grams: i64) -> Amount {
    match basis {
        Basis::Listed => Amount::plain(fen),
        Basis::Weight => Amount { fen, grams },
    }
}

/// How far `value` is from `line`, for people: fen, positive while it is not reached.
pub fn distance(value: Ratio, line: i64, downward: bool) -> i64 {
    let value = value.floor();
    if downward { value.saturating_sub(line).max(0) } else { line.saturating_sub(value).max(0) }
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::condition;
    use super::*;

    fn seen(values: &[(i64, i64)]) -> Vec<Seen> {
        let one = |(i, (day, fen)): (usize, &(i64, i64))| Seen {
            seq: i as i64,
            at: day * DAY,
            value: Amount::plain(*fen),
        };
        values.iter().enumerate().map(one).collect()
    }

    fn fen(reference: Reference, values: &[(i64, i64)], at: i64) -> Option<i64> {
        let mut condition = condition(Op::DropPct);
        condition.reference = Some(reference);
        super::reference(&condition, &seen(values), at * DAY).map(|it| it.fen)
    }

    #[test]
    fn a_mean_is_weighted_by_how_long_each_value_lasted() {
        // 100 for 2 days, 200 for 6, 300 for 2.
        let values = [(0, 100), (2, 200), (8, 300)];
        assert_eq!(fen(Reference::Avg(10), &values, 10), Some(200));
        // What held when the window began counts from there.
        let values = [(0, 100), (11, 200), (13, 400), (14, 400)];
        assert_eq!(fen(Reference::Avg(10), &values, 15), Some((6 * 100 + 2 * 200 + 2 * 400) / 10));
    }

    #[test]
    fn too_little_is_no_reference() {
        let few = [(0, 100), (8, 200)];
        let late = [(7, 100), (8, 200), (9, 300)];
        for reference in [Reference::Avg(10), Reference::Low(10), Reference::Median(10)] {
            assert_eq!(fen(reference, &few, 10), None, "{reference:?}");
            assert_eq!(fen(reference, &late, 10), None, "{reference:?}");
        }
        assert_eq!(fen(Reference::Low(10), &[(4, 100), (8, 200), (9, 300)], 10), Some(100));
    }

    #[test]
    fn a_median_is_of_what_each_day_closed_with() {
        // A day in Shanghai begins at 16:00 UTC; these are at midnight UTC.
        let values = [(1, 500), (1, 100), (2, 300), (3, 200), (4, 401)];
        assert_eq!(fen(Reference::Median(5), &values, 5), Some(250));
        assert_eq!(fen(Reference::Median(5), &values[..4], 5), Some(200));
    }

    #[test]
    fn extremes_are_of_the_window_and_the_close_is_of_an_earlier_day() {
        let values = [(0, 50), (4, 300), (5, 200), (6, 900)];
        assert_eq!(fen(Reference::Low(5), &values, 9), Some(200));
        assert_eq!(fen(Reference::High(5), &values, 9), Some(900));
        assert_eq!(fen(Reference::Window(4 * 86_400), &values, 9), Some(200));
        assert_eq!(fen(Reference::PrevClose, &values, 6), Some(200));
        assert_eq!(fen(Reference::PrevClose, &values[..1], 0), None);
    }
}
