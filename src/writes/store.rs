use super::{Answer, Once};
use crate::clock::Millis;
use crate::db::schema::idempotency;
use crate::db::{self, Conn};
use crate::on_either;
use diesel::prelude::*;

/// How many answers are forgotten in one transaction.
pub(super) const STEP: usize = 1_000;

pub(super) fn find(
    conn: &mut Conn,
    actor: &str,
    key: &str,
) -> db::Result<Option<(String, Answer)>> {
    let row: Option<(String, i32, String)> = idempotency::table
        .find((actor, key))
        .select((idempotency::fingerprint, idempotency::status, idempotency::body))
        .get_result(conn)
        .optional()?;
    Ok(row.map(|(fingerprint, status, body)| {
        (fingerprint, Answer { status: u16::try_from(status).unwrap_or(500), body })
    }))
}

pub(super) fn save(conn: &mut Conn, once: &Once, answer: &Answer, now: Millis) -> db::Result<()> {
    let outcome = (
        idempotency::status.eq(i32::from(answer.status)),
        idempotency::body.eq(&answer.body),
        idempotency::created.eq(now),
    );
    let values = (
        idempotency::actor.eq(&once.actor),
        idempotency::idem_key.eq(&once.key),
        idempotency::fingerprint.eq(&once.fingerprint),
        outcome,
    );
    on_either!(conn, |conn| diesel::insert_into(idempotency::table)
        .values(values)
        .on_conflict((idempotency::actor, idempotency::idem_key))
        .do_update()
        .set(outcome)
        .execute(conn))?;
    Ok(())
}

pub(super) fn forget(conn: &mut Conn, before: Millis) -> db::Result<usize> {
    let old: Vec<(String, String)> = idempotency::table
        .filter(idempotency::created.lt(before))
        .select((idempotency::actor, idempotency::idem_key))
        .limit(STEP as i64)
        .load(conn)?;
    for (actor, key) in &old {
        diesel::delete(idempotency::table.find((actor, key))).execute(conn)?;
    }
    Ok(old.len())
}
