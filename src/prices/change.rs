use crate::catalogue::{Offer, as_time};
use crate::clock::Millis;
use crate::events::{Fact, Topic};
use crate::money::{Price, change_bp, yuan_text};
use crate::refusal::Refusal;
use serde::Serialize;

/// A product costs something else than before.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct PriceChanged<'a> {
    pub product: &'a str,
    pub name: &'a str,
    pub category: &'a str,
    pub market: &'a str,
    pub merchant: &'a str,
    pub price: String,
    pub price_fen: i64,
    pub price_text: String,
    pub unit: &'a str,
    pub grams_per_unit: i64,
    pub price_type: &'a str,
    /// Before; none if it had no price.
    pub from: Option<String>,
    pub from_fen: Option<i64>,
    /// Hundredths of a percent.
    pub change_bp: Option<i64>,
    #[serde(serialize_with = "as_time")]
    pub observed_at: Millis,
}

impl PriceChanged<'_> {
    /// The change of `offer` to `price`.
    pub fn new(offer: &Offer, price: Price, observed_at: Millis) -> PriceChanged<'_> {
        let yuan = price.to_string();
        PriceChanged {
            product: &offer.id,
            name: &offer.name,
            category: &offer.category,
            market: &offer.market,
            merchant: &offer.merchant,
            price_text: offer.price_text(&yuan),
            price: yuan,
            price_fen: price.fen(),
            unit: &offer.unit,
            grams_per_unit: offer.grams_per_unit,
            price_type: &offer.price_type,
            from: offer.price.map(yuan_text),
            from_fen: offer.price,
            change_bp: offer.price.map(|from| change_bp(from, price.fen())),
            observed_at,
        }
    }
}

impl Fact for PriceChanged<'_> {
    fn kind(&self) -> &'static str {
        "price.changed"
    }

    fn topics(&self) -> Vec<Topic> {
        let mut topics = Vec::with_capacity(4);
        topics.push(Topic::price(self.category));
        // Who follows a class follows its sub-classes.
        if let Some((parent, _)) = self.category.split_once('.') {
            topics.push(Topic::price(parent));
        }
        topics.push(Topic::market(self.market));
        topics.push(Topic::product(self.product));
        topics
    }
}

/// Why a move has to be confirmed, if it has to.
///
/// A move by more than half is a slip of the hand more often than a sale; but
/// prices have fallen by more, so it is asked and not refused for good.
pub fn confirm_needed(from: Option<i64>, to: Price) -> Option<Refusal> {
    let from = from?;
    let moved = (i128::from(to.fen()) - i128::from(from)).abs();
    if moved * 2 <= i128::from(from) {
        return None;
    }
    let (from, to) = (yuan_text(from), to.to_string());
    Some(
        Refusal::invalid(
            "price",
            "confirm_needed",
            format!(
                "from {from} to {to} is more than half; repeat it with ?confirm=true if it is meant"
            ),
            format!("价格从 {from} 变为 {to}，变动超过一半；如确认无误请加 ?confirm=true 重试"),
        )
        .with("from", from)
        .with("to", to),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_by_more_than_half_has_to_be_confirmed() {
        let asked =
            |from, to| confirm_needed(from, Price::from_fen(to).expect("a price")).is_some();
        assert!(!asked(None, 1) && !asked(Some(100), 150) && !asked(Some(100), 50));
        assert!(asked(Some(100), 151) && asked(Some(100), 49));
        assert!(asked(Some(1), 1_000_000_000_000));
    }
}
