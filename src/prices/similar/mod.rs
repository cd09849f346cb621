//! What others ask for the same tea.
//!
//! Teas are compared by weight, in one price type, with one price for each
//! merchant, and only where there are enough of them: from fewer one could
//! tell what a single competitor asks, and a single one could move the median.
//! The rule holds for what is answered, so there is nothing to narrow the
//! question with: which teas are alike is decided here.

mod routes;
mod statistics;
mod store;
mod tier;

pub use routes::{Docs, routes};
pub use statistics::Statistics;
pub use tier::Tier;

use crate::catalogue::Product;
use crate::clock::{DAY, Millis};
use crate::db::{self, Conn};
use crate::money::per_500g;
use std::collections::BTreeMap;

/// The fewest prices that a statistic is made of. There is one of each
/// merchant, so they are of as many merchants.
pub const FEWEST: usize = 5;

/// The most products that are looked at for one answer.
const MOST: i64 = 20_000;

/// Another merchant's product that may be alike.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Whose it is.
    pub merchant: String,
    /// Fen for 500 g.
    pub per_500g: i64,
    /// When that was seen.
    pub at: Millis,
    /// What it is.
    pub traits: Traits,
}

/// What makes teas alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Traits {
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i64>,
    pub batch: Option<String>,
    pub form: Option<String>,
    pub harvest: Option<String>,
    /// The weight of a pressed piece.
    pub piece: Option<i64>,
}

impl Traits {
    /// Those of `product`.
    pub fn of(product: &Product) -> Traits {
        Traits {
            origin: product.origin.clone(),
            grade: product.grade.clone(),
            vintage: product.vintage,
            batch: product.batch.clone(),
            form: product.form.clone(),
            harvest: product.harvest.clone(),
            piece: piece(product.grams_per_piece, &product.unit, product.grams_per_unit),
        }
    }
}

/// What a piece weighs, if it is sold in pieces or says so.
fn piece(grams_per_piece: Option<i64>, unit: &str, grams_per_unit: i64) -> Option<i64> {
    grams_per_piece.or((unit == "piece").then_some(grams_per_unit))
}

/// What `product` is compared with, and how that came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Similar {
    /// How it compares, and how much alike those are that it is compared with.
    Of(Tier, Statistics),
    /// There are too few merchants with such a tea to say anything.
    TooFew,
    /// It says neither its variety nor its recipe.
    Unnamed,
}

/// Compares `product` with what others ask at `now`.
pub fn similar(conn: &mut Conn, product: &Product, now: Millis) -> db::Result<Similar> {
    let Some(name) = tier::name(product) else { return Ok(Similar::Unnamed) };
    let oldest = now - tier::fresh_days(&product.category, now) * DAY;
    let candidates = store::candidates(conn, product, name, oldest, MOST)?;
    let own = product.price.map(|fen| per_500g(fen, product.grams_per_unit));
    let (category, traits) = (&*product.category, Traits::of(product));
    for tier in Tier::ALL {
        let alike = candidates.iter().filter(|other| tier.takes(category, &traits, &other.traits));
        let newest = one_each(alike);
        if newest.len() >= FEWEST
            && let Some(statistics) = Statistics::of(&newest, own)
        {
            return Ok(Similar::Of(tier, statistics));
        }
    }
    Ok(Similar::TooFew)
}

/// The median of what others ask for 500 g of what `product` is, if there are
/// enough of them.
pub fn similar_median(conn: &mut Conn, product: &Product, now: Millis) -> db::Result<Option<i64>> {
    Ok(match similar(conn, product, now)? {
        Similar::Of(_, statistics) => Some(statistics.median),
        Similar::TooFew | Similar::Unnamed => None,
    })
}

/// The newest price of each merchant, and when it was seen.
fn one_each<'a>(all: impl Iterator<Item = &'a Candidate>) -> Vec<(i64, Millis)> {
    let mut newest = BTreeMap::<&str, (Millis, i64)>::new();
    for other in all {
        let seen = (other.at, other.per_500g);
        let kept = newest.entry(&other.merchant).or_insert(seen);
        *kept = (*kept).max(seen);
    }
    newest.into_values().map(|(at, fen)| (fen, at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_with_many_products_has_one_voice() {
        let one = |merchant: &str, per_500g, at| Candidate {
            merchant: merchant.to_owned(),
            per_500g,
            at,
            traits: Traits::default(),
        };
        let all = [one("a", 5, 1), one("a", 7, 3), one("a", 6, 2), one("b", 1, 1)];
        assert_eq!(one_each(all.iter()), [(7, 3), (1, 1)]);
    }
}
