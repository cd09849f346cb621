use super::{ApiKey, Role};
use crate::clock::Millis;
use crate::db::schema::{api_keys, tickets};
use crate::db::{self, Conn};
use diesel::prelude::*;

/// A key as it is listed; the key itself is kept nowhere.
#[derive(Clone, Debug, Queryable, Selectable, serde::Serialize)]
#[diesel(table_name = api_keys)]
pub struct KeyRow {
    /// Its public name.
    pub id: String,
    #[serde(skip)]
    pub(super) hash: String,
    /// What it may do.
    pub role: String,
    /// Whose products it may write.
    pub merchant: Option<String>,
    /// What it is for.
    pub note: String,
    /// When it was made (ms).
    pub created: Millis,
    /// When it was last used (ms), to about a minute.
    pub last_used: Option<Millis>,
    /// When it was revoked (ms).
    pub revoked: Option<Millis>,
}

pub(super) fn add_key(
    conn: &mut Conn,
    id: &str,
    hash: &str,
    key: &super::NewKey,
    now: Millis,
) -> db::Result<()> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(id),
            api_keys::hash.eq(hash),
            api_keys::role.eq(key.role.as_str()),
            api_keys::merchant.eq(&key.merchant),
            api_keys::note.eq(&key.note),
            api_keys::created.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

pub(super) fn find_key(conn: &mut Conn, hash: &str) -> db::Result<Option<ApiKey>> {
    let row: Option<KeyRow> = api_keys::table
        .filter(api_keys::hash.eq(hash))
        .filter(api_keys::revoked.is_null())
        .select(api_keys::all_columns)
        .get_result(conn)
        .optional()?;
    row.map(|row| {
        let role: Role = row.role.parse().map_err(|_| db::Error::Corrupt(row.id.clone()))?;
        Ok(ApiKey { id: row.id, hash: row.hash, role, merchant: row.merchant })
    })
    .transpose()
}

pub(super) fn list_keys(conn: &mut Conn) -> db::Result<Vec<KeyRow>> {
    Ok(api_keys::table.order(api_keys::created).select(api_keys::all_columns).load(conn)?)
}

pub(super) fn revoked_keys(conn: &mut Conn) -> db::Result<Vec<String>> {
    Ok(api_keys::table.filter(api_keys::revoked.is_not_null()).select(api_keys::id).load(conn)?)
}

pub(super) fn revoke_key(conn: &mut Conn, id: &str, now: Millis) -> db::Result<bool> {
    let key = api_keys::table.find(id).filter(api_keys::revoked.is_null());
    Ok(diesel::update(key).set(api_keys::revoked.eq(now)).execute(conn)? > 0)
}

pub(super) fn touch_keys(conn: &mut Conn, ids: &[String], now: Millis) -> db::Result<()> {
    let keys = api_keys::table.filter(api_keys::id.eq_any(ids.to_vec()));
    diesel::update(keys).set(api_keys::last_used.eq(now)).execute(conn)?;
    Ok(())
}

#[derive(Queryable)]
pub(super) struct TicketRow {
    pub hash: String,
    pub sub: String,
    pub role: String,
    pub merchant: Option<String>,
    pub key_id: Option<String>,
    pub caller_expires: Option<Millis>,
    pub topics: String,
    pub expires: Millis,
}

pub(super) fn add_ticket(conn: &mut Conn, row: &TicketRow) -> db::Result<()> {
    diesel::insert_into(tickets::table)
        .values((
            tickets::hash.eq(&row.hash),
            tickets::sub.eq(&row.sub),
            tickets::role.eq(&row.role),
            tickets::merchant.eq(&row.merchant),
            tickets::key_id.eq(&row.key_id),
            tickets::caller_expires.eq(row.caller_expires),
            tickets::topics.eq(&row.topics),
            tickets::expires.eq(row.expires),
        ))
        .execute(conn)?;
    Ok(())
}

pub(super) fn has_ticket(conn: &mut Conn, hash: &str) -> db::Result<bool> {
    let row: Option<String> =
        tickets::table.find(hash).select(tickets::hash).get_result(conn).optional()?;
    Ok(row.is_some())
}

/// Whoever deletes the row has the ticket: of two, one.
pub(super) fn take_ticket(conn: &mut Conn, hash: &str) -> db::Result<Option<TicketRow>> {
    let row: Option<TicketRow> = tickets::table.find(hash).get_result(conn).optional()?;
    let gone = diesel::delete(tickets::table.find(hash)).execute(conn)?;
    Ok(row.filter(|_| gone == 1))
}

pub(super) fn drop_tickets(conn: &mut Conn, before: Millis) -> db::Result<usize> {
    Ok(diesel::delete(tickets::table.filter(tickets::expires.lt(before))).execute(conn)?)
}
