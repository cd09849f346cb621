use super::super::tail::told_on;
use super::super::{Event, Filter, Topic};
use super::group::{Group, Piece};
use super::line::Sent;
use super::member::{Guest, Member, NEW, Outlet, Person};
use super::{GATHER, Readers, wake};
use mio::{Registry, Token};
use slab::Slab;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How much a reader that was slow is sent before others have their turn.
const PIECES: usize = 16;

/// How long after a connection has left the dispatcher the memory of those
/// that have is given back.
const TIDY: Duration = Duration::from_millis(250);

/// How many bytes take about as long to send as any write does.
const AS_MUCH: usize = 4096;

/// What there is for a reader.
pub(in crate::events) enum Look {
    /// It is up to date.
    Nothing,
    /// This, or nothing up to where it reaches.
    Piece(Rc<Piece>),
    /// Something that memory does not hold any more.
    Far,
}

/// The readers of a thread and their groups.
pub(super) struct State {
    pub members: Slab<Member>,
    pub groups: Slab<Group>,
    by_filter: HashMap<Arc<Filter>, u32>,
    topics: HashMap<Topic, Vec<u32>>,
    /// Who follows what these users have saved.
    pub followers: HashMap<String, Vec<u32>>,
    /// Groups with a round going on.
    rounds: VecDeque<u32>,
    /// Groups whose round is put off, and until when.
    resting: Vec<(Instant, u32)>,
    /// Groups whose polls are to be answered, and when.
    gathering: VecDeque<(Instant, u32)>,
    pub registry: Registry,
    generation: u32,
    /// The second it is since the hub began, which was in second 1.
    pub second: u32,
    /// How many members have a connection here.
    pub lines: usize,
    pub asked: Rc<Notify>,
    /// When the memory of dispatchers that have ended is given back.
    pub tidy: Option<Instant>,
    /// Heads of answers that many polls have in common.
    pub templates: HashSet<Rc<[u8]>>,
    pub scratch: String,
    /// Polls whose next request came before they were answered.
    pub unread: Vec<u32>,
    /// What the metrics were told last: connections and groups.
    reported: (i64, i64),
}

impl State {
    pub fn new(registry: Registry) -> State {
        State {
            members: Slab::new(),
            groups: Slab::new(),
            by_filter: HashMap::new(),
            topics: HashMap::new(),
            followers: HashMap::new(),
            rounds: VecDeque::new(),
            resting: Vec::new(),
            gathering: VecDeque::new(),
            registry,
            generation: 0,
            second: 1,
            lines: 0,
            asked: Rc::default(),
            tidy: None,
            templates: HashSet::new(),
            scratch: String::new(),
            unread: Vec::new(),
            reported: (0, 0),
        }
    }

    pub fn enter(&mut self, filter: Filter, guest: Guest, cursor: i64, position: i64) -> u32 {
        let group = self.group_of(filter, position);
        self.generation = self.generation.wrapping_add(1);
        let members = &mut self.groups[group as usize].members;
        let user = guest.follows.as_ref().map(|follows| follows.user.clone());
        let person = Person {
            guest,
            opened: Instant::now(),
            heartbeat: false,
            untold: false,
            secret: rand::random(),
            ended: None,
        };
        let key = self.members.insert(Member {
            group,
            place: members.len() as u32,
            generation: self.generation,
            due: self.second,
            stalled: 0,
            behind: NEW,
            cursor,
            outlet: Outlet::Task(None),
            person: Box::new(person),
        }) as u32;
        members.push(key);
        if let Some(user) = user {
            self.followers.entry(user).or_default().push(key);
        }
        key
    }

    fn group_of(&mut self, filter: Filter, position: i64) -> u32 {
        match self.by_filter.get(&filter) {
            Some(group) => *group,
            None => self.add_group(Arc::new(filter), position),
        }
    }

    fn add_group(&mut self, filter: Arc<Filter>, position: i64) -> u32 {
        let group = self.groups.insert(Group::new(filter.clone(), position)) as u32;
        for topic in filter.followed() {
            self.topics.entry(topic.clone()).or_default().push(group);
        }
        self.by_filter.insert(filter, group);
        group
    }

    pub fn leave(&mut self, key: u32) -> Option<(Arc<Filter>, Member)> {
        let member = self.members.try_remove(key as usize)?;
        if !matches!(member.outlet, Outlet::Task(_)) {
            self.lines -= 1;
        }
        self.unfollow(key, &member);
        let filter = self.leave_group(member.group, member.place, member.waits());
        Some((filter, member))
    }

    fn leave_group(&mut self, at: u32, place: u32, waits: bool) -> Arc<Filter> {
        let group = &mut self.groups[at as usize];
        group.members.swap_remove(place as usize);
        if let Some(moved) = group.members.get(place as usize) {
            self.members[*moved as usize].place = place;
            // It may have come to a place that the round has passed.
            group.again();
        }
        group.waiting -= u32::from(waits);
        let filter = group.filter.clone();
        if group.members.is_empty() {
            self.remove_group(at, &filter);
        }
        filter
    }

    /// Puts the reader `key` among those who want what `filter` lets pass.
    pub(super) fn change_group(&mut self, key: u32, filter: Filter, position: i64) {
        let to = self.group_of(filter, position);
        let member = &mut self.members[key as usize];
        let (from, place, waits) = (member.group, member.place, member.waits());
        if from == to {
            return;
        }
        let group = &mut self.groups[to as usize];
        (member.group, member.place) = (to, group.members.len() as u32);
        group.members.push(key);
        group.waiting += u32::from(waits);
        self.leave_group(from, place, waits);
    }

    fn remove_group(&mut self, group: u32, filter: &Filter) {
        self.groups.remove(group as usize);
        self.by_filter.remove(filter);
        for topic in filter.followed() {
            if let Some(groups) = self.topics.get_mut(topic) {
                if let Some(at) = groups.iter().position(|known| *known == group) {
                    groups.swap_remove(at);
                }
                if groups.is_empty() {
                    self.topics.remove(topic);
                }
            }
        }
        self.rounds.retain(|known| *known != group);
        self.resting.retain(|(_, known)| *known != group);
        self.gathering.retain(|(_, known)| *known != group);
    }

    /// Puts `event` before the groups that follow one of its topics. There is
    /// nothing between it and `position`.
    pub fn news(&mut self, position: i64, event: &Event) {
        for topic in told_on(event) {
            for key in self.topics.get(topic).into_iter().flatten() {
                let group = &mut self.groups[*key as usize];
                if group.head == event.seq || !group.filter.wants(event) {
                    continue;
                }
                if group.news(position, event.seq) {
                    match group.rests() {
                        Some(until) => self.resting.push((until, *key)),
                        None => self.rounds.push_back(*key),
                    }
                }
                if group.waiting > 0 && !group.gathering {
                    group.gathering = true;
                    self.gathering.push_back((Instant::now() + GATHER, *key));
                }
            }
        }
    }

    /// What came after `position` and up to `head` cannot be looked at any
    /// more: everybody has to look for themselves.
    pub fn lost(&mut self, position: i64, head: i64) {
        for (key, group) in &mut self.groups {
            if group.news(position, head) {
                self.rounds.push_back(key as u32);
            }
            group.due = true;
        }
    }

    /// Begins the rounds that were put off until now, and those that answer
    /// polls which have been held long enough.
    pub fn collect_gathered(&mut self, now: Instant) {
        for (_, key) in self.resting.extract_if(.., |(until, _)| *until <= now) {
            self.rounds.push_back(key);
        }
        while let Some((at, key)) = self.gathering.front().copied() {
            if at > now {
                return;
            }
            self.gathering.pop_front();
            let group = &mut self.groups[key as usize];
            group.gathering = false;
            group.due = true;
            self.begin_round(key);
        }
    }

    pub fn next_gathered(&self) -> Option<Instant> {
        let gathered = self.gathering.front().map(|(at, _)| *at);
        let rested = self.resting.iter().map(|(at, _)| *at).min();
        [gathered, rested].into_iter().flatten().min()
    }

    fn begin_round(&mut self, group: u32) {
        if self.groups[group as usize].begin_round() {
            self.rounds.push_back(group);
        }
    }

    /// Serves up to `left` readers; true if there are more. Puts those for whom
    /// memory does not go back far enough into `far`.
    ///
    /// A group is gone round before the next one's turn comes, unless it is a
    /// large one: whoever is in a small group does not wait for all the others.
    pub fn slice(
        &mut self,
        readers: &Readers,
        position: i64,
        mut left: usize,
        far: &mut Vec<u32>,
    ) -> bool {
        const LARGE: usize = 1_000;
        while left > 0 {
            let Some(at) = self.rounds.front().copied() else { return false };
            let group = &mut self.groups[at as usize];
            let large = group.members.len() > LARGE;
            let Some(key) = group.next() else {
                let until = group.round.is_some().then(|| group.rests()).flatten();
                self.rounds.pop_front();
                match until {
                    Some(until) => self.resting.push((until, at)),
                    None if group.round.is_some() => self.rounds.push_back(at),
                    None => {}
                }
                continue;
            };
            left = left.saturating_sub(self.serve(readers, position, key, far));
            if left == 0 && large && self.rounds.len() > 1 {
                self.rounds.rotate_left(1);
            }
        }
        !self.rounds.is_empty()
    }

    /// Gives a reader what it lacks. How much of a slice that took: to send a lot takes
    /// as long as to send a little to several, and whoever waits for the slice to end
    /// may be the one that has more to send.
    fn serve(&mut self, readers: &Readers, position: i64, key: u32, far: &mut Vec<u32>) -> usize {
        let Some(member) = self.members.get_mut(key as usize) else { return 0 };
        let group = &mut self.groups[member.group as usize];
        if member.cursor >= group.head {
            return 0;
        }
        member.note(true, self.second);
        let fold = member.folds(self.second).then_some(readers.fold_beyond);
        match &mut member.outlet {
            Outlet::Task(waker) => {
                if member.stalled == 0 {
                    member.stalled = self.second;
                }
                usize::from(wake(waker))
            }
            Outlet::Stream(line) if line.is_blocked() => 0,
            Outlet::Stream(line) => {
                let Some(piece) = group.piece(&readers.tail, member.cursor, position, fold) else {
                    far.push(key);
                    return 1;
                };
                member.cursor = piece.page.reached;
                if member.cursor < group.head {
                    group.again();
                } else {
                    member.behind = 0;
                }
                if piece.page.events.is_empty() {
                    return 0;
                }
                readers.metrics.delivered.inc_by(piece.page.events.len() as u64);
                readers.metrics.folded.inc_by(piece.spared());
                let chunks = piece.chunks();
                let took = 1 + chunks.len() / AS_MUCH;
                match line.send(chunks) {
                    Sent::All => {}
                    Sent::Part => member.stalled = self.second,
                    Sent::Gone => self.drop_line(readers, key),
                }
                took
            }
            Outlet::Poll(poll) => {
                let answer = poll.waiting && group.due;
                if answer {
                    self.answer(readers, position, key, 0);
                }
                usize::from(answer)
            }
        }
    }

    /// Sends a stream whatever it lacks until its connection takes no more.
    pub fn flush(&mut self, readers: &Readers, position: i64, key: u32, far: &mut Vec<u32>) {
        let Some(member) = self.members.get_mut(key as usize) else { return };
        let line = match &mut member.outlet {
            Outlet::Stream(line) => line,
            Outlet::Poll(poll) => &mut poll.line,
            Outlet::Task(_) => return,
        };
        if !line.is_blocked() {
            return;
        }
        match line.flush() {
            Sent::All => member.stalled = 0,
            Sent::Part => {
                // It took some, so it reads: its time begins anew.
                member.stalled = self.second;
                return;
            }
            Sent::Gone => return self.drop_line(readers, key),
        }
        let streams = matches!(member.outlet, Outlet::Stream(_));
        if streams && member.person.untold && !self.tell(readers, position, key) {
            return;
        }
        let Some(member) = self.members.get_mut(key as usize) else { return };
        if let Outlet::Poll(poll) = &member.outlet {
            if poll.closes {
                return self.drop_line(readers, key);
            }
            if poll.unread {
                self.unread.push(key);
                self.asked.notify_one();
            }
            return;
        }
        for _ in 0..PIECES {
            if self.serve(readers, position, key, far) == 0 || !far.is_empty() {
                return;
            }
        }
        self.revive(key);
    }

    /// Forgets a reader whose connection is of no more use, and closes it.
    pub fn drop_line(&mut self, readers: &Readers, key: u32) {
        if let Some((filter, member)) = self.leave(key) {
            member.count_out(readers, &filter);
        }
    }

    /// Notes that a connection came from the dispatcher.
    pub fn landed(&mut self) {
        self.lines += 1;
        if self.tidy.is_none() {
            self.tidy = Some(Instant::now() + TIDY);
            self.asked.notify_one();
        }
    }

    pub fn token(&self, key: u32) -> Token {
        let generation = self.members[key as usize].generation as usize;
        Token(generation << 32 | key as usize)
    }

    /// The member that `token` was made for, if it is still there.
    pub fn by_token(&self, token: Token) -> Option<u32> {
        let key = token.0 as u32;
        let member = self.members.get(key as usize)?;
        (member.generation == (token.0 >> 32) as u32).then_some(key)
    }

    pub fn look(&mut self, readers: &Readers, key: u32, position: i64) -> Look {
        let Some(member) = self.members.get(key as usize) else { return Look::Nothing };
        let group = &mut self.groups[member.group as usize];
        if member.cursor >= group.head {
            return Look::Nothing;
        }
        let fold = member.folds(self.second).then_some(readers.fold_beyond);
        group.piece(&readers.tail, member.cursor, position, fold).map_or(Look::Far, Look::Piece)
    }

    pub fn advance(&mut self, key: u32, cursor: i64) {
        if let Some(member) = self.members.get_mut(key as usize) {
            member.cursor = cursor;
            let behind = cursor < self.groups[member.group as usize].head;
            member.stalled = if behind { self.second } else { 0 };
            member.note(behind, self.second);
        }
    }

    pub fn settle(&mut self, key: u32, position: i64) -> i64 {
        let Some(member) = self.members.get_mut(key as usize) else { return 0 };
        if member.cursor >= self.groups[member.group as usize].head {
            member.cursor = member.cursor.max(position);
        }
        member.cursor
    }

    pub fn filter(&self, key: u32) -> Option<Arc<Filter>> {
        let member = self.members.get(key as usize)?;
        Some(self.groups[member.group as usize].filter.clone())
    }

    pub fn cursor(&self, key: u32) -> i64 {
        self.members.get(key as usize).map_or(0, |member| member.cursor)
    }

    pub fn ended(&self, key: u32) -> Option<&'static str> {
        self.members.get(key as usize).and_then(|member| member.person.ended)
    }

    pub fn snapshots(&self, key: u32) -> bool {
        self.members.get(key as usize).is_some_and(|member| member.person.guest.snapshots)
    }

    pub fn take_heartbeat(&mut self, key: u32) -> bool {
        let member = self.members.get_mut(key as usize);
        member.is_some_and(|member| std::mem::take(&mut member.person.heartbeat))
    }

    pub fn listen(&mut self, key: u32, waker: &Waker) {
        let Some(member) = self.members.get_mut(key as usize) else { return };
        if let Outlet::Task(kept) = &mut member.outlet
            && !kept.as_ref().is_some_and(|kept| kept.will_wake(waker))
        {
            *kept = Some(waker.clone());
        }
    }

    /// Begins a round for a reader that was busy with other things, if it has
    /// missed anything.
    pub fn revive(&mut self, key: u32) {
        let Some(member) = self.members.get(key as usize) else { return };
        let at = member.group;
        let group = &mut self.groups[at as usize];
        if member.cursor >= group.head {
            return;
        }
        if matches!(member.outlet, Outlet::Poll(_)) && !group.gathering {
            group.gathering = true;
            self.gathering.push_back((Instant::now() + GATHER, at));
        }
        self.begin_round(at);
        self.asked.notify_one();
    }

    /// Tells the metrics what has changed since they were told last.
    pub fn report(&mut self, readers: &Readers) {
        let now = (self.lines as i64, self.groups.len() as i64);
        readers.metrics.handed_over.add(now.0 - self.reported.0);
        readers.metrics.reader_groups.add(now.1 - self.reported.1);
        self.reported = now;
    }

    pub fn keys(&self) -> Vec<u32> {
        self.members.iter().map(|(key, _)| key as u32).collect()
    }
}

#[cfg(test)]
mod tests;
