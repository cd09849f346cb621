use super::index::{FACETS, Facet, Facts, Index, Past};
use super::key::Key;
use super::moves::{Day, Moves};
use super::place::Place;
use super::query::{Basis, Order, Query, Sort};
use super::words::Words;
use std::cmp::Ordering;
use std::sync::Arc;

/// Filters beyond the [`FACETS`], by their bits in what [`Test::failed`] says.
pub(super) const STATUS: usize = FACETS.len();
pub(super) const STOCK: usize = STATUS + 1;
pub(super) const CLEARANCE: usize = STOCK + 1;
pub(super) const PRICE: usize = CLEARANCE + 1;

/// A query, ready to be held against every product.
pub(super) struct Test<'a> {
    query: &'a Query,
    scores: Vec<Arc<Vec<u8>>>,
    /// For each of [`FACETS`] the numbers of the values that will do.
    codes: [Option<Vec<u32>>; FACETS.len()],
}

impl<'a> Test<'a> {
    /// `query` against what is in `index`.
    pub fn new(index: &Index, query: &'a Query) -> Test<'a> {
        let scores = query.words.iter().map(|word| index.scores(word)).collect();
        let codes = FACETS.map(|(facet, _)| {
            let values = query.values_of(facet)?;
            let dictionary = &index.values[facet as usize];
            let wanted = |value: &str| match facet {
                Facet::Category => values.iter().any(|class| is_within(value, class)),
                _ => values.iter().any(|wanted| wanted == value),
            };
            let codes = match facet {
                // Few there are, and a class holds its sub-classes.
                Facet::Category => (1..dictionary.len())
                    .filter(|code| dictionary.value(*code).is_some_and(|value| wanted(value)))
                    .filter_map(|code| u32::try_from(code).ok())
                    .collect(),
                _ => values.iter().filter_map(|value| dictionary.code(value)).collect(),
            };
            Some(codes)
        });
        Test { query, scores, codes }
    }

    /// How well the words are found in a row, 0 best; none if one of them is not.
    pub fn score(&self, row: u32) -> Option<u32> {
        let mut sum = 0;
        for scores in &self.scores {
            match scores.get(row as usize) {
                Some(score) if *score != Words::NOT => sum += u32::from(*score),
                _ => return None,
            }
        }
        Some(sum)
    }

    /// The filters that a product does not pass, a bit for each.
    pub fn failed(&self, facts: &Facts, now: Moves) -> u32 {
        let mut failed = 0;
        for (at, wanted) in self.codes.iter().enumerate() {
            if let Some(wanted) = wanted {
                failed |= u32::from(!wanted.contains(&facts.codes[at])) << at;
            }
        }
        let query = self.query;
        let unlike = |wanted: Option<bool>, is| wanted.is_some_and(|wanted| wanted != is);
        failed |= u32::from(unlike(query.listed, now.listed)) << STATUS;
        failed |= u32::from(unlike(query.in_stock, now.stock > 0)) << STOCK;
        failed |= u32::from(unlike(query.on_clearance, now.reduced)) << CLEARANCE;
        if query.price_min.is_some() || query.price_max.is_some() {
            failed |= u32::from(!self.price_fits(now)) << PRICE;
        }
        failed
    }

    fn price_fits(&self, now: Moves) -> bool {
        let Some(price) = now.price() else { return false };
        let with = |bound: i64| match self.query.basis {
            Basis::Unit => price.cmp(&bound),
            // price / grams against bound / 500, neither of them rounded.
            Basis::Weight => {
                (i128::from(price) * 500).cmp(&(i128::from(bound) * i128::from(now.grams)))
            }
        };
        self.query.price_min.is_none_or(|min| with(min) != Ordering::Less)
            && self.query.price_max.is_none_or(|max| with(max) != Ordering::Greater)
    }
}

/// Whether `category` is `class` or a sub-class of it.
pub(super) fn is_within(category: &str, class: &str) -> bool {
    category.strip_prefix(class).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A page of what was found.
#[derive(Debug)]
pub(super) struct Page {
    /// Its products in their order, each with its change since yesterday's close.
    pub products: Vec<(Arc<str>, Option<i64>)>,
    /// How many there are on all pages.
    pub total: usize,
    /// What the last of them was ordered by, if more follow.
    pub next: Option<Key>,
}

/// What `query` finds as it was in `past`, up to `limit` products after `after`.
pub(super) fn find(
    index: &Index,
    past: &Past,
    (query, order): (&Query, Order),
    today: Day,
    after: Option<&Place>,
    limit: usize,
) -> Page {
    let test = Test::new(index, query);
    let mut total = 0;
    // The place among ids stands for the id: whoever comes first there is less.
    let mut hits: Vec<(Key, u32, u32)> = Vec::new();
    for (place, (row, facts, now)) in (0..).zip(index.all(past)) {
        let Some(score) = test.score(row) else { continue };
        if test.failed(facts, now) != 0 {
            continue;
        }
        total += 1;
        // By id they come in order, and more than a page of them is of no use.
        if order.sort == Sort::Id && !order.descending && hits.len() > limit {
            continue;
        }
        let key = Key::of(order, query.basis, today, facts, now, score);
        let comes = after.is_none_or(|after| {
            let ids = || by_id(&index.id(row)[..], &after.id, order);
            key.compare(&after.key, order).then_with(ids) == Ordering::Greater
        });
        if comes {
            hits.push((key, place, row));
        }
    }
    let compare = |one: &(Key, u32, u32), two: &(Key, u32, u32)| {
        one.0.compare(&two.0, order).then_with(|| by_id(&one.1, &two.1, order))
    };
    let more = hits.len() > limit;
    if more {
        hits.select_nth_unstable_by(limit, compare);
        hits.truncate(limit);
    }
    hits.sort_unstable_by(compare);
    let next = hits.last().filter(|_| more).map(|(key, _, _)| *key);
    let product = |row: u32| (index.id(row).clone(), index.now(row).change_bp(today));
    let products = hits.into_iter().map(|(_, _, row)| product(row)).collect();
    Page { products, total, next }
}

/// Ids go up whatever else goes down, unless they are all there is to it.
fn by_id<T: Ord + ?Sized>(one: &T, two: &T, order: Order) -> Ordering {
    let ordering = one.cmp(two);
    if order.sort == Sort::Id && order.descending { ordering.reverse() } else { ordering }
}
