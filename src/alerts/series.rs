use super::rule::{Condition, Kind};
use super::{Amount, references};
use crate::catalogue::{self, Product};
use crate::clock::Millis;
use crate::db::{self, Conn};
use serde::Deserialize;
use std::fmt;

/// One run of values that rules look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Series {
    /// The price of a product.
    Price(String),
    /// The stock of a product.
    Stock(String),
    /// The index of a market.
    Market(String),
}

impl Series {
    /// What a rule of `kind` looks at on `product`.
    pub fn of_product(kind: Kind, product: &str) -> Series {
        match kind {
            Kind::Price => Series::Price(product.to_owned()),
            Kind::Stock => Series::Stock(product.to_owned()),
        }
    }

    /// The series that is stored as `key`.
    pub fn parse(key: &str) -> Option<Series> {
        let (kind, name) = key.split_once(':')?;
        match kind {
            "p" => Some(Series::Price(name.to_owned())),
            "s" => Some(Series::Stock(name.to_owned())),
            "m" => Some(Series::Market(name.to_owned())),
            _ => None,
        }
    }

    /// The product, if it is one's.
    pub fn product(&self) -> Option<&str> {
        match self {
            Series::Price(product) | Series::Stock(product) => Some(product),
            Series::Market(_) => None,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Series::Price(name) => ("p", name),
            Series::Stock(name) => ("s", name),
            Series::Market(name) => ("m", name),
        };
        write!(f, "{kind}:{name}")
    }
}

/// The last value of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Fen or how many; none if it is unknown.
    pub value: Option<i64>,
    /// The grams of a unit.
    pub grams: i64,
    /// The position of the event that told of it, or the one it was looked up at.
    pub seq: i64,
    /// When it came.
    pub at: Millis,
    /// When it was seen.
    pub observed_at: Millis,
}

impl Latest {
    /// The value as `condition` compares it.
    pub fn amount(&self, condition: &Condition) -> Option<Amount> {
        let fen = self.value?;
        Some(match condition.op.kind() {
            Kind::Price => references::priced(condition.basis, fen, self.grams),
            Kind::Stock => Amount::plain(fen),
        })
    }
}

/// What a series is called, and how its values are told.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A product.
    Product(Box<Product>),
    /// A market: its name and its index.
    Market(String, Option<i64>),
}

impl Subject {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Subject::Product(product) => &product.name,
            Subject::Market(name, _) => name,
        }
    }

    /// The value of `series` as the catalogue has it, at position `seq`.
    pub fn latest(&self, series: &Series, seq: i64, now: Millis) -> Latest {
        let (value, grams, seen) = match (self, series) {
            (Subject::Product(product), Series::Stock(_)) => {
                (available(product), product.grams_per_unit, product.stock_at)
            }
            (Subject::Product(product), _) => {
                (product.price, product.grams_per_unit, product.price_at)
            }
            (Subject::Market(_, index), _) => (*index, super::amount::PLAIN, None),
        };
        let seen = seen.unwrap_or(now).min(now);
        Latest { value, grams, seq, at: seen, observed_at: seen }
    }
}

/// How many of a product can be sold; none if nobody knows.
pub fn available(product: &Product) -> Option<i64> {
    product.available()
}

/// What `series` is about, if it is still there.
pub fn subject(conn: &mut Conn, series: &Series) -> db::Result<Option<Subject>> {
    #[derive(Deserialize)]
    struct Update {
        index: Option<String>,
    }
    match series {
        Series::Price(product) | Series::Stock(product) => {
            let product = catalogue::store::find(conn, product)?;
            Ok(product.map(|product| Subject::Product(Box::new(product))))
        }
        Series::Market(market) => {
            let market = catalogue::store::market(conn, market)?;
            Ok(market.map(|market| {
                let latest = market.latest.as_deref().unwrap_or_default();
                let update = serde_json::from_str::<Update>(latest).ok();
                let index = update.and_then(|it| crate::money::yuan(&it.index?));
                Subject::Market(market.name, index)
            }))
        }
    }
}
