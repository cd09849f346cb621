//! Old prices are thinned, so that keeping them for good costs little.

use super::{Config, Tick, Width, store};
use crate::clock::{Clock, DAY, Millis, day_start};
use crate::db::{Conn, Db};
use crate::events::{self, Publisher};
use crate::tasks::Task;
use std::collections::BTreeSet;

/// How many old prices one transaction looks at: writers wait for no more.
const STEP: i64 = 500;

/// Thins the history: what is older than some days to the first, the last, the
/// highest and the lowest price of each hour; what is older still to those of
/// each business day. The open, high, low and close of longer buckets stay
/// what they were.
pub struct Thin {
    /// To see whether there is anything to thin.
    pub db: Db,
    /// To thin it.
    pub publisher: Publisher,
    /// The time.
    pub clock: Clock,
    /// After how long.
    pub config: Config,
}

impl Task for Thin {
    const NAME: &'static str = "thin-prices";

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        let today = day_start(self.clock.now());
        let raw = today - self.config.raw_days * DAY;
        let hourly = today - self.config.hourly_days.max(self.config.raw_days) * DAY;
        for (level, before, width) in [(0, raw, Width::Hour), (1, hourly, Width::Day)] {
            let any = move |conn: &mut Conn| store::unthinned(conn, level, before, 1);
            while !self.db.read(any).await?.is_empty() {
                let step = move |tx: &mut events::Tx<'_>| {
                    let conn = tx.write();
                    let old = store::unthinned(conn, level, before, STEP)?;
                    let spots: BTreeSet<(String, Millis)> =
                        old.into_iter().map(|(product, at)| (product, width.start(at))).collect();
                    for (product, start) in spots {
                        thin(conn, &product, (start, start + width.millis()), level + 1)?;
                    }
                    Ok(())
                };
                self.publisher.commit(step).await?;
            }
        }
        while let Some(to) = self.db.read(move |conn| store::outlived(conn, raw, STEP)).await? {
            self.publisher.commit(move |tx| Ok(store::forget_raw(tx.write(), to)?)).await?;
        }
        Ok(())
    }
}

/// Thins what `product` cost between two moments.
fn thin(
    conn: &mut Conn,
    product: &str,
    (from, to): (Millis, Millis),
    level: i64,
) -> crate::db::Result<()> {
    let mut after = (from, i64::MIN);
    loop {
        let found = store::between(conn, product, i64::MAX, after, to, 10 * STEP)?;
        let Some(last) = found.last() else { return Ok(()) };
        after = last.key();
        let kept = keepers(&found);
        for tick in found {
            let Tick { observed_at, seq, .. } = tick;
            match kept.iter().find(|(kept, _)| *kept == seq) {
                Some((_, n)) => {
                    store::Keep { level, n: *n, product, observed_at, seq }.run(conn)?;
                }
                None => {
                    store::Remove { product, observed_at, seq }.run(conn)?;
                }
            }
        }
    }
}

/// Which of `ticks`, oldest first, are kept: of each type and weight the first,
/// the last, the highest and the lowest; and how many each stands for.
fn keepers(ticks: &[Tick]) -> Vec<(i64, i64)> {
    let sort = |tick: &Tick| (tick.kind.clone(), tick.grams_per_unit);
    let sorts: BTreeSet<_> = ticks.iter().map(sort).collect();
    let mut kept = Vec::new();
    for one in sorts {
        let same: Vec<&Tick> = ticks.iter().filter(|tick| sort(tick) == one).collect();
        let mut chosen: Vec<&Tick> = [
            same.first().copied(),
            same.iter().copied().max_by_key(|tick| tick.price),
            same.iter().copied().min_by_key(|tick| tick.price),
            same.last().copied(),
        ]
        .into_iter()
        .flatten()
        .collect();
        chosen.sort_by_key(|tick| tick.key());
        chosen.dedup_by_key(|tick| tick.seq);
        let gone: i64 = same.iter().map(|tick| tick.n).sum::<i64>()
            - chosen.iter().map(|tick| tick.n).sum::<i64>();
        let last = chosen.len().saturating_sub(1);
        kept.extend(chosen.iter().enumerate().map(|(at, tick)| {
            // The last stands for those that went, so that no count is lost.
            (tick.seq, tick.n + if at == last { gone } else { 0 })
        }));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::super::bucket::{Bucket, Folder};
    use super::*;
    use proptest::prelude::*;

    fn tick(seq: i64, observed_at: Millis, price: i64) -> Tick {
        Tick {
            observed_at,
            seq,
            price,
            unit: "jin".to_owned(),
            grams_per_unit: 500,
            received_at: observed_at,
            source: "merchant".to_owned(),
            kind: "wholesale".to_owned(),
            actor: "m".to_owned(),
            n: 1,
        }
    }

    fn thinned(ticks: &[Tick], width: Width) -> Vec<Tick> {
        let chunks =
            ticks.chunk_by(|a, b| width.start(a.observed_at) == width.start(b.observed_at));
        let mut left = Vec::new();
        for chunk in chunks {
            let kept = keepers(chunk);
            left.extend(chunk.iter().filter_map(|tick| {
                let (_, n) = kept.iter().find(|(seq, _)| *seq == tick.seq)?;
                Some(Tick { n: *n, ..tick.clone() })
            }));
        }
        left
    }

    fn buckets(ticks: &[Tick], width: Width) -> Vec<Bucket> {
        let mut folder = Folder::new(width, i64::MAX / 4, None);
        let point =
            |tick: &Tick| Point { at: tick.observed_at, seq: tick.seq, fen: tick.price, n: tick.n };
        let mut found: Vec<Bucket> =
            ticks.iter().filter_map(|tick| folder.push(point(tick))).collect();
        found.extend(folder.finish());
        // How long each price held is what thinning forgets.
        found.into_iter().map(|bucket| Bucket { average: 0, ..bucket }).collect()
    }

    proptest! {
        #[test]
        fn thinning_leaves_longer_buckets_as_they_were(
            mut spots in prop::collection::vec((0..3_000_000_000_i64, 1..50_i64), 1..300),
        ) {
            spots.sort_unstable();
            let ticks: Vec<Tick> =
                spots.iter().enumerate().map(|(seq, (at, fen))| tick(seq as i64, *at, *fen)).collect();
            let hourly = thinned(&ticks, Width::Hour);
            let daily = thinned(&hourly, Width::Day);
            for width in [Width::Hour, Width::Day, Width::Week] {
                prop_assert_eq!(buckets(&ticks, width), buckets(&hourly, width));
            }
            for width in [Width::Day, Width::Week] {
                prop_assert_eq!(buckets(&ticks, width), buckets(&daily, width));
            }
            prop_assert_eq!(thinned(&hourly, Width::Hour), hourly, "twice is once");
            prop_assert!(daily.len() <= 4 * buckets(&ticks, Width::Day).len());
        }
    }
}
