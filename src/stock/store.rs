use crate::clock::Millis;
use crate::db::schema::stock_ticks;
use crate::db::{self, Conn};
use diesel::prelude::*;

/// Keeps a stock that a product had, under the position of its event.
pub(super) fn save(
    conn: &mut Conn,
    seq: i64,
    product: &str,
    (quantity, delta): (i64, Option<i64>),
    received_at: Millis,
    actor: &str,
) -> db::Result<()> {
    diesel::insert_into(stock_ticks::table)
        .values((
            stock_ticks::seq.eq(seq),
            stock_ticks::product.eq(product),
            stock_ticks::quantity.eq(quantity),
            stock_ticks::delta.eq(delta),
            stock_ticks::received_at.eq(received_at),
            stock_ticks::actor.eq(actor),
        ))
        .execute(conn)?;
    Ok(())
}
