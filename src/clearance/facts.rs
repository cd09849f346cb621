use crate::catalogue::{Clearance, Heading, Product, as_time, as_time_opt};
use crate::clock::Millis;
use crate::events::{Fact, Topic};
use crate::money::yuan_text;
use serde::Serialize;

/// A product is being sold off.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ClearanceStarted {
    #[serde(flatten)]
    pub heading: Heading,
    pub price: String,
    pub price_fen: i64,
    pub price_text: String,
    /// The usual price; none if it has none.
    pub was: Option<String>,
    pub was_fen: Option<i64>,
    #[serde(serialize_with = "as_time")]
    pub starts_at: Millis,
    #[serde(serialize_with = "as_time_opt")]
    pub ends_at: Option<Millis>,
}

impl ClearanceStarted {
    /// Of `product`, by `clearance`.
    pub fn new(product: &Product, clearance: &Clearance) -> ClearanceStarted {
        ClearanceStarted {
            heading: product.heading(),
            price: yuan_text(clearance.price),
            price_fen: clearance.price,
            price_text: product.price_text(clearance.price),
            was: product.price.map(yuan_text),
            was_fen: product.price,
            starts_at: clearance.starts_at,
            ends_at: clearance.ends_at,
        }
    }
}

impl Fact for ClearanceStarted {
    fn kind(&self) -> &'static str {
        "clearance.started"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::clearance(), Topic::product(&self.heading.product)]
    }
}

/// A product costs what it usually does again, or is gone.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ClearanceEnded {
    #[serde(flatten)]
    pub heading: Heading,
    /// `due`, `cancelled`, `sold_out` or `withdrawn`.
    pub reason: &'static str,
}

impl ClearanceEnded {
    /// Of `product`, for `reason`.
    pub fn new(product: &Product, reason: &'static str) -> ClearanceEnded {
        ClearanceEnded { heading: product.heading(), reason }
    }
}

impl Fact for ClearanceEnded {
    fn kind(&self) -> &'static str {
        "clearance.ended"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::clearance(), Topic::product(&self.heading.product)]
    }
}
