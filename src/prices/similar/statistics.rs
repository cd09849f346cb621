use crate::clock::Millis;
use crate::money::div_half_even;

/// How others' prices lie, in fen for 500 g.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Statistics {
    pub n: i64,
    pub min: i64,
    pub q1: i64,
    pub median: i64,
    pub q3: i64,
    pub max: i64,
    /// Of the others, how many ask less than one's own price, in hundredths of
    /// a percent; whoever asks the same counts half. None without a price.
    pub percentile_bp: Option<i64>,
    /// Prices further than three times the distance of the quartiles away from
    /// them. They are counted all the same.
    pub outliers: Vec<i64>,
    /// When the newest of them was seen.
    pub newest: Millis,
    /// The oldest.
    pub oldest: Millis,
}

impl Statistics {
    /// Of prices and when they were seen; none of none.
    pub fn of(prices: &[(i64, Millis)], own: Option<i64>) -> Option<Statistics> {
        let mut sorted: Vec<i64> = prices.iter().map(|(fen, _)| *fen).collect();
        sorted.sort_unstable();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (q1, median, q3) =
            (quartile(&sorted, 1)?, quartile(&sorted, 2)?, quartile(&sorted, 3)?);
        let reach = (i128::from(q3) - i128::from(q1)) * 3;
        let far = |fen: &i64| {
            let fen = i128::from(*fen);
            fen < i128::from(q1) - reach || fen > i128::from(q3) + reach
        };
        let n = sorted.len() as i64;
        let percentile = |own: i64| {
            let below = sorted.iter().filter(|fen| **fen < own).count() as i64;
            let equal = sorted.iter().filter(|fen| **fen == own).count() as i64;
            div_half_even(i128::from((2 * below + equal) * 10_000), i128::from(2 * n))
        };
        Some(Statistics {
            n,
            min,
            q1,
            median,
            q3,
            max,
            percentile_bp: own.map(percentile),
            outliers: sorted.iter().copied().filter(far).collect(),
            newest: prices.iter().map(|(_, at)| *at).max()?,
            oldest: prices.iter().map(|(_, at)| *at).min()?,
        })
    }
}

/// The `quarter`th quartile of what is sorted: where it falls between two,
/// that part of the way from one to the other, rounded half to even.
fn quartile(sorted: &[i64], quarter: usize) -> Option<i64> {
    let place = sorted.len().checked_sub(1)? * quarter;
    let (at, part) = (place / 4, (place % 4) as i128);
    let low = i128::from(*sorted.get(at)?);
    let high = sorted.get(at + 1).map_or(low, |high| i128::from(*high));
    Some(div_half_even(low * (4 - part) + high * part, 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(prices: &[i64], own: i64) -> Statistics {
        let seen: Vec<(i64, Millis)> = prices.iter().map(|fen| (*fen, 7)).collect();
        Statistics::of(&seen, Some(own)).expect("some")
    }

    #[test]
    fn quartiles_lie_between_prices() {
        let five = of(&[50, 10, 40, 20, 30], 30);
        assert_eq!((five.min, five.q1, five.median, five.q3, five.max), (10, 20, 30, 40, 50));
        assert_eq!((five.percentile_bp, five.outliers.len()), (Some(5_000), 0));
        let six = of(&[10, 20, 30, 41, 50, 60], 61);
        assert_eq!((six.q1, six.median, six.q3), (22, 36, 48));
        assert_eq!(six.percentile_bp, Some(10_000));
        assert_eq!(Statistics::of(&[], None), None);
    }

    #[test]
    fn what_is_far_away_is_named_and_counted() {
        let far = of(&[100, 101, 102, 103, 104, 1_000, 1], 102);
        assert_eq!((far.n, far.min, far.max), (7, 1, 1_000));
        assert_eq!(far.outliers, [1, 1_000]);
    }

    proptest! {
        #[test]
        fn a_statistic_keeps_its_order(
            prices in prop::collection::vec(1..=500_000_000_000_000_i64, 1..60), own in 1..=500_000_000_000_000_i64,
        ) {
            let it = of(&prices, own);
            prop_assert!(it.min <= it.q1 && it.q1 <= it.median);
            prop_assert!(it.median <= it.q3 && it.q3 <= it.max);
            let percentile = it.percentile_bp.unwrap_or(-1);
            prop_assert!((0..=10_000).contains(&percentile));
        }
    }
}
