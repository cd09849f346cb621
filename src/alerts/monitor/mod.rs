//! The task that judges rules.
//!
//! It reads the log from its checkpoint. Most of what it reads changes no rule:
//! that is found out on a read connection, and costs the writer nothing. Where
//! something may change, a bounded round goes through the writer, which moves
//! the checkpoint in the transaction of what came of it.

mod change;
mod judge;
mod lease;
mod members;
mod round;
mod store;

use crate::clock::{Clock, Millis};
use crate::db::{self, Conn, Db};
use crate::events::{self, Publisher};
use crate::tasks::Task;
use crate::telemetry::Metrics;
use change::Change;
use lease::Lease;
use round::Round;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The name of its checkpoint and of its lease. There is one shard: rules are
/// found by an index, so that more would do the same look-ups.
const NAME: &str = "alerts";

/// How many events are looked through at once.
const PAGE: i64 = 1_000;

/// How far the checkpoint may stay behind what was looked through in vain; a
/// restart looks through it once more.
const BEHIND: i64 = 5_000;

/// How long it waits for more after it was woken.
const GATHER: Duration = Duration::from_millis(5);

/// How often an event may fail before it is set aside.
const TRIES: u32 = 3;

/// Judges rules; see the head of this module.
pub struct Monitor {
    /// To look for what there is to do.
    pub db: Db,
    /// To do it.
    pub publisher: Publisher,
    /// The time.
    pub clock: Clock,
    /// Where to count.
    pub metrics: Metrics,
    /// Cancelled when the service stops.
    pub shutdown: CancellationToken,
    lease: Lease,
    /// Up to here nothing concerns any rule.
    looked: AtomicI64,
    trouble: Mutex<Trouble>,
}

/// An event that fails.
#[derive(Clone, Debug, Default)]
struct Trouble {
    tries: u32,
    error: String,
}

/// What looking through a part of the log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// Everything up to here was looked through.
    reached: i64,
    /// Whether something has to be done.
    work: bool,
    /// Whether there is more to look through.
    more: bool,
    behind: i64,
    lag: i64,
}

impl Monitor {
    /// A monitor of this node.
    pub fn new(
        db: Db,
        publisher: Publisher,
        clock: Clock,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Monitor {
        Monitor {
            db,
            publisher,
            clock,
            metrics,
            shutdown,
            lease: Lease::default(),
            looked: AtomicI64::new(0),
            trouble: Mutex::default(),
        }
    }

    async fn look(&self) -> db::Result<Look> {
        let (from, now) = (self.looked.load(Ordering::Relaxed), self.clock.now());
        let look = self.db.read(move |conn| look(conn, from, now)).await?;
        self.looked.fetch_max(look.reached, Ordering::Relaxed);
        self.metrics.alert_lag.set(look.lag);
        Ok(look)
    }

    /// One bounded piece of work in the writer.
    async fn round(&self) -> events::Result<Round> {
        let looked = self.looked.load(Ordering::Relaxed);
        let lease = self.lease.clone();
        let trouble =
            self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let done = self
            .publisher
            .commit(move |tx| {
                // After a failure one event at a time, so that it is known which fails.
                let careful = trouble.tries > 0;
                let aside = (trouble.tries >= TRIES).then_some(trouble.error.as_str());
                round::round(tx, &lease, looked, careful, aside)
            })
            .await;
        let mut trouble = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &done {
            Ok(round) => {
                round.count(&self.metrics);
                *trouble = Trouble::default();
            }
            Err(events::Error::Db(err)) if err.is_passing() => {}
            Err(err) => {
                trouble.tries += 1;
                trouble.error = crate::tasks::chain(err);
            }
        }
        done
    }
}

impl Task for Monitor {
    const NAME: &'static str = NAME;

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        // What comes in quick succession is looked through at once.
        tokio::time::sleep(GATHER).await;
        while !self.shutdown.is_cancelled() {
            let look = self.look().await?;
            if !look.work && look.behind < BEHIND {
                if look.more {
                    continue;
                }
                return Ok(());
            }
            // Others get their turn between two rounds: the queue of the writer is
            // first come, first served.
            let round = self.round().await?;
            if round.idle && !look.more {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Looks through the log after `from` until something concerns a rule.
fn look(conn: &mut Conn, from: i64, now: Millis) -> db::Result<Look> {
    let head = store::head(conn)?;
    let Some(checkpoint) = events::checkpoint(conn, NAME)? else {
        // The first time ever: no rule is older than this.
        return Ok(Look { reached: from, work: true, more: false, behind: 0, lag: 0 });
    };
    let from = from.max(checkpoint);
    if !store::any_rule(conn)? {
        // A rule that is made after this has seen what happened up to now.
        let reached = from.max(head);
        let behind = reached - checkpoint;
        return Ok(Look { reached, work: false, more: false, behind, lag: head - reached });
    }
    let page = events::recorded(conn, from, PAGE)?;
    let more = page.len() as i64 == PAGE;
    let mut reached = from;
    let mut work = store::next_due(conn)?.is_some_and(|due| due <= now)
        || !store::expired(conn, now, 1)?.is_empty();
    let mut keys = Vec::new();
    for event in &page {
        match change::read(event) {
            Ok(Some(Change::Value(value))) => keys.push((event.seq, value.series.to_string())),
            Ok(None) => {}
            // A product that comes or goes may concern any rule; what cannot be
            // read is set aside by the writer.
            Ok(Some(_)) | Err(_) => keys.push((event.seq, String::new())),
        }
    }
    let mut names: Vec<String> = keys.iter().map(|(_, key)| key.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let mut known = Vec::new();
    for names in names.chunks(500) {
        known.extend(store::followed(conn, names)?);
    }
    known.sort_unstable();
    let concerns = |key: &String| key.is_empty() || known.binary_search(key).is_ok();
    match keys.iter().find(|(_, key)| concerns(key)) {
        Some((seq, _)) => {
            reached = reached.max(seq - 1);
            work = true;
        }
        None => reached = page.last().map_or(reached, |event| event.seq),
    }
    Ok(Look { reached, work, more, behind: reached - checkpoint, lag: head - reached })
}
