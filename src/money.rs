//! Money: whole fen, and no float anywhere near it.

use crate::refusal::{Refusal, shorten};
use std::fmt;

/// The highest price there may be, in fen.
const MOST: i64 = 1_000_000_000_000;

/// What one unit of something costs, in fen: 1 to 10^12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(i64);

impl Price {
    /// A price of `fen`, if that is one.
    pub fn from_fen(fen: i64) -> Option<Price> {
        (1..=MOST).contains(&fen).then_some(Price(fen))
    }

    /// In fen.
    pub fn fen(self) -> i64 {
        self.0
    }

    /// Reads yuan with at most two decimals, as in `128.00`.
    ///
    /// # Errors
    /// `bad_price` on `field` for anything else; zero is no price.
    pub fn parse(field: &str, text: &str) -> Result<Price, Refusal> {
        yuan(text).and_then(Price::from_fen).ok_or_else(|| {
            let text = shorten(text);
            Refusal::invalid(
                field,
                "bad_price",
                format!("`{text}` is not a price: want yuan from 0.01 to 10000000000.00 with at most two decimals, as in \"128.00\""),
                format!("“{text}”不是有效价格：应为 0.01 到 10000000000.00 元，最多两位小数，例如 \"128.00\""),
            )
        })
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Fen of a decimal number of yuan with at most two decimals; no sign, no exponent.
pub fn yuan(text: &str) -> Option<i64> {
    let (whole, cents) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, cents)) => (whole, cents),
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 15 || cents.len() > 2 || !digits(whole) || !digits(cents) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let cents: i64 = format!("{cents:0<2}").parse().ok()?;
    whole.checked_mul(100)?.checked_add(cents)
}

/// `128.00`.
pub fn yuan_text(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// The change from one price to another in hundredths of a percent, rounded
/// towards zero.
pub fn change_bp(from: i64, to: i64) -> i64 {
    let change = (i128::from(to) - i128::from(from)) * 10_000 / i128::from(from.max(1));
    i64::try_from(change).unwrap_or(i64::MAX)
}

/// Fen for 500 g of what costs `fen` for `grams`, rounded half to even.
pub fn per_500g(fen: i64, grams: i64) -> i64 {
    by_weight(fen, grams, 500)
}

/// Fen for `wanted` grams of what costs `fen` for `grams`, rounded half to even.
pub fn by_weight(fen: i64, grams: i64, wanted: i64) -> i64 {
    div_half_even(i128::from(fen) * i128::from(wanted), i128::from(grams.max(1)))
}

/// `sum / by`, rounded half to even; `by` is above zero.
pub fn div_half_even(sum: i128, by: i128) -> i64 {
    let (whole, rest) = (sum.div_euclid(by), sum.rem_euclid(by));
    let up = match (rest * 2).cmp(&by) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => whole.rem_euclid(2),
    };
    i64::try_from(whole + up).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_price_is_yuan_with_at_most_two_decimals() {
        let fen = |text: &str| Price::parse("price", text).map(Price::fen).ok();
        assert_eq!(fen("128"), Some(12_800));
        assert_eq!(fen("128.5"), Some(12_850));
        assert_eq!(fen("0.01"), Some(1));
        assert_eq!(fen("10000000000.00"), Some(MOST));
        let bad = [
            "",
            "0",
            "0.00",
            "-1",
            "+1",
            "1.234",
            "1.",
            ".5",
            "1e3",
            "９",
            "1 ",
            "1,000",
            "NaN",
            "10000000000.01",
            "99999999999999999999",
        ];
        for text in bad {
            assert_eq!(fen(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_cake_is_compared_by_weight() {
        assert_eq!(per_500g(100_000, 357), 140_056);
        assert_eq!(per_500g(5, 1000), 2, "half to even");
        assert_eq!(per_500g(15, 1000), 8);
        assert_eq!(per_500g(MOST, 1), MOST * 500);
    }

    proptest! {
        #[test]
        fn a_price_is_read_back_as_it_was_written(fen in 1..=MOST) {
            let price = Price::from_fen(fen).expect("in range");
            prop_assert_eq!(Price::parse("price", &price.to_string()), Ok(price));
        }

        #[test]
        fn no_text_makes_a_price_out_of_range(text in "\\PC{0,30}|[0-9.]{0,30}") {
            if let Ok(price) = Price::parse("price", &text) {
                prop_assert!((1..=MOST).contains(&price.fen()));
            }
        }
    }
}
