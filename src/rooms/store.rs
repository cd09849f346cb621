use crate::clock::Millis;
use crate::db::schema::rooms;
use crate::db::{self, Conn};
use diesel::prelude::*;

pub(super) fn exists(conn: &mut Conn, name: &str) -> db::Result<bool> {
    let row: Option<String> =
        rooms::table.find(name).select(rooms::name).get_result(conn).optional()?;
    Ok(row.is_some())
}

pub(super) fn count(conn: &mut Conn) -> db::Result<i64> {
    Ok(rooms::table.count().get_result(conn)?)
}

pub(super) fn count_of(conn: &mut Conn, maker: &str) -> db::Result<i64> {
    Ok(rooms::table.filter(rooms::created_by.eq(maker)).count().get_result(conn)?)
}

pub(super) fn add(conn: &mut Conn, name: &str, by: &str, now: Millis) -> db::Result<()> {
    diesel::insert_into(rooms::table)
        .values((rooms::name.eq(name), rooms::created_by.eq(by), rooms::created.eq(now)))
        .execute(conn)?;
    Ok(())
}
