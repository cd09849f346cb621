use crate::clock::Millis;
use crate::money::change_bp;

/// A business day in Asia/Shanghai, counted from 1970.
pub(super) type Day = i32;

const DAY: i64 = 86_400_000;

/// No daylight saving there since 1991.
const AHEAD: i64 = 8 * 3_600_000;

/// The business day that `at` belongs to.
pub(super) fn day_of(at: Millis) -> Day {
    Day::try_from((at + AHEAD).div_euclid(DAY)).unwrap_or(0)
}

/// When `day` begins.
pub(super) fn begin_of(day: Day) -> Millis {
    i64::from(day) * DAY - AHEAD
}

/// What of a product moves all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moves {
    /// Fen a unit; 0 for none.
    pub price: i64,
    /// The grams of one unit.
    pub grams: i64,
    /// What it cost when `changed_on` began; 0 for nothing that compares.
    pub close: i64,
    /// The business day on which its price changed last, as far as is known.
    pub changed_on: Day,
    /// What is available; below 0 while it is unknown.
    pub stock: i64,
    /// Whether it is offered.
    pub listed: bool,
    /// Whether it is on clearance.
    pub reduced: bool,
}

impl Moves {
    /// What it costs, if it has a price.
    pub fn price(self) -> Option<i64> {
        (self.price > 0).then_some(self.price)
    }

    /// What it cost when `today` began, if that is known and there is a price
    /// to compare with.
    pub fn close(self, today: Day) -> Option<i64> {
        self.price()?;
        let close = if self.changed_on == today { self.close } else { self.price };
        (close > 0).then_some(close)
    }

    /// The change since the close of the day before `today`, in hundredths of a
    /// percent.
    pub fn change_bp(self, today: Day) -> Option<i64> {
        Some(change_bp(self.close(today)?, self.price))
    }

    /// Notes that on `day` the price became another one than `from`. Of the
    /// changes of one day the first tells what the day before closed at.
    pub fn note_change(&mut self, day: Day, from: Option<i64>) {
        if self.changed_on < day {
            self.changed_on = day;
            self.close = from.unwrap_or(0);
        } else if from.is_none() {
            // Another unit: what it was before compares with nothing.
            self.close = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{business_day, parse};

    #[test]
    fn a_day_begins_at_midnight_in_shanghai() {
        let at = |text| parse(text).expect("a time");
        let day = day_of(at("2026-11-22T15:59:59Z"));
        assert_eq!(day_of(at("2026-11-22T16:00:00Z")), day + 1);
        assert_eq!(begin_of(day + 1), at("2026-11-22T16:00:00Z"));
        assert_eq!(business_day(begin_of(day)), "2026-11-22");
    }

    #[test]
    fn a_change_is_since_the_close_of_the_day_before() {
        let mut moves = Moves {
            price: 100,
            grams: 500,
            close: 0,
            changed_on: 0,
            stock: -1,
            listed: true,
            reduced: false,
        };
        assert_eq!(moves.change_bp(7), Some(0));
        for (day, price) in [(7, 110), (7, 121)] {
            moves.note_change(day, moves.price());
            moves.price = price;
        }
        assert_eq!((moves.change_bp(7), moves.change_bp(8)), (Some(2_100), Some(0)));
        // The same again, told twice, changes nothing.
        moves.note_change(7, Some(110));
        assert_eq!(moves.change_bp(7), Some(2_100));
        moves.note_change(8, None);
        assert_eq!((moves.change_bp(8), moves.change_bp(9)), (None, Some(0)));
    }
}
