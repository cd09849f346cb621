use super::interest::Interest;
use super::{Event, Events, Filter, Tail, Topic};
use crate::auth::{Caller, Gate};
use crate::db::Db;
use crate::telemetry::Metrics;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How many events are taken from the tail at a time.
const BATCH: usize = 256;

/// How many readers are woken before others get a turn. What is published
/// meanwhile goes out in the same write, so small slices deliver more.
const SLICE: usize = 32;

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
    /// Where readers are counted.
    pub metrics: Metrics,
    /// How often a stream gets a heartbeat.
    pub heartbeat: Duration,
    /// How many unsent bytes a reader may have before it is sent back to the log.
    pub buffer_bytes: usize,
    /// How long they may wait unsent.
    pub write_time: Duration,
    /// Becomes true when the service begins to stop.
    pub stopping: watch::Receiver<bool>,
}

/// The readers of one thread, and the one task that tells them of news.
///
/// Everything here belongs to its thread: no lock, no counter that others
/// write. A reader has a queue only of what it has not been given yet; when
/// that grows too long it is thrown away, and the reader goes back to the log
/// from where it stands. So a slow reader costs a bound and misses nothing.
pub struct Hub {
    pub(super) readers: Readers,
    state: RefCell<State>,
    /// Everything up to here has been put into queues.
    position: Cell<i64>,
    /// How often it looked after its readers.
    seconds: Cell<u64>,
}

#[derive(Default)]
struct State {
    next: u64,
    all: HashMap<u64, Rc<Reader>>,
    topics: HashMap<Topic, HashMap<u64, Rc<Reader>>>,
}

/// One reader as the hub sees it.
pub(super) struct Reader {
    pub filter: Arc<Filter>,
    pub queue: RefCell<Queue>,
    pub waker: RefCell<Option<Waker>>,
    pub heartbeat: Cell<bool>,
    pub ended: Cell<Option<&'static str>>,
    pub caller: Caller,
    pub until: Option<Instant>,
    /// The last event it was offered: one with three topics comes by thrice.
    last: Cell<i64>,
    beats: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    pub events: VecDeque<Arc<Event>>,
    pub bytes: usize,
    /// Everything up to here is to be read from the log instead.
    pub live_from: i64,
    /// Since when something has been waiting.
    pub since: Option<Instant>,
}

impl Reader {
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn end(&self, code: &'static str) {
        if self.ended.get().is_none() {
            self.ended.set(Some(code));
            self.wake();
        }
    }
}

impl Hub {
    /// The hub of this thread. Its task runs until the thread's runtime ends.
    pub fn start(readers: Readers) -> Rc<Hub> {
        let position = Cell::new(readers.tail.head());
        let hub =
            Rc::new(Hub { readers, state: RefCell::default(), position, seconds: Cell::new(0) });
        // Each thread of the server has a runtime of its own, and its own hub on it.
        let running = hub.clone();
        tokio::task::spawn_local(async move { running.run().await });
        hub
    }

    /// What it serves its readers with.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Everything up to here has been put into queues.
    pub(super) fn position(&self) -> i64 {
        self.position.get()
    }

    pub(super) fn enter(
        &self,
        filter: Arc<Filter>,
        caller: Caller,
        until: Option<Instant>,
        beats: bool,
    ) -> (u64, Rc<Reader>) {
        self.readers.interest.add(&filter);
        let reader = Rc::new(Reader {
            filter,
            queue: RefCell::new(Queue { live_from: self.position(), ..Queue::default() }),
            waker: RefCell::new(None),
            heartbeat: Cell::new(false),
            ended: Cell::new(None),
            caller,
            until,
            last: Cell::new(0),
            beats,
        });
        let mut state = self.state.borrow_mut();
        state.next += 1;
        let id = state.next;
        for topic in reader.filter.followed() {
            state.topics.entry(topic.clone()).or_default().insert(id, reader.clone());
        }
        state.all.insert(id, reader.clone());
        (id, reader)
    }

    pub(super) fn leave(&self, id: u64, filter: &Filter) {
        self.readers.interest.remove(filter);
        let mut state = self.state.borrow_mut();
        state.all.remove(&id);
        for topic in filter.followed() {
            if let Some(readers) = state.topics.get_mut(topic) {
                readers.remove(&id);
                if readers.is_empty() {
                    state.topics.remove(topic);
                }
            }
        }
    }

    async fn run(&self) {
        let mut news = self.readers.tail.news();
        let mut stopping = self.readers.stopping.clone();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = news.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.deliver(&mut news).await;
                }
                _ = second.tick() => self.look_after(),
                changed = stopping.changed() => {
                    if changed.is_err() || *stopping.borrow() {
                        self.end_all().await;
                        // Whoever comes after this is told at once.
                        while news.changed().await.is_ok() {
                            self.deliver(&mut news).await;
                        }
                        return;
                    }
                }
            }
        }
    }

    /// Puts the next news into the queues of those whom it concerns, and wakes
    /// them. If there is more, `news` says so again: whoever calls has others
    /// to look after too, however fast the news comes.
    async fn deliver(&self, news: &mut watch::Receiver<i64>) {
        news.mark_unchanged();
        let mut dirty = Vec::new();
        match self.readers.tail.after(self.position(), BATCH) {
            Some(events) if events.is_empty() => return,
            Some(events) => self.queue(events, &mut dirty),
            None => self.send_all_back(&mut dirty),
        }
        for slice in dirty.chunks(SLICE) {
            slice.iter().for_each(|reader| reader.wake());
            tokio::task::yield_now().await;
        }
        news.mark_changed();
    }

    fn queue(&self, events: Events, dirty: &mut Vec<Rc<Reader>>) {
        let state = self.state.borrow();
        for event in events {
            let all = event.topics.iter().filter_map(Topic::wildcard);
            let all: Vec<Topic> = all.filter_map(|all| all.parse().ok()).collect();
            for topic in event.topics.iter().chain(&all) {
                for reader in state.topics.get(topic).into_iter().flat_map(HashMap::values) {
                    if reader.last.replace(event.seq) != event.seq && reader.filter.wants(&event) {
                        self.push(reader, &event, dirty);
                    }
                }
            }
            self.position.set(event.seq);
        }
    }

    fn push(&self, reader: &Rc<Reader>, event: &Arc<Event>, dirty: &mut Vec<Rc<Reader>>) {
        let mut queue = reader.queue.borrow_mut();
        if queue.events.is_empty() {
            queue.since.get_or_insert_with(Instant::now);
            dirty.push(reader.clone());
        }
        queue.bytes += event.size();
        queue.events.push_back(event.clone());
        if queue.bytes > self.readers.buffer_bytes && queue.events.len() > 1 {
            self.readers.metrics.fell_behind.inc();
            queue.events.clear();
            queue.bytes = 0;
            queue.live_from = event.seq;
        }
    }

    /// This thread itself fell behind what memory holds.
    fn send_all_back(&self, dirty: &mut Vec<Rc<Reader>>) {
        let head = self.readers.tail.head();
        for reader in self.state.borrow().all.values() {
            let mut queue = reader.queue.borrow_mut();
            queue.events.clear();
            queue.bytes = 0;
            queue.live_from = head;
            queue.since.get_or_insert_with(Instant::now);
            dirty.push(reader.clone());
        }
        self.position.set(head);
    }

    /// Once a second: who has been allowed long enough, who does not read, and
    /// whose heartbeat is due. Heartbeats are spread over the seconds by the
    /// readers' numbers, so that they never come all at once.
    fn look_after(&self) {
        let now = Instant::now();
        let period = self.readers.heartbeat.as_secs().max(1);
        let slot = self.seconds.replace(self.seconds.get() + 1) % period;
        for (id, reader) in &self.state.borrow().all {
            if let Some(code) = self.readers.gate.ended(&reader.caller) {
                reader.end(code);
            } else if reader.until.is_some_and(|until| until <= now) {
                reader.end("max_age");
            } else if reader
                .queue
                .borrow()
                .since
                .is_some_and(|since| now - since > self.readers.write_time)
            {
                reader.end("slow");
            } else if reader.beats && id % period == slot {
                reader.heartbeat.set(true);
                reader.wake();
            }
        }
    }

    async fn end_all(&self) {
        let all: Vec<Rc<Reader>> = self.state.borrow().all.values().cloned().collect();
        for slice in all.chunks(SLICE) {
            slice.iter().for_each(|reader| reader.end("shutdown"));
            tokio::task::yield_now().await;
        }
    }
}
