//! When a rule would have fired.

use super::Config;
use super::answer::{names, text};
use super::evaluate::Tick;
use super::manage;
use super::past;
use super::play::{Fired, Play};
use super::references::{self, Seen};
use super::rule::{Condition, Kind, Op, Past, Reference, Spec};
use super::series::{Series, Subject};
use crate::clock::{Millis, rfc3339};
use crate::db::Conn;
use crate::events;
use serde_json::{Value, json};

const DAY: Millis = 86_400_000;

/// How many firings are listed.
const FIRINGS: usize = 200;

/// How many series are gone through.
const SERIES: usize = 20;

/// How many values of all series together …
const VALUES: usize = 100_000;

/// … and of a condition that looks back at each of them.
const VALUES_BACK: usize = 10_000;

/// What became of `spec` if it had been made `days` days ago: the stored values
/// go through the evaluator one after the other, as they did through the monitor.
pub(super) fn simulate(
    conn: &mut Conn,
    spec: &Spec,
    config: &Config,
    days: i64,
    now: Millis,
) -> events::Result<Value> {
    let members = manage::members(conn, spec, config)?;
    let from = now - days * DAY;
    let mut firings: Vec<(Millis, Value)> = Vec::new();
    let (mut values, mut total, mut suppressed) = (0, 0_i64, 0);
    let mut gone_through = 0;
    let most = if spec.condition.is_moving() { VALUES_BACK } else { VALUES };
    for (series, subject) in members.iter().take(SERIES) {
        let mut seen = values_of(conn, series, &spec.condition, from)?;
        if let Subject::Product(product) = subject
            && matches!(series, Series::Price(_))
        {
            seen = references::compared(spec.condition.basis, &seen, product.grams_per_unit);
        }
        values += seen.len();
        if values > most {
            break;
        }
        gone_through += 1;
        let (fired, dropped) = play(&spec.condition, &seen, from, now);
        suppressed += dropped;
        total += fired.len() as i64;
        firings.extend(fired.into_iter().map(|it| (it.at, told(&it, series, subject))));
    }
    firings.sort_by_key(|(at, _)| *at);
    if let Some(most) = spec.max_fires {
        firings.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        total = total.min(most);
    }
    let listed: Vec<Value> = firings.into_iter().take(FIRINGS).map(|(_, told)| told).collect();
    Ok(json!({
        "from": rfc3339(from),
        "to": rfc3339(now),
        "matches": members.len(),
        "series": gone_through,
        "values": values.min(most),
        "fired": total,
        "suppressed": suppressed,
        "firings": listed,
    }))
}

/// All stored values of a series, oldest first: those before `from` are the past
/// that the first ones are measured from.
fn values_of(
    conn: &mut Conn,
    series: &Series,
    condition: &Condition,
    from: Millis,
) -> events::Result<Vec<Seen>> {
    let back = match condition.op {
        Op::CoverDaysLte => condition.window_days.unwrap_or(1) * DAY,
        _ => references::looks_back(condition, from).map_or(0, |since| from - since),
    };
    Ok(match series {
        Series::Price(product) => past::prices(conn, product, from - back - DAY)?,
        Series::Stock(product) => past::stocks(conn, product, from - back - DAY)?,
        // Of an index no values are kept.
        Series::Market(_) => Vec::new(),
    })
}

fn play(condition: &Condition, seen: &[Seen], from: Millis, now: Millis) -> (Vec<Fired>, i64) {
    let amount = |it: &Seen| it.value;
    let begin = seen.partition_point(|it| it.at < from);
    let known = begin.checked_sub(1).map(|last| amount(&seen[last]));
    let past = |until: usize, at: Millis| past_of(condition, &seen[..until], at);
    let (mut play, first) = Play::begin(condition, known, from, &past(begin, from));
    let mut fired: Vec<Fired> = first.into_iter().collect();
    for (at, one) in seen.iter().enumerate().skip(begin) {
        fired.extend(play.until(one.at, &past(at, one.at)));
        let tick = Tick {
            seq: one.seq,
            at: one.at,
            value: Some(amount(one)),
            prev: None,
            correction: false,
        };
        let known = if condition.op == Op::CoverDaysLte { at + 1 } else { at };
        let mut before = past(known, one.at);
        if condition.op == Op::Stale {
            before.last_tick = Some(one.at);
        }
        fired.extend(play.tick(tick, &before));
        if play.is_over() {
            break;
        }
    }
    fired.extend(play.until(now, &past(seen.len(), now)));
    (fired, play.instance.memory.suppressed)
}

fn past_of(condition: &Condition, seen: &[Seen], at: Millis) -> Past {
    let mut past = Past { last_tick: seen.last().map(|it| it.at), ..Past::default() };
    if condition.op == Op::CoverDaysLte {
        let from = at - condition.window_days.unwrap_or(1) * DAY;
        let out = seen.windows(2).filter(|two| two[1].at >= from);
        past.outflow = Some(out.map(|two| (two[0].value.fen - two[1].value.fen).max(0)).sum());
    } else if condition.reference == Some(Reference::PrevTick) {
        past.reference = seen.last().map(|it| it.value);
    } else if let Some(from) = references::looks_back(condition, at) {
        let begin = seen.partition_point(|it| it.at < from).saturating_sub(1);
        past.reference = references::reference(condition, &seen[begin..], at);
    }
    past
}

fn told(fired: &Fired, series: &Series, subject: &Subject) -> Value {
    let (product, market) = names(series);
    // By weight, the price that was asked is what people know.
    let value = fired.value.map(|it| it.fen);
    json!({
        "product": product,
        "market": market,
        "name": subject.name(),
        "at": rfc3339(fired.at),
        "cause": fired.cause.as_str(),
        "value": value,
        "value_text": text(Some(subject), series, value),
        "threshold": fired.threshold,
    })
}

/// Whether stored values tell of what a rule of this kind looks at.
pub(super) fn has_values(spec: &Spec) -> bool {
    !matches!(spec.target, super::rule::Target::Market(_))
        || spec.condition.op.kind() == Kind::Stock
}

#[cfg(test)]
mod tests {
    use super::super::Amount;
    use super::super::rule::tests::condition;
    use super::*;

    #[test]
    fn the_past_goes_through_the_same_evaluator() {
        let rule = Condition { threshold: Some(100), ..condition(Op::Lte) };
        let values = [(1, 120), (5, 101), (6, 99), (7, 98), (8, 130), (9, 100)];
        let seen: Vec<Seen> = values
            .iter()
            .map(|(day, fen)| Seen { seq: *day, at: day * DAY, value: Amount::plain(*fen) })
            .collect();
        let (fired, _) = play(&rule, &seen, 2 * DAY, 10 * DAY);
        assert_eq!(fired.iter().map(|it| it.at / DAY).collect::<Vec<_>>(), [6, 9]);
        let low = Condition { days: Some(5), ..condition(Op::NewLow) };
        let (fired, _) = play(&low, &seen, 2 * DAY, 10 * DAY);
        assert_eq!(fired.iter().map(|it| it.at / DAY).collect::<Vec<_>>(), [8; 0]);
    }
}
