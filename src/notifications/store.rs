use super::{Channel, New};
use crate::clock::Millis;
use crate::db::schema::{notifications, outbox};
use crate::db::{self, Conn};
use diesel::prelude::*;
use serde_json::{Map, Value, json};

/// A notification as it is stored.
#[derive(Clone, Debug, PartialEq, Queryable, Insertable)]
#[diesel(table_name = notifications)]
pub(super) struct Row {
    pub id: i64,
    pub user_id: String,
    pub kind: String,
    pub title: String,
    pub body: String,
    pub speech_text: String,
    pub data: String,
    pub links: String,
    pub product: Option<String>,
    pub rule_id: Option<i64>,
    pub observed_at: Option<Millis>,
    pub created: Millis,
    pub late: bool,
    pub read_at: Option<Millis>,
    pub deleted_at: Option<Millis>,
}

impl Row {
    /// What is told as `new` at `now`.
    pub(super) fn new(id: i64, new: &New, now: Millis) -> Row {
        let link = |(name, path): &(&str, String)| ((*name).to_owned(), json!(path));
        let links: Map<String, Value> = new.links.iter().map(link).collect();
        Row {
            id,
            user_id: new.user.clone(),
            kind: new.kind.to_owned(),
            title: new.title.zh.clone(),
            body: new.body.zh.clone(),
            speech_text: new.speech.zh.clone(),
            data: new.data.to_string(),
            links: Value::Object(links).to_string(),
            product: new.product.clone(),
            rule_id: new.rule,
            observed_at: new.observed_at,
            created: now,
            late: new.late,
            read_at: None,
            deleted_at: None,
        }
    }
}

pub(super) fn insert(conn: &mut Conn, row: &Row) -> db::Result<()> {
    diesel::insert_into(notifications::table).values(row.clone()).execute(conn)?;
    Ok(())
}

/// Puts a notification into the outbox.
pub(super) fn send_later(
    conn: &mut Conn,
    id: i64,
    channel: Channel,
    run_at: Millis,
) -> db::Result<()> {
    diesel::insert_into(outbox::table)
        .values((
            outbox::notification.eq(id),
            outbox::channel.eq(channel.as_str()),
            outbox::state.eq("due"),
            outbox::run_at.eq(run_at),
            outbox::attempts.eq(0),
        ))
        .execute(conn)?;
    Ok(())
}

/// Which notifications are wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub user: String,
    pub kinds: Vec<&'static str>,
    pub unread: Option<bool>,
    /// Only what is older than this one.
    pub after: Option<i64>,
    pub limit: i64,
}

/// A user's notifications, newest first.
pub(super) fn list(conn: &mut Conn, wanted: &Wanted) -> db::Result<Vec<Row>> {
    let mut query = notifications::table
        .filter(notifications::user_id.eq(wanted.user.clone()))
        .filter(notifications::deleted_at.is_null())
        .order(notifications::id.desc())
        .limit(wanted.limit)
        .into_boxed();
    if let Some(after) = wanted.after {
        query = query.filter(notifications::id.lt(after));
    }
    if !wanted.kinds.is_empty() {
        query = query.filter(notifications::kind.eq_any(wanted.kinds.clone()));
    }
    match wanted.unread {
        Some(true) => query = query.filter(notifications::read_at.is_null()),
        Some(false) => query = query.filter(notifications::read_at.is_not_null()),
        None => {}
    }
    Ok(query.load(conn)?)
}
