use crate::clock::Millis;
use crate::db::schema::{clearances, price_ticks, products};
use crate::db::{self, Conn};
use diesel::prelude::*;

/// Of a product what it is looked for by.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = products)]
pub(super) struct Listing {
    pub id: String,
    pub merchant: String,
    pub market: String,
    pub category: String,
    pub name: String,
    pub name_en: Option<String>,
    pub brand: Option<String>,
    pub variety: Option<String>,
    pub recipe: Option<String>,
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i64>,
    pub batch: Option<String>,
    pub form: Option<String>,
    pub harvest: Option<String>,
    pub storage: Option<String>,
    pub grams_per_unit: i64,
    pub price_type: String,
    pub price: Option<i64>,
    pub stock: Option<i64>,
    pub reserved: i64,
    pub status: String,
    pub created: Millis,
    pub updated: Millis,
}

impl Listing {
    /// What may still be promised to somebody; none while it is unknown.
    pub fn available(&self) -> Option<i64> {
        self.stock.map(|stock| (stock - self.reserved).max(0))
    }
}

/// Products by id, `limit` of those after `after`.
pub(super) fn listings(conn: &mut Conn, after: &str, limit: i64) -> db::Result<Vec<Listing>> {
    let page = products::table.filter(products::id.gt(after)).order(products::id).limit(limit);
    Ok(page.select(Listing::as_select()).load(conn)?)
}

/// The products that are called one of `ids`, in any order.
pub(super) fn listings_of(conn: &mut Conn, ids: &[String]) -> db::Result<Vec<Listing>> {
    let some = products::table.filter(products::id.eq_any(ids));
    Ok(some.select(Listing::as_select()).load(conn)?)
}

/// All products that are on clearance now.
pub(super) fn reduced(conn: &mut Conn) -> db::Result<Vec<String>> {
    let running = clearances::table.filter(clearances::active.eq(true));
    Ok(running.select(clearances::product).load(conn)?)
}

/// Those of `ids` that are on clearance now.
pub(super) fn reduced_of(conn: &mut Conn, ids: &[String]) -> db::Result<Vec<String>> {
    let running = clearances::table.filter(clearances::active.eq(true));
    let of = running.filter(clearances::product.eq_any(ids));
    Ok(of.select(clearances::product).load(conn)?)
}

/// A price that a product had.
#[derive(Clone, Debug, Queryable)]
pub(super) struct Tick {
    pub seq: i64,
    pub product: String,
    pub price: i64,
    pub grams_per_unit: i64,
    pub received_at: Millis,
}

/// The `limit` newest ticks before position `before`, newest first.
pub(super) fn ticks_before(conn: &mut Conn, before: i64, limit: i64) -> db::Result<Vec<Tick>> {
    let columns = (
        price_ticks::seq,
        price_ticks::product,
        price_ticks::price,
        price_ticks::grams_per_unit,
        price_ticks::received_at,
    );
    let older = price_ticks::table.filter(price_ticks::seq.lt(before));
    Ok(older.order(price_ticks::seq.desc()).limit(limit).select(columns).load(conn)?)
}
