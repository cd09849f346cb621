use super::Level;
use crate::catalogue::{Heading, Product};
use crate::events::{Fact, Topic};
use serde::Serialize;

/// There is more or less of a product than before.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct StockChanged {
    #[serde(flatten)]
    pub heading: Heading,
    pub quantity: i64,
    /// Before; none while it was unknown.
    pub from: Option<i64>,
    pub delta: Option<i64>,
    /// Of it, what is promised to somebody.
    pub reserved: i64,
    /// What is left when all promises are kept, and what was before.
    pub available: i64,
    pub available_from: Option<i64>,
    /// What is counted: `gram` or `piece`.
    pub stock_unit: &'static str,
    /// `set`, `moved`, `reserved`, `released`, `expired` or `sold`.
    pub reason: &'static str,
    pub note: Option<String>,
}

impl StockChanged {
    /// The change of `product` to `level`.
    pub fn new(product: &Product, level: Level<'_>) -> StockChanged {
        let Level { quantity, reserved, reason, note } = level;
        StockChanged {
            heading: product.heading(),
            quantity,
            from: product.stock,
            delta: product.stock.map(|from| quantity - from),
            reserved,
            available: (quantity - reserved).max(0),
            available_from: product.available(),
            stock_unit: product.stock_unit(),
            reason,
            note: note.map(str::to_owned),
        }
    }
}

impl Fact for StockChanged {
    fn kind(&self) -> &'static str {
        "stock.changed"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::product(&self.heading.product), Topic::merchant(&self.heading.merchant)]
    }
}
