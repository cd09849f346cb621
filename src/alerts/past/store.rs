use super::Seen;
use crate::alerts::Amount;
use crate::clock::Millis;
use crate::db::schema::stock_ticks;
use crate::db::{self, Conn};
use diesel::prelude::*;

/// The stocks of a product from `from` on, oldest first, and the one that held
/// when they begin.
pub(super) fn stocks(conn: &mut Conn, product: &str, from: Millis) -> db::Result<Vec<Seen>> {
    let of_product = || {
        stock_ticks::table.filter(stock_ticks::product.eq(product.to_owned())).select((
            stock_ticks::seq,
            stock_ticks::received_at,
            stock_ticks::quantity,
        ))
    };
    let earlier: Option<(i64, Millis, i64)> = of_product()
        .filter(stock_ticks::received_at.lt(from))
        .order(stock_ticks::seq.desc())
        .first(conn)
        .optional()?;
    let later: Vec<(i64, Millis, i64)> = of_product()
        .filter(stock_ticks::received_at.ge(from))
        .order(stock_ticks::seq)
        .load(conn)?;
    let seen = |(seq, at, quantity)| Seen { seq, at, value: Amount::plain(quantity) };
    Ok(earlier.into_iter().chain(later).map(seen).collect())
}

/// What went out of a product's stock from `from` on, before position `before`.
pub(super) fn outflow(
    conn: &mut Conn,
    product: &str,
    from: Millis,
    before: i64,
) -> db::Result<i64> {
    let deltas: Vec<Option<i64>> = stock_ticks::table
        .filter(stock_ticks::product.eq(product))
        .filter(stock_ticks::received_at.ge(from))
        .filter(stock_ticks::seq.lt(before))
        .filter(stock_ticks::delta.lt(0))
        .select(stock_ticks::delta)
        .load(conn)?;
    Ok(deltas.into_iter().flatten().fold(0_i64, |sum, delta| sum.saturating_sub(delta)))
}
