use super::index::Facts;
use super::moves::{Day, Moves};
use super::query::{Basis, Order, Sort};
use std::cmp::Ordering;

/// What a product is ordered by: `number / of`, which is never worked out, so
/// nothing of it is rounded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// There is nothing to order it by: it comes last, whichever way.
    pub missing: bool,
    pub number: i64,
    /// Above 0.
    pub of: i64,
}

impl Key {
    const MISSING: Key = Key { missing: true, number: 0, of: 1 };

    fn whole(number: i64) -> Key {
        Key { missing: false, number, of: 1 }
    }

    /// What `order` orders a product by, on `today`. `score` is how well it was
    /// found, 0 best.
    pub fn of(
        order: Order,
        basis: Basis,
        today: Day,
        facts: &Facts,
        now: Moves,
        score: u32,
    ) -> Key {
        match order.sort {
            Sort::Id => Key::whole(0),
            Sort::Newest => Key::whole(facts.created),
            Sort::Relevance => Key::whole(-i64::from(score)),
            Sort::Stock if now.stock < 0 => Key::MISSING,
            Sort::Stock => Key::whole(now.stock),
            Sort::Price => now.price().map_or(Key::MISSING, |price| match basis {
                Basis::Unit => Key::whole(price),
                Basis::Weight => Key { missing: false, number: price, of: now.grams },
            }),
            Sort::Change => now.close(today).map_or(Key::MISSING, |close| Key {
                missing: false,
                number: now.price,
                of: close,
            }),
        }
    }

    /// Which of two comes first; ids decide where neither does.
    pub fn compare(&self, other: &Key, order: Order) -> Ordering {
        if self.missing || other.missing {
            return self.missing.cmp(&other.missing);
        }
        let ordering = if self.of == other.of {
            self.number.cmp(&other.number)
        } else {
            let (one, two) = (i128::from(self.number), i128::from(other.number));
            (one * i128::from(other.of)).cmp(&(two * i128::from(self.of)))
        };
        if order.descending { ordering.reverse() } else { ordering }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_of_unlike_packs_are_compared_without_rounding() {
        let key = |number, of| Key { missing: false, number, of };
        let order = Order { sort: Sort::Price, descending: false };
        // 140056.02… and 140056.00 for 500 g: alike when rounded, not when compared.
        assert_eq!(key(100_000, 357).compare(&key(140_056, 500), order), Ordering::Greater);
        assert_eq!(key(1, 2).compare(&key(2, 4), order), Ordering::Equal);
        let most = 1_000_000_000_000;
        assert_eq!(key(most, 10_000_000).compare(&key(most - 1, 9_999_999), order), Ordering::Less);
        let down = Order { descending: true, ..order };
        assert_eq!(Key::MISSING.compare(&key(1, 1), down), Ordering::Greater);
        assert_eq!(Key::MISSING.compare(&key(1, 1), order), Ordering::Greater);
    }
}
