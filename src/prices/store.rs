use crate::clock::Millis;
use crate::db::schema::{price_ticks, product_asides};
use crate::db::{self, Conn};
use crate::prepared;
use diesel::prelude::*;

/// Of a product's price, what a correction asks for.
#[derive(Queryable)]
pub(super) struct Aside {
    /// The position of the tick behind the price.
    pub seq: Option<i64>,
    /// What it was before that tick.
    pub before: Option<i64>,
}

pub(super) fn aside(conn: &mut Conn, product: &str) -> db::Result<Aside> {
    let of = product_asides::table.find(product);
    Ok(of.select((product_asides::price_seq, product_asides::price_before)).get_result(conn)?)
}

/// Notes the tick behind the first price of a product.
pub(super) fn begin(conn: &mut Conn, product: &str, seq: i64) -> db::Result<()> {
    let of = product_asides::table.find(product);
    diesel::update(of).set(product_asides::price_seq.eq(seq)).execute(conn)?;
    Ok(())
}

/// Stores a tick that corrects the one at position `corrects`.
pub(super) fn save_correction(
    conn: &mut Conn,
    tick: &Tick<'_>,
    corrects: Option<i64>,
    note: Option<&str>,
) -> db::Result<()> {
    tick.run(conn)?;
    let told = (price_ticks::corrects.eq(corrects), price_ticks::note.eq(note));
    diesel::update(price_ticks::table.find(tick.seq)).set(told).execute(conn)?;
    Ok(())
}

prepared! {
    /// One price that a product had. `seq` is the position of the event that
    /// told of it.
    pub(super) Tick<'a> {
        "INSERT INTO price_ticks (seq, product, price, unit, grams_per_unit, observed_at, \
         received_at, source, kind, actor) VALUES (" seq: i64 as BigInt,
        ", " product: &'a str as Text,
        ", " price: i64 as BigInt,
        ", " unit: &'a str as Text,
        ", " grams_per_unit: i64 as BigInt,
        ", " observed_at: Millis as BigInt,
        ", " received_at: Millis as BigInt,
        ", " source: &'a str as Text,
        ", " kind: &'a str as Text,
        ", " actor: &'a str as Text,
        ; ")"
    }
}

prepared! {
    /// Stores the price of a product, told at position `seq`, and what it was
    /// `before`.
    pub(super) SetPrice<'a> {
        "UPDATE products SET price = " fen: i64 as BigInt,
        ", price_before = " before: Option<i64> as Nullable<BigInt>,
        ", price_seq = " seq: i64 as BigInt,
        ", price_at = " at: Millis as BigInt,
        ", version = version + 1, updated = " now: Millis as BigInt,
        " WHERE id = " product: &'a str as Text,
    }
}
