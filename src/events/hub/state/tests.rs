//! Readers who come, go, take and wait in any order, against a list of all
//! there was.

use super::super::line::Line;
use super::super::{Hubs, Topics};
use super::*;
use crate::auth::{Caller, Gate, Secret};
use crate::clock::Clock;
use crate::db::Db;
use crate::events::frames::chunk;
use crate::events::{Bound, Cursor, Interest, Tail, blocks, log};
use crate::limits::Limits;
use crate::telemetry::Metrics;
use proptest::prelude::*;
use socket2::SockRef;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;
use tokio::sync::watch;

const FILTERS: [&[&str]; 5] =
    [&["room/a"], &["room/b"], &["room/a", "room/b"], &["price/*"], &["price/dark", "room/a"]];

const TOLD: [&[&str]; 6] = [
    &["room/a"],
    &["room/b"],
    &["room/a", "room/b"],
    &["price/dark", "price/dark.puer"],
    &["price/green", "room/b"],
    &["room/nobody"],
];

fn topics(names: &[&str]) -> Vec<Topic> {
    names.iter().map(|name| name.parse().expect("a topic")).collect()
}

fn filter(at: usize) -> Filter {
    Filter::topics(topics(FILTERS[at]))
}

fn guest() -> Guest {
    Guest {
        caller: Caller::Anonymous,
        seat: None,
        until: None,
        streams: true,
        folds: false,
        follows: None,
        closes: false,
        snapshots: false,
    }
}

/// A house without a soul in it; its database, which is in `directory`, is
/// never asked.
fn readers(directory: &Path) -> Readers {
    let settings = include_str!("../../../../config.default.toml");
    let mut settings: toml::Table = settings.parse().expect("the defaults");
    let mut section = |name| settings.remove(name).expect("a section");
    let auth: crate::auth::Config = section("auth").try_into().expect("settings");
    let limits: crate::limits::Config = section("limits").try_into().expect("settings");
    let file = directory.join("never.db");
    let url = format!("sqlite:{}", file.display()).parse().expect("a url");
    let db = Db::open(&url, 1).expect("a pool");
    let metrics = Metrics::default();
    let auth = crate::auth::Config { jwt_secret: "x".repeat(40), ..auth };
    let secret = Secret::load(&auth, &url).expect("a secret");
    let head = log::Head { seq: 0, epoch: "k".into(), pruned_to: 0 };
    Readers {
        tail: Tail::new(&head, 1, 1, &metrics),
        interest: Interest::default(),
        blocks: blocks::Blocks::default(),
        gate: Gate::new(auth, secret, db.clone(), Clock::System),
        limits: Limits::new(limits, &metrics),
        db,
        metrics,
        heartbeat: Duration::from_secs(15),
        write_time: Duration::from_secs(30),
        hand_over: true,
        fold_beyond: Bound { events: 500, bytes: 262_144 },
        stopping: watch::Sender::new(false).subscribe(),
        hubs: Hubs::default(),
    }
}

/// The readers of one thread, and everything that was ever told.
struct House {
    readers: Readers,
    state: State,
    poll: mio::Poll,
    position: i64,
    log: Vec<Arc<Event>>,
}

impl House {
    fn new(readers: &Readers, most_events: usize) -> House {
        let head = log::Head { seq: 0, epoch: "k".into(), pruned_to: 0 };
        let tail = Tail::new(&head, most_events, usize::MAX, &readers.metrics);
        let readers = Readers { tail, ..readers.clone() };
        let poll = mio::Poll::new().expect("a poll");
        let state = State::new(poll.registry().try_clone().expect("a registry"));
        House { readers, state, poll, position: 0, log: Vec::new() }
    }

    fn tell(&mut self, at: usize, bytes: usize) {
        let seq = self.log.len() as i64 + 1;
        let data = format!("\"{}\"", "x".repeat(bytes));
        let event = Event::encode("k", seq, 0, "room.message", topics(TOLD[at]), &data);
        let event = Arc::new(event);
        self.log.push(event.clone());
        self.readers.tail.offer([event]);
    }

    /// As the hub does it; false if there was nothing.
    fn absorb(&mut self, most: usize) -> bool {
        let Some(events) = self.readers.tail.after(self.position, most) else {
            let head = self.readers.tail.head();
            self.state.lost(self.position, head);
            self.position = head;
            return true;
        };
        for event in &events {
            self.state.news(self.position, event);
            self.position = event.seq;
        }
        !events.is_empty()
    }

    fn slice(&mut self, most: usize) -> (bool, Vec<u32>) {
        let mut far = Vec::new();
        let more = self.state.slice(&self.readers, self.position, most, &mut far);
        (more, far)
    }

    /// What a reader with the filter `at` is to be told after `from`.
    fn wanted(&self, at: usize, from: i64) -> Vec<Arc<Event>> {
        let filter = filter(at);
        let mine = self.log.iter().filter(|event| event.seq > from && filter.matches(event));
        mine.cloned().collect()
    }

    /// The same of one who had the filters of `turns`, each from a position on.
    fn wanted_by(&self, turns: &[(i64, usize)]) -> Vec<Vec<Arc<Event>>> {
        let ends = turns.iter().skip(1).map(|(from, _)| *from).chain([i64::MAX]);
        let part = |((from, at), end): (&(i64, usize), i64)| {
            let mut events = self.wanted(*at, *from);
            events.retain(|event| event.seq <= end);
            events
        };
        turns.iter().zip(ends).map(part).collect()
    }

    /// Gives the reader `key` another filter, and tells it, as the hub does;
    /// from which position on it has it.
    fn turn(&mut self, key: u32, at: usize) -> (i64, usize) {
        let (readers, position) = (&self.readers, self.position);
        self.state.change_filter(readers, position, key, filter(at));
        let from = self.state.cursor(key);
        self.state.tell(readers, position, key);
        self.state.revive(key);
        (from, at)
    }
}

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A future that takes what there is for it when it is woken.
struct Reader {
    key: u32,
    /// From where on it followed what.
    turns: Vec<(i64, usize)>,
    told: Vec<i64>,
    bell: Arc<Bell>,
}

impl Reader {
    fn enter(house: &mut House, at: usize, back: i64) -> Reader {
        let from = (house.position - back).max(0);
        let key = house.state.enter(filter(at), guest(), i64::MAX, house.position);
        house.state.advance(key, from);
        let bell = Arc::new(Bell(AtomicBool::new(true)));
        Reader { key, turns: vec![(from, at)], told: Vec::new(), bell }
    }

    /// Takes up to `most` pieces, of each no more than `room` events. Goes on
    /// another time if that was not all.
    fn run(&mut self, house: &mut House, most: usize, room: usize) {
        if !self.bell.0.swap(false, Ordering::Relaxed) {
            return;
        }
        for _ in 0..most {
            let cursor = house.state.cursor(self.key);
            let (found, reached) = match house.state.look(&house.readers, self.key, house.position)
            {
                Look::Nothing => {
                    house.state.listen(self.key, &self.bell.clone().into());
                    return;
                }
                Look::Piece(piece) => (piece.page.events.clone(), piece.page.reached),
                Look::Far => {
                    // The database has it.
                    let (_, at) = self.turns[self.turns.len() - 1];
                    let mut past = house.wanted(at, cursor);
                    past.retain(|event| event.seq <= house.position);
                    (past, house.position)
                }
            };
            let taken = &found[..room.min(found.len())];
            let whole = taken.len() == found.len();
            let reached = if whole { reached } else { taken.last().map_or(cursor, |e| e.seq) };
            self.told.extend(taken.iter().map(|event| event.seq));
            house.state.advance(self.key, reached);
        }
        self.bell.0.store(true, Ordering::Relaxed);
    }

    fn wanted(&self, house: &House) -> Vec<i64> {
        house.wanted_by(&self.turns).iter().flatten().map(|event| event.seq).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enter(usize, i64),
    Leave(prop::sample::Index),
    Tell(usize),
    Absorb(usize),
    Slice(usize),
    Run(prop::sample::Index, usize, usize),
    Turn(prop::sample::Index, usize),
    Settle(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..FILTERS.len(), 0..12_i64).prop_map(|(at, back)| Step::Enter(at, back)),
        2 => any::<prop::sample::Index>().prop_map(Step::Leave),
        4 => (0..TOLD.len()).prop_map(Step::Tell),
        3 => (1..8_usize).prop_map(Step::Absorb),
        4 => (1..6_usize).prop_map(Step::Slice),
        4 => (any::<prop::sample::Index>(), 1..4_usize, 1..5_usize)
            .prop_map(|(who, most, room)| Step::Run(who, most, room)),
        2 => (any::<prop::sample::Index>(), 0..FILTERS.len())
            .prop_map(|(who, at)| Step::Turn(who, at)),
        1 => any::<prop::sample::Index>().prop_map(Step::Settle),
    ]
}

#[test]
fn nobody_is_passed_over_told_twice_or_left_asleep() {
    let directory = tempfile::tempdir().expect("a directory");
    let base = readers(directory.path());
    let steps = (proptest::collection::vec(step(), 1..120), 2..40_usize);
    let mut runner = proptest::test_runner::TestRunner::default();
    let tested = runner.run(&steps, |(steps, most_events)| {
        let mut house = House::new(&base, most_events);
        let mut all: Vec<Reader> = Vec::new();
        for step in steps {
            match step {
                Step::Enter(at, back) => all.push(Reader::enter(&mut house, at, back)),
                Step::Tell(at) => house.tell(at, 1),
                Step::Absorb(most) => {
                    house.absorb(most);
                }
                Step::Slice(most) => {
                    house.slice(most);
                }
                _ if all.is_empty() => {}
                Step::Leave(who) => {
                    let gone = all.swap_remove(who.index(all.len()));
                    prop_assert!(house.state.leave(gone.key).is_some());
                    prop_assert!(house.state.leave(gone.key).is_none());
                }
                Step::Run(who, most, room) => {
                    let at = who.index(all.len());
                    all[at].run(&mut house, most, room);
                }
                Step::Turn(who, at) => {
                    let reader = who.index(all.len());
                    let turn = house.turn(all[reader].key, at);
                    all[reader].turns.push(turn);
                }
                Step::Settle(who) => {
                    let reader = &all[who.index(all.len())];
                    let settled = house.state.settle(reader.key, house.position);
                    let mut unread = reader.wanted(&house);
                    unread.retain(|seq| *seq <= house.position && !reader.told.contains(seq));
                    prop_assert!(unread.iter().all(|seq| *seq > settled));
                }
            }
            for reader in &all {
                prop_assert!(reader.wanted(&house).starts_with(&reader.told));
            }
        }
        // Everybody is given time.
        while house.absorb(64) {}
        for _ in 0..1_000 {
            let (more, _) = house.slice(8);
            let awake = all.iter().filter(|reader| reader.bell.0.load(Ordering::Relaxed)).count();
            if !more && awake == 0 {
                break;
            }
            for reader in &mut all {
                reader.run(&mut house, 4, 100);
            }
        }
        for reader in &all {
            prop_assert_eq!(&reader.told, &reader.wanted(&house));
        }
        for reader in all {
            house.state.leave(reader.key);
        }
        let state = &house.state;
        let left = (state.members.len(), state.groups.len(), state.topics.len());
        prop_assert_eq!(left, (0, 0, 0));
        prop_assert!(state.by_filter.is_empty() && state.rounds.is_empty());
        Ok(())
    });
    tested.unwrap_or_else(|err| panic!("{err}"));
}

#[test]
fn whoever_takes_the_place_of_one_that_left_has_their_turn() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut house = House::new(&readers(directory.path()), 100);
    for leaver in 0..5 {
        for before in 0..5 {
            let mut all: Vec<Reader> = (0..5).map(|_| Reader::enter(&mut house, 0, 0)).collect();
            all.iter_mut().for_each(|reader| reader.run(&mut house, 2, 9));
            house.tell(0, 1);
            house.absorb(1);
            house.slice(before);
            let gone = all.swap_remove(leaver);
            house.state.leave(gone.key);
            while house.slice(1).0 {}
            for reader in &mut all {
                reader.run(&mut house, 2, 9);
                assert_eq!(reader.told, reader.wanted(&house), "{leaver} after {before}");
            }
            all.iter().for_each(|reader| drop(house.state.leave(reader.key)));
        }
    }
}

/// A stream, and the other end of its connection.
struct Peer {
    key: u32,
    /// From where on it followed what.
    turns: Vec<(i64, usize)>,
    untold: Vec<usize>,
    socket: std::net::TcpStream,
    read: Vec<u8>,
}

impl Peer {
    fn enter(house: &mut House, at: usize, back: i64) -> Peer {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        // Little room, so that most of what is sent is sent in parts.
        SockRef::from(&listener).set_send_buffer_size(4096).expect("a buffer");
        let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let client = client.expect("a socket");
        client.set_recv_buffer_size(4096).expect("a buffer");
        client.connect(&listener.local_addr().expect("an address").into()).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        server.set_nonblocking(true).expect("a mode");
        client.set_nonblocking(true).expect("a mode");
        let server = tokio::net::TcpStream::from_std(server).expect("a connection");
        let from = (house.position - back).max(0);
        let key = house.state.enter(filter(at), guest(), from, house.position);
        let token = house.state.token(key);
        let line = Line::open(server, &house.state.registry, token).expect("a line");
        house.state.members[key as usize].outlet = Outlet::Stream(line);
        house.state.lines += 1;
        house.state.revive(key);
        Peer {
            key,
            turns: vec![(from, at)],
            untold: Vec::new(),
            socket: client.into(),
            read: Vec::new(),
        }
    }

    /// Reads up to `most` bytes; whether there were any.
    fn read(&mut self, most: usize) -> bool {
        let mut buffer = vec![0; most];
        match self.socket.read(&mut buffer) {
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                read > 0
            }
            Err(err) => {
                assert_eq!(err.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    fn wanted(&self, house: &House) -> Vec<u8> {
        let parts = house.wanted_by(&self.turns);
        let mut wanted = Vec::new();
        for (n, (events, (seq, at))) in parts.iter().zip(&self.turns).enumerate() {
            if n > 0 && !self.untold.contains(&n) {
                let cursor = Cursor { epoch: "k".into(), seq: *seq };
                let told = Topics { cursor, filter: Arc::new(filter(*at)), follows: None };
                wanted.extend_from_slice(&chunk(&told.frame()));
            }
            events.iter().for_each(|event| wanted.extend_from_slice(event.chunk()));
        }
        wanted
    }

    /// A turn that it was not told of before this one it is not told of at all.
    fn turn(&mut self, house: &mut House, at: usize) {
        let untold = house.state.members[self.key as usize].person.untold;
        let turn = house.turn(self.key, at);
        if untold {
            self.untold.push(self.turns.len() - 1);
        }
        self.turns.push(turn);
    }
}

#[derive(Clone, Debug)]
enum Act {
    Enter(usize, i64),
    Tell(usize, usize),
    Absorb(usize),
    Slice(usize),
    Read(prop::sample::Index, usize),
    Flush(prop::sample::Index),
    Turn(prop::sample::Index, usize),
    Leave(prop::sample::Index),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => (0..FILTERS.len(), 0..12_i64).prop_map(|(at, back)| Act::Enter(at, back)),
        5 => (0..TOLD.len(), 0..20_000_usize).prop_map(|(at, size)| Act::Tell(at, size)),
        3 => (1..8_usize).prop_map(Act::Absorb),
        4 => (1..6_usize).prop_map(Act::Slice),
        3 => (any::<prop::sample::Index>(), 1..20_000_usize)
            .prop_map(|(who, most)| Act::Read(who, most)),
        2 => any::<prop::sample::Index>().prop_map(Act::Flush),
        2 => (any::<prop::sample::Index>(), 0..FILTERS.len())
            .prop_map(|(who, at)| Act::Turn(who, at)),
        1 => any::<prop::sample::Index>().prop_map(Act::Leave),
    ]
}

#[test]
fn whatever_the_kernel_takes_of_it_a_stream_is_sent_every_byte_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let directory = tempfile::tempdir().expect("a directory");
    let base = readers(directory.path());
    let acts = proptest::collection::vec(act(), 1..100);
    let config = ProptestConfig { cases: 48, max_shrink_iters: 40, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let tested = runner.run(&acts, |acts| {
        let mut house = House::new(&base, 10_000);
        let mut peers: Vec<Peer> = Vec::new();
        for act in acts {
            let mut far = Vec::new();
            match act {
                Act::Enter(at, back) => peers.push(Peer::enter(&mut house, at, back)),
                Act::Tell(at, size) => house.tell(at, size),
                Act::Absorb(most) => {
                    house.absorb(most);
                }
                Act::Slice(most) => far = house.slice(most).1,
                _ if peers.is_empty() => {}
                Act::Read(who, most) => {
                    let at = who.index(peers.len());
                    peers[at].read(most);
                }
                Act::Flush(who) => {
                    let key = peers[who.index(peers.len())].key;
                    house.state.flush(&house.readers, house.position, key, &mut far);
                }
                Act::Turn(who, at) => {
                    let peer = who.index(peers.len());
                    peers[peer].turn(&mut house, at);
                }
                Act::Leave(who) => {
                    let gone = peers.swap_remove(who.index(peers.len()));
                    house.state.drop_line(&house.readers, gone.key);
                }
            }
            prop_assert!(far.is_empty());
        }
        // Whoever is told that there is room takes more, until all is sent.
        while house.absorb(64) {}
        let mut events = mio::Events::with_capacity(64);
        let mut turns = 0;
        while turns < 200 {
            let (more, _) = house.slice(8);
            let mut idle = !more;
            // The kernel has timers of its own.
            let wait = Duration::from_millis(if turns > 0 { 10 } else { 0 });
            house.poll.poll(&mut events, Some(wait)).expect("events");
            for event in &events {
                let Some(key) = house.state.by_token(event.token()) else { continue };
                let mut far = Vec::new();
                if event.is_writable() {
                    house.state.flush(&house.readers, house.position, key, &mut far);
                }
                idle = false;
            }
            for peer in &mut peers {
                idle &= !peer.read(8_000);
            }
            let whole = |peer: &Peer| peer.read.len() >= peer.wanted(&house).len();
            turns = if idle { turns + 1 } else { 0 };
            if idle && peers.iter().all(whole) {
                break;
            }
        }
        for peer in &peers {
            prop_assert!(peer.read == peer.wanted(&house), "of {}", peer.key);
            prop_assert_eq!(house.state.members[peer.key as usize].stalled, 0);
        }
        prop_assert_eq!(house.state.lines, peers.len());
        for peer in peers {
            house.state.drop_line(&house.readers, peer.key);
        }
        prop_assert_eq!((house.state.lines, house.state.groups.len()), (0, 0));
        Ok(())
    });
    tested.unwrap_or_else(|err| panic!("{err}"));
}
