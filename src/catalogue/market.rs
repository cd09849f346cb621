use super::text::{clean, clean_opt};
use super::{Market, store};
use crate::clock::{Millis, day_start, parse_day};
use crate::db;
use crate::events::{self, Fact, Receipt, Topic, Tx};
use crate::money::{yuan, yuan_text};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

impl Market {
    /// As it is answered, with how many products are listed in it.
    pub fn json(&self, products: i64) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "name_en": self.name_en,
            "city": self.city,
            "province": self.province,
            "kind": self.kind,
            "open_days": self.open_days,
            "products": products,
        })
    }
}

/// The answer to whoever asks for a market that is not there.
pub fn unknown_market(field: &str, id: &str, known: &[Market]) -> Refusal {
    let known = known.iter().map(|market| &*market.id);
    Refusal::unknown(field, "unknown_market", ("market", "市场"), id, known)
}

/// What a market tells of itself: volume, turnover, average and index of a
/// period, or just news.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct NewUpdate {
    pub title: String,
    pub body: Option<String>,
    /// The period the figures are of: `2026-11`, `2026-11-22`.
    pub period: Option<String>,
    pub volume_kg: Option<i64>,
    /// Yuan.
    pub turnover: Option<String>,
    /// Yuan a kilogram.
    pub average: Option<String>,
    /// The market's own index, up to two decimals.
    pub index: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct MarketUpdated {
    market: String,
    name: String,
    title: String,
    body: Option<String>,
    period: Option<String>,
    volume_kg: Option<i64>,
    turnover: Option<String>,
    turnover_fen: Option<i64>,
    average: Option<String>,
    average_fen: Option<i64>,
    index: Option<String>,
}

impl Fact for MarketUpdated {
    fn kind(&self) -> &'static str {
        "market.updated"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::market(&self.market)]
    }
}

/// Tells what a market has to tell.
///
/// # Errors
/// `unknown_market`, or the field that is of no use.
pub fn update_market(tx: &mut Tx<'_>, id: &str, update: &NewUpdate) -> events::Result<Receipt> {
    let Some(market) = store::market(tx.read(), id)? else {
        let known = store::markets(tx.read())?;
        return Err(unknown_market("market", id, &known).into());
    };
    let turnover = amount("turnover", update.turnover.as_deref())?;
    let average = amount("average", update.average.as_deref())?;
    let index = amount("index", update.index.as_deref())?;
    let told = MarketUpdated {
        market: market.id,
        name: market.name,
        title: clean("title", &update.title, 120)?,
        body: clean_opt("body", update.body.as_deref(), 2000)?,
        period: clean_opt("period", update.period.as_deref(), 32)?,
        volume_kg: super::within("volume_kg", update.volume_kg, 0, 1_000_000_000_000)?,
        turnover: turnover.map(yuan_text),
        turnover_fen: turnover,
        average: average.map(yuan_text),
        average_fen: average,
        index: index.map(yuan_text),
    };
    let seq = tx.next_seq();
    let receipt = tx.append(&told)?;
    let latest = serde_json::to_string(&told).map_err(|err| db::Error::Corrupt(err.to_string()))?;
    store::set_latest(tx.write(), id, &latest)?;
    let now = tx.now();
    let (begins, span) = period(told.period.as_deref(), now);
    let record = store::MarketRecord {
        seq,
        market: id,
        told_at: now,
        period: told.period.as_deref(),
        begins,
        span,
        volume_kg: told.volume_kg,
        turnover,
        average,
        level: index,
    };
    // News without a figure says nothing of a period.
    if [told.volume_kg, turnover, average, index].iter().any(Option::is_some) {
        store::insert_record(tx.write(), &record)?;
    }
    Ok(receipt)
}

/// When a period that is written as `2026-11` or `2026-11-22` begins, and
/// whether it is a month or a day; what is written otherwise is of today.
fn period(text: Option<&str>, now: Millis) -> (Millis, &'static str) {
    let text = text.unwrap_or_default();
    match (parse_day(text), parse_day(&format!("{text}-01"))) {
        (Some(begins), _) => (begins, "day"),
        (None, Some(begins)) => (begins, "month"),
        (None, None) => (day_start(now), "day"),
    }
}

fn amount(field: &'static str, text: Option<&str>) -> Result<Option<i64>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    yuan(text).map(Some).ok_or_else(|| {
        Refusal::invalid(
            field,
            "bad_number",
            format!("`{field}` is a number with at most two decimals, as in \"172.82\""),
            format!("“{field}”应为最多两位小数的数字，例如 \"172.82\""),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_month_or_a_day() {
        let at = |text| parse_day(text).expect("a day");
        let now = at("2026-11-22") + 5;
        assert_eq!(period(Some("2026-09"), now), (at("2026-09-01"), "month"));
        assert_eq!(period(Some("2026-09-03"), now), (at("2026-09-03"), "day"));
        for other in [None, Some("spring"), Some("2026-13"), Some("2026-02-30")] {
            assert_eq!(period(other, now), (at("2026-11-22"), "day"), "{other:?}");
        }
    }
}
