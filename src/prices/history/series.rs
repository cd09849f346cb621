use super::{Tick, store};
use crate::catalogue::Product;
use crate::clock::Millis;
use crate::db::{self, Conn};
use crate::money::by_weight;

/// How many ticks one read takes.
const PAGE: i64 = 2_000;

/// A price in the unit that the product has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When it was seen.
    pub at: Millis,
    /// Its position in the log.
    pub seq: i64,
    /// Fen a unit.
    pub fen: i64,
    /// How many prices it stands for.
    pub n: i64,
}

/// The prices of one product that held, in the order they were seen.
///
/// Most of them stand in `price_history`; what was not copied there yet is
/// read from `price_ticks` by position. Both are looked at from the same
/// position on, so nothing is missed and nothing counted twice though copying
/// goes on meanwhile.
#[derive(Clone, Debug)]
pub struct Series {
    product: String,
    kind: String,
    grams: i64,
    copied: i64,
    /// Not copied yet, in the order they were seen.
    fresh: Vec<Tick>,
    /// The position of a copied tick that one of `fresh` corrects; 0 for none.
    wrong: i64,
}

impl Series {
    /// The prices of `product`, of the type that it has now.
    pub fn open(conn: &mut Conn, product: &Product) -> db::Result<Series> {
        let copied = store::copied_to(conn)?;
        // Most products have had no price since: nothing to look for.
        let written = match store::last_written(conn, &product.id)? {
            Some(last) if last > copied => store::uncopied(conn, &product.id, copied)?,
            _ => Vec::new(),
        };
        let mut series = Series {
            product: product.id.clone(),
            kind: product.price_type.clone(),
            grams: product.grams_per_unit,
            copied,
            fresh: Vec::with_capacity(written.len()),
            wrong: 0,
        };
        for tick in written {
            if tick.kind != super::CORRECTION {
                series.fresh.push(tick);
                continue;
            }
            // It stands in the place of what was written last before it.
            let wrong = match series.fresh.pop() {
                Some(wrong) => Some(wrong),
                None => {
                    store::newest(conn, &product.id, copied)?.inspect(|it| series.wrong = it.seq)
                }
            };
            series.fresh.push(wrong.map_or(tick.clone(), |wrong| tick.in_place_of(&wrong)));
        }
        series.fresh.retain(|tick| tick.is_of(&series.kind));
        series.fresh.sort_by_key(Tick::key);
        Ok(series)
    }

    fn point(&self, tick: &Tick) -> Point {
        let fen = by_weight(tick.price, tick.grams_per_unit, self.grams);
        Point { at: tick.observed_at, seq: tick.seq, fen, n: tick.n }
    }

    /// The price that held just before `before`.
    pub fn last_before(&self, conn: &mut Conn, before: Millis) -> db::Result<Option<Point>> {
        let (product, kind) = (&*self.product, &*self.kind);
        let old = store::last_before(conn, product, self.copied, kind, before, self.wrong)?;
        let fresh = self.fresh.iter().rev().find(|tick| tick.observed_at < before);
        let last = [old.as_ref(), fresh].into_iter().flatten().max_by_key(|tick| tick.key());
        Ok(last.map(|tick| self.point(tick)))
    }

    /// Ticks after the one at `after` and before `to`, oldest first; no more
    /// than some, and none only if there are no more.
    pub fn ticks(
        &self,
        conn: &mut Conn,
        after: (Millis, i64),
        to: Millis,
    ) -> db::Result<Vec<Tick>> {
        let mut after = after;
        loop {
            let mut found = store::between(conn, &self.product, self.copied, after, to, PAGE)?;
            let full = found.len() as i64 == PAGE;
            let last = found.last().map(Tick::key);
            // What comes after the end of a page comes with a later one.
            let end = if full { last } else { None };
            let fresh = self.fresh.iter().filter(|tick| {
                tick.key() > after
                    && tick.observed_at < to
                    && end.is_none_or(|end| tick.key() <= end)
            });
            found.extend(fresh.cloned());
            found.retain(|tick| tick.is_of(&self.kind) && tick.seq != self.wrong);
            found.sort_by_key(Tick::key);
            match last {
                Some(last) if full && found.is_empty() => after = last,
                _ => return Ok(found),
            }
        }
    }

    /// The same in the unit that the product has now.
    pub fn points(
        &self,
        conn: &mut Conn,
        after: (Millis, i64),
        to: Millis,
    ) -> db::Result<Vec<Point>> {
        let ticks = self.ticks(conn, after, to)?;
        Ok(ticks.iter().map(|tick| self.point(tick)).collect())
    }
}
