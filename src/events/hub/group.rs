use super::super::frames::{join, push_events};
use super::super::log::Page;
use super::super::{Event, Filter, Room, Tail};
use bytes::Bytes;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

/// How many events, and how many bytes, go into one write.
pub const ROOM: Room = Room { events: 256, bytes: 64 * 1024, at_least_one: true };

/// A part of the log that was looked up for some reader of a group, and what
/// others need of it: who is at the same place gets the same bytes.
#[derive(Debug)]
pub struct Piece {
    from: i64,
    /// There was more than fits into one write.
    cut: bool,
    /// What was found.
    pub(in crate::events) page: Page,
    chunks: OnceCell<Bytes>,
    frames: OnceCell<Bytes>,
    json: OnceCell<String>,
}

impl Piece {
    fn new(from: i64, to: i64, page: Page) -> Piece {
        let (chunks, frames, json) = Default::default();
        Piece { from, cut: page.reached < to, page, chunks, frames, json }
    }

    /// The events as chunks of HTTP/1.1, in one piece.
    pub fn chunks(&self) -> &Bytes {
        self.chunks.get_or_init(|| join(&self.page.events, |event| event.chunk().clone()))
    }

    /// Their SSE frames.
    pub fn frames(&self) -> &Bytes {
        self.frames.get_or_init(|| join(&self.page.events, Event::frame))
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

    /// The member whose turn it is; none at the end of the round.
    pub fn next(&mut self) -> Option<u32> {
        let round = self.round.as_mut()?;
        if round.next >= self.members.len() && (round.again || round.head < self.head) {
            *round = Round { head: self.head, ..Round::default() };
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

    /// What comes next for whoever stands at `cursor`; `None` if memory does
    /// not go back that far. `position` is where the thread is.
    pub fn piece(&mut self, tail: &Tail, cursor: i64, position: i64) -> Option<Rc<Piece>> {
        let from = if cursor >= self.calm.0 { cursor.max(self.calm.1) } else { cursor };
        if let Some(piece) = &self.piece
            && piece.from == from
            && (piece.cut || piece.page.reached >= self.head)
        {
            return Some(piece.clone());
        }
        let page = tail.find(&self.filter, (from, position), ROOM)?;
        let piece = Rc::new(Piece::new(from, position, page));
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
    fn who_was_up_to_date_needs_only_what_is_new_however_long_it_has_waited() {
        let tail = tail(3);
        let mut group = group(1);
        for seq in 1..=50 {
            offer(&tail, seq, "room/other");
        }
        offer(&tail, 51, "room/x");
        assert!(group.news(50, 51));
        // Memory begins with 49; this one has been at 0 since there was nothing.
        let piece = group.piece(&tail, 0, 51).expect("in memory");
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
        assert!(group.piece(&tail, 0, 51).is_none());
        assert!(group.piece(&tail, 1, 51).is_some());
    }

    #[test]
    fn readers_at_the_same_place_are_given_the_same_bytes_and_others_are_not() {
        let tail = tail(10);
        let mut group = group(2);
        offer(&tail, 1, "room/x");
        group.news(0, 1);
        let first = group.piece(&tail, 0, 1).expect("in memory");
        assert!(Rc::ptr_eq(&first, &group.piece(&tail, 0, 1).expect("in memory")));
        // Until there is more.
        offer(&tail, 2, "room/x");
        group.news(1, 2);
        let second = group.piece(&tail, 0, 2).expect("in memory");
        assert_eq!(second.page.events.len(), 2);
        let third = group.piece(&tail, 1, 2).expect("in memory");
        assert_eq!(third.page.events.len(), 1);
    }
}
