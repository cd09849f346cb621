use super::Saved;
use crate::clock::Millis;
use crate::db::schema::subscriptions;
use crate::db::{self, Conn};
use crate::on_either;
use diesel::prelude::*;

pub(super) fn find(conn: &mut Conn, user: &str) -> db::Result<Saved> {
    let data: Option<String> =
        subscriptions::table.find(user).select(subscriptions::data).get_result(conn).optional()?;
    let Some(data) = data else { return Ok(Saved::default()) };
    serde_json::from_str(&data).map_err(|err| db::Error::Corrupt(err.to_string()))
}

pub(super) fn save(conn: &mut Conn, user: &str, saved: &Saved, now: Millis) -> db::Result<()> {
    let data = serde_json::to_string(saved).map_err(|err| db::Error::Corrupt(err.to_string()))?;
    let values = (
        subscriptions::version.eq(saved.version),
        subscriptions::data.eq(&data),
        subscriptions::updated.eq(now),
    );
    on_either!(conn, |conn| diesel::insert_into(subscriptions::table)
        .values((subscriptions::user_id.eq(user), values))
        .on_conflict(subscriptions::user_id)
        .do_update()
        .set(values)
        .execute(conn))?;
    Ok(())
}
