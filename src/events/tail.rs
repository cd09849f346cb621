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

    /// The position of the last event that this node committed or announced:
    /// beyond [`head`](Tail::head) while an older one of another node is missing.
    pub fn offered(&self) -> i64 {
        let state = self.lock();
        state.early.last_key_value().map_or(self.head(), |(seq, _)| *seq)
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
    /// are next. They can be read at once; whoever waits for them is woken when
    /// what this returns is dropped.
    pub(super) fn offer(&self, events: impl IntoIterator<Item = Arc<Event>>) -> News<'_> {
        self.take(events, false)
    }

    /// Takes the next events of the log as the database has them, in order. A
    /// position that is missing there was lost or cannot be read, and is not
    /// waited for: what is visible behind it was committed after it.
    fn catch_up(&self, page: Events) {
        self.take(page, true);
    }

    fn take(&self, events: impl IntoIterator<Item = Arc<Event>>, whole: bool) -> News<'_> {
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
        }
        News { tail: self, any: head > before }
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
    pub fn after(&self, after: i64, most: usize) -> Option<Events> {
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
        drop(state);
        if filter.is_ascii() {
            found = found.into_iter().map(|event| filter.told(event)).collect();
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

/// News that nobody was woken for yet.
pub(super) struct News<'a> {
    tail: &'a Tail,
    any: bool,
}

impl Drop for News<'_> {
    fn drop(&mut self) {
        if self.any {
            self.tail.inner.announced.send_replace(self.tail.head());
        }
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

    const TOPICS: [&str; 10] = [
        "price/green",
        "price/dark",
        "price/dark.puer",
        "market/fangcun",
        "market/anxi",
        "product/a",
        "product/b",
        "room/x",
        "merchant/m1",
        "arrivals",
    ];

    const KINDS: [&str; 3] = ["price.changed", "stock.changed", "room.message"];

    /// What is told where, and how long it is.
    type Told = (Vec<&'static str>, &'static str, usize);

    fn told() -> impl Strategy<Value = Told> {
        let topics = proptest::sample::subsequence(TOPICS.to_vec(), 0..5).prop_shuffle();
        (topics, proptest::sample::select(KINDS.to_vec()), 0..300_usize)
    }

    fn events(log: &[Told]) -> Events {
        let event = |(at, (topics, kind, size)): (usize, &Told)| {
            let topics = topics.iter().map(|topic| Topic::known(topic)).collect();
            let data = format!("\"{}\"", "x".repeat(*size));
            Arc::new(Event::encode("k", at as i64 + 1, 0, kind, topics, &data))
        };
        log.iter().enumerate().map(event).collect()
    }

    /// Topics, types and products of a filter; of the last two none is all.
    type Asked = (Vec<&'static str>, Vec<&'static str>, Vec<&'static str>);

    fn asked() -> impl Strategy<Value = Asked> {
        let topics = [&TOPICS[..], &["price/*", "market/*"]].concat();
        (
            proptest::sample::subsequence(topics, 1..5),
            proptest::sample::subsequence(KINDS.to_vec(), 0..2),
            proptest::sample::subsequence(vec!["a", "b", "c"], 0..2),
        )
    }

    fn filter((topics, kinds, products): &Asked) -> Filter {
        let products = products.iter().map(|product| (*product).to_owned()).collect();
        let topics = topics.iter().map(|topic| Topic::known(topic));
        Filter::topics(topics).kinds(kinds.clone()).products(products)
    }

    /// Whether an event is wanted, found out in the plainest way.
    fn is_wanted((topics, kinds, products): &Asked, (told, kind, _): &Told) -> bool {
        let follows = |told: &&str| {
            topics.iter().any(|topic| match topic.strip_suffix('*') {
                Some(beginning) => told.starts_with(beginning),
                None => topic == told,
            })
        };
        let product = told.iter().find_map(|topic| topic.strip_prefix("product/"));
        told.iter().any(follows)
            && (kinds.is_empty() || kinds.contains(kind))
            && (products.is_empty() || product.is_some_and(|product| products.contains(&product)))
    }

    /// What is wanted of `log` in positions `after < seq <= to`.
    fn wanted(asked: &Asked, log: &[Told], (after, to): (i64, i64)) -> Vec<i64> {
        let numbered = log.iter().enumerate().map(|(at, told)| (at as i64 + 1, told));
        let within = numbered.filter(|(seq, _)| after < *seq && *seq <= to);
        within.filter(|(_, told)| is_wanted(asked, told)).map(|(seq, _)| seq).collect()
    }

    fn any_room() -> impl Strategy<Value = Room> {
        let room = (1..12_usize, 1..3_000_usize, any::<bool>());
        room.prop_map(|(events, bytes, at_least_one)| Room { events, bytes, at_least_one })
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_every_event_finds(
            log in proptest::collection::vec(told(), 0..60),
            most in 1..80_usize,
            asked in asked(),
            ends in (0..60_i64, 0..60_i64),
            room in any_room(),
        ) {
            let tail = tail(most);
            let events = events(&log);
            tail.offer(events.iter().cloned());
            let (after, to) = (ends.0.min(ends.1), ends.0.max(ends.1));
            let forgotten = log.len().saturating_sub(most) as i64;
            let Some(page) = tail.find(&filter(&asked), (after, to), room) else {
                prop_assert!(after < forgotten);
                return Ok(());
            };
            prop_assert!(after >= forgotten);
            let wanted = wanted(&asked, &log, (after, to));
            let found: Vec<i64> = page.events.iter().map(|event| event.seq).collect();
            prop_assert_eq!(&found[..], &wanted[..found.len()]);
            let size = |seqs: &[i64]| {
                seqs.iter().map(|seq| events[*seq as usize - 1].json_bytes()).sum::<usize>()
            };
            let alone = room.at_least_one && found.len() == 1;
            prop_assert!(found.len() <= room.events && (size(&found) <= room.bytes || alone));
            if found.len() == wanted.len() {
                prop_assert_eq!(page.reached, to);
            } else {
                prop_assert_eq!(page.reached, found.last().copied().unwrap_or(after));
                let one_more = &wanted[..=found.len()];
                prop_assert!(one_more.len() > room.events || size(one_more) > room.bytes);
            }
        }

        #[test]
        fn whoever_looks_on_from_where_they_are_misses_nothing_that_is_there(
            log in proptest::collection::vec(told(), 1..80),
            parts in proptest::collection::vec(1..20_usize, 1..12),
            most in 10..80_usize,
            asked in asked(),
            room in any_room(),
        ) {
            let room = Room { at_least_one: true, ..room };
            let tail = tail(most);
            let (filter, mut unread) = (filter(&asked), &events(&log)[..]);
            let (mut at, mut found) = (0, Vec::new());
            // News, and what is forgotten for it, come between two looks.
            for part in parts.into_iter().chain([log.len(); 100]) {
                let (next, rest) = unread.split_at(part.min(unread.len()));
                tail.offer(next.iter().cloned());
                unread = rest;
                let head = tail.head();
                let Some(page) = tail.find(&filter, (at, head), room) else {
                    prop_assert!(at < head - most as i64);
                    return Ok(());
                };
                prop_assert!(page.reached >= at && (page.reached > at || at == head));
                found.extend(page.events.iter().map(|event| event.seq));
                at = page.reached;
            }
            prop_assert_eq!(at, log.len() as i64);
            prop_assert_eq!(found, wanted(&asked, &log, (0, at)));
        }
    }

    #[test]
    fn an_event_on_two_topics_of_a_filter_is_found_once() {
        let tail = tail(10);
        let both = ["price/dark", "price/dark.puer", "product/a"].map(Topic::known).to_vec();
        tail.offer([Arc::new(Event::encode("k", 1, 0, "price.changed", both, "{}"))]);
        let room = Room { events: 1, bytes: 10_000, at_least_one: true };
        for topics in [vec!["price/*"], vec!["price/*", "price/dark", "product/a"]] {
            let page = tail.find(&filter(&(topics, vec![], vec![])), (0, 1), room);
            let page = page.expect("in memory");
            assert_eq!((page.events.len(), page.reached), (1, 1));
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
