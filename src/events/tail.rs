use super::{Event, Events, log};
use crate::db::{self, Db};
use crate::tasks::Task;
use crate::telemetry::Metrics;
use std::collections::{BTreeMap, VecDeque};
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
    /// Events that were offered before an older one was.
    early: BTreeMap<i64, Arc<Event>>,
}

impl Tail {
    /// A tail that begins where the log ends, and keeps up to so many recent
    /// events and bytes in memory.
    pub fn new(head: &log::Head, most_events: usize, most_bytes: usize, metrics: &Metrics) -> Tail {
        let state =
            State { recent: VecDeque::new(), bytes: 0, floor: head.seq, early: BTreeMap::new() };
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
        state.recent.push_back(event);
        while state.recent.len() > self.inner.most_events || state.bytes > self.inner.most_bytes {
            let Some(oldest) = state.recent.pop_front() else { break };
            state.bytes -= oldest.size();
            state.floor = oldest.seq;
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

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the state half changed.
        self.inner.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
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
