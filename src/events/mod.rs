//! The event log, and everyone who reads it.
//!
//! An event is a row first. [`Publisher::commit`] is the only way to append
//! one: it writes the event in the same transaction as the change it tells
//! of. From there one road leads out, on every node and after every restart:
//! the [`Tail`] passes events on in the order of the log, the [`Hub`] of each
//! thread puts them before those whom they concern, and each [`Subscription`]
//! is one reader's place in the log. What a node was not told, it reads; being
//! told is only faster.

mod access;
mod ascii;
mod blocks;
mod cursor;
mod event;
mod filter;
mod fold;
mod frames;
mod history;
mod hub;
mod interest;
mod log;
mod publisher;
mod relay;
mod retention;
mod saved;
mod subscription;
mod tail;
mod topic;
mod writer;

pub use access::may_read;
pub use ascii::to_ascii;
pub use cursor::{Cursor, MalformedCursor};
pub use event::{Event, Events, Fact, KINDS, known_kind};
pub use filter::Filter;
pub use fold::{Bound, Folded};
pub use frames::{
    Answered, bye_frame, heartbeat_frame, jitter, push_answer, push_events, reset_frame,
    reset_to_snapshot_frame, snapshot_frame,
};
pub use history::{Past, Span};
pub use hub::{
    Asker, GATHER, Guest, Hub, POLL_BYTES, ROOM, Readers, StreamId, TopicChange, Topics,
};
pub use interest::Interest;
pub use log::{
    Head, Recorded, Told, all_after, checkpoint, head, recorded, renew_epoch, told_between,
    try_write,
};
pub use publisher::{Publisher, Receipt, Tx};
pub use relay::Relay;
pub use saved::{Follows, Saved};
pub use subscription::{Batch, Reset, Room, Start, Step, Subscription};
pub use tail::Tail;
pub use topic::{Access, Topic};

use crate::auth::Gate;
use crate::clock::Clock;
use crate::db::{self, Db};
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use serde::Deserialize;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// `[events]` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many events are kept.
    pub keep_count: i64,
    /// How many days they are kept.
    pub keep_days: i64,
    /// How many recent events are kept in memory.
    pub recent_events: usize,
    /// How many bytes of them.
    pub recent_bytes: usize,
    /// How many writes may wait for the writer.
    pub write_queue: usize,
}

/// `[streams]` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamsConfig {
    /// How often a stream gets a heartbeat.
    pub heartbeat_seconds: u64,
    /// How long unsent bytes may wait for a reader.
    pub write_seconds: u64,
    /// Whether connections that wait are taken from the HTTP dispatcher.
    pub hand_over: bool,
    /// What clients are told to wait before they come back.
    pub retry_ms: u64,
    /// How many events may wait for a reader that does not keep up before its
    /// prices and stock are folded.
    pub conflate_events: usize,
    /// How many bytes of them.
    pub buffer_bytes: usize,
}

/// Why work on the log came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was refused, and why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
}

/// What work on the log comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The log of one node: what writes it, what reads it, what looks after it.
pub struct Log {
    /// To write.
    pub publisher: Publisher,
    /// To read; each thread makes itself a [`Hub`] of it.
    pub readers: Readers,
    /// The thread that writes; it ends when every publisher is gone.
    pub writer: JoinHandle<()>,
}

/// What a log is opened with.
pub struct Setting {
    /// The database it is in.
    pub db: Db,
    /// `[events]`.
    pub config: Config,
    /// `[streams]`.
    pub streams: StreamsConfig,
    /// Who may read.
    pub gate: Gate,
    /// How much.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
    /// Where to count.
    pub metrics: Metrics,
    /// Becomes true when the service begins to stop.
    pub stopping: watch::Receiver<bool>,
}

impl Log {
    /// Opens the log and starts what looks after it.
    pub fn open(setting: Setting, tasks: &Tasks) -> db::Result<Log> {
        let Setting { db, config, streams, gate, limits, clock, metrics, stopping } = setting;
        let head = db.read_blocking(log::head)?;
        let tail = Tail::new(&head, config.recent_events, config.recent_bytes, &metrics);
        let interest = Interest::default();
        let (queue, jobs) = mpsc::channel(config.write_queue);
        let publisher = Publisher { queue };
        let writer = writer::Writer {
            url: db.url().clone(),
            tail: tail.clone(),
            interest: interest.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        let writer = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || writer.run(jobs))
            .map_err(|err| db::Error::Unavailable(err.to_string()))?;

        let blocks = blocks::Blocks::default();
        let catch_up = tail::CatchUp { db: db.clone(), tail: tail.clone() };
        let unasked = watch::Sender::new(0).subscribe();
        // A SQLite file has one node: there is nobody else to hear of.
        let alone = matches!(db.url(), db::Url::Sqlite(_));
        let pace = Duration::from_millis(if alone { 1_000 } else { 250 });
        tasks.spawn(catch_up, pace, unasked.clone());
        let retention = retention::Retention {
            db: db.clone(),
            tail: tail.clone(),
            publisher: publisher.clone(),
            clock,
            config,
        };
        tasks.spawn(retention, Duration::from_secs(5), unasked.clone());
        let summarise = blocks::Summarise {
            db: db.clone(),
            tail: tail.clone(),
            publisher: publisher.clone(),
            blocks: blocks.clone(),
        };
        tasks.spawn(summarise, Duration::from_secs(2), unasked);

        let readers = Readers {
            db,
            tail,
            interest,
            blocks,
            gate,
            limits,
            metrics,
            heartbeat: Duration::from_secs(streams.heartbeat_seconds),
            hand_over: streams.hand_over && cfg!(target_os = "linux"),
            write_time: Duration::from_secs(streams.write_seconds),
            fold_beyond: Bound { events: streams.conflate_events, bytes: streams.buffer_bytes },
            stopping,
            hubs: hub::Hubs::default(),
        };
        Ok(Log { publisher, readers, writer })
    }
}
