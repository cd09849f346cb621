use super::index::Listing;
use crate::catalogue::Market;
use crate::clock::Millis;
use crate::db::schema::{checkpoints, market_days, market_records, markets};
use crate::db::{self, Conn};
use crate::money::by_weight;
use crate::on_either;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

/// The row of `checkpoints` that says up to which moment days were summed up.
const TASK: &str = "market-summary";

/// Up to when days were summed up; none before the first start.
pub(super) fn told_to(conn: &mut Conn) -> db::Result<Option<Millis>> {
    Ok(checkpoints::table.find(TASK).select(checkpoints::seq).get_result(conn).optional()?)
}

/// Notes that they were, up to `to`.
pub(super) fn set_told_to(conn: &mut Conn, to: Millis) -> db::Result<()> {
    let before = told_to(conn)?;
    if before.is_some_and(|before| before >= to) {
        return Ok(());
    }
    let values = (checkpoints::task.eq(TASK), checkpoints::seq.eq(to));
    on_either!(conn, |conn| diesel::insert_into(checkpoints::table)
        .values(values)
        .on_conflict(checkpoints::task)
        .do_update()
        .set(checkpoints::seq.eq(to))
        .execute(conn))?;
    Ok(())
}

/// A day that was summed up.
#[derive(Clone, Debug, PartialEq, Queryable, Insertable)]
#[diesel(table_name = market_days)]
pub(super) struct DayRow {
    pub market: String,
    pub begins: Millis,
    pub due: Millis,
    pub level: i64,
    pub base: i64,
    pub anchor: Millis,
    pub counted: i64,
    pub up: i64,
    pub down: i64,
    pub unchanged: i64,
}

/// The last day of `market` before the one that begins at `begins`.
pub(super) fn day_before(
    conn: &mut Conn,
    market: &str,
    begins: Millis,
) -> db::Result<Option<DayRow>> {
    use market_days as d;
    let last = d::table
        .filter(d::market.eq(market))
        .filter(d::begins.lt(begins))
        .order(d::begins.desc())
        .limit(1);
    Ok(last.get_result(conn).optional()?)
}

/// Whether the day that begins at `begins` was summed up.
pub(super) fn is_told(conn: &mut Conn, market: &str, begins: Millis) -> db::Result<bool> {
    let row = market_days::table.find((market, begins)).select(market_days::due);
    Ok(row.get_result::<Millis>(conn).optional()?.is_some())
}

/// Days of `market` that begin between two moments, oldest first.
pub(super) fn days(
    conn: &mut Conn,
    market: &str,
    (from, to): (Millis, Millis),
    limit: i64,
) -> db::Result<Vec<DayRow>> {
    use market_days as d;
    let days = d::table
        .filter(d::market.eq(market))
        .filter(d::begins.ge(from))
        .filter(d::begins.lt(to))
        .order(d::begins)
        .limit(limit);
    Ok(days.load(conn)?)
}

/// Stores a day, and the summary that is told of it.
pub(super) fn save(conn: &mut Conn, day: &DayRow, summary: &str) -> db::Result<()> {
    diesel::insert_into(market_days::table).values(day.clone()).execute(conn)?;
    diesel::update(markets::table.find(&day.market))
        .set(markets::summary.eq(summary))
        .execute(conn)?;
    Ok(())
}

/// What a market told of itself.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub(super) struct Record {
    pub seq: i64,
    pub market: String,
    pub told_at: Millis,
    pub period: Option<String>,
    pub begins: Millis,
    pub span: String,
    pub volume_kg: Option<i64>,
    pub turnover: Option<i64>,
    pub average: Option<i64>,
    pub level: Option<i64>,
}

/// What `market` told of periods that begin between two moments, oldest first
/// and the newest of a period last.
pub(super) fn records(
    conn: &mut Conn,
    market: &str,
    (from, to): (Millis, Millis),
    limit: i64,
) -> db::Result<Vec<Record>> {
    use market_records as r;
    let records = r::table
        .filter(r::market.eq(market))
        .filter(r::begins.ge(from))
        .filter(r::begins.lt(to))
        .order((r::begins.desc(), r::seq.desc()))
        .limit(limit);
    let mut found: Vec<Record> = records.load(conn)?;
    found.reverse();
    Ok(found)
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    merchant: String,
    #[diesel(sql_type = BigInt)]
    grams_per_unit: i64,
    #[diesel(sql_type = Nullable<Text>)]
    price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    before: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    anchor: Option<String>,
}

/// What the listings of `market` after product `after` cost at three moments:
/// now, then before, then at the anchor.
pub(super) fn listings(
    conn: &mut Conn,
    market: &str,
    after: &str,
    (now, before, anchor): (Millis, Millis, Millis),
    limit: i64,
) -> db::Result<Vec<Listing>> {
    // As one value: two would take two searches.
    let at = |place: u8, sign: &str| {
        format!(
            "(SELECT CAST(h.price AS TEXT) || '/' || CAST(h.grams_per_unit AS TEXT) FROM price_history h \
             WHERE h.product = p.id AND h.observed_at {sign} ${place} AND h.kind IN (p.price_type, 'correction') \
             ORDER BY h.observed_at DESC, h.seq DESC LIMIT 1)"
        )
    };
    let sql = format!(
        "SELECT p.id, p.name, p.merchant, p.grams_per_unit, {} AS price, {} AS before, {} AS anchor \
         FROM products p WHERE p.market = $4 AND p.id > $5 AND p.status = 'listed' ORDER BY p.id LIMIT $6",
        at(1, "<="),
        at(2, "<"),
        at(3, "<="),
    );
    let rows: Vec<Row> = diesel::sql_query(sql)
        .bind::<BigInt, _>(now)
        .bind::<BigInt, _>(before)
        .bind::<BigInt, _>(anchor)
        .bind::<Text, _>(market)
        .bind::<Text, _>(after)
        .bind::<BigInt, _>(limit)
        .load(conn)?;
    let listing = |row: Row| {
        let fen = |text: Option<String>| {
            let (price, grams) = text.as_deref()?.split_once('/')?;
            Some(by_weight(price.parse().ok()?, grams.parse().ok()?, row.grams_per_unit))
        };
        Listing {
            price: fen(row.price),
            before: fen(row.before),
            anchor: fen(row.anchor),
            product: row.id,
            name: row.name,
            merchant: row.merchant,
        }
    };
    Ok(rows.into_iter().map(listing).collect())
}

/// All markets.
pub(super) fn all(conn: &mut Conn) -> db::Result<Vec<Market>> {
    crate::catalogue::store::markets(conn)
}
