use super::index::{self, BASE, Day, Mover, Tally};
use super::store::{self, DayRow};
use crate::catalogue::{Market, as_time};
use crate::clock::{Millis, business_day, day_start};
use crate::db::{self, Db};
use crate::events::{self, Fact, Publisher, Topic};
use crate::money::{change_bp, yuan_text};
use serde::Serialize;

/// How many listings one read goes through.
const PAGE: i64 = 500;

/// How much later than it was due a summary is called late.
const LATE: Millis = 60_000;

/// How a market went on a business day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct MarketSummary {
    market: String,
    name: String,
    /// The business day.
    day: String,
    #[serde(serialize_with = "as_time")]
    due_at: Millis,
    /// Whether it is told much later than it was due.
    late: bool,
    /// Two decimals.
    index: String,
    /// Against the summary before; none of the first.
    index_change_bp: Option<i64>,
    /// How many products the index is of.
    index_products: i64,
    products: i64,
    up: i64,
    down: i64,
    unchanged: i64,
    new: i64,
    risers: Vec<MoverJson>,
    fallers: Vec<MoverJson>,
    /// What the market told of the day, if it did.
    volume_kg: Option<i64>,
    turnover: Option<String>,
    turnover_fen: Option<i64>,
    average: Option<String>,
    average_fen: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct MoverJson {
    product: String,
    name: String,
    from: String,
    from_fen: i64,
    price: String,
    price_fen: i64,
    change_bp: i64,
}

impl From<Mover> for MoverJson {
    fn from(mover: Mover) -> MoverJson {
        MoverJson {
            from: yuan_text(mover.from),
            from_fen: mover.from,
            price: yuan_text(mover.to),
            price_fen: mover.to,
            change_bp: mover.change_bp,
            product: mover.product,
            name: mover.name,
        }
    }
}

impl Fact for MarketSummary {
    fn kind(&self) -> &'static str {
        "market.summary"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::market(&self.market)]
    }
}

/// Sums up the day of `market` that ended its business at `due` and tells it,
/// unless that was done already, here or on another node.
pub(super) async fn sum_up(
    db: &Db,
    publisher: &Publisher,
    market: Market,
    due: Millis,
) -> events::Result<()> {
    let begins = day_start(due);
    let id = market.id.clone();
    let known = db
        .read(move |conn| {
            let told = store::is_told(conn, &id, begins)?;
            let record = store::records(conn, &id, (begins, begins + 1), 10)?;
            let record = record.into_iter().rev().find(|record| record.span == "day");
            Ok::<_, db::Error>((told, store::day_before(conn, &id, begins)?, record))
        })
        .await?;
    let (false, before, record) = known else { return Ok(()) };
    let (anchor, base) = anchor(before.as_ref(), begins);
    let day = tally(db, &market.id, (due, begins, anchor)).await?;
    if day.products == 0 && record.is_none() {
        return Ok(());
    }
    let last = before.as_ref().map_or(base, |before| before.level);
    let level = day.ratio.map_or(last, |ratio| index::level(base, ratio));
    let (turnover, average) = record.as_ref().map_or((None, None), |it| (it.turnover, it.average));
    let row = DayRow {
        market: market.id.clone(),
        begins,
        due,
        level,
        base,
        anchor,
        counted: day.counted,
        up: day.up,
        down: day.down,
        unchanged: day.unchanged,
    };
    let summary = MarketSummary {
        market: market.id,
        name: market.name,
        day: business_day(begins),
        due_at: due,
        late: false,
        index: yuan_text(level),
        index_change_bp: before.map(|before| change_bp(before.level, level)),
        index_products: day.counted,
        products: day.products,
        up: day.up,
        down: day.down,
        unchanged: day.unchanged,
        new: day.new,
        risers: day.risers.into_iter().map(MoverJson::from).collect(),
        fallers: day.fallers.into_iter().map(MoverJson::from).collect(),
        volume_kg: record.as_ref().and_then(|record| record.volume_kg),
        turnover: turnover.map(yuan_text),
        turnover_fen: turnover,
        average: average.map(yuan_text),
        average_fen: average,
    };
    publisher
        .commit(move |tx| {
            // Another node may have been faster.
            if store::is_told(tx.read(), &row.market, row.begins)? {
                return Ok(());
            }
            let summary = MarketSummary { late: tx.now() - due > LATE, ..summary.clone() };
            let told = serde_json::to_string(&summary)
                .map_err(|err| db::Error::Corrupt(err.to_string()))?;
            store::save(tx.write(), &row, &told)?;
            tx.append(&summary)?;
            Ok(())
        })
        .await
}

/// From when on prices are compared, and what the index was then: the last
/// summary of the month before, so that an index of months is a chain of
/// months, whatever was listed in each.
fn anchor(before: Option<&DayRow>, begins: Millis) -> (Millis, i64) {
    let month = |at: Millis| business_day(at).get(..7).map(str::to_owned);
    match before {
        None => (begins - 1, BASE),
        Some(before) if month(before.begins) == month(begins) => (before.anchor, before.base),
        Some(before) => (before.due, before.level),
    }
}

/// What the listings of a market say, read a page at a time.
async fn tally(db: &Db, market: &str, moments: (Millis, Millis, Millis)) -> events::Result<Day> {
    let mut tally = Tally::default();
    let mut after = String::new();
    loop {
        let market = market.to_owned();
        let from = after.clone();
        let page =
            db.read(move |conn| store::listings(conn, &market, &from, moments, PAGE)).await?;
        let full = page.len() as i64 == PAGE;
        let Some(last) = page.last() else { break };
        after = last.product.clone();
        page.into_iter().for_each(|listing| tally.push(listing));
        if !full {
            break;
        }
    }
    Ok(tally.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse;

    #[test]
    fn an_index_is_a_chain_of_months() {
        let at = |text: &str| parse(text).expect("a time");
        let day = |begins: &str, level, base, anchor| DayRow {
            market: "fangcun".to_owned(),
            begins: at(begins),
            due: at(begins) + 18 * 3_600_000,
            level,
            base,
            anchor,
            counted: 9,
            up: 0,
            down: 0,
            unchanged: 0,
        };
        let first = at("2026-11-05T00:00:00+08:00");
        assert_eq!(anchor(None, first), (first - 1, BASE));
        let before = day("2026-11-29T00:00:00+08:00", 105_000, 100_000, 7);
        assert_eq!(anchor(Some(&before), at("2026-11-30T00:00:00+08:00")), (7, 100_000));
        assert_eq!(anchor(Some(&before), at("2026-12-01T00:00:00+08:00")), (before.due, 105_000));
    }
}
