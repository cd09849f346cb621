//! Prices of a stretch of time taken together.

use super::Point;
use crate::clock::{DAY, Millis, day_start, week_start};
use crate::money::div_half_even;

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// An hour.
    Hour,
    /// A business day.
    Day,
    /// A week of business days, from Monday.
    Week,
}

impl Width {
    /// When the bucket of `at` begins.
    pub fn start(self, at: Millis) -> Millis {
        match self {
            // Shanghai is whole hours ahead.
            Width::Hour => at.div_euclid(self.millis()) * self.millis(),
            Width::Day => day_start(at),
            Width::Week => week_start(at),
        }
    }

    /// How long it is.
    pub fn millis(self) -> Millis {
        match self {
            Width::Hour => 3_600_000,
            Width::Day => DAY,
            Width::Week => 7 * DAY,
        }
    }
}

/// What the prices of a bucket come to, in fen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Bucket {
    pub start: Millis,
    pub end: Millis,
    /// The price that held when it began; none if none was known.
    pub carried: Option<i64>,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// What it cost on average, each price weighted by the time it held, over
    /// that part of the bucket for which a price is known.
    pub average: i64,
    /// How many prices were set in it.
    pub n: i64,
    /// When the last of them was.
    pub last_at: Millis,
}

/// Puts points, oldest first, into buckets.
#[derive(Clone, Debug)]
pub struct Folder {
    width: Width,
    /// No price is known beyond it.
    now: Millis,
    /// The price that held before the next point.
    held: Option<i64>,
    open: Option<Open>,
}

/// A bucket that may get more points.
#[derive(Clone, Debug)]
struct Open {
    bucket: Bucket,
    /// From where on a price is known.
    known_from: Millis,
    /// Fen times milliseconds, up to the last point.
    area: i128,
}

impl Folder {
    /// Buckets of `width`; `held` is the price before the first point.
    pub fn new(width: Width, now: Millis, held: Option<i64>) -> Folder {
        Folder { width, now, held, open: None }
    }

    /// Takes the next point; a bucket if that ends one.
    pub fn push(&mut self, point: Point) -> Option<Bucket> {
        let start = self.width.start(point.at);
        let done = match &self.open {
            Some(open) if open.bucket.start != start => self.finish(),
            _ => None,
        };
        let carried = self.held.replace(point.fen);
        match &mut self.open {
            Some(Open { bucket, area, .. }) => {
                *area += i128::from(bucket.close) * i128::from(point.at - bucket.last_at);
                bucket.high = bucket.high.max(point.fen);
                bucket.low = bucket.low.min(point.fen);
                bucket.close = point.fen;
                bucket.last_at = point.at;
                bucket.n += point.n;
            }
            None => {
                let bucket = Bucket {
                    start,
                    end: start + self.width.millis(),
                    carried,
                    open: point.fen,
                    high: point.fen,
                    low: point.fen,
                    close: point.fen,
                    average: point.fen,
                    n: point.n,
                    last_at: point.at,
                };
                let known_from = if carried.is_some() { start } else { point.at };
                let before = i128::from(carried.unwrap_or_default());
                let area = before * i128::from(point.at - known_from);
                self.open = Some(Open { bucket, known_from, area });
            }
        }
        done
    }

    /// The last bucket, if there is one.
    pub fn finish(&mut self) -> Option<Bucket> {
        let Open { mut bucket, known_from, mut area } = self.open.take()?;
        let until = bucket.end.min(self.now).max(bucket.last_at);
        area += i128::from(bucket.close) * i128::from(until - bucket.last_at);
        let known = i128::from(until - known_from);
        bucket.average = if known > 0 { div_half_even(area, known) } else { bucket.close };
        Some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold(width: Width, now: Millis, held: Option<i64>, points: &[Point]) -> Vec<Bucket> {
        let mut folder = Folder::new(width, now, held);
        let mut buckets: Vec<Bucket> =
            points.iter().filter_map(|point| folder.push(*point)).collect();
        buckets.extend(folder.finish());
        buckets
    }

    fn point(at: Millis, fen: i64) -> Point {
        Point { at, seq: at, fen, n: 1 }
    }

    #[test]
    fn a_day_is_averaged_by_the_time_each_price_held() {
        // 1970-01-02 in Shanghai.
        let start = DAY - 8 * 3_600_000;
        let points = [point(start + DAY / 4, 200), point(start + DAY / 2, 400)];
        let [bucket] = &fold(Width::Day, i64::MAX / 2, Some(100), &points)[..] else { panic!() };
        assert_eq!((bucket.start, bucket.end), (start, start + DAY));
        assert_eq!((bucket.carried, bucket.open, bucket.high), (Some(100), 200, 400));
        assert_eq!((bucket.low, bucket.close, bucket.n), (200, 400, 2));
        assert_eq!(bucket.average, (100 + 200 + 2 * 400) / 4);
        // Nothing known before: from the first price on.
        assert_eq!(fold(Width::Day, i64::MAX / 2, None, &points)[0].average, 333);
        // The day is not over: up to now.
        let now = start + 3 * DAY / 4;
        assert_eq!(fold(Width::Day, now, None, &points)[0].average, 300);
    }

    /// The slow and obvious way: every second of a bucket on its own.
    fn slow(width: Width, now: Millis, held: Option<i64>, points: &[Point]) -> Vec<Bucket> {
        let price_at = |at: Millis| {
            points.iter().rev().find(|point| point.at <= at).map(|point| point.fen).or(held)
        };
        let mut starts: Vec<Millis> = points.iter().map(|point| width.start(point.at)).collect();
        starts.dedup();
        let bucket = |start: Millis| {
            let end = start + width.millis();
            let inside: Vec<Point> =
                points.iter().filter(|p| (start..end).contains(&p.at)).copied().collect();
            let last_at = inside.last().unwrap().at;
            let prices = inside.iter().map(|point| point.fen);
            let known: Vec<i128> = (start..end.min(now).max(last_at))
                .step_by(1_000)
                .filter_map(price_at)
                .map(i128::from)
                .collect();
            let close = inside.last().unwrap().fen;
            let average = match known.len() as i128 {
                0 => close,
                count => div_half_even(known.iter().sum(), count),
            };
            let before: Vec<&Point> = points.iter().filter(|point| point.at < start).collect();
            Bucket {
                start,
                end,
                carried: before.last().map(|point| point.fen).or(held),
                open: inside[0].fen,
                high: prices.clone().max().unwrap(),
                low: prices.min().unwrap(),
                close,
                average,
                n: inside.len() as i64,
                last_at,
            }
        };
        starts.into_iter().map(bucket).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn buckets_are_what_the_slow_way_says(
            mut points in prop::collection::vec((0..12_000_i64, 1..=1_000_000_000_000_i64), 1..12),
            held in prop::option::of(1..=1_000_000_000_000_i64),
            now in 0..14_000_i64,
        ) {
            points.sort_unstable();
            // The last of those of one moment holds.
            let points: Vec<Point> = points.into_iter().map(|(at, fen)| point(at * 1_000, fen)).collect();
            let now = now * 1_000;
            let quick = fold(Width::Hour, now, held, &points);
            prop_assert_eq!(quick, slow(Width::Hour, now, held, &points));
        }

        #[test]
        fn a_bucket_begins_where_the_one_before_ends(at in -4_000_000_000_000_i64..4_000_000_000_000) {
            for width in [Width::Hour, Width::Day, Width::Week] {
                let start = width.start(at);
                prop_assert!(start <= at && at < start + width.millis());
                prop_assert_eq!(width.start(start), start);
                prop_assert_eq!(width.start(start - 1), start - width.millis());
            }
        }
    }
}
