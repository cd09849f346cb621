use crate::clock::Millis;
use crate::db::schema::reservations;
use crate::db::{self, Conn};
use diesel::prelude::*;

/// A promise of some of a product.
#[derive(Clone, Debug, PartialEq, Queryable, Insertable)]
#[diesel(table_name = reservations)]
#[allow(missing_docs)]
pub struct Reservation {
    pub id: String,
    pub product: String,
    pub merchant: String,
    /// Grams or pieces.
    pub quantity: i64,
    /// What the merchant knows it by.
    pub reference: Option<String>,
    /// Who made it.
    pub actor: String,
    pub created: Millis,
    /// When it ends by itself.
    pub expires: Millis,
}

pub(super) fn find(conn: &mut Conn, id: &str) -> db::Result<Option<Reservation>> {
    // PostgreSQL is not even asked for what it cannot hold.
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(None);
    }
    Ok(reservations::table.find(id).get_result(conn).optional()?)
}

pub(super) fn insert(conn: &mut Conn, reservation: &Reservation) -> db::Result<()> {
    diesel::insert_into(reservations::table).values(reservation.clone()).execute(conn)?;
    Ok(())
}

pub(super) fn remove(conn: &mut Conn, id: &str) -> db::Result<()> {
    diesel::delete(reservations::table.find(id)).execute(conn)?;
    Ok(())
}

pub(super) fn count(conn: &mut Conn, product: &str) -> db::Result<i64> {
    let of = reservations::table.filter(reservations::product.eq(product));
    Ok(of.count().get_result(conn)?)
}

/// What is over at `now`, longest over first.
pub(super) fn due(conn: &mut Conn, now: Millis, limit: i64) -> db::Result<Vec<Reservation>> {
    let due = reservations::table.filter(reservations::expires.le(now));
    Ok(due.order((reservations::expires, reservations::id)).limit(limit).load(conn)?)
}

/// A page of the reservations of a product, by id.
pub(super) fn list(
    conn: &mut Conn,
    product: &str,
    after: Option<&str>,
    limit: i64,
) -> db::Result<Vec<Reservation>> {
    let of = reservations::table.filter(reservations::product.eq(product.to_owned()));
    let after = after.unwrap_or_default().to_owned();
    let page = of.filter(reservations::id.gt(after)).order(reservations::id).limit(limit);
    Ok(page.load(conn)?)
}
