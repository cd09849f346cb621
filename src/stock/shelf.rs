use crate::catalogue::{Unit, parse_id};
use crate::refusal::{Refusal, shorten};
use serde_json::{Value, json};

/// One product of a merchant, as somebody sees it who looks for what is short.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Shelf {
    pub id: String,
    pub name: String,
    pub unit: String,
    pub stock: Option<i64>,
    pub reserved: i64,
    /// Low at so much or less.
    pub threshold: i64,
    /// What is available in millionths of that: what shelves are sorted by.
    pub short: i64,
}

impl Shelf {
    /// What is left when all promises are kept.
    fn available(&self) -> Option<i64> {
        self.stock.map(|stock| (stock - self.reserved).max(0))
    }

    /// As it is answered, when `outflow` went out in `days`.
    pub(super) fn json(&self, outflow: i64, days: i64) -> Value {
        let available = self.available();
        json!({
            "product": self.id,
            "name": self.name,
            "stock": self.stock,
            "reserved": self.stock.map(|_| self.reserved),
            "available": available,
            "stock_unit": Unit::find(&self.unit).map_or("piece", Unit::stock_unit),
            "low_stock": self.threshold,
            "low": available.map(|available| available <= self.threshold),
            "outflow": outflow,
            "cover_days": available.and_then(|available| cover_days(available, outflow, days)),
        })
    }

    /// Where a page ends that ends with this one.
    pub(super) fn place(&self) -> String {
        format!("{}-{}", self.short, self.id)
    }

    /// Reads what [`place`](Shelf::place) wrote.
    ///
    /// # Errors
    /// `bad_cursor`.
    pub(super) fn parse_place(text: &str) -> Result<(i64, String), Refusal> {
        let parts = text.split_once('-').and_then(|(short, id)| {
            let short = short.parse::<i64>().ok().filter(|short| *short >= 0)?;
            Some((short, parse_id("after", id).ok()?))
        });
        parts.ok_or_else(|| {
            let text = shorten(text);
            Refusal::invalid(
                "after",
                "bad_cursor",
                format!("`{text}` is no `next` of an answer of this address"),
                format!("“{text}”不是此接口返回的 next"),
            )
        })
    }
}

/// For how many whole days it lasts if as much goes out as did in `days`; none
/// if nothing did.
fn cover_days(available: i64, outflow: i64, days: i64) -> Option<i64> {
    if outflow <= 0 {
        return None;
    }
    let lasts = i128::from(available) * i128::from(days) / i128::from(outflow);
    Some(i64::try_from(lasts).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_of_cover_are_whole_days_at_the_pace_of_before() {
        assert_eq!(cover_days(100, 50, 30), Some(60));
        assert_eq!(cover_days(99, 100, 1), Some(0));
        assert_eq!(cover_days(0, 1, 30), Some(0));
        assert_eq!(cover_days(100, 0, 30), None);
    }

    proptest! {
        #[test]
        fn cover_is_the_most_days_that_the_stock_lasts(
            available in 0..=1_000_000_000_000_i64, outflow in 1..=i64::MAX, days in 1..=90_i64,
        ) {
            let cover = i128::from(cover_days(available, outflow, days).expect("some goes out"));
            let (available, outflow, days) = (i128::from(available), i128::from(outflow), i128::from(days));
            prop_assert!(cover * outflow <= available * days);
            prop_assert!((cover + 1) * outflow > available * days);
        }

        #[test]
        fn a_place_comes_back(short in 0..=i64::MAX, id in "[a-z0-9][a-z0-9.-]{0,20}") {
            let text = format!("{short}-{id}");
            if let Ok(place) = Shelf::parse_place(&text) {
                prop_assert_eq!(place, (short, id));
            }
        }
    }
}
