use super::Shelf;
use crate::clock::Millis;
use crate::db::schema::{product_asides, products, stock_outflow};
use crate::db::{self, Conn};
use crate::{on_either, prepared};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

/// Notes that `quantity` of a product went out on a day.
pub(super) fn add_outflow(
    conn: &mut Conn,
    product: &str,
    day: i64,
    quantity: i64,
) -> db::Result<()> {
    let values = (
        stock_outflow::product.eq(product),
        stock_outflow::day.eq(day),
        stock_outflow::quantity.eq(quantity),
    );
    on_either!(conn, |conn| diesel::insert_into(stock_outflow::table)
        .values(values)
        .on_conflict((stock_outflow::product, stock_outflow::day))
        .do_update()
        .set(stock_outflow::quantity.eq(stock_outflow::quantity + quantity))
        .execute(conn))?;
    Ok(())
}

/// From where on the stock of a product is low.
const THRESHOLD: &str = "COALESCE(low_stock, CASE WHEN unit IN ('jin','kg','liang','gram') \
    THEN grams_per_unit ELSE 1 END * ";

/// What is left when all promises are kept.
const AVAILABLE: &str = "(CASE WHEN stock > reserved THEN stock - reserved ELSE 0 END)";

/// Which shelves are wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub merchant: String,
    pub low: bool,
    pub low_units: i64,
    /// Behind this one: how short it is, and what it is called.
    pub after: Option<(i64, String)>,
    pub limit: i64,
}

/// A merchant's products, shortest first: what is available, in millionths of
/// what is low. What is unknown comes last.
pub(super) fn shelves(conn: &mut Conn, wanted: &Wanted) -> db::Result<Vec<Shelf>> {
    let threshold = format!("{THRESHOLD}{})", wanted.low_units);
    let short = format!(
        "(CASE WHEN stock IS NULL THEN 9223372036854775807 ELSE {AVAILABLE} * 1000000 / {threshold} END)"
    );
    let mut query = products::table
        .filter(products::merchant.eq(wanted.merchant.clone()))
        .filter(products::status.eq("listed"))
        .select((
            products::id,
            products::name,
            products::unit,
            products::stock,
            products::reserved,
            sql::<BigInt>(&threshold),
            sql::<BigInt>(&short),
        ))
        .order((sql::<BigInt>(&short), products::id))
        .limit(wanted.limit)
        .into_boxed();
    if wanted.low {
        query = query
            .filter(sql::<Bool>(&format!("(stock IS NOT NULL AND {AVAILABLE} <= {threshold})")));
    }
    if let Some((at, id)) = &wanted.after {
        let behind = sql::<Bool>(&format!("(({short}, id) > ("))
            .bind::<BigInt, _>(*at)
            .sql(", ")
            .bind::<Text, _>(id.clone())
            .sql("))");
        query = query.filter(behind);
    }
    type Row = (String, String, String, Option<i64>, i64, i64, i64);
    let rows: Vec<Row> = query.load(conn)?;
    let shelf = |(id, name, unit, stock, reserved, threshold, short)| Shelf {
        id,
        name,
        unit,
        stock,
        reserved,
        threshold,
        short,
    };
    Ok(rows.into_iter().map(shelf).collect())
}

/// How much of each of these products went out after a day.
pub(super) fn outflow(
    conn: &mut Conn,
    products: Vec<String>,
    after: i64,
) -> db::Result<Vec<(String, i64)>> {
    let of = stock_outflow::table.filter(stock_outflow::product.eq_any(products));
    let since = of.filter(stock_outflow::day.gt(after));
    Ok(since.select((stock_outflow::product, stock_outflow::quantity)).load(conn)?)
}

/// Says from where on the stock of a product is low; none for the default.
pub(super) fn set_low(conn: &mut Conn, product: &str, low: Option<i64>) -> db::Result<()> {
    let of = product_asides::table.find(product);
    diesel::update(of).set(product_asides::low_stock.eq(low)).execute(conn)?;
    Ok(())
}

prepared! {
    /// Stores the stock of a product.
    pub(super) SetStock<'a> {
        "UPDATE products SET stock = " quantity: i64 as BigInt,
        ", reserved = " reserved: i64 as BigInt,
        ", stock_at = " at: Millis as BigInt,
        ", version = version + 1, updated = " now: Millis as BigInt,
        " WHERE id = " product: &'a str as Text,
    }
}

prepared! {
    /// A stock that a product had. `seq` is the position of the event that
    /// told of it.
    pub(super) Tick<'a> {
        "INSERT INTO stock_ticks (seq, product, quantity, delta, received_at, actor) VALUES ("
        seq: i64 as BigInt,
        ", " product: &'a str as Text,
        ", " quantity: i64 as BigInt,
        ", " delta: Option<i64> as Nullable<BigInt>,
        ", " received_at: Millis as BigInt,
        ", " actor: &'a str as Text,
        ; ")"
    }
}
