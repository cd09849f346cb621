//! What the listings of a market say of it, taken together.

use crate::money::{change_bp, div_half_even};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// An index of 1000.00, where each begins.
pub const BASE: i64 = 100_000;

/// The fewest products, and merchants, that move the index: of fewer it would
/// say what one of them does.
const FEWEST: (usize, usize) = (5, 3);

/// How many of those that moved most are named.
const NAMED: usize = 5;

/// A whole, in which ratios are counted.
const MILLION: i128 = 1_000_000;

/// One listing of a market and what it cost, in fen of its present unit.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Listing {
    pub product: String,
    pub name: String,
    pub merchant: String,
    pub price: Option<i64>,
    /// At the end of the business day before.
    pub before: Option<i64>,
    /// At the anchor of the index.
    pub anchor: Option<i64>,
}

/// A listing that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Mover {
    pub product: String,
    pub name: String,
    pub from: i64,
    pub to: i64,
    pub change_bp: i64,
}

/// What a day came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Day {
    /// Listings with a price.
    pub products: i64,
    pub up: i64,
    pub down: i64,
    pub unchanged: i64,
    /// Those that had no price the day before.
    pub new: i64,
    pub risers: Vec<Mover>,
    pub fallers: Vec<Mover>,
    /// How many products the index is of.
    pub counted: i64,
    /// The index in millionths of its base; none of too few.
    pub ratio: Option<i128>,
}

/// Takes listings together as they come; nothing of them is kept but a number.
#[derive(Debug, Default)]
pub struct Tally {
    day: Day,
    ratios: Vec<i128>,
    merchants: BTreeSet<String>,
}

impl Tally {
    /// Takes one more.
    pub fn push(&mut self, listing: Listing) {
        let Some(to) = listing.price else { return };
        self.day.products += 1;
        if let Some(anchor) = listing.anchor.filter(|fen| *fen > 0) {
            self.ratios.push(i128::from(to) * MILLION / i128::from(anchor));
            if self.merchants.len() < FEWEST.1 {
                self.merchants.insert(listing.merchant);
            }
        }
        let Some(from) = listing.before else {
            self.day.new += 1;
            return;
        };
        let change = change_bp(from, to);
        let mover =
            Mover { product: listing.product, name: listing.name, from, to, change_bp: change };
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => {
                self.day.up += 1;
                name(&mut self.day.risers, mover);
            }
            std::cmp::Ordering::Less => {
                self.day.down += 1;
                name(&mut self.day.fallers, mover);
            }
            std::cmp::Ordering::Equal => self.day.unchanged += 1,
        }
    }

    /// What it came to.
    pub fn finish(mut self) -> Day {
        self.day.counted = self.ratios.len() as i64;
        if self.ratios.len() >= FEWEST.0 && self.merchants.len() >= FEWEST.1 {
            self.ratios.sort_unstable();
            let middle = self.ratios.len() / 2;
            let low = self.ratios[(self.ratios.len() - 1) / 2];
            self.day.ratio = Some((low + self.ratios[middle]) / 2);
        }
        self.day
    }
}

/// Names `mover` if it moved more than one of those that are named.
fn name(named: &mut Vec<Mover>, mover: Mover) {
    named.push(mover);
    named.sort_by(|one, other| {
        let key = |it: &Mover| Reverse(it.change_bp.unsigned_abs());
        key(one).cmp(&key(other)).then_with(|| one.product.cmp(&other.product))
    });
    named.truncate(NAMED);
}

/// The index whose `ratio` to `base` is so many millionths.
pub fn level(base: i64, ratio: i128) -> i64 {
    div_half_even(i128::from(base) * ratio, MILLION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(n: i64, merchant: &str, anchor: i64, before: i64, price: i64) -> Listing {
        Listing {
            product: format!("p{n}"),
            name: format!("P{n}"),
            merchant: merchant.to_owned(),
            price: Some(price),
            before: Some(before),
            anchor: Some(anchor),
        }
    }

    #[test]
    fn the_index_is_the_median_of_what_became_of_each_price() {
        let mut tally = Tally::default();
        for (n, (merchant, price)) in
            [("a", 110), ("a", 120), ("b", 130), ("c", 90), ("b", 10_000)].into_iter().enumerate()
        {
            tally.push(listing(n as i64, merchant, 100, 110, price));
        }
        let day = tally.finish();
        assert_eq!((day.up, day.down, day.unchanged, day.counted), (3, 1, 1, 5));
        assert_eq!(day.ratio, Some(1_200_000));
        assert_eq!(level(BASE, 1_200_000), 120_000);
        assert_eq!(day.risers[0].product, "p4");
        assert_eq!((day.fallers.len(), day.fallers[0].change_bp), (1, -1_818));
    }

    #[test]
    fn too_few_merchants_do_not_move_the_index() {
        let mut tally = Tally::default();
        (0..9).for_each(|n| tally.push(listing(n, ["a", "b"][n as usize % 2], 100, 100, 200)));
        tally.push(Listing { merchant: "c".to_owned(), price: Some(5), ..Listing::default() });
        let day = tally.finish();
        assert_eq!((day.ratio, day.up, day.new, day.products), (None, 9, 1, 10));
        assert_eq!(day.risers.len(), NAMED);
    }
}
