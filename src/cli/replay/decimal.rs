//! Exact decimals out of text. A price that went through a float is another
//! price: 1.005 would become 1.00 or 1.01 depending on its neighbours.

use std::str::FromStr;

/// Digits behind the point that can still be multiplied out in an `i128`.
const DEEPEST: u32 = 36;

/// `units / 10^scale`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decimal {
    units: i128,
    scale: u32,
}

/// It is no plain decimal number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a number such as 12 or 12.34")]
pub struct NoDecimal;

impl FromStr for Decimal {
    type Err = NoDecimal;

    /// Digits with at most one point and a minus; no exponent, no thousands.
    fn from_str(text: &str) -> Result<Decimal, NoDecimal> {
        let text = text.trim();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        // Closing zeros would only use up room.
        let fraction = fraction.trim_end_matches('0');
        if !digits.bytes().any(|byte| byte.is_ascii_digit()) || fraction.len() > DEEPEST as usize {
            return Err(NoDecimal);
        }
        let mut units: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0')).ok_or(NoDecimal)?;
            units = units.checked_mul(10).and_then(|it| it.checked_add(digit)).ok_or(NoDecimal)?;
        }
        // At most 36 by the check above.
        Ok(Decimal { units: sign * units, scale: fraction.len() as u32 })
    }
}

impl Decimal {
    /// The product, exact; none if it has more digits than fit.
    pub fn times(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale + other.scale;
        let units = self.units.checked_mul(other.units)?;
        (scale <= DEEPEST).then_some(Decimal { units, scale })
    }

    /// -1, 0 or 1.
    pub fn sign(self) -> i128 {
        self.units.signum()
    }

    /// In hundredths, half to even.
    pub fn fen(self) -> Option<i128> {
        if self.scale <= 2 {
            return self.units.checked_mul(10_i128.pow(2 - self.scale));
        }
        let unit = 10_i128.pow(self.scale - 2);
        let amount = self.units.abs();
        let (down, rest) = (amount / unit, amount % unit);
        let up = match rest.cmp(&(unit / 2)) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => down % 2 == 1,
            std::cmp::Ordering::Greater => true,
        };
        Some(self.units.signum() * (down + i128::from(up)))
    }

    /// The whole number it is, if it is one.
    pub fn whole(self) -> Option<i64> {
        let unit = 10_i128.pow(self.scale);
        if self.units % unit == 0 { i64::try_from(self.units / unit).ok() } else { None }
    }
}

/// `1288.00` out of 128800; for amounts above zero.
pub fn yuan(fen: i128) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(text: &str) -> Option<i128> {
        text.parse::<Decimal>().ok()?.fen()
    }

    #[test]
    fn prices_are_rounded_half_to_even_in_exact_arithmetic() {
        for (text, fen) in [
            ("1.0312", 103),
            ("1.005", 100),
            ("1.015", 102),
            ("1.025", 102),
            ("1.0250001", 103),
            ("1.02499999999999999999999999", 102),
            ("2.675", 268),
            ("0.005", 0),
            ("0.0050000001", 1),
            ("0.0151", 2),
            ("7", 700),
            ("7.1", 710),
            (".5", 50),
            ("3.", 300),
            (" 2.95 ", 295),
            ("-1.005", -100),
            ("-1.015", -102),
            ("0.0", 0),
            ("-0.00", 0),
            ("99999999999999999999.99", 9_999_999_999_999_999_999_999),
        ] {
            assert_eq!(rounded(text), Some(fen), "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_number_is_none() {
        for text in
            ["", " ", ".", "-", "1e3", "1,000", "+1", "1.2.3", "１２", "12,8x", "--1", "NaN", "1 2"]
        {
            assert_eq!(text.parse::<Decimal>(), Err(NoDecimal), "{text}");
        }
        assert!("9".repeat(40).parse::<Decimal>().is_err());
        assert!(format!("0.{}1", "0".repeat(40)).parse::<Decimal>().is_err());
        assert_eq!(
            format!("1.{}", "0".repeat(60)).parse::<Decimal>().expect("zeros").fen(),
            Some(100)
        );
    }

    #[test]
    fn a_factor_is_multiplied_before_rounding() {
        let times = |a: &str, b: &str| {
            let (a, b): (Decimal, Decimal) = (a.parse().expect("a"), b.parse().expect("b"));
            a.times(b).and_then(Decimal::fen)
        };
        assert_eq!(times("1.0312", "7.1"), Some(732)); // 7.32152
        assert_eq!(times("0.15", "0.1"), Some(2)); // 0.015
        assert_eq!(times("0.25", "0.1"), Some(2)); // 0.025
        assert_eq!(times(&format!("0.{}", "1".repeat(20)), &format!("0.{}", "1".repeat(20))), None);
    }

    #[test]
    fn quantities_are_whole() {
        let whole = |text: &str| text.parse::<Decimal>().ok().and_then(Decimal::whole);
        assert_eq!(whole("6"), Some(6));
        assert_eq!(whole("-6.0"), Some(-6));
        assert_eq!(whole("6.5"), None);
        assert_eq!(whole("99999999999999999999"), None);
        assert_eq!((yuan(128_800), yuan(5)), ("1288.00".into(), "0.05".into()));
    }
}
