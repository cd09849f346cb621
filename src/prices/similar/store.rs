use super::{Candidate, Traits, piece};
use crate::catalogue::Product;
use crate::clock::Millis;
use crate::db::schema::products;
use crate::db::{self, Conn};
use crate::money::per_500g;
use crate::on_either;
use diesel::prelude::*;

#[derive(Queryable)]
struct Row {
    merchant: String,
    price: Option<i64>,
    price_at: Option<Millis>,
    unit: String,
    grams_per_unit: i64,
    grams_per_piece: Option<i64>,
    origin: Option<String>,
    grade: Option<String>,
    vintage: Option<i64>,
    batch: Option<String>,
    form: Option<String>,
    harvest: Option<String>,
}

/// What other merchants list under the name that `product` has, at a price of
/// the same type that was seen since `oldest`.
pub(super) fn candidates(
    conn: &mut Conn,
    product: &Product,
    (name, is_recipe): (&str, bool),
    oldest: Millis,
    limit: i64,
) -> db::Result<Vec<Candidate>> {
    use products as p;
    let columns = (
        p::merchant,
        p::price,
        p::price_at,
        p::unit,
        p::grams_per_unit,
        p::grams_per_piece,
        p::origin,
        p::grade,
        p::vintage,
        p::batch,
        p::form,
        p::harvest,
    );
    let alike = p::table
        .filter(p::category.eq(&product.category))
        .filter(p::price_type.eq(&product.price_type))
        .filter(p::status.eq("listed"))
        .filter(p::merchant.ne(&product.merchant))
        .filter(p::price.is_not_null())
        .filter(p::price_at.ge(oldest))
        .select(columns)
        .limit(limit);
    let rows: Vec<Row> = if is_recipe {
        let alike = alike.filter(p::recipe.eq(name));
        on_either!(conn, |conn| alike.load(conn))?
    } else {
        let alike = alike.filter(p::variety.eq(name));
        on_either!(conn, |conn| alike.load(conn))?
    };
    let candidate = |row: Row| {
        Some(Candidate {
            per_500g: per_500g(row.price?, row.grams_per_unit),
            at: row.price_at?,
            merchant: row.merchant,
            traits: Traits {
                piece: piece(row.grams_per_piece, &row.unit, row.grams_per_unit),
                origin: row.origin,
                grade: row.grade,
                vintage: row.vintage,
                batch: row.batch,
                form: row.form,
                harvest: row.harvest,
            },
        })
    };
    Ok(rows.into_iter().filter_map(candidate).collect())
}
