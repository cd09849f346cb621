use super::{Point, Series};
use crate::catalogue::Product;
use crate::clock::{DAY, Millis, day_start, rfc3339, year_before};
use crate::db::{self, Conn};
use crate::money::{change_bp, yuan_text};
use serde_json::{Map, Value, json};

/// What the present price of a product is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The close of the business day before.
    Yesterday,
    /// The close seven business days ago.
    Days7,
    /// The close thirty business days ago.
    Days30,
    /// The close of the same day a year ago.
    Year,
}

impl Reference {
    /// All of them, the nearest first.
    pub const ALL: [Reference; 4] =
        [Reference::Yesterday, Reference::Days7, Reference::Days30, Reference::Year];

    /// As it is answered.
    pub fn name(self) -> &'static str {
        match self {
            Reference::Yesterday => "yesterday",
            Reference::Days7 => "days_7",
            Reference::Days30 => "days_30",
            Reference::Year => "year",
        }
    }

    /// The end of the day whose close it is.
    pub fn end(self, now: Millis) -> Millis {
        let today = day_start(now);
        match self {
            Reference::Yesterday => today,
            Reference::Days7 => today - 6 * DAY,
            Reference::Days30 => today - 29 * DAY,
            Reference::Year => year_before(now) + DAY,
        }
    }
}

/// How far a price is from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was, in the unit of now, and since when.
    pub from: Point,
    /// What it is.
    pub to: i64,
}

impl Change {
    /// As it is answered.
    pub fn json(&self) -> Value {
        json!({
            "price": yuan_text(self.from.fen),
            "price_fen": self.from.fen,
            "at": rfc3339(self.from.at),
            "diff_fen": self.to - self.from.fen,
            "change_bp": change_bp(self.from.fen, self.to),
        })
    }
}

/// How far the price of `product` is from each reference; none where no price
/// of that time is known.
pub fn changes(
    conn: &mut Conn,
    product: &Product,
    now: Millis,
) -> db::Result<Vec<(Reference, Option<Change>)>> {
    let Some(to) = product.price else {
        return Ok(Reference::ALL.map(|reference| (reference, None)).to_vec());
    };
    let series = Series::open(conn, product)?;
    let mut found: Vec<(Reference, Option<Change>)> = Vec::with_capacity(4);
    for reference in Reference::ALL {
        let end = reference.end(now);
        let from = match found.last() {
            // Where there was nothing, there was nothing before.
            Some((_, None)) => None,
            // What held for longer is the answer to this one too.
            Some((_, Some(later))) if later.from.at < end => Some(later.from),
            _ => series.last_before(conn, end)?,
        };
        found.push((reference, from.map(|from| Change { from, to })));
    }
    Ok(found)
}

/// The changes as a product shows them.
pub(super) fn json(changes: &[(Reference, Option<Change>)]) -> Value {
    let each = changes.iter().map(|(reference, change)| {
        (reference.name().to_owned(), change.map_or(Value::Null, |change| change.json()))
    });
    Value::Object(each.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse;

    #[test]
    fn a_reference_is_the_close_of_a_business_day() {
        let at = |text| parse(text).expect("a time");
        let now = at("2026-11-22T16:30:00Z"); // 23 November in Shanghai
        assert_eq!(Reference::Yesterday.end(now), at("2026-11-23T00:00:00+08:00"));
        assert_eq!(Reference::Days7.end(now), at("2026-11-17T00:00:00+08:00"));
        assert_eq!(Reference::Days30.end(now), at("2026-10-25T00:00:00+08:00"));
        assert_eq!(Reference::Year.end(now), at("2025-11-24T00:00:00+08:00"));
    }
}
