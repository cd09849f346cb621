use super::{Clearance, Market, Offer, Product};
use crate::clock::Millis;
use crate::db::schema::{clearances, market_records, markets, products};
use crate::db::{self, Conn};
use crate::names::is_id;
use crate::on_either;
use diesel::dsl::count_star;
use diesel::expression::ValidGrouping;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Bool, Text};
use diesel::sqlite::Sqlite;
use std::collections::HashMap;

/// The product called `id`.
pub fn find(conn: &mut Conn, id: &str) -> db::Result<Option<Product>> {
    // What cannot be an id is none; PostgreSQL would not even be asked for some.
    if !is_id(id) {
        return Ok(None);
    }
    // Not `first`: SQLite plans what has a bound LIMIT anew each time it runs.
    Ok(on_either!(conn, |conn| products::table.find(id).get_result(conn).optional())?)
}

/// What is asked for the product called `id`.
pub fn offer(conn: &mut Conn, id: &str) -> db::Result<Option<Offer>> {
    if !is_id(id) {
        return Ok(None);
    }
    Ok(on_either!(conn, |conn| products::table
        .find(id)
        .select(Offer::as_select())
        .get_result(conn)
        .optional())?)
}

/// What is asked for all products that are called one of `ids`, in any order.
pub fn offers(conn: &mut Conn, ids: &[&str]) -> db::Result<Vec<Offer>> {
    let ids: Vec<&str> = ids.iter().copied().filter(|id| is_id(id)).collect();
    Ok(match conn {
        Conn::Postgres(conn) => {
            let wanted = products::table.filter(products::id.eq_any(ids));
            wanted.select(Offer::as_select()).load(conn)?
        }
        Conn::Sqlite(conn) => {
            products::table.filter(IdIn::new(&ids)).select(Offer::as_select()).load(conn)?
        }
    })
}

/// That the id of a product is one of a JSON array, in SQLite: as one value
/// they are one statement, prepared once, however many there are.
#[derive(Debug, QueryId, ValidGrouping)]
struct IdIn {
    json: String,
}

impl IdIn {
    /// One of `ids`, which are ids: nothing in them has to be escaped.
    fn new(ids: &[&str]) -> IdIn {
        IdIn { json: ["[\"", &ids.join("\",\""), "\"]"].concat() }
    }
}

impl Expression for IdIn {
    type SqlType = Bool;
}

impl AppearsOnTable<products::table> for IdIn {}

impl QueryFragment<Sqlite> for IdIn {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("products.id IN (SELECT value FROM json_each(");
        out.push_bind_param::<Text, _>(&self.json)?;
        out.push_sql("))");
        Ok(())
    }
}

/// The clearance of a product.
pub fn clearance(conn: &mut Conn, product: &str) -> db::Result<Option<Clearance>> {
    Ok(clearances::table.find(product).get_result(conn).optional()?)
}

/// Stores a new product.
pub fn insert(conn: &mut Conn, product: &Product) -> db::Result<()> {
    diesel::insert_into(products::table).values(product.clone()).execute(conn)?;
    Ok(())
}

/// Stores a product anew.
pub fn update(conn: &mut Conn, product: &Product) -> db::Result<()> {
    diesel::update(products::table.find(&product.id)).set(product.clone()).execute(conn)?;
    Ok(())
}

/// Notes that something about a product is another than before.
pub fn touch(conn: &mut Conn, product: &str, now: Millis) -> db::Result<()> {
    diesel::update(products::table.find(product))
        .set((products::version.eq(products::version + 1), products::updated.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Some ids near `id` by their beginning, to suggest from.
pub(super) fn ids_like(conn: &mut Conn, id: &str) -> db::Result<Vec<String>> {
    let legal = id.chars().filter(char::is_ascii_graphic).take(2);
    let begin = legal.collect::<String>().to_lowercase();
    let near = products::table
        .filter(products::id.ge(&begin))
        .filter(products::id.lt(format!("{begin}\u{7f}")))
        .order(products::id)
        .limit(500);
    Ok(near.select(products::id).load(conn)?)
}

/// The products that are called one of `ids`, by id, with their clearances.
pub fn many(
    conn: &mut Conn,
    ids: &[&str],
) -> db::Result<HashMap<String, (Product, Option<Clearance>)>> {
    let found = named(conn, ids)?;
    Ok(found.into_iter().map(|(product, with)| (product.id.clone(), (product, with))).collect())
}

/// The same, in any order.
pub(super) fn named(
    conn: &mut Conn,
    ids: &[&str],
) -> db::Result<Vec<(Product, Option<Clearance>)>> {
    let ids: Vec<&str> = ids.iter().copied().filter(|id| is_id(id)).collect();
    let found: Vec<Product> = match conn {
        Conn::Postgres(conn) => products::table.filter(products::id.eq_any(ids)).load(conn)?,
        Conn::Sqlite(conn) => products::table.filter(IdIn::new(&ids)).load(conn)?,
    };
    with_clearances(conn, found)
}

/// Which listed products are wanted: of an empty list, all.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    pub categories: Vec<String>,
    pub markets: Vec<String>,
    pub merchants: Vec<String>,
    /// And of these merchants.
    pub only: Vec<String>,
    /// On clearance, and that has begun.
    pub reduced: bool,
}

/// The first listed products after `after`, by id.
pub(super) fn shelf(
    conn: &mut Conn,
    wanted: &Shelf,
    after: &str,
    limit: i64,
) -> db::Result<Vec<Product>> {
    let mut query = products::table
        .filter(products::id.gt(after.to_owned()))
        .filter(products::status.eq("listed"))
        .order(products::id)
        .limit(limit)
        .into_boxed();
    if !wanted.categories.is_empty() {
        query = query.filter(products::category.eq_any(wanted.categories.clone()));
    }
    if !wanted.markets.is_empty() {
        query = query.filter(products::market.eq_any(wanted.markets.clone()));
    }
    if !wanted.merchants.is_empty() {
        query = query.filter(products::merchant.eq_any(wanted.merchants.clone()));
    }
    if !wanted.only.is_empty() {
        query = query.filter(products::merchant.eq_any(wanted.only.clone()));
    }
    if wanted.reduced {
        let reduced = clearances::table.filter(clearances::active.eq(true));
        query = query.filter(products::id.eq_any(reduced.select(clearances::product)));
    }
    Ok(query.load(conn)?)
}

/// Puts its clearance to each.
pub(super) fn with_clearances(
    conn: &mut Conn,
    found: Vec<Product>,
) -> db::Result<Vec<(Product, Option<Clearance>)>> {
    let ids: Vec<String> = found.iter().map(|product| product.id.clone()).collect();
    let reduced: Vec<Clearance> =
        clearances::table.filter(clearances::product.eq_any(ids)).load(conn)?;
    let mut reduced: HashMap<String, Clearance> =
        reduced.into_iter().map(|clearance| (clearance.product.clone(), clearance)).collect();
    let with = |product: Product| {
        let clearance = reduced.remove(&product.id);
        (product, clearance)
    };
    Ok(found.into_iter().map(with).collect())
}

/// How many listed products each category and each market has.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub categories: Vec<(String, i64)>,
    pub markets: Vec<(String, i64)>,
}

pub(super) fn counts(conn: &mut Conn) -> db::Result<Counts> {
    let listed = || products::table.filter(products::status.eq("listed"));
    Ok(Counts {
        categories: listed()
            .group_by(products::category)
            .select((products::category, count_star()))
            .load(conn)?,
        markets: listed()
            .group_by(products::market)
            .select((products::market, count_star()))
            .load(conn)?,
    })
}

/// How many products there are.
pub fn count(conn: &mut Conn) -> db::Result<i64> {
    Ok(products::table.count().get_result(conn)?)
}

/// All markets.
pub fn markets(conn: &mut Conn) -> db::Result<Vec<Market>> {
    Ok(markets::table.order(markets::id).load(conn)?)
}

/// The market called `id`.
pub fn market(conn: &mut Conn, id: &str) -> db::Result<Option<Market>> {
    if !is_id(id) {
        return Ok(None);
    }
    Ok(markets::table.find(id).get_result(conn).optional()?)
}

/// What a market told of a period.
#[derive(Insertable)]
#[diesel(table_name = market_records)]
pub(super) struct MarketRecord<'a> {
    pub seq: i64,
    pub market: &'a str,
    pub told_at: Millis,
    pub period: Option<&'a str>,
    pub begins: Millis,
    pub span: &'a str,
    pub volume_kg: Option<i64>,
    pub turnover: Option<i64>,
    pub average: Option<i64>,
    pub level: Option<i64>,
}

pub(super) fn insert_record(conn: &mut Conn, record: &MarketRecord<'_>) -> db::Result<()> {
    on_either!(conn, |conn| diesel::insert_into(market_records::table)
        .values(record)
        .execute(conn))?;
    Ok(())
}

pub(super) fn set_latest(conn: &mut Conn, market: &str, latest: &str) -> db::Result<()> {
    diesel::update(markets::table.find(market)).set(markets::latest.eq(latest)).execute(conn)?;
    Ok(())
}
