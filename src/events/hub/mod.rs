//! The readers of one thread.

mod follow;
mod group;
mod line;
mod look_after;
mod member;
mod polls;
mod state;
mod topics;
mod walk;
mod watcher;

pub(super) use group::Piece;
pub use group::ROOM;
pub use member::Guest;
pub use polls::{Asker, BYTES as POLL_BYTES};
pub(super) use state::Look;
pub(super) use topics::Hubs;
pub use topics::{StreamId, TopicChange, Topics};

use super::interest::Interest;
use super::{Bound, Filter, Saved, Tail};
use crate::auth::Gate;
use crate::db::Db;
use crate::handover::Signatures;
use crate::limits::Limits;
use crate::memory;
use crate::telemetry::Metrics;
use bytes::Bytes;
use state::State;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How many events are taken from the tail at a time.
const BATCH: usize = 256;

/// How many readers are served before others get a turn. What is published
/// meanwhile goes out in the same write, so small slices deliver more.
const SLICE: usize = 32;

/// How many slices are served before it is looked whether anything else is due.
const SLICES: usize = 64;

/// How long a poll is held after the first event, for those that come with it.
pub const GATHER: Duration = Duration::from_millis(50);

/// What it takes to serve readers, the same on every thread.
#[derive(Clone)]
pub struct Readers {
    /// To read the past from.
    pub db: Db,
    /// To read the present from.
    pub tail: Tail,
    /// Who follows what.
    pub interest: Interest,
    pub(super) blocks: super::blocks::Blocks,
    /// To see who may still read.
    pub gate: Gate,
    /// To count those who come again.
    pub limits: Limits,
    /// Where readers are counted.
    pub metrics: Metrics,
    /// How often a stream gets a heartbeat.
    pub heartbeat: Duration,
    /// How long unsent bytes may wait for a reader.
    pub write_time: Duration,
    /// Whether waiting connections are taken from the dispatcher.
    pub hand_over: bool,
    /// How much may wait for one that does not keep up before it is folded.
    pub fold_beyond: Bound,
    /// Becomes true when the service begins to stop.
    pub stopping: watch::Receiver<bool>,
    /// The hubs that serve them, one a thread.
    pub(super) hubs: Hubs,
}

/// Gives a connection, of which some was read already, to the dispatcher.
type Dispatch = Box<dyn Fn(TcpStream, Bytes)>;

/// The readers of one thread, and the tasks that tell them of news.
///
/// Everything here belongs to its thread: no lock, no counter that others
/// write. A reader is a place in the log. News is put before groups of equal
/// readers, and each group is gone round in slices: whoever lacks something is
/// given all of it in one write. A slow reader is one whose place stays behind;
/// it costs a bound and misses nothing.
pub struct Hub {
    pub(super) readers: Readers,
    state: RefCell<State>,
    /// Everything up to here has been put before the groups.
    position: Cell<i64>,
    began: Instant,
    /// The second in which it looked after its readers last.
    looked: Cell<u32>,
    signatures: Signatures,
    dispatch: OnceCell<Dispatch>,
    away: Rc<()>,
    /// Which of the node's hubs it is.
    number: u16,
}

impl Hub {
    /// The hub of this thread. Its tasks run until the thread's runtime ends.
    ///
    /// # Errors
    /// If the kernel has no more means to watch connections.
    pub fn start(readers: Readers) -> io::Result<Rc<Hub>> {
        let position = Cell::new(readers.tail.head());
        let poll = mio::Poll::new()?;
        let state = RefCell::new(State::new(poll.registry().try_clone()?));
        let (number, orders) = readers.hubs.join();
        let hub = Rc::new(Hub {
            readers,
            state,
            position,
            began: Instant::now(),
            looked: Cell::new(0),
            signatures: Signatures::default(),
            dispatch: OnceCell::new(),
            away: Rc::new(()),
            number,
        });
        // Each thread of the server has a runtime of its own, and its own hub on it.
        let running = hub.clone();
        tokio::task::spawn_local(async move { running.run().await });
        let watching = hub.clone();
        tokio::task::spawn_local(async move { watching.watch(poll).await });
        let taking = hub.clone();
        tokio::task::spawn_local(async move { taking.take_orders(orders).await });
        Ok(hub)
    }

    /// Says where connections go back to. Without it they are not taken.
    pub fn give_back_to(&self, dispatch: impl Fn(TcpStream, Bytes) + 'static) {
        // A second one would be another way to the same server.
        let _ = self.dispatch.set(Box::new(dispatch));
    }

    /// Whether connections that wait are to be handed over.
    pub fn takes_over(&self) -> bool {
        self.readers.hand_over && self.dispatch.get().is_some()
    }

    /// By which polls are recognised.
    pub fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// How many connections have left the dispatcher.
    pub fn connections(&self) -> usize {
        self.state.borrow().lines + Rc::strong_count(&self.away) - 1
    }

    /// Counts a connection, until this is dropped, that is neither in the table
    /// nor with the dispatcher.
    fn away(&self) -> Rc<()> {
        self.away.clone()
    }

    /// What it serves its readers with.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Everything up to here has been put before the groups.
    pub(super) fn position(&self) -> i64 {
        self.position.get()
    }

    /// Takes in a reader who stands at `cursor`.
    pub(super) fn enter(&self, filter: Filter, guest: Guest, cursor: i64) -> u32 {
        if guest.follows.is_some() {
            self.readers.metrics.following.inc();
        }
        self.readers.interest.add(&filter);
        if guest.streams {
            self.readers.metrics.streams.inc();
        }
        self.state.borrow_mut().enter(filter, guest, cursor, self.position())
    }

    pub(super) fn leave(&self, key: u32) {
        let left = self.state.borrow_mut().leave(key);
        if let Some((filter, member)) = left {
            member.count_out(&self.readers, &filter);
        }
    }

    pub(super) fn filter(&self, key: u32) -> Option<Arc<Filter>> {
        self.state.borrow().filter(key)
    }

    pub(super) fn cursor(&self, key: u32) -> i64 {
        self.state.borrow().cursor(key)
    }

    /// Notes that a reader was given everything up to `cursor`.
    pub(super) fn advance(&self, key: u32, cursor: i64) {
        self.state.borrow_mut().advance(key, cursor);
    }

    /// Whether the reader has not kept up for so long that its prices and stock
    /// may be folded.
    pub(super) fn folds(&self, key: u32) -> bool {
        let state = self.state.borrow();
        state.members.get(key as usize).is_some_and(|member| member.folds(state.second))
    }

    /// Moves a reader that is up to date over whatever was not for it.
    pub(super) fn settle(&self, key: u32) -> i64 {
        self.state.borrow_mut().settle(key, self.position())
    }

    /// What comes next for a reader.
    pub(super) fn look(&self, key: u32) -> Look {
        self.state.borrow_mut().look(&self.readers, key, self.position())
    }

    pub(super) fn ended(&self, key: u32) -> Option<&'static str> {
        self.state.borrow().ended(key)
    }

    /// Whether the reader wants the present state where its cursor is of no use.
    pub(super) fn snapshots(&self, key: u32) -> bool {
        self.state.borrow().snapshots(key)
    }

    /// Whether a heartbeat is due; it is asked once.
    pub(super) fn take_heartbeat(&self, key: u32) -> bool {
        self.state.borrow_mut().take_heartbeat(key)
    }

    /// Has the reader's task woken when there is something for it.
    pub(super) fn listen(&self, key: u32, cx: &Context<'_>) {
        self.state.borrow_mut().listen(key, cx.waker());
    }

    async fn run(self: &Rc<Hub>) {
        let mut news = self.readers.tail.news();
        let mut stopping = self.readers.stopping.clone();
        let mut stopped = false;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let gathered = self.state.borrow().next_gathered();
            let gathered = async {
                match gathered {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let asked = self.state.borrow().asked.clone();
            let tidy = self.state.borrow().tidy;
            let tidy = async {
                match tidy {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = news.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.deliver(&mut news).await;
                }
                () = gathered => self.deliver(&mut news).await,
                () = asked.notified() => self.deliver(&mut news).await,
                _ = second.tick() => self.look_after(),
                () = tidy => {
                    self.state.borrow_mut().tidy = None;
                    memory::tidy();
                }
                // Whoever comes after this is told at once.
                changed = stopping.changed(), if !stopped => {
                    stopped = changed.is_err() || *stopping.borrow();
                    if stopped {
                        self.end_all().await;
                    }
                }
            }
        }
    }

    /// Puts the news before the groups and goes round those whom it concerns,
    /// in slices: between two, others have their turn, and newer news is taken.
    /// Whoever calls has others to look after too, however fast the news comes:
    /// after some slices it is asked to come again.
    async fn deliver(self: &Rc<Hub>, news: &mut watch::Receiver<i64>) {
        let mut far = Vec::new();
        for _ in 0..SLICES {
            news.mark_unchanged();
            let more = self.absorb();
            let (rounds, unread) = {
                let mut state = self.state.borrow_mut();
                state.collect_gathered(Instant::now());
                let rounds = state.slice(&self.readers, self.position(), SLICE, &mut far);
                (rounds, std::mem::take(&mut state.unread))
            };
            for key in far.drain(..) {
                self.readers.metrics.fell_behind.inc();
                self.walk(key);
            }
            for key in unread {
                self.read_poll(key);
            }
            if !more && !rounds {
                return;
            }
            // First other threads, if they share this one's processor: the writer has
            // an answer to give, and would wait for as long as the scheduler lets a
            // busy thread go on. Then the other tasks of this one.
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
        self.state.borrow().asked.notify_one();
    }

    /// Puts the next events before the groups; true if there may be more.
    fn absorb(self: &Rc<Hub>) -> bool {
        let mut state = self.state.borrow_mut();
        match self.readers.tail.after(self.position(), BATCH) {
            Some(events) => {
                for event in &events {
                    state.news(self.position(), event);
                    self.position.set(event.seq);
                    if let Some((user, saved)) = Saved::told(event) {
                        state.saved_changed(&self.readers, self.position(), &user, &saved);
                    }
                }
                events.len() == BATCH
            }
            // This thread itself fell behind what memory holds.
            None => {
                let head = self.readers.tail.head();
                state.lost(self.position(), head);
                self.position.set(head);
                // What they have saved may have been changed in what was not looked at.
                self.ask_what_is_saved(state.followed_users());
                true
            }
        }
    }

    /// Puts before the groups what this thread was not woken for yet, so that
    /// whoever was answered a write finds it when they ask next.
    pub(super) fn be_up_to_date(self: &Rc<Hub>) {
        while self.position() < self.readers.tail.head() {
            self.absorb();
        }
    }

    async fn end_all(self: &Rc<Hub>) {
        let all = self.state.borrow().keys();
        for slice in all.chunks(SLICE) {
            for key in slice {
                self.end(*key, "shutdown");
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Wakes `waker`'s task unless it was woken already.
fn wake(waker: &mut Option<Waker>) -> bool {
    waker.take().map(Waker::wake).is_some()
}
