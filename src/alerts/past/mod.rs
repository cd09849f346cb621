//! What conditions that look back are measured from.

mod store;

use super::Amount;
use super::references::{self, Seen};
use super::rule::{Basis, Condition, Op, Past, Reference};
use super::series::{Latest, Series};
use crate::catalogue;
use crate::clock::Millis;
use crate::db::{self, Conn};
use crate::money::by_weight;
use crate::prices::{history, similar};
use std::collections::HashMap;

const DAY: Millis = 86_400_000;

/// How many prices are read of one product.
const MOST: usize = 100_000;

/// The past of one series as it was at one position, read once for all the
/// rules that want it.
pub struct Book<'a> {
    series: &'a Series,
    /// Nothing from here on: a window never holds the tick it is asked for.
    before: i64,
    prices: HashMap<Millis, Vec<Seen>>,
    outflows: HashMap<Millis, i64>,
}

impl<'a> Book<'a> {
    /// The past of `series` before position `before`.
    pub fn new(series: &'a Series, before: i64) -> Book<'a> {
        Book { series, before, prices: HashMap::new(), outflows: HashMap::new() }
    }

    /// What `condition` is measured from at `at`, after `latest`.
    pub fn past(
        &mut self,
        conn: &mut Conn,
        condition: &Condition,
        latest: Option<&Latest>,
        at: Millis,
    ) -> db::Result<Past> {
        let mut past = Past { last_tick: latest.map(|it| it.at), ..Past::default() };
        let Some(product) = self.series.product() else {
            past.reference = latest.and_then(|it| it.amount(condition));
            return Ok(past);
        };
        if condition.op == Op::CoverDaysLte {
            // What has just gone out has gone out.
            let from = at - condition.window_days.unwrap_or(1) * DAY;
            past.outflow = Some(match self.outflows.get(&from) {
                Some(outflow) => *outflow,
                None => {
                    let outflow =
                        store::outflow(conn, product, from, self.before.saturating_add(1))?;
                    *self.outflows.entry(from).or_insert(outflow)
                }
            });
        } else if condition.reference == Some(Reference::PrevTick) {
            past.reference = latest.and_then(|it| it.amount(condition));
        } else if condition.reference == Some(Reference::SimilarMedian) {
            past.reference = self.similar_median(conn, condition, product, at)?;
        } else if let Some(from) = references::looks_back(condition, at) {
            let grams = latest.map_or(references::PLAIN, |it| it.grams);
            if !self.prices.contains_key(&from) {
                let mut seen = prices(conn, product, from)?;
                seen.retain(|it| it.seq < self.before);
                self.prices.insert(from, seen);
            }
            let seen = self.prices.get(&from).map_or(&[][..], Vec::as_slice);
            let seen = references::compared(condition.basis, seen, grams);
            past.reference = references::reference(condition, &seen, at);
        }
        Ok(past)
    }

    /// What others ask for the same weight of what is alike.
    fn similar_median(
        &self,
        conn: &mut Conn,
        condition: &Condition,
        product: &str,
        at: Millis,
    ) -> db::Result<Option<Amount>> {
        let Some(product) = catalogue::store::find(conn, product)? else { return Ok(None) };
        let median = similar::similar_median(conn, &product, at)?;
        Ok(median.map(|fen| match condition.basis {
            Basis::Weight => Amount::plain(fen),
            Basis::Listed => {
                Amount::plain(by_weight(fen, references::PLAIN, product.grams_per_unit))
            }
        }))
    }
}

/// All prices of a product from `from` on, oldest first, and the one before.
pub fn prices(conn: &mut Conn, product: &str, from: Millis) -> db::Result<Vec<Seen>> {
    let Some(product) = catalogue::store::find(conn, product)? else { return Ok(Vec::new()) };
    let series = history::Series::open(conn, &product)?;
    let before = series.last_before(conn, from)?;
    // In the unit of now, as what follows is brought to it too.
    let mut seen: Vec<Seen> = before
        .map(|point| Seen {
            seq: point.seq,
            at: point.at,
            value: Amount { fen: point.fen, grams: product.grams_per_unit },
        })
        .into_iter()
        .collect();
    let mut after = (from, i64::MIN);
    loop {
        let ticks = series.ticks(conn, after, i64::MAX)?;
        let Some(last) = ticks.last() else { return Ok(seen) };
        after = (last.observed_at, last.seq);
        seen.extend(ticks.iter().map(|tick| Seen {
            seq: tick.seq,
            at: tick.observed_at,
            value: Amount { fen: tick.price, grams: tick.grams_per_unit },
        }));
        if seen.len() > MOST {
            return Ok(seen);
        }
    }
}

/// All stocks of a product from `from` on, oldest first, and the one before.
pub fn stocks(conn: &mut Conn, product: &str, from: Millis) -> db::Result<Vec<Seen>> {
    store::stocks(conn, product, from)
}

/// The lowest and highest price that a product had from `from` to `to`.
pub fn extremes(
    conn: &mut Conn,
    product: &str,
    from: Millis,
    to: Millis,
) -> db::Result<(Option<i64>, Option<i64>)> {
    let Some(product) = catalogue::store::find(conn, product)? else { return Ok((None, None)) };
    let span = history::span(conn, &product, from, to)?;
    Ok(span.map_or((None, None), |span| (Some(span.low), Some(span.high))))
}
