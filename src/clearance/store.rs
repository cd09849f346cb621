use crate::catalogue::Clearance;
use crate::clock::Millis;
use crate::db::schema::{clearances, products};
use crate::db::{self, Conn};
use crate::on_either;
use diesel::prelude::*;

pub(super) fn save(conn: &mut Conn, clearance: &Clearance) -> db::Result<()> {
    let terms = (
        clearances::price.eq(clearance.price),
        clearances::starts_at.eq(clearance.starts_at),
        clearances::ends_at.eq(clearance.ends_at),
        clearances::active.eq(clearance.active),
        clearances::due.eq(clearance.due),
    );
    let values = (clearances::product.eq(&clearance.product), terms);
    on_either!(conn, |conn| diesel::insert_into(clearances::table)
        .values(values)
        .on_conflict(clearances::product)
        .do_update()
        .set(terms)
        .execute(conn))?;
    Ok(())
}

pub(super) fn remove(conn: &mut Conn, product: &str) -> db::Result<()> {
    diesel::delete(clearances::table.find(product)).execute(conn)?;
    Ok(())
}

/// Clearances that run and cost no less than usual, since the usual price fell.
pub(super) fn pointless(conn: &mut Conn, limit: i64) -> db::Result<Vec<Clearance>> {
    let found = clearances::table
        .inner_join(products::table)
        .filter(clearances::active.eq(true))
        .filter(products::price.assume_not_null().le(clearances::price))
        .select(clearances::all_columns);
    Ok(found.limit(limit).load(conn)?)
}

/// What is due at `now`, longest due first.
pub(super) fn due(conn: &mut Conn, now: Millis, limit: i64) -> db::Result<Vec<Clearance>> {
    let due = clearances::table.filter(clearances::due.le(now)).order(clearances::due);
    Ok(due.limit(limit).load(conn)?)
}
