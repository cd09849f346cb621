use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What is compared: fen for so many grams, or a count.
///
/// A price as it is asked, a threshold, and a stock all have 500 grams, so
/// that they compare as they stand. By weight a price has the grams of its
/// unit, and is compared with fen for 500 g without ever being rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Fen, or how many.
    pub fen: i64,
    /// For so many grams.
    pub grams: i64,
}

/// The grams of what is compared as it stands.
pub const PLAIN: i64 = 500;

impl Amount {
    /// An amount that is compared as it stands.
    pub fn plain(fen: i64) -> Amount {
        Amount { fen, grams: PLAIN }
    }

    /// As an exact fraction.
    pub fn ratio(self) -> Ratio {
        if self.grams == PLAIN {
            return Ratio::whole(self.fen);
        }
        let den = i128::from(self.grams.max(1));
        Ratio { num: i128::from(self.fen) * i128::from(PLAIN), den }
    }
}

/// An exact fraction; `den` is above zero. The largest that comes up here is a
/// price for 500 g (5·10^14 over 10^7) times a percentage and a margin (10^10
/// over 10^8), times the other side of a comparison: 10^40 would be too much
/// and is not reached, since [`Ratio::times`] cancels what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    num: i128,
    den: i128,
}

impl Ratio {
    /// A whole number.
    pub fn whole(number: i64) -> Ratio {
        Ratio { num: i128::from(number), den: 1 }
    }

    /// `self × num / den`, exactly.
    #[must_use]
    pub fn times(self, num: i64, den: i64) -> Ratio {
        let (num, den) = (self.num * i128::from(num), self.den * i128::from(den.max(1)));
        let common = gcd(num.unsigned_abs(), den.unsigned_abs()).max(1) as i128;
        Ratio { num: num / common, den: den / common }
    }

    /// `self + number`, exactly.
    #[must_use]
    pub fn plus(self, number: i64) -> Ratio {
        Ratio { num: self.num + i128::from(number) * self.den, den: self.den }
    }

    /// The greatest whole number that is no more.
    pub fn floor(self) -> i64 {
        clamp(self.num.div_euclid(self.den))
    }

    /// The least whole number that is no less.
    pub fn ceil(self) -> i64 {
        clamp(-(-self.num).div_euclid(self.den))
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Ratio) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Ratio) -> Ordering {
        (self.num * other.den).cmp(&(other.num * self.den))
    }
}

fn clamp(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cake_and_a_jin_are_compared_without_rounding() {
        // 1000.00 for 357 g is 1400.5602… for 500 g.
        let cake = Amount { fen: 100_000, grams: 357 }.ratio();
        assert!(cake > Ratio::whole(140_056) && cake < Ratio::whole(140_057));
        assert_eq!((cake.floor(), cake.ceil()), (140_056, 140_057));
        assert_eq!(Amount { fen: 714, grams: 357 }.ratio(), Ratio { num: 357_000, den: 357 });
        assert!(Amount { fen: 714, grams: 357 }.ratio() <= Ratio::whole(1_000));
    }

    #[test]
    fn a_part_of_an_amount_is_exact() {
        let down = Ratio::whole(20_000).times(9_500, 10_000);
        assert_eq!((down.floor(), down.ceil()), (19_000, 19_000));
        let odd = Ratio::whole(19_999).times(9_500, 10_000);
        assert_eq!((odd.floor(), odd.ceil()), (18_999, 19_000));
        assert_eq!(Ratio::whole(10).plus(-3), Ratio::whole(7));
        assert_eq!(Ratio::whole(-7).times(1, 2).floor(), -4);
    }

    #[test]
    fn the_largest_there_are_can_be_compared() {
        let most = Amount { fen: 1_000_000_000_000, grams: 9_999_991 }.ratio();
        let bound = most.times(110_000, 10_000).times(20_000, 10_000);
        assert!(bound > most);
        assert!(Amount { fen: 1_000_000_000_000, grams: 9_999_973 }.ratio() < bound);
    }
}
