use super::{Series, Width};
use crate::catalogue::Product;
use crate::clock::Millis;
use crate::db::{self, Conn};
use crate::money::div_half_even;
use std::collections::BTreeMap;

/// The most prices that are gone through for one span.
const MOST: i64 = 100_000;

/// What the prices of a span of time come to, in fen of the unit of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// How many prices were set in it, and one more if one was carried into it.
    pub n: i64,
    /// From when on a price is known.
    pub known_from: Millis,
    /// The lowest price that held in it.
    pub low: i64,
    /// The highest.
    pub high: i64,
    /// The price that held when it began; none if none was known.
    pub carried: Option<i64>,
    /// The first price that was set in it.
    pub first: Option<i64>,
    /// The last price that held in it.
    pub last: i64,
    /// When that was set.
    pub last_at: Millis,
    /// Weighted by the time each price held.
    pub average: i64,
    /// The median of what it cost at the end of each business day, the last
    /// and unfinished one too.
    pub median_close: i64,
    /// Whether there were too many prices to go through; then the first of
    /// them are not in it.
    pub cut: bool,
}

/// What `product` cost from `from` up to and without `to`; none if no price of
/// that time is known. Whoever judges a new price ends the span before it.
pub fn span(
    conn: &mut Conn,
    product: &Product,
    from: Millis,
    to: Millis,
) -> db::Result<Option<Span>> {
    let series = Series::open(conn, product)?;
    let carried = series.last_before(conn, from)?;
    let mut tally = Tally::new(from, carried.map(|point| (point.at, point.fen)));
    let (mut after, mut seen) = ((from, i64::MIN), 0);
    loop {
        let points = series.points(conn, after, to)?;
        let Some(last) = points.last() else { break };
        after = (last.at, last.seq);
        seen += points.len() as i64;
        for point in &points {
            tally.push(point.at, point.fen, point.n);
        }
        if seen >= MOST {
            tally.cut = true;
            break;
        }
    }
    Ok(tally.finish(to))
}

/// Counts what holds when.
#[derive(Debug)]
struct Tally {
    from: Millis,
    carried: Option<i64>,
    first: Option<i64>,
    /// Since when what holds, and what; from where on something did.
    held: Option<(Millis, i64)>,
    known_from: Millis,
    n: i64,
    low: i64,
    high: i64,
    last_at: Millis,
    area: i128,
    /// The days that begin before the next price, each with its close.
    closes: BTreeMap<Millis, i64>,
    cut: bool,
}

impl Tally {
    fn new(from: Millis, carried: Option<(Millis, i64)>) -> Tally {
        let fen = carried.map(|(_, fen)| fen);
        Tally {
            from,
            carried: fen,
            first: None,
            held: fen.map(|fen| (from, fen)),
            known_from: from,
            n: i64::from(carried.is_some()),
            low: fen.unwrap_or(i64::MAX),
            high: fen.unwrap_or(0),
            last_at: carried.map_or(from, |(at, _)| at),
            area: 0,
            closes: BTreeMap::new(),
            cut: false,
        }
    }

    fn push(&mut self, at: Millis, fen: i64, n: i64) {
        if self.held.is_none() {
            self.known_from = at;
        }
        self.hold_until(at);
        self.held = Some((at, fen));
        self.first = self.first.or(Some(fen));
        self.n += n;
        self.low = self.low.min(fen);
        self.high = self.high.max(fen);
        self.last_at = at;
    }

    /// Weighs what holds up to `until`, and notes it as the close of each day
    /// that ends meanwhile.
    fn hold_until(&mut self, until: Millis) {
        let Some((since, fen)) = self.held else { return };
        self.area += i128::from(fen) * i128::from(until - since);
        let mut day = Width::Day.start(since);
        while day < until {
            self.closes.insert(day, fen);
            day += Width::Day.millis();
        }
        // The last of a day holds at its end.
        self.held = Some((until, fen));
    }

    fn finish(mut self, to: Millis) -> Option<Span> {
        let until = to.max(self.last_at).max(self.from);
        self.hold_until(until);
        let (_, last) = self.held?;
        let known = i128::from(until - self.known_from);
        let mut closes: Vec<i64> = self.closes.into_values().collect();
        closes.sort_unstable();
        Some(Span {
            n: self.n,
            known_from: self.known_from,
            low: self.low,
            high: self.high,
            carried: self.carried,
            first: self.first,
            last,
            last_at: self.last_at,
            average: if known > 0 { div_half_even(self.area, known) } else { last },
            median_close: median(&closes).unwrap_or(last),
            cut: self.cut,
        })
    }
}

/// The middle of what is sorted; of two the mean, rounded half to even.
pub(crate) fn median(sorted: &[i64]) -> Option<i64> {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted.get(middle).copied(),
        _ => {
            let (low, high) = (sorted.get(middle.checked_sub(1)?)?, sorted.get(middle)?);
            Some(div_half_even(i128::from(*low) + i128::from(*high), 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Folder;
    use super::*;
    use crate::clock::DAY;
    use proptest::prelude::*;

    fn tally(
        from: Millis,
        to: Millis,
        carried: Option<i64>,
        ticks: &[(Millis, i64)],
    ) -> Option<Span> {
        let mut tally = Tally::new(from, carried.map(|fen| (from - 1, fen)));
        ticks.iter().for_each(|(at, fen)| tally.push(*at, *fen, 1));
        tally.finish(to)
    }

    #[test]
    fn a_span_knows_what_held_and_for_how_long() {
        let from = 16 * 3_600_000; // midnight in Shanghai
        let ticks = [(from + DAY / 2, 300), (from + DAY, 100)];
        let span = tally(from, from + 3 * DAY, Some(200), &ticks).expect("a span");
        assert_eq!((span.n, span.low, span.high), (3, 100, 300));
        assert_eq!((span.carried, span.first, span.last), (Some(200), Some(300), 100));
        // Half a day at 200, half a day at 300, two days at 100.
        assert_eq!(span.average, (100 + 150 + 200) / 3);
        // Closes 300, 100, 100.
        assert_eq!(span.median_close, 100);
        assert_eq!(tally(from, from + DAY, None, &[]), None);
        let alone = tally(from, from + DAY, None, &ticks[..1]).expect("a span");
        assert_eq!((alone.known_from, alone.average, alone.n), (from + DAY / 2, 300, 1));
    }

    proptest! {
        #[test]
        fn a_span_of_one_day_is_its_bucket(
            mut ticks in prop::collection::vec((0..DAY, 1..=1_000_000_000_000_i64), 1..40),
            carried in prop::option::of(1..=1_000_000_000_000_i64),
        ) {
            ticks.sort_unstable();
            let from = 16 * 3_600_000;
            let ticks: Vec<(Millis, i64)> = ticks.into_iter().map(|(at, fen)| (from + at, fen)).collect();
            let mut folder = Folder::new(Width::Day, i64::MAX / 2, carried);
            for (at, fen) in &ticks {
                let point = super::super::Point { at: *at, seq: *at, fen: *fen, n: 1 };
                prop_assert!(folder.push(point).is_none());
            }
            let bucket = folder.finish().expect("a bucket");
            let span = tally(from, from + DAY, carried, &ticks).expect("a span");
            prop_assert_eq!(span.average, bucket.average);
            prop_assert_eq!(span.low, bucket.low.min(carried.unwrap_or(i64::MAX)));
            prop_assert_eq!(span.high, bucket.high.max(carried.unwrap_or(0)));
            prop_assert_eq!((span.last, span.last_at), (bucket.close, bucket.last_at));
            prop_assert_eq!(span.median_close, bucket.close);
        }
    }
}
