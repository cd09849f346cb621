use crate::clock::Millis;
use crate::db::schema::{feeds, products};
use crate::db::{self, Conn};
use crate::on_either;
use diesel::prelude::*;

/// How many markets an event is told in.
const MARKETS: i64 = 9;

/// What a merchant declared, and when they were heard of.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct Feed {
    /// Whose.
    pub merchant: String,
    /// How often they mean to be heard of.
    pub cadence_minutes: i64,
    /// When they were.
    pub last_write: Millis,
    /// When they will have been silent for too long; none while they are.
    pub due: Option<Millis>,
}

/// What `merchant` declared, if anything.
pub fn find(conn: &mut Conn, merchant: &str) -> db::Result<Option<Feed>> {
    Ok(feeds::table.find(merchant.to_owned()).get_result(conn).optional()?)
}

/// All there are.
pub(super) fn all(conn: &mut Conn) -> db::Result<Vec<Feed>> {
    Ok(feeds::table.load(conn)?)
}

pub(super) fn count(conn: &mut Conn) -> db::Result<i64> {
    Ok(feeds::table.count().get_result(conn)?)
}

pub(super) fn save(conn: &mut Conn, feed: &Feed) -> db::Result<()> {
    let state = (
        feeds::cadence_minutes.eq(feed.cadence_minutes),
        feeds::last_write.eq(feed.last_write),
        feeds::due.eq(feed.due),
    );
    let values = (feeds::merchant.eq(&feed.merchant), state);
    on_either!(conn, |conn| diesel::insert_into(feeds::table)
        .values(values)
        .on_conflict(feeds::merchant)
        .do_update()
        .set(state)
        .execute(conn))?;
    Ok(())
}

pub(super) fn remove(conn: &mut Conn, merchant: &str) -> db::Result<()> {
    diesel::delete(feeds::table.find(merchant.to_owned())).execute(conn)?;
    Ok(())
}

/// Who has been silent for too long at `now` and not been told of yet.
pub(super) fn due(conn: &mut Conn, now: Millis, limit: i64) -> db::Result<Vec<Feed>> {
    let due = feeds::table.filter(feeds::due.lt(now));
    Ok(due.order((feeds::due, feeds::merchant)).limit(limit).load(conn)?)
}

/// Where a merchant sells.
pub(super) fn markets(conn: &mut Conn, merchant: &str) -> db::Result<Vec<String>> {
    let own = products::table
        .filter(products::merchant.eq(merchant.to_owned()))
        .filter(products::status.eq("listed"));
    let markets = own.select(products::market).distinct().order(products::market);
    Ok(markets.limit(MARKETS).load(conn)?)
}
