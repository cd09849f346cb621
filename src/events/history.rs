use super::hub::Readers;
use super::{Events, Filter, log};
use crate::clock::Millis;
use crate::db;

/// Which part of the past is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Only what comes after this position.
    pub after: i64,
    /// Only what comes before this position.
    pub before: i64,
    /// Newest first.
    pub newest_first: bool,
    /// How many events at most.
    pub limit: usize,
}

/// A part of the past.
#[derive(Debug)]
pub struct Past {
    /// In the order asked for.
    pub events: Events,
    /// The position to go on from; `None` if that was all.
    pub next: Option<i64>,
    /// What was gone from the log by then.
    pub pruned_to: i64,
}

impl Readers {
    /// The position after which everything happened at `time` or later.
    pub async fn position_at(&self, time: Millis) -> db::Result<i64> {
        let span = (self.tail.pruned_to(), self.tail.head());
        self.db.read(move |conn| log::position_at(conn, span, time)).await
    }

    /// The past of what `filter` lets pass. What is published meanwhile does
    /// not move it.
    pub async fn past(&self, filter: Filter, span: Span) -> db::Result<Past> {
        let (epoch, blocks) = (self.tail.epoch().clone(), self.blocks.clone());
        let head = self.tail.head();
        self.metrics.log_reads.inc();
        self.db
            .read(move |conn| {
                let Span { after, before, newest_first, limit } = span;
                let (after, before) = (after.min(head), before.min(head + 1));
                let page = if newest_first {
                    log::backward(conn, &epoch, &filter, (after, before), limit, &blocks)?
                } else {
                    log::forward(conn, &epoch, &filter, (after, before - 1), limit, &blocks)?
                };
                let more =
                    if newest_first { page.reached > after + 1 } else { page.reached < before - 1 };
                let next = more.then_some(page.reached);
                Ok(Past { events: page.events, next, pruned_to: page.pruned_to })
            })
            .await
    }
}
