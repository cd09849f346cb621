use crate::catalogue::{Offer, as_time};
use crate::clock::Millis;
use crate::events::{Fact, Topic};
use crate::money::{Price, change_bp, per_500g, yuan_text};
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
    /// `tick`, or `correction` if the price before was wrong and never held.
    pub kind: &'static str,
    /// The id of the event that is corrected; said of corrections alone, as is
    /// the note, since most changes are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrects: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
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
            kind: "tick",
            corrects: None,
            note: None,
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

/// What is asked for so many grams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Fen a unit.
    pub fen: i64,
    /// Grams a unit.
    pub grams: i64,
}

/// Why a price for another unit than before has to be confirmed, if it has to:
/// what counts is what the same weight costs.
pub fn confirm_needed_by_weight(from: Asked, to: Asked) -> Option<Refusal> {
    let before = i128::from(from.fen) * i128::from(to.grams);
    let after = i128::from(to.fen) * i128::from(from.grams);
    if (after - before).abs() * 2 <= before {
        return None;
    }
    let price = |asked: Asked| yuan_text(asked.fen);
    let by_weight = |asked: Asked| yuan_text(per_500g(asked.fen, asked.grams));
    let (old, new) = (by_weight(from), by_weight(to));
    let (old_grams, new_grams) = (from.grams, to.grams);
    Some(
        Refusal::invalid(
            "price",
            "confirm_needed",
            format!("from {old} to {new} for 500 g is more than half (a unit had {old_grams} g and has {new_grams}); repeat it with ?confirm=true if it is meant"),
            format!("按每 500 克计，价格从 {old} 变为 {new}，变动超过一半（每单位原为 {old_grams} 克，现为 {new_grams} 克）；如确认无误请加 ?confirm=true 重试"),
        )
        .with("from", price(from))
        .with("to", price(to))
        .with("from_per_500g", old)
        .with("to_per_500g", new)
        .with("from_grams_per_unit", old_grams)
        .with("to_grams_per_unit", new_grams),
    )
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

    #[test]
    fn another_unit_is_judged_by_weight() {
        let asked = |from: (i64, i64), to: (i64, i64)| {
            let asked = |(fen, grams)| Asked { fen, grams };
            confirm_needed_by_weight(asked(from), asked(to))
        };
        // 100.00 a jin is 200.00 a kilogram, and 20.00 for 100 g.
        assert!(asked((10_000, 500), (20_000, 1_000)).is_none());
        assert!(asked((10_000, 500), (2_000, 100)).is_none());
        assert!(asked((10_000, 500), (15_000, 500)).is_none());
        let refusal = asked((10_000, 500), (10_000, 1)).expect("asked");
        assert_eq!(refusal.more["from_per_500g"], "100.00");
        assert_eq!(refusal.more["to_per_500g"], "50000.00");
        assert_eq!(
            (&refusal.more["from"], &refusal.more["to"]),
            (&"100.00".into(), &"100.00".into())
        );
        assert!(asked((1, 10_000_000), (1_000_000_000_000, 1)).is_some());
    }

    proptest::proptest! {
        #[test]
        fn by_weight_of_the_same_unit_is_the_plain_rule(
            from in 1..=1_000_000_000_000_i64, to in 1..=1_000_000_000_000_i64, grams in 1..=10_000_000_i64,
        ) {
            let plain = confirm_needed(Some(from), Price::from_fen(to).expect("a price")).is_some();
            let by_weight = confirm_needed_by_weight(Asked { fen: from, grams }, Asked { fen: to, grams });
            proptest::prop_assert_eq!(plain, by_weight.is_some());
        }
    }
}
