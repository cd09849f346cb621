use super::blocks::{self, Blocks};
use super::event::known_kind;
use super::{Event, Events, Filter, Topic};
use crate::clock::Millis;
use crate::db::schema::{checkpoints, events, log_head};
use crate::db::{self, Conn};
use crate::{on_either, prepared};
use diesel::prelude::*;
use std::sync::Arc;

/// How many rows one statement inserts: PostgreSQL bounds the parameters of a
/// statement at 65,535.
const ROWS: usize = 2_000;

/// How many blocks one read goes through before it gives its connection back.
const BLOCKS_A_READ: usize = 64;

/// Where the log stands.
#[derive(Clone, Debug)]
pub struct Head {
    /// The last position taken.
    pub seq: i64,
    /// The log's name.
    pub epoch: Arc<str>,
    /// Everything up to here is gone.
    pub pruned_to: i64,
}

/// An event as it is stored.
#[derive(Clone, Debug, Queryable)]
#[diesel(table_name = events)]
pub(super) struct Row {
    pub seq: i64,
    pub time: Millis,
    pub kind: String,
    pub topics: String,
    pub data: String,
}

/// Where the log stands; begins one if there is none.
pub fn head(conn: &mut Conn) -> db::Result<Head> {
    let row: Option<(i64, String, i64)> = select_head(conn)?;
    let (seq, epoch, pruned_to) = match row {
        Some(row) => row,
        None => {
            // Of two nodes that start at once, the first one's name counts.
            let values = (
                log_head::id.eq(1),
                log_head::seq.eq(0_i64),
                log_head::epoch.eq(new_epoch()),
                log_head::pruned_to.eq(0_i64),
            );
            on_either!(conn, |conn| diesel::insert_into(log_head::table)
                .values(values)
                .on_conflict(log_head::id)
                .do_nothing()
                .execute(conn))?;
            select_head(conn)?.ok_or_else(|| db::Error::Corrupt("log_head is empty".into()))?
        }
    };
    Ok(Head { seq, epoch: epoch.into(), pruned_to })
}

fn select_head(conn: &mut Conn) -> db::Result<Option<(i64, String, i64)>> {
    let columns = (log_head::seq, log_head::epoch, log_head::pruned_to);
    Ok(log_head::table.select(columns).get_result(conn).optional()?)
}

fn new_epoch() -> String {
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyz";
    (0..6).map(|_| char::from(digits[usize::from(rand::random::<u16>()) % 36])).collect()
}

/// Gives the log another name: for a copy of it that will go on otherwise.
pub fn renew_epoch(conn: &mut Conn) -> db::Result<()> {
    head(conn)?;
    diesel::update(log_head::table).set(log_head::epoch.eq(new_epoch())).execute(conn)?;
    Ok(())
}

/// Writes what is there already, to see whether writing works.
pub fn try_write(conn: &mut Conn) -> db::Result<()> {
    diesel::update(log_head::table).set(log_head::epoch.eq(log_head::epoch)).execute(conn)?;
    Ok(())
}

/// Locks the head until the transaction ends and says where it is. Whoever
/// comes second waits here, so positions are committed in the order they are
/// taken.
pub(super) fn lock(conn: &mut Conn) -> db::Result<i64> {
    let seq = match conn {
        Conn::Postgres(conn) => {
            log_head::table.select(log_head::seq).for_update().get_result(conn)?
        }
        // The transaction is an immediate one: it has the lock already.
        Conn::Sqlite(conn) => log_head::table.select(log_head::seq).get_result(conn)?,
    };
    Ok(seq)
}

/// Appends what happened at `time` and moves the head, which the caller has
/// locked, to `seq`.
pub(super) fn append(conn: &mut Conn, appended: &Events, time: Millis, seq: i64) -> db::Result<()> {
    match conn {
        // A round trip each would cost more than a statement of many rows.
        Conn::Postgres(conn) => {
            for some in appended.chunks(ROWS) {
                let rows = some.iter().map(|event| {
                    (
                        events::seq.eq(event.seq),
                        events::time.eq(time),
                        events::kind.eq(event.kind),
                        events::topics.eq(topics_text(event)),
                        events::data.eq(event.data()),
                    )
                });
                diesel::insert_into(events::table)
                    .values(rows.collect::<Vec<_>>())
                    .execute(conn)?;
            }
        }
        Conn::Sqlite(_) => {
            for event in appended {
                let (seq, kind, data) = (event.seq, event.kind, event.data());
                Append { seq, time, kind, topics: &topics_text(event), data }.run(conn)?;
            }
        }
    }
    MoveHead { seq }.run(conn)?;
    Ok(())
}

fn topics_text(event: &Event) -> String {
    let mut text = String::with_capacity(event.topics.iter().map(|it| it.as_str().len() + 1).sum());
    for (at, topic) in event.topics.iter().enumerate() {
        text.extend([if at == 0 { "" } else { " " }, topic.as_str()]);
    }
    text
}

prepared! {
    Append<'a> {
        "INSERT INTO events (seq, time, kind, topics, data) VALUES (" seq: i64 as BigInt,
        ", " time: Millis as BigInt,
        ", " kind: &'a str as Text,
        ", " topics: &'a str as Text,
        ", " data: &'a str as Text,
        ; ")"
    }
}

prepared! {
    MoveHead {
        "UPDATE log_head SET seq = " seq: i64 as BigInt,
    }
}

/// The oldest `limit` events after position `after`, whatever they tell of.
pub fn all_after(conn: &mut Conn, epoch: &str, after: i64, limit: i64) -> db::Result<Events> {
    let rows: Vec<Row> =
        events::table.filter(events::seq.gt(after)).order(events::seq).limit(limit).load(conn)?;
    Ok(rows.into_iter().filter_map(|row| event(epoch, row)).collect())
}

/// An event as a task reads it: what happened, not how readers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its position.
    pub seq: i64,
    /// When it was appended.
    pub time: Millis,
    /// Its type, as it is stored.
    pub kind: String,
    /// JSON, if the row is sound.
    pub data: String,
}

/// The oldest `limit` events after position `after`, for a task. Rows that no
/// reader could be shown are among them: a task has to know that it passed one.
pub fn recorded(conn: &mut Conn, after: i64, limit: i64) -> db::Result<Vec<Recorded>> {
    let rows: Vec<Row> =
        events::table.filter(events::seq.gt(after)).order(events::seq).limit(limit).load(conn)?;
    let plain = |Row { seq, time, kind, data, .. }| Recorded { seq, time, kind, data };
    Ok(rows.into_iter().map(plain).collect())
}

/// Up to where the task has dealt with the log; none if it never ran.
pub fn checkpoint(conn: &mut Conn, task: &str) -> db::Result<Option<i64>> {
    Ok(checkpoints::table.find(task).select(checkpoints::seq).first(conn).optional()?)
}

/// Notes that the task has dealt with the log up to `seq`.
pub(super) fn set_checkpoint(conn: &mut Conn, task: &str, seq: i64) -> db::Result<()> {
    let row = (checkpoints::task.eq(task.to_owned()), checkpoints::seq.eq(seq));
    on_either!(conn, |conn| diesel::insert_into(checkpoints::table)
        .values(row)
        .on_conflict(checkpoints::task)
        .do_update()
        .set(checkpoints::seq.eq(seq))
        .execute(conn))?;
    Ok(())
}

/// A part of the log that was read for somebody.
#[derive(Debug)]
pub struct Page {
    /// What is for them.
    pub events: Events,
    /// Everything up to here (from here on, backwards) was looked at.
    pub reached: i64,
    /// What was gone from the log when all of it had been read. Pruning may
    /// overtake a reader between two looks; only this tells it that it did.
    pub pruned_to: i64,
}

impl Page {
    fn from(reached: i64) -> Page {
        Page { events: Vec::new(), reached, pruned_to: 0 }
    }

    /// Takes what is wanted of `rows`; true when it has as much as it may.
    fn fill(&mut self, epoch: &str, rows: Vec<Row>, filter: &Filter, limit: usize) -> bool {
        for row in rows {
            let seq = row.seq;
            if let Some(event) = event(epoch, row).filter(|event| filter.matches(event)) {
                self.events.push(filter.told(event));
                self.reached = seq;
                if self.events.len() == limit {
                    return true;
                }
            }
        }
        false
    }

    /// Notes what was gone by now; to be asked when all rows have been read.
    fn with_pruned(mut self, conn: &mut Conn) -> db::Result<Page> {
        self.pruned_to = select_head(conn)?.map_or(0, |(_, _, pruned_to)| pruned_to);
        Ok(self)
    }
}

/// Events that match `filter` in positions `after < seq <= to`, oldest first,
/// at most `limit`. May stop before `to`: `reached` says where.
pub(super) fn forward(
    conn: &mut Conn,
    epoch: &str,
    filter: &Filter,
    (after, to): (i64, i64),
    limit: usize,
    summaries: &Blocks,
) -> db::Result<Page> {
    read_forward(conn, epoch, filter, (after, to), limit, summaries)?.with_pruned(conn)
}

fn read_forward(
    conn: &mut Conn,
    epoch: &str,
    filter: &Filter,
    (after, to): (i64, i64),
    limit: usize,
    summaries: &Blocks,
) -> db::Result<Page> {
    let mut page = Page::from(after);
    let mut reads = 0;
    while page.reached < to && reads < BLOCKS_A_READ {
        let end = blocks::end_of_block(page.reached + 1).min(to);
        if summaries.may_match(page.reached + 1, filter) {
            reads += 1;
            let rows: Vec<Row> = events::table
                .filter(events::seq.gt(page.reached))
                .filter(events::seq.le(end))
                .order(events::seq)
                .load(conn)?;
            if page.fill(epoch, rows, filter, limit) {
                return Ok(page);
            }
        }
        page.reached = end;
    }
    Ok(page)
}

/// Events that match `filter` in positions `after < seq < before`, newest
/// first, at most `limit`.
pub(super) fn backward(
    conn: &mut Conn,
    epoch: &str,
    filter: &Filter,
    (after, before): (i64, i64),
    limit: usize,
    summaries: &Blocks,
) -> db::Result<Page> {
    read_backward(conn, epoch, filter, (after, before), limit, summaries)?.with_pruned(conn)
}

fn read_backward(
    conn: &mut Conn,
    epoch: &str,
    filter: &Filter,
    (after, before): (i64, i64),
    limit: usize,
    summaries: &Blocks,
) -> db::Result<Page> {
    let mut page = Page::from(before);
    let mut reads = 0;
    while page.reached > after + 1 && reads < BLOCKS_A_READ {
        let begin = blocks::begin_of_block(page.reached - 1).max(after + 1);
        if summaries.may_match(page.reached - 1, filter) {
            reads += 1;
            let rows: Vec<Row> = events::table
                .filter(events::seq.lt(page.reached))
                .filter(events::seq.ge(begin))
                .order(events::seq.desc())
                .load(conn)?;
            if page.fill(epoch, rows, filter, limit) {
                return Ok(page);
            }
        }
        page.reached = begin;
    }
    Ok(page)
}

/// The topics of the events in positions `from..=to`.
pub(super) fn topics_between(conn: &mut Conn, from: i64, to: i64) -> db::Result<Vec<String>> {
    Ok(events::table.filter(events::seq.between(from, to)).select(events::topics).load(conn)?)
}

/// What happened, and where it was told.
#[derive(Clone, Debug, Queryable)]
pub struct Told {
    /// Its position.
    pub seq: i64,
    /// One of [`KINDS`](super::KINDS).
    pub kind: String,
    /// Its topics, with blanks between.
    pub topics: String,
}

/// What was told in positions `after < seq <= to`, oldest first, at most `most`.
pub fn told_between(conn: &mut Conn, (after, to): (i64, i64), most: i64) -> db::Result<Vec<Told>> {
    let told = events::table.filter(events::seq.gt(after)).filter(events::seq.le(to));
    let columns = (events::seq, events::kind, events::topics);
    Ok(told.order(events::seq).limit(most).select(columns).load(conn)?)
}

/// The last position in `after < seq <= to` whose event happened before `time`.
pub(super) fn last_before(
    conn: &mut Conn,
    (after, to): (i64, i64),
    time: Millis,
) -> db::Result<Option<i64>> {
    let old = events::table
        .filter(events::seq.gt(after))
        .filter(events::seq.le(to))
        .filter(events::time.lt(time))
        .order(events::seq.desc());
    Ok(old.select(events::seq).first(conn).optional()?)
}

/// The last position in `after..=to` up to which everything happened before
/// `time`. Positions and times go the same way, so it halves what is left until
/// it is found: there is no index by time.
pub(super) fn position_at(
    conn: &mut Conn,
    (after, to): (i64, i64),
    time: Millis,
) -> db::Result<i64> {
    let (mut low, mut high) = (after, to);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let told = events::table
            .filter(events::seq.gt(low))
            .filter(events::seq.le(middle))
            .order(events::seq.desc());
        let at: Option<Millis> = told.select(events::time).first(conn).optional()?;
        if at.is_some_and(|at| at >= time) {
            high = middle - 1;
        } else {
            low = middle;
        }
    }
    Ok(low)
}

/// Forgets everything up to `seq`.
pub(super) fn prune(conn: &mut Conn, seq: i64) -> db::Result<()> {
    diesel::delete(events::table.filter(events::seq.le(seq))).execute(conn)?;
    let head = log_head::table.filter(log_head::pruned_to.lt(seq));
    diesel::update(head).set(log_head::pruned_to.eq(seq)).execute(conn)?;
    blocks::forget(conn, seq)
}

/// The event in a row; `None`, and a line in the log, if no code of ours wrote
/// that row. One that cannot be read must not keep back those after it.
fn event(epoch: &str, row: Row) -> Option<Arc<Event>> {
    let topics = row.topics.split(' ').filter(|topic| !topic.is_empty());
    let topics: Result<Vec<Topic>, _> = topics.map(str::parse).collect();
    let sound = serde_json::from_str::<serde::de::IgnoredAny>(&row.data).is_ok()
        && !row.data.contains(['\n', '\r']);
    match (known_kind(&row.kind), topics, sound) {
        (Some(kind), Ok(topics), true) => {
            Some(Arc::new(Event::encode(epoch, row.seq, row.time, kind, topics, &row.data)))
        }
        _ => {
            tracing::error!(
                seq = row.seq,
                kind = row.kind,
                "an event cannot be read and is passed over"
            );
            None
        }
    }
}
