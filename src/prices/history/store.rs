use super::Tick;
use crate::clock::Millis;
use crate::db::schema::{checkpoints, price_history, price_ticks, product_asides};
use crate::db::{self, Conn};
use crate::{on_either, prepared};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

/// The row of `checkpoints` that says how far the copying is.
const TASK: &str = "price-history";

/// What a tick is made of, in the order of [`Row`].
type Row = (Millis, i64, i64, String, i64, Millis, String, String, String, i64);

fn tick(row: Row) -> Tick {
    let (observed_at, seq, price, unit, grams_per_unit, received_at, source, kind, actor, n) = row;
    Tick { observed_at, seq, price, unit, grams_per_unit, received_at, source, kind, actor, n }
}

/// Everything up to this position was copied to `price_history`.
pub fn copied_to(conn: &mut Conn) -> db::Result<i64> {
    let seq = checkpoints::table.find(TASK).select(checkpoints::seq);
    Ok(on_either!(conn, |conn| seq.get_result(conn).optional())?.unwrap_or(0))
}

fn set_copied_to(conn: &mut Conn, seq: i64) -> db::Result<()> {
    let values = (checkpoints::task.eq(TASK), checkpoints::seq.eq(seq));
    on_either!(conn, |conn| diesel::insert_into(checkpoints::table)
        .values(values)
        .on_conflict(checkpoints::task)
        .do_update()
        .set(checkpoints::seq.eq(seq))
        .execute(conn))?;
    Ok(())
}

/// The position of the last price of `product`.
pub(super) fn last_written(conn: &mut Conn, product: &str) -> db::Result<Option<i64>> {
    let seq = product_asides::table.find(product).select(product_asides::price_seq);
    Ok(on_either!(conn, |conn| seq.get_result(conn).optional())?.flatten())
}

/// The prices of `product` after position `after` that are not copied yet, as
/// they were written, by position.
pub(super) fn uncopied(conn: &mut Conn, product: &str, after: i64) -> db::Result<Vec<Tick>> {
    use price_ticks as t;
    let one = (1_i64).into_sql::<BigInt>();
    let columns = (
        t::observed_at,
        t::seq,
        t::price,
        t::unit,
        t::grams_per_unit,
        t::received_at,
        t::source,
        t::kind,
        t::actor,
        one,
    );
    let rows = t::table.filter(t::seq.gt(after)).filter(t::product.eq(product)).order(t::seq);
    let rows: Vec<Row> = on_either!(conn, |conn| rows.select(columns).load(conn))?;
    Ok(rows.into_iter().map(tick).collect())
}

/// The position of the last price written, if it was not copied yet.
pub fn last_uncopied(conn: &mut Conn) -> db::Result<Option<i64>> {
    let copied = copied_to(conn)?;
    let last: Option<i64> =
        price_ticks::table.select(diesel::dsl::max(price_ticks::seq)).get_result(conn)?;
    Ok(last.filter(|last| *last > copied))
}

macro_rules! columns {
    () => {
        (
            price_history::observed_at,
            price_history::seq,
            price_history::price,
            price_history::unit,
            price_history::grams_per_unit,
            price_history::received_at,
            price_history::source,
            price_history::kind,
            price_history::actor,
            price_history::n,
        )
    };
}

/// Prices of `product` that were copied up to `copied`: those after `after`
/// and before `to`, oldest first.
pub(super) fn between(
    conn: &mut Conn,
    product: &str,
    copied: i64,
    after: (Millis, i64),
    to: Millis,
    limit: i64,
) -> db::Result<Vec<Tick>> {
    use price_history as h;
    let (at, seq) = after;
    let rows = h::table
        .filter(h::product.eq(product))
        // The first condition is what the key is searched by.
        .filter(h::observed_at.ge(at))
        .filter(h::observed_at.lt(to))
        .filter(h::observed_at.gt(at).or(h::seq.gt(seq)))
        .filter(h::seq.le(copied))
        .order((h::observed_at, h::seq))
        .limit(limit)
        .select(columns!());
    let rows: Vec<Row> = on_either!(conn, |conn| rows.load(conn))?;
    Ok(rows.into_iter().map(tick).collect())
}

/// The last price of `product` before `before`, of those of a kind, copied up
/// to `copied`, and not the one at position `but`.
pub(super) fn last_before(
    conn: &mut Conn,
    product: &str,
    copied: i64,
    kind: &str,
    before: Millis,
    but: i64,
) -> db::Result<Option<Tick>> {
    use price_history as h;
    let row = h::table
        .filter(h::product.eq(product))
        .filter(h::observed_at.lt(before))
        .filter(h::seq.le(copied))
        .filter(h::seq.ne(but))
        .filter(h::kind.eq(kind))
        .order((h::observed_at.desc(), h::seq.desc()))
        .limit(1)
        .select(columns!());
    let row: Option<Row> = on_either!(conn, |conn| row.get_result(conn).optional())?;
    Ok(row.map(tick))
}

/// The price of `product` that was written last, of those copied up to `copied`.
pub(super) fn newest(conn: &mut Conn, product: &str, copied: i64) -> db::Result<Option<Tick>> {
    use price_history as h;
    let row = h::table
        .filter(h::product.eq(product))
        .filter(h::seq.le(copied))
        .order(h::seq.desc())
        .limit(1)
        .select(columns!());
    let row: Option<Row> = on_either!(conn, |conn| row.get_result(conn).optional())?;
    Ok(row.map(tick))
}

#[derive(QueryableByName)]
struct Last {
    #[diesel(sql_type = Nullable<BigInt>)]
    seq: Option<i64>,
}

/// Copies the next prices, `step` of them at most; the position of the last,
/// and how many they were.
/// To be called where nobody else writes.
pub(super) fn copy(conn: &mut Conn, step: i64) -> db::Result<Option<(i64, usize)>> {
    let from = copied_to(conn)?;
    let last: Last = diesel::sql_query(
        "SELECT MAX(seq) AS seq FROM (SELECT seq FROM price_ticks WHERE seq > $1 ORDER BY seq LIMIT $2) AS next",
    )
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(step)
    .get_result(conn)?;
    let Some(last) = last.seq else { return Ok(None) };
    // In the order of the key: products that are written together are few pages.
    let mut copied = diesel::sql_query(
        "INSERT INTO price_history (product, observed_at, seq, price, unit, grams_per_unit, received_at, source, kind, actor) \
         SELECT product, observed_at, seq, price, unit, grams_per_unit, received_at, source, kind, actor FROM price_ticks \
         WHERE seq > $1 AND seq <= $2 AND kind <> 'correction' ORDER BY product, observed_at, seq",
    )
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(last)
    .execute(conn)?;
    let corrections: Vec<(String, i64)> = price_ticks::table
        .filter(price_ticks::seq.gt(from).and(price_ticks::seq.le(last)))
        .filter(price_ticks::kind.eq("correction"))
        .order(price_ticks::seq)
        .select((price_ticks::product, price_ticks::seq))
        .load(conn)?;
    copied += corrections.len();
    for (product, seq) in corrections {
        correct(conn, &product, seq)?;
    }
    set_copied_to(conn, last)?;
    Ok(Some((last, copied)))
}

/// Puts the correction at position `seq` in the place of what it corrects: the
/// price that was written last before it.
fn correct(conn: &mut Conn, product: &str, seq: i64) -> db::Result<()> {
    let wrong = newest(conn, product, seq - 1)?;
    let told = uncopied(conn, product, seq - 1)?;
    let Some(right) = told.into_iter().next() else { return Ok(()) };
    let right = match wrong {
        Some(wrong) => {
            Remove { product, observed_at: wrong.observed_at, seq: wrong.seq }.run(conn)?;
            right.in_place_of(&wrong)
        }
        None => right,
    };
    diesel::insert_into(price_history::table)
        .values((
            price_history::product.eq(product),
            price_history::observed_at.eq(right.observed_at),
            price_history::seq.eq(right.seq),
            price_history::price.eq(right.price),
            price_history::unit.eq(&right.unit),
            price_history::grams_per_unit.eq(right.grams_per_unit),
            price_history::received_at.eq(right.received_at),
            price_history::source.eq(&right.source),
            price_history::kind.eq(&right.kind),
            price_history::actor.eq(&right.actor),
            price_history::n.eq(right.n),
            price_history::level.eq(0_i64),
        ))
        .execute(conn)?;
    Ok(())
}

prepared! {
    /// Takes one price out of the history.
    pub(super) Remove<'a> {
        "DELETE FROM price_history WHERE product = " product: &'a str as Text,
        " AND observed_at = " observed_at: Millis as BigInt,
        " AND seq = " seq: i64 as BigInt,
    }
}

prepared! {
    /// Keeps one price where others around it were taken out.
    pub(super) Keep<'a> {
        "UPDATE price_history SET level = " level: i64 as BigInt,
        ", n = " n: i64 as BigInt,
        " WHERE product = " product: &'a str as Text,
        " AND observed_at = " observed_at: Millis as BigInt,
        " AND seq = " seq: i64 as BigInt,
    }
}

/// Where there are prices older than `before` that were thinned `level` times.
pub(super) fn unthinned(
    conn: &mut Conn,
    level: i64,
    before: Millis,
    limit: i64,
) -> db::Result<Vec<(String, Millis)>> {
    use price_history as h;
    let rows = h::table
        .filter(h::level.eq(level))
        .filter(h::observed_at.lt(before))
        .order(h::observed_at)
        .limit(limit)
        .select((h::product, h::observed_at));
    Ok(rows.load(conn)?)
}

/// The positions of the first `limit` raw prices that were received before
/// `before` and are copied.
pub(super) fn outlived(conn: &mut Conn, before: Millis, limit: i64) -> db::Result<Option<i64>> {
    let copied = copied_to(conn)?;
    let first: Vec<(i64, Millis)> = price_ticks::table
        .filter(price_ticks::seq.le(copied))
        .order(price_ticks::seq)
        .limit(limit)
        .select((price_ticks::seq, price_ticks::received_at))
        .load(conn)?;
    Ok(first.iter().take_while(|(_, at)| *at < before).last().map(|(seq, _)| *seq))
}

/// Forgets the raw prices up to position `to`.
pub(super) fn forget_raw(conn: &mut Conn, to: i64) -> db::Result<()> {
    diesel::delete(price_ticks::table.filter(price_ticks::seq.le(to))).execute(conn)?;
    Ok(())
}
