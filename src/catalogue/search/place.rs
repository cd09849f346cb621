use super::key::Key;
use super::moves::Day;
use crate::names::is_id;
use crate::refusal::Refusal;
use std::fmt;

/// A place in an answer that has several pages: after which product it goes
/// on, and how the products were ordered.
///
/// While prices move, an order by price is another one every moment, and whoever
/// reads page after page of it would miss some products and see others twice.
/// So all pages are of the moment at which the first was made: the place says
/// which, and every node can go back to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// Names the query it belongs to.
    pub query: String,
    /// Where the log was at that moment.
    pub position: i64,
    /// The business day of that moment.
    pub day: Day,
    /// What the last product of the page was ordered by.
    pub key: Key,
    pub id: String,
}

const MARK: &str = "p1";

impl Place {
    /// Reads a place.
    ///
    /// # Errors
    /// `bad_after` for what is none.
    pub fn parse(text: &str) -> Result<Place, Refusal> {
        Place::try_parse(text).ok_or_else(bad_after)
    }

    fn try_parse(text: &str) -> Option<Place> {
        let mut parts = text.split('_');
        let mut next = || parts.next();
        if text.len() > 250 || next()? != MARK {
            return None;
        }
        let query = next()?.to_owned();
        let position = next()?.parse().ok().filter(|position| *position >= 0)?;
        let day = next()?.parse().ok()?;
        let number = next()?.parse().ok()?;
        let of = next()?.parse().ok().filter(|of| *of > 0)?;
        let missing = match next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let id = next().filter(|id| is_id(id))?.to_owned();
        if next().is_some() || query.len() != 16 {
            return None;
        }
        Some(Place { query, position, day, key: Key { missing, number, of }, id })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { query, position, day, key: Key { missing, number, of }, id } = self;
        let missing = u8::from(*missing);
        write!(f, "{MARK}_{query}_{position}_{day}_{number}_{of}_{missing}_{id}")
    }
}

/// The answer to a place that is none.
pub(super) fn bad_after() -> Refusal {
    Refusal::invalid(
        "after",
        "bad_after",
        "`after` is the `next` of the page before, handed back as it was; leave it out to begin",
        "“after”应为上一页返回的“next”，原样传回；省略则从头开始",
    )
}

/// The answer to a place in the answer to another query.
pub(super) fn another_query() -> Refusal {
    Refusal::invalid(
        "after",
        "after_another_query",
        "`after` belongs to another query: keep every other parameter as it was, but limit",
        "“after”属于另一个查询：除 limit 外其他参数须与上一页相同",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_is_read_back_as_it_was_written(
            position in 0..i64::MAX,
            day in any::<i32>(),
            (missing, number, of) in (any::<bool>(), any::<i64>(), 1..i64::MAX),
            id in "[a-z0-9][a-z0-9.-]{0,63}",
        ) {
            let query = "0123456789abcdef".to_owned();
            let place = Place { query, position, day, key: Key { missing, number, of }, id };
            let text = place.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)));
            prop_assert_eq!(Place::parse(&text), Ok(place));
        }

        #[test]
        fn no_text_makes_it_stumble(text in "\\PC{0,40}|p1_[0-9a-f]{16}(_-?[0-9]{1,25}){4}_[01]_[a-z]{0,3}") {
            let _ = Place::parse(&text);
        }
    }
}
