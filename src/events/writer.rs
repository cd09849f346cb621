//! The thread that writes.

use super::interest::Interest;
use super::log;
use super::publisher::Tx;
use super::relay::{Held, Relay};
use super::{Error, Events, Result, Tail, Topic};
use crate::clock::Clock;
use crate::db::{self, Conn, Url};
use crate::tasks::chain;
use crate::telemetry::Metrics;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// The most jobs that share a transaction.
const SHARE: usize = 256;

/// How many topics something is remembered of. The limit on rooms is no higher
/// unless somebody raised it.
const KNOWN: usize = 20_000;

/// The niceness of the writer's thread when it is to go first; others have 0.
#[cfg(target_os = "linux")]
const PROMPT: i32 = -10;

/// How often a transaction is begun anew when the database broke it off.
const TRIES: u32 = 3;

/// Work for the writer. It keeps its own outcome until that is committed.
pub(super) trait Job: Send {
    /// Does the work; false if it was refused, and why is kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// The way back to the thread that waits for it.
    fn relay(&self) -> Option<&Relay>;

    /// Hands out what the work came to.
    fn answer(self: Box<Self>);

    /// Hands out `err`, whatever the work came to.
    fn fail(self: Box<Self>, err: db::Error);
}

struct Work<T, W> {
    work: W,
    outcome: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
    relay: Option<Relay>,
}

/// `work`, to be answered through `answer` and, if there is one, `relay`.
pub(super) fn job<T: Send + 'static>(
    work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    answer: oneshot::Sender<Result<T>>,
    relay: Option<Relay>,
) -> Box<dyn Job> {
    Box::new(Work { work, outcome: None, answer, relay })
}

impl<T: Send, W: FnMut(&mut Tx<'_>) -> Result<T> + Send> Job for Work<T, W> {
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(tx))).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(db::Error::Panicked(what.unwrap_or_default()).into())
        });
        let done = outcome.is_ok();
        self.outcome = Some(outcome);
        done
    }

    fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone away; what was done is done.
        let outcome = self.outcome.unwrap_or(Err(Error::Db(db::Error::Stopping)));
        let _ = self.answer.send(outcome);
    }

    fn fail(self: Box<Self>, err: db::Error) {
        let _ = self.answer.send(Err(Error::Db(err)));
    }
}

/// What the thread needs.
pub(super) struct Writer {
    pub url: Url,
    pub tail: Tail,
    pub interest: Interest,
    pub clock: Clock,
    pub metrics: Metrics,
}

/// What a transaction came to.
enum Outcome {
    Committed(Events, Vec<Topic>),
    /// The work at this place refused after it had written: it is to be taken
    /// out, and the rest done again.
    Spoilt(usize),
}

/// What the thread keeps from one transaction to the next.
#[derive(Default)]
struct State {
    conn: Option<Conn>,
    /// What was noted of topics, in transactions that were committed.
    known: HashSet<Topic>,
    /// Whether the last transaction was of more than one.
    shared: bool,
}

impl Writer {
    /// Works until every [`Publisher`](super::Publisher) is gone.
    pub fn run(self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        set_priority(false);
        let mut state = State { conn: self.connect().ok(), ..State::default() };
        while let Some(first) = queue.blocking_recv() {
            if state.shared {
                gather(&queue);
            }
            let mut jobs = vec![first];
            while jobs.len() < SHARE
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            let shared = jobs.len() > 1;
            if shared != state.shared {
                state.shared = shared;
                set_priority(shared);
            }
            self.metrics.write_queue.set(queue.len() as i64);
            // Whoever waits for one of these jobs is told that it came to nothing.
            let work = AssertUnwindSafe(|| self.commit(&mut state, jobs));
            if catch_unwind(work).is_err() {
                self.metrics.panics.inc();
                state.conn = None;
            }
        }
    }

    fn connect(&self) -> db::Result<Conn> {
        let mut conn = self.url.connect()?;
        // It is only slower without.
        if let Err(err) = conn.lengthen_log() {
            tracing::debug!(error = chain(&err), "the write-ahead log was not made longer");
        }
        Ok(conn)
    }

    fn commit(&self, state: &mut State, mut jobs: Vec<Box<dyn Job>>) {
        let mut tries = 0;
        while !jobs.is_empty() {
            let began = Instant::now();
            match self.try_commit(state, &mut jobs) {
                Ok(Outcome::Committed(events, noted)) => {
                    self.metrics.commits.inc();
                    self.metrics.commit_jobs.observe(jobs.len() as f64);
                    self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
                    self.count(&events);
                    if state.known.len() + noted.len() > KNOWN {
                        state.known.clear();
                    }
                    state.known.extend(noted);
                    // What was told can be read before its answer is there. Threads are woken last:
                    // on a processor that they share they would go on at once, instead of this one.
                    let news = self.tail.offer(events);
                    let held = hold(&jobs);
                    jobs.drain(..).for_each(Job::answer);
                    drop(held);
                    drop(news);
                }
                Ok(Outcome::Spoilt(at)) => jobs.remove(at).answer(),
                Err(err) => {
                    // The connection may be the fault; the next one is a new one.
                    state.conn = None;
                    tries += 1;
                    let passing = err.is_passing();
                    if passing && tries < TRIES && !err.after_commit {
                        continue;
                    }
                    let message = chain(&err.cause);
                    tracing::error!(error = message, jobs = jobs.len(), "a transaction failed");
                    for job in jobs.drain(..) {
                        job.fail(db::Error::Failed { message: message.clone(), passing });
                    }
                }
            }
        }
    }

    fn count(&self, events: &Events) {
        for same in events.chunk_by(|one, next| one.kind == next.kind) {
            let kind = same.first().map_or("", |event| event.kind);
            self.metrics.appended.with_label_values(&[kind]).inc_by(same.len() as u64);
        }
    }

    fn try_commit(&self, state: &mut State, jobs: &mut [Box<dyn Job>]) -> Result<Outcome, Failure> {
        let State { conn, known, .. } = state;
        let conn = match conn {
            Some(conn) => conn,
            None => conn.insert(self.connect()?),
        };
        conn.begin_write().map_err(db::Error::from)?;
        match self.work(conn, known, jobs) {
            Ok(Outcome::Committed(events, noted)) => match conn.commit() {
                Ok(()) => Ok(Outcome::Committed(events, noted)),
                Err(err) => {
                    let _ = conn.rollback();
                    let after_commit = conn.is_postgres();
                    Err(Failure { cause: err.into(), after_commit })
                }
            },
            other => {
                // Whoever waits has to hear of `other`, whatever becomes of this.
                let _ = conn.rollback();
                Ok(other?)
            }
        }
    }

    fn work(
        &self,
        conn: &mut Conn,
        known: &HashSet<Topic>,
        jobs: &mut [Box<dyn Job>],
    ) -> db::Result<Outcome> {
        let mut seq = log::lock(conn)?;
        let before = seq;
        let now = self.clock.now();
        let (mut events, mut noted) = (Events::new(), Vec::new());
        let alone = jobs.len() == 1;
        for (at, job) in jobs.iter_mut().enumerate() {
            let mut tx = Tx {
                conn: &mut *conn,
                epoch: self.tail.epoch(),
                interest: &self.interest,
                now,
                seq,
                appended: Events::new(),
                written: false,
                pretending: false,
                known,
                noted: Vec::new(),
            };
            if job.run(&mut tx) {
                seq = tx.seq;
                events.append(&mut tx.appended);
                noted.append(&mut tx.noted);
            } else if tx.written || alone || is_broken(tx.conn) {
                return Ok(Outcome::Spoilt(at));
            }
        }
        if seq > before {
            log::append(conn, &events, now, seq)?;
        }
        Ok(Outcome::Committed(events, noted))
    }
}

/// Lets those go first who are about to send more, if they share this one's
/// processor: a commit costs as much for one job as for many. Where they have
/// their own, this ends at once.
fn gather(queue: &mpsc::Receiver<Box<dyn Job>>) {
    let mut before = 0;
    while (before..SHARE).contains(&queue.len()) {
        before = queue.len() + 1;
        std::thread::yield_now();
    }
}

/// Who writes alone waits for each answer before the next is sent: the sooner
/// this thread gets a processor that it shares, the better. Where many share a
/// transaction the others go first, so that more do. The system may refuse.
#[cfg(target_os = "linux")]
fn set_priority(shared: bool) {
    // On Linux this is of a thread.
    if let Err(error) = rustix::process::setpriority_process(None, if shared { 0 } else { PROMPT })
    {
        tracing::trace!(%error, "the writer's priority stays as it is");
    }
}

#[cfg(not(target_os = "linux"))]
fn set_priority(_shared: bool) {}

/// Holds the ways back to all that wait for `jobs`.
fn hold(jobs: &[Box<dyn Job>]) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    for relay in jobs.iter().filter_map(|job| job.relay()) {
        if !held.iter().any(|held| held.relay().is(relay)) {
            held.push(relay.hold());
        }
    }
    held
}

/// Whether a statement failed that makes PostgreSQL refuse all further ones.
fn is_broken(conn: &mut Conn) -> bool {
    use diesel::connection::SimpleConnection;
    conn.is_postgres() && conn.batch_execute("SELECT 1").is_err()
}

struct Failure {
    cause: db::Error,
    /// The connection went while PostgreSQL was committing: it may have, so
    /// the work must not be done again.
    after_commit: bool,
}

impl Failure {
    fn is_passing(&self) -> bool {
        self.cause.is_passing()
    }
}

impl From<db::Error> for Failure {
    fn from(cause: db::Error) -> Failure {
        Failure { cause, after_commit: false }
    }
}
