use super::super::fold::{self, Folded};
use super::super::frames::{chunk, join, push_events};
use super::super::log::Page;
use super::super::{Bound, Cursor, Event, Filter, Room, Tail};
use bytes::Bytes;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A group of so many readers to which news comes faster than it can be gone
/// round is gone round no oftener than this: more goes into each write, and
/// whoever publishes has the processor meanwhile.
const MANY: usize = 256;
const REST: Duration = Duration::from_millis(15);

/// How many events, and how many bytes, go into one write.
pub const ROOM: Room = Room { events: 256, bytes: 64 * 1024, at_least_one: true };

/// A part of the log that was looked up for some reader of a group, and what
/// others need of it: who is at the same place gets the same bytes.
#[derive(Debug)]
pub struct Piece {
    from: i64,
    /// There was more than fits into one write.
    cut: bool,
    /// It is for readers that do not keep up.
    folds: bool,
    /// What they were spared.
    folded: Option<Folded>,
    /// What was found.
    pub(in crate::events) page: Page,
    chunks: OnceCell<Bytes>,
    frames: OnceCell<Bytes>,
    json: OnceCell<String>,
}

impl Piece {
    fn new(from: i64, to: i64, page: Page) -> Piece {
        let (chunks, frames, json) = Default::default();
        let (folds, folded) = (false, None);
        Piece { from, cut: page.reached < to, folds, folded, page, chunks, frames, json }
    }

    /// How many events are left out of it.
    pub fn folded(&self) -> Option<&Folded> {
        self.folded.as_ref()
    }

    /// How many events that was.
    pub fn spared(&self) -> u64 {
        self.folded.as_ref().map_or(0, |folded| folded.events as u64)
    }

    /// The events as chunks of HTTP/1.1, in one piece.
    pub fn chunks(&self) -> &Bytes {
        self.chunks.get_or_init(|| {
            let joined = join(&self.page.events, |event| event.chunk().clone());
            match &self.folded {
                Some(folded) => [chunk(&folded.frame()), joined].concat().into(),
                None => joined,
            }
        })
    }

    /// Their SSE frames.
    pub fn frames(&self) -> &Bytes {
        self.frames.get_or_init(|| {
            let joined = join(&self.page.events, Event::frame);
            match &self.folded {
                Some(folded) => [folded.frame().as_bytes(), &joined].concat().into(),
                None => joined,
            }
        })
    }

    /// Their envelopes, separated by commas.
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| {
            let mut json = String::new();
            push_events(&mut json, &self.page.events);
            json
        })
    }
}

/// Readers of one thread with equal filters. What concerns one concerns all,
/// so an event is looked at once for each group, and a reader is no more than
/// a place in the log.
#[derive(Debug)]
pub(super) struct Group {
    pub filter: Arc<Filter>,
    pub members: Vec<u32>,
    /// No event after this one concerns them, as far as this thread knows.
    /// Whoever has reached it is up to date.
    pub head: i64,
    /// Whoever had reached the first when the news began had been given all up
    /// to the second.
    calm: (i64, i64),
    /// Where the round is that gives the news to the members.
    pub round: Option<Round>,
    /// Polls that wait.
    pub waiting: u32,
    /// The time is set at which they are answered.
    pub gathering: bool,
    /// It has come: this round answers them.
    pub due: bool,
    piece: Option<Rc<Piece>>,
    /// When the last round began, and whether anybody was given several events
    /// at once in it.
    began: Option<Instant>,
    joined: bool,
}

/// How far a round is.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The next member.
    pub next: usize,
    /// It has to be gone again: somebody was left behind.
    pub again: bool,
    head: i64,
}

impl Group {
    pub fn new(filter: Arc<Filter>, position: i64) -> Group {
        Group {
            filter,
            members: Vec::new(),
            head: position,
            calm: (position, position),
            round: None,
            waiting: 0,
            gathering: false,
            due: false,
            piece: None,
            began: None,
            joined: false,
        }
    }

    /// There is news at `seq`, and none between here and the thread's
    /// `position`. True if a round begins.
    pub fn news(&mut self, position: i64, seq: i64) -> bool {
        if self.round.is_none() {
            self.calm = (self.head, position);
        }
        self.head = seq;
        self.begin_round()
    }

    /// Begins a round; true if none was going on. One that is, will be gone
    /// again.
    pub fn begin_round(&mut self) -> bool {
        match &mut self.round {
            Some(round) => {
                round.again = true;
                false
            }
            None => {
                self.round = Some(Round { head: self.head, ..Round::default() });
                true
            }
        }
    }

    /// Until when the round that begins is put off, if it is.
    pub fn rests(&self) -> Option<Instant> {
        let busy = self.joined && self.members.len() >= MANY;
        let until = self.began.filter(|_| busy)? + REST;
        (until > Instant::now()).then_some(until)
    }

    /// The member whose turn it is; none at the end of the round, or if the
    /// one that has to follow it is put off.
    pub fn next(&mut self) -> Option<u32> {
        let rests = self.round.as_ref().is_some_and(|round| round.next >= self.members.len())
            && self.rests().is_some();
        let round = self.round.as_mut()?;
        if round.next >= self.members.len() && (round.again || round.head < self.head) {
            *round = Round { head: self.head, ..Round::default() };
            if rests {
                return None;
            }
        }
        if round.next == 0 {
            round.head = self.head;
            round.again = false;
            self.began = (self.members.len() >= MANY).then(Instant::now);
            self.joined = false;
        }
        let key = self.members.get(round.next).copied();
        match key {
            Some(_) => round.next += 1,
            None => {
                self.round = None;
                self.due = false;
            }
        }
        key
    }

    /// Somebody could not be given all there is.
    pub fn again(&mut self) {
        if let Some(round) = &mut self.round {
            round.again = true;
        }
    }

    /// Up to where whoever stands at `cursor` has been given everything.
    pub fn place(&self, cursor: i64) -> i64 {
        if cursor >= self.calm.0 { cursor.max(self.calm.1) } else { cursor }
    }

    /// What comes next for whoever stands at `cursor`; `None` if memory does
    /// not go back that far. `position` is where the thread is; beyond
    /// `fold`, if that is given, it is folded.
    pub fn piece(
        &mut self,
        tail: &Tail,
        cursor: i64,
        position: i64,
        fold: Option<Bound>,
    ) -> Option<Rc<Piece>> {
        let from = self.place(cursor);
        if let Some(piece) = &self.piece
            && piece.from == from
            && piece.folds == fold.is_some()
            && (piece.cut || piece.page.reached >= self.head)
        {
            self.joined |= piece.page.events.len() > 1;
            return Some(piece.clone());
        }
        let piece = match fold {
            None => Piece::new(from, position, tail.find(&self.filter, (from, position), ROOM)?),
            Some(bound) => {
                let (page, events) = fold::find(tail, &self.filter, (from, position), ROOM, bound)?;
                let at = |seq| Cursor { epoch: tail.epoch().clone(), seq };
                let folded = Folded { events, from: at(from), to: at(page.reached) };
                let folded = (events > 0).then_some(folded);
                Piece { folds: true, folded, ..Piece::new(from, position, page) }
            }
        };
        let piece = Rc::new(piece);
        self.piece = Some(piece.clone());
        Some(piece)
    }

    /// Forgets what nobody may need any more.
    pub fn rest(&mut self) {
        if self.round.is_none() {
            self.piece = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Event, Topic, log};
    use super::*;
    use crate::telemetry::Metrics;
    use proptest::prelude::*;

    fn group(members: u32) -> Group {
        let filter = Filter::topics(["room/x".parse().expect("a topic")]);
        let mut group = Group::new(Arc::new(filter), 0);
        group.members = (0..members).collect();
        group
    }

    fn tail(most_events: usize) -> Tail {
        let head = log::Head { seq: 0, epoch: "k".into(), pruned_to: 0 };
        Tail::new(&head, most_events, usize::MAX, &Metrics::default())
    }

    fn offer(tail: &Tail, seq: i64, topic: &str) {
        let topics = vec![topic.parse::<Topic>().expect("a topic")];
        tail.offer([Arc::new(Event::encode("k", seq, 0, "room.message", topics, "{}"))]);
    }

    proptest! {
        /// `Some(_)`: so many take their turn; `None`: news.
        #[test]
        fn after_the_last_news_everybody_has_a_turn(
            members in 1..20_u32,
            steps in proptest::collection::vec(proptest::option::of(1..30_usize), 0..20),
        ) {
            let mut group = group(members);
            let mut since = Vec::new();
            let mut seq = 0;
            for step in steps.into_iter().chain([None]) {
                match step {
                    None => {
                        seq += 1;
                        let begins = group.round.is_none();
                        prop_assert_eq!(group.news(seq - 1, seq), begins);
                        since.clear();
                    }
                    Some(turns) => {
                        since.extend((0..turns).map_while(|_| group.next()));
                    }
                }
            }
            since.extend(std::iter::from_fn(|| group.next()).take(1_000));
            for member in 0..members {
                prop_assert!(since.contains(&member));
            }
            prop_assert!(since.len() < 2 * members as usize + 1);
            prop_assert!(group.round.is_none());
        }
    }

    #[test]
    fn a_large_group_rests_when_news_comes_faster_than_it_is_gone_round_and_misses_nothing() {
        for (members, at_once, rests) in [(MANY, 2, true), (MANY, 1, false), (MANY - 1, 2, false)] {
            let tail = tail(10);
            let mut group = group(members as u32);
            for seq in 1..=at_once {
                offer(&tail, seq, "room/x");
                group.news(seq - 1, seq);
            }
            for _ in 0..members {
                assert!(group.next().is_some());
                // The first one looks it up, the others are given the same.
                assert!(group.piece(&tail, 0, at_once, None).is_some());
            }
            group.news(at_once, at_once + 1);
            assert_eq!(group.next().is_none(), rests);
            assert!(group.round.is_some(), "it goes on");
            assert_eq!(group.rests().is_some(), rests);
            group.began = None;
            let turns = std::iter::from_fn(|| group.next()).count();
            assert_eq!(turns, if rests { members } else { members - 1 });
        }
    }

    #[test]
    fn who_was_up_to_date_needs_only_what_is_new_however_long_it_has_waited() {
        let tail = tail(3);
        let mut group = group(1);
        for seq in 1..=50 {
            offer(&tail, seq, "room/other");
        }
        offer(&tail, 51, "room/x");
        assert!(group.news(50, 51));
        // Memory begins with 49; this one has been at 0 since there was nothing.
        let piece = group.piece(&tail, 0, 51, None).expect("in memory");
        assert_eq!(piece.page.events.len(), 1);
        assert_eq!(piece.page.reached, 51);
    }

    #[test]
    fn who_was_not_is_sent_to_the_database_for_what_memory_has_not() {
        let tail = tail(3);
        let mut group = group(1);
        offer(&tail, 1, "room/x");
        assert!(group.news(0, 1));
        while group.next().is_some() {}
        for seq in 2..=50 {
            offer(&tail, seq, "room/other");
        }
        offer(&tail, 51, "room/x");
        assert!(group.news(50, 51));
        assert!(group.piece(&tail, 0, 51, None).is_none());
        assert!(group.piece(&tail, 1, 51, None).is_some());
    }

    #[test]
    fn readers_at_the_same_place_are_given_the_same_bytes_and_others_are_not() {
        let tail = tail(10);
        let mut group = group(2);
        offer(&tail, 1, "room/x");
        group.news(0, 1);
        let first = group.piece(&tail, 0, 1, None).expect("in memory");
        assert!(Rc::ptr_eq(&first, &group.piece(&tail, 0, 1, None).expect("in memory")));
        // Until there is more.
        offer(&tail, 2, "room/x");
        group.news(1, 2);
        let second = group.piece(&tail, 0, 2, None).expect("in memory");
        assert_eq!(second.page.events.len(), 2);
        let third = group.piece(&tail, 1, 2, None).expect("in memory");
        assert_eq!(third.page.events.len(), 1);
    }
}
