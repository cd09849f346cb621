use super::subscription::Room;
use super::{Event, Events, Filter, Topic, log};
use crate::db::{self, Db};
use crate::tasks::Task;
use crate::telemetry::Metrics;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;

/// How many events are held back while an older one is missing.
const EARLY: usize = 100_000;

/// How many events one look into the database brings.
const PAGE: i64 = 1_000;

/// The end of the log as this node knows it, and the recent part of it in
/// memory.
///
/// Commits end in one order and may return to their threads in another, and
/// what other nodes tell may come late or never. A reader told of 12 before 11
/// would take 11 for a repeat and drop it. So whoever committed does not
/// announce: they offer, and the tail announces in the order of the log,
/// holding back what comes early.
///
/// Nobody is sent anything from here. Whoever reads is woken, looks from where
/// they stand, and can be told when that is too far back to be in memory.
#[derive(Clone)]
pub struct Tail {
    inner: Arc<Inner>,
}

struct Inner {
    epoch: Arc<str>,
    /// A plain mutex: it is held for look-ups alone, never across `.await`.
    state: Mutex<State>,
    head: AtomicI64,
    pruned_to: AtomicI64,
    announced: watch::Sender<i64>,
    most_events: usize,
    most_bytes: usize,
    metrics: Metrics,
}

struct State {
    recent: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event after this one is in `recent`.
    floor: i64,
    /// The same by topic, `price/*` and its like included, so that a reader of
    /// few finds its own among those of all.
    topics: HashMap<Topic, VecDeque<Arc<Event>>, RandomState>,
    /// Events that were offered before an older one was.
    early: BTreeMap<i64, Arc<Event>>,
}

impl Tail {
    /// A tail that begins where the log ends, and keeps up to so many recent
    /// events and bytes in memory.
    pub fn new(head: &log::Head, most_events: usize, most_bytes: usize, metrics: &Metrics) -> Tail {
        let state = State {
            recent: VecDeque::new(),
            bytes: 0,
            floor: head.seq,
            topics: HashMap::default(),
            early: BTreeMap::new(),
        };
        metrics.head.set(head.seq);
        Tail {
            inner: Arc::new(Inner {
                epoch: head.epoch.clone(),
                state: Mutex::new(state),
                head: AtomicI64::new(head.seq),
                pruned_to: AtomicI64::new(head.pruned_to),
                announced: watch::Sender::new(head.seq),
                most_events,
                most_bytes,
                metrics: metrics.clone(),
            }),
        }
    }

    /// The name of the log.
    pub fn epoch(&self) -> &Arc<str> {
        &self.inner.epoch
    }

    /// The position of the last event announced.
    pub fn head(&self) -> i64 {
        self.inner.head.load(Ordering::Acquire)
    }

    /// Everything up to here is gone.
    pub fn pruned_to(&self) -> i64 {
        self.inner.pruned_to.load(Ordering::Acquire)
    }

    pub(super) fn set_pruned_to(&self, seq: i64) {
        self.inner.pruned_to.fetch_max(seq, Ordering::AcqRel);
    }

    /// Changes whenever anything was announced.
    pub fn news(&self) -> watch::Receiver<i64> {
        self.inner.announced.subscribe()
    }

    /// Takes events in any order, repeats included, and announces those that
    /// are next.
    pub(super) fn offer(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        self.take(events, false);
    }

    /// Takes the next events of the log as the database has them, in order. A
    /// position that is missing there was lost or cannot be read, and is not
    /// waited for: what is visible behind it was committed after it.
    fn catch_up(&self, page: Events) {
        self.take(page, true);
    }

    fn take(&self, events: impl IntoIterator<Item = Arc<Event>>, whole: bool) {
        let mut state = self.lock();
        let before = self.head();
        let mut head = before;
        for event in events {
            if event.seq <= head {
                continue;
            }
            if whole || event.seq == head + 1 {
                head = event.seq;
                self.keep(&mut state, event);
            } else if state.early.len() < EARLY {
                state.early.insert(event.seq, event);
            }
            while let Some(event) = state.early.remove(&(head + 1)) {
                head = event.seq;
                self.keep(&mut state, event);
            }
        }
        self.inner.metrics.held_back.set(state.early.len() as i64);
        if head > before {
            state.early = state.early.split_off(&(head + 1));
            self.inner.head.store(head, Ordering::Release);
            self.inner.metrics.head.set(head);
            self.inner.metrics.recent_events.set(state.recent.len() as i64);
            self.inner.metrics.recent_bytes.set(state.bytes as i64);
            drop(state);
            self.inner.announced.send_replace(head);
        }
    }

    fn keep(&self, state: &mut State, event: Arc<Event>) {
        state.bytes += event.size();
        for topic in told_on(&event) {
            match state.topics.get_mut(topic) {
                Some(events) => events.push_back(event.clone()),
                None => {
                    state.topics.insert(Topic::known(topic), VecDeque::from([event.clone()]));
                }
            }
        }
        state.recent.push_back(event);
        while state.recent.len() > self.inner.most_events || state.bytes > self.inner.most_bytes {
            let Some(oldest) = state.recent.pop_front() else { break };
            state.bytes -= oldest.size();
            state.floor = oldest.seq;
            for topic in told_on(&oldest) {
                if let Some(events) = state.topics.get_mut(topic) {
                    // It is the oldest of all, so it is the oldest of each of its topics.
                    events.pop_front();
                    if events.is_empty() {
                        state.topics.remove(topic);
                    }
                }
            }
        }
    }

    /// Up to `most` events after position `after`, in order; `None` if that is
    /// further back than memory goes.
    pub(super) fn after(&self, after: i64, most: usize) -> Option<Events> {
        let state = self.lock();
        if after < state.floor {
            return None;
        }
        let from = state.recent.partition_point(|event| event.seq <= after);
        Some(state.recent.iter().skip(from).take(most).cloned().collect())
    }

    /// Events that match `filter` in positions `after < seq <= to`, oldest
    /// first; `None` if that is further back than memory goes. It costs what
    /// it finds, however much else there is.
    pub(super) fn find(
        &self,
        filter: &Filter,
        (after, to): (i64, i64),
        room: Room,
    ) -> Option<log::Page> {
        let state = self.lock();
        if after < state.floor {
            return None;
        }
        let mut found = Events::new();
        for topic in filter.followed() {
            let Some(events) = state.topics.get(topic) else { continue };
            let from = events.partition_point(|event| event.seq <= after);
            let wanted = events.range(from..).take_while(|event| event.seq <= to);
            // One more than there is room for tells that there is more.
            let most = room.events.saturating_add(1);
            found.extend(wanted.filter(|event| filter.wants(event)).take(most).cloned());
        }
        if filter.followed().len() > 1 {
            found.sort_unstable_by_key(|event| event.seq);
            found.dedup_by_key(|event| event.seq);
        }
        let fits = room.fitting(&found);
        let whole = fits == found.len();
        found.truncate(fits);
        let reached = if whole { to } else { found.last().map_or(after, |event| event.seq) };
        Some(log::Page { events: found, reached, pruned_to: 0 })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the state half changed.
        self.inner.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Everywhere `event` is looked for, each once.
pub(super) fn told_on(event: &Event) -> impl Iterator<Item = &str> {
    let named = event.topics.iter().map(Topic::as_str);
    // Of `price/dark` and `price/dark.puer` it is the same.
    let first = |at: usize, all: &str| {
        !event.topics[..at].iter().filter_map(Topic::wildcard).any(|before| before == all)
    };
    let all = event
        .topics
        .iter()
        .enumerate()
        .filter_map(move |(at, topic)| topic.wildcard().filter(|all| first(at, all)));
    named.chain(all)
}

/// Reads what nobody offered: what other nodes committed without a word, and
/// what was lost on the way.
pub(super) struct CatchUp {
    pub db: Db,
    pub tail: Tail,
}

impl Task for CatchUp {
    const NAME: &'static str = "tail";

    type Error = db::Error;

    async fn run(&self) -> db::Result<()> {
        loop {
            let (head, epoch) = (self.tail.head(), self.tail.epoch().clone());
            let read = move |conn: &mut db::Conn| {
                let stored = log::head(conn)?;
                let page = if stored.seq > head {
                    log::all_after(conn, &epoch, head, PAGE)?
                } else {
                    Events::new()
                };
                Ok::<_, db::Error>((stored, page))
            };
            let (stored, page) = self.db.read(read).await?;
            self.tail.set_pruned_to(stored.pruned_to);
            if page.is_empty() {
                return Ok(());
            }
            self.tail.catch_up(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tail(most_events: usize) -> Tail {
        let head = log::Head { seq: 0, epoch: "k".into(), pruned_to: 0 };
        Tail::new(&head, most_events, usize::MAX, &Metrics::default())
    }

    fn event(seq: i64) -> Arc<Event> {
        Arc::new(Event::encode("k", seq, 0, "room.message", vec![], "{}"))
    }

    fn seqs(events: Option<Events>) -> Option<Vec<i64>> {
        events.map(|events| events.iter().map(|event| event.seq).collect())
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_offers_the_log_is_announced_in_its_own(
            order in Just((1..=40_i64).collect::<Vec<_>>()).prop_shuffle(),
            repeats in proptest::collection::vec(1..=40_i64, 0..20),
        ) {
            let tail = tail(1000);
            let mut seen = 0;
            for seq in order.into_iter().chain(repeats) {
                tail.offer([event(seq)]);
                for event in tail.after(seen, 1000).expect("in memory") {
                    prop_assert_eq!(event.seq, seen + 1);
                    seen = event.seq;
                }
            }
            prop_assert_eq!((seen, tail.head()), (40, 40));
        }
    }

    #[test]
    fn what_memory_does_not_hold_any_more_is_not_passed_over() {
        let tail = tail(3);
        tail.offer((1..=5).map(event));
        assert_eq!(seqs(tail.after(1, 10)), None);
        assert_eq!(seqs(tail.after(2, 10)), Some(vec![3, 4, 5]));
        assert_eq!(seqs(tail.after(2, 2)), Some(vec![3, 4]));
        assert_eq!(seqs(tail.after(5, 10)), Some(vec![]));
    }

    #[test]
    fn a_position_that_the_database_has_not_is_not_waited_for() {
        let tail = tail(10);
        tail.offer([event(4)]);
        assert_eq!(tail.head(), 0);
        tail.catch_up(vec![event(1), event(3)]);
        assert_eq!(tail.head(), 4);
    }
}
