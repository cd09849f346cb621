use crate::catalogue::{Clearance, Product};
use crate::clock::Millis;
use crate::db::schema::{clearances, price_ticks, products};
use crate::db::{self, Conn};
use diesel::prelude::*;

/// The most products of a page.
const PRODUCTS: i64 = 500;

/// How many positions of the log a page of prices looks at: whoever has few
/// products among many does not hold a connection for long.
const POSITIONS: i64 = 20_000;

/// What a merchant offers, by id, with the clearances that run.
pub(super) fn products(
    conn: &mut Conn,
    merchant: &str,
    after: &str,
) -> db::Result<Vec<(Product, Option<Clearance>)>> {
    let own = products::table
        .filter(products::merchant.eq(merchant.to_owned()))
        .filter(products::status.eq("listed"));
    let page = own.filter(products::id.gt(after.to_owned())).order(products::id).limit(PRODUCTS);
    let found: Vec<Product> = page.load(conn)?;
    let ids: Vec<String> = found.iter().map(|product| product.id.clone()).collect();
    let running = clearances::table.filter(clearances::active.eq(true));
    let running: Vec<Clearance> = running.filter(clearances::product.eq_any(ids)).load(conn)?;
    let of = |id: &str| running.iter().find(|clearance| clearance.product == id).cloned();
    Ok(found.into_iter().map(|product| (of(&product.id), product)).map(|(c, p)| (p, c)).collect())
}

/// A price that a product had.
#[derive(Queryable)]
pub(super) struct Tick {
    pub seq: i64,
    pub product: String,
    pub price: i64,
    pub unit: String,
    pub grams_per_unit: i64,
    pub observed_at: Millis,
    pub received_at: Millis,
    pub source: String,
    pub corrects: Option<i64>,
    pub note: Option<String>,
}

/// The prices of a merchant's products that were told after position `after`,
/// and from where to go on; nowhere at the end.
pub(super) fn ticks(
    conn: &mut Conn,
    merchant: &str,
    after: i64,
    (from, to): (Millis, Millis),
) -> db::Result<(Vec<Tick>, Option<i64>)> {
    let newest: Option<i64> = price_ticks::table
        .order(price_ticks::seq.desc())
        .select(price_ticks::seq)
        .first(conn)
        .optional()?;
    let end = after + POSITIONS;
    let own = price_ticks::table
        .inner_join(products::table.on(products::id.eq(price_ticks::product)))
        .filter(price_ticks::seq.gt(after))
        .filter(price_ticks::seq.le(end))
        .filter(price_ticks::received_at.ge(from))
        .filter(price_ticks::received_at.lt(to))
        .filter(products::merchant.eq(merchant.to_owned()))
        .order(price_ticks::seq)
        .select((
            price_ticks::seq,
            price_ticks::product,
            price_ticks::price,
            price_ticks::unit,
            price_ticks::grams_per_unit,
            price_ticks::observed_at,
            price_ticks::received_at,
            price_ticks::source,
            price_ticks::corrects,
            price_ticks::note,
        ));
    Ok((own.load(conn)?, newest.filter(|newest| end < *newest).map(|_| end)))
}

/// The position before the first price told at `from` or later. Prices are
/// told in the order of the log, and so the time of the ticks never falls.
pub(super) fn begin(conn: &mut Conn, from: Millis) -> db::Result<i64> {
    let ends = |conn: &mut Conn| -> db::Result<Option<(i64, i64)>> {
        let seq = price_ticks::seq;
        let first: Option<i64> =
            price_ticks::table.order(seq).select(seq).first(conn).optional()?;
        let last: Option<i64> =
            price_ticks::table.order(seq.desc()).select(seq).first(conn).optional()?;
        Ok(first.zip(last))
    };
    let Some((mut low, mut high)) = ends(conn)? else { return Ok(0) };
    low -= 1;
    // Halves the span until one position is left; a look goes to the next tick.
    while low < high {
        let middle = low + (high - low) / 2;
        let next: Option<(i64, Millis)> = price_ticks::table
            .filter(price_ticks::seq.gt(middle))
            .order(price_ticks::seq)
            .select((price_ticks::seq, price_ticks::received_at))
            .first(conn)
            .optional()?;
        match next {
            Some((seq, at)) if at < from => low = seq,
            _ => high = middle,
        }
    }
    Ok(low)
}
