use crate::alerts::Amount;
use crate::alerts::rule::{Filter, Kind};
use crate::alerts::series::Series;
use crate::clock::{self, Millis};
use crate::events::Recorded;
use crate::money::yuan;
use serde::Deserialize;

/// What an event means to rules.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A series has another value.
    Value(Value),
    /// A product was listed or described anew.
    Listed(Box<Listing>),
    /// A product is gone.
    Withdrawn(String),
}

/// Another value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub series: Series,
    /// None if it is unknown now.
    pub value: Option<i64>,
    pub grams: i64,
    /// When it was seen, if the event says.
    pub observed_at: Option<Millis>,
    pub correction: bool,
}

/// A product as its event describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Listing {
    pub id: String,
    pub category: String,
    pub market: String,
    pub merchant: String,
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i64>,
    pub form: Option<String>,
    pub price_type: String,
    pub grams_per_unit: i64,
    pub price_fen: Option<i64>,
    pub stock: Option<i64>,
    pub available: Option<i64>,
    pub status: String,
}

impl Listing {
    /// Whether a filter takes it in.
    pub(super) fn matches(&self, filter: &Filter, price_type: Option<&str>) -> bool {
        let within = self.category == filter.category
            || self.category.strip_prefix(&filter.category).is_some_and(|it| it.starts_with('.'));
        let same = |wanted: &Option<String>, is: Option<&String>| {
            wanted.as_ref().is_none_or(|wanted| Some(wanted) == is)
        };
        within
            && self.status == "listed"
            && price_type.is_none_or(|it| it == self.price_type)
            && same(&filter.origin, self.origin.as_ref())
            && same(&filter.grade, self.grade.as_ref())
            && same(&filter.form, self.form.as_ref())
            && same(&filter.market, Some(&self.market))
            && same(&filter.merchant, Some(&self.merchant))
            && filter.vintage.is_none_or(|it| Some(it) == self.vintage)
    }

    /// The value that a rule of `kind` looks at.
    pub(super) fn value(&self, kind: Kind) -> Option<i64> {
        match kind {
            Kind::Price => self.price_fen,
            Kind::Stock => self.available.or(self.stock),
        }
    }
}

#[derive(Deserialize)]
struct PriceChanged {
    product: String,
    price_fen: i64,
    grams_per_unit: i64,
    observed_at: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct StockChanged {
    product: String,
    quantity: Option<i64>,
    #[serde(default, deserialize_with = "told")]
    available: Option<Option<i64>>,
}

/// Tells what is null from what is not there.
fn told<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::<i64>::deserialize(reader).map(Some)
}

#[derive(Deserialize)]
struct MarketUpdated {
    market: String,
    index: Option<String>,
}

#[derive(Deserialize)]
struct Withdrawn {
    product: String,
}

/// What `event` means to rules; none if nothing.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read(event: &Recorded) -> Result<Option<Change>, serde_json::Error> {
    let data = &event.data;
    Ok(Some(match event.kind.as_str() {
        "price.changed" => {
            let told: PriceChanged = serde_json::from_str(data)?;
            Change::Value(Value {
                series: Series::Price(told.product),
                value: Some(told.price_fen),
                grams: told.grams_per_unit,
                observed_at: told.observed_at.and_then(|text| clock::parse(&text)),
                correction: told.kind.is_some_and(|kind| kind == "correction"),
            })
        }
        "stock.changed" => {
            let told: StockChanged = serde_json::from_str(data)?;
            Change::Value(Value {
                series: Series::Stock(told.product),
                value: told.available.unwrap_or(told.quantity),
                grams: Amount::plain(0).grams,
                observed_at: None,
                correction: false,
            })
        }
        "market.updated" => {
            let told: MarketUpdated = serde_json::from_str(data)?;
            let Some(index) = told.index else { return Ok(None) };
            let series = Series::Market(told.market);
            let (value, grams) = (yuan(&index), Amount::plain(0).grams);
            Change::Value(Value { series, value, grams, observed_at: None, correction: false })
        }
        "product.arrived" | "product.updated" => {
            Change::Listed(Box::new(serde_json::from_str(data)?))
        }
        "product.withdrawn" => Change::Withdrawn(serde_json::from_str::<Withdrawn>(data)?.product),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &str) -> Recorded {
        Recorded { seq: 1, time: 0, kind: kind.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn available_is_what_can_be_sold_and_null_is_unknown() {
        let value = |data: &str| match read(&event("stock.changed", data)) {
            Ok(Some(Change::Value(value))) => value.value,
            other => panic!("{other:?}"),
        };
        assert_eq!(value(r#"{"product":"a","quantity":5}"#), Some(5));
        assert_eq!(value(r#"{"product":"a","quantity":5,"available":2}"#), Some(2));
        assert_eq!(value(r#"{"product":"a","quantity":5,"available":null}"#), None);
        assert_eq!(value(r#"{"product":"a","quantity":null}"#), None);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_what_is_of_no_interest_is_not() {
        assert!(read(&event("price.changed", "{")).is_err());
        assert!(read(&event("price.changed", r#"{"product":"a"}"#)).is_err());
        assert_eq!(read(&event("room.message", "{")).ok(), Some(None));
    }
}
