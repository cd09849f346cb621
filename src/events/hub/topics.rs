//! Topics that are changed while a reader reads.
//!
//! The change takes place where the reader stands: all it was given is of the
//! old topics, all that comes after is of the new ones. So there is nothing to
//! queue for a reader that is behind, the cursor stays true, and whoever comes
//! back with it and the new topics is given the same.

use super::super::frames::{chunk, topics_frame};
use super::super::{Cursor, Filter, Follows, Topic};
use super::line::Sent;
use super::member::Outlet;
use super::state::State;
use super::{Hub, Readers, wake};
use crate::auth::Caller;
use crate::db;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// How many orders may wait for a hub.
const ORDERS: usize = 256;

/// Something a hub is asked to do on its own thread.
type Order = Box<dyn FnOnce(&Rc<Hub>) + Send>;

/// The hubs of a node, each to be reached from any thread.
#[derive(Clone, Default)]
pub(in crate::events) struct Hubs(Arc<Mutex<Vec<mpsc::Sender<Order>>>>);

impl Hubs {
    /// One more: its number, and what it is asked.
    pub fn join(&self) -> (u16, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(ORDERS);
        let mut hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.push(sender);
        (u16::try_from(hubs.len() - 1).unwrap_or(u16::MAX), receiver)
    }

    fn find(&self, number: u16) -> Option<mpsc::Sender<Order>> {
        let hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.get(usize::from(number)).cloned()
    }
}

/// By which an open stream is named. Whoever has it was told it in the
/// stream's greeting: half of it cannot be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    hub: u16,
    key: u32,
    secret: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:08x}{:016x}", self.hub, self.key, self.secret)
    }
}

impl FromStr for StreamId {
    type Err = ();

    fn from_str(text: &str) -> Result<StreamId, ()> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() != 28 || !digits {
            return Err(());
        }
        let number = |from: usize, to: usize| u64::from_str_radix(&text[from..to], 16);
        let (hub, key, secret) = (number(0, 4), number(4, 12), number(12, 28));
        Ok(StreamId {
            hub: hub.map_err(drop)? as u16,
            key: key.map_err(drop)? as u32,
            secret: secret.map_err(drop)?,
        })
    }
}

/// What is to become of the topics of a stream.
#[derive(Clone, Debug)]
pub enum TopicChange {
    /// These instead of what it had.
    Set(Vec<Topic>),
    /// Some more, and some less.
    Edit {
        /// These too.
        add: Vec<Topic>,
        /// These no longer.
        drop: Vec<Topic>,
    },
}

impl TopicChange {
    /// What comes of it for whoever follows `now`.
    pub fn apply(&self, now: &[Topic]) -> BTreeSet<Topic> {
        match self {
            TopicChange::Set(topics) => topics.iter().cloned().collect(),
            TopicChange::Edit { add, drop } => {
                let mut topics: BTreeSet<Topic> = now.iter().cloned().collect();
                topics.retain(|topic| !drop.contains(topic));
                topics.extend(add.iter().cloned());
                topics
            }
        }
    }
}

/// The topics of a reader, and from where on it is given these.
#[derive(Clone, Debug)]
pub struct Topics {
    /// All it was given up to here was of other topics.
    pub cursor: Cursor,
    /// What it follows.
    pub filter: Arc<Filter>,
    /// Whose saved set that is, if it is one.
    pub follows: Option<Follows>,
}

impl Topics {
    /// As a stream is told.
    pub fn frame(&self) -> String {
        topics_frame(&self.cursor, &self.json())
    }

    /// As a poll is told.
    pub fn json(&self) -> Map<String, Value> {
        let names: Vec<&str> = self.filter.followed().iter().map(Topic::as_str).collect();
        let mut told = Map::from_iter([("topics".to_owned(), names.into())]);
        told.extend(self.follows.iter().flat_map(Follows::json));
        told
    }
}

impl Readers {
    /// Who opened the stream `id`, and whether it follows what they have saved;
    /// `None` if there is none on this node.
    ///
    /// # Errors
    /// [`db::Error::Busy`] if too much is waiting.
    pub async fn owner(&self, id: StreamId) -> db::Result<Option<(Caller, bool)>> {
        let found = self.ask(id, move |hub| {
            let state = hub.state.borrow();
            let guest = &state.members[id.key as usize].person.guest;
            (guest.caller.clone(), guest.follows.is_some())
        });
        found.await
    }

    /// Changes the topics of the stream `id`, unless that leaves it with none
    /// or with more than `most`: then it says how many. `None` if there is no
    /// such stream on this node.
    ///
    /// # Errors
    /// [`db::Error::Busy`] if too much is waiting.
    pub async fn change_topics(
        &self,
        id: StreamId,
        change: TopicChange,
        most: usize,
    ) -> db::Result<Option<Result<Topics, usize>>> {
        let changed = self.ask(id, move |hub| {
            let filter = hub.filter(id.key).unwrap_or_default();
            let topics = change.apply(filter.followed());
            if topics.is_empty() || topics.len() > most {
                return Err(topics.len());
            }
            hub.readers.metrics.topic_changes.inc();
            Ok(hub.change_filter(id.key, filter.with_topics(topics)))
        });
        changed.await
    }

    /// Does `work` where the stream `id` is, if it is there.
    async fn ask<T: Send + 'static>(
        &self,
        id: StreamId,
        work: impl FnOnce(&Rc<Hub>) -> T + Send + 'static,
    ) -> db::Result<Option<T>> {
        let Some(hub) = self.hubs.find(id.hub) else { return Ok(None) };
        let (answer, outcome) = oneshot::channel();
        let order = move |hub: &Rc<Hub>| {
            let done = hub.has_stream(id).then(|| work(hub));
            // Whoever asked may have gone.
            let _ = answer.send(done);
        };
        hub.try_send(Box::new(order)).map_err(|_| db::Error::Busy)?;
        Ok(outcome.await.unwrap_or(None))
    }
}

impl Hub {
    pub(super) async fn take_orders(self: &Rc<Hub>, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            order(self);
        }
    }

    /// The id of the stream `key`.
    pub(in crate::events) fn stream_id(&self, key: u32) -> StreamId {
        let state = self.state.borrow();
        let secret = state.members.get(key as usize).map_or(0, |member| member.person.secret);
        StreamId { hub: self.number, key, secret }
    }

    fn has_stream(&self, id: StreamId) -> bool {
        let state = self.state.borrow();
        state.members.get(id.key as usize).is_some_and(|member| {
            let person = &member.person;
            person.guest.streams && person.secret == id.secret && person.ended.is_none()
        })
    }

    /// Gives the reader `key` another filter, from where it stands, and tells
    /// it.
    fn change_filter(self: &Rc<Hub>, key: u32, filter: Filter) -> Topics {
        let mut state = self.state.borrow_mut();
        state.change_filter(&self.readers, self.position(), key, filter);
        let topics = state.topics_of(&self.readers, key);
        state.tell(&self.readers, self.position(), key);
        state.revive(key);
        topics
    }

    /// The new topics of a reader that was not told of them yet.
    pub(in crate::events) fn take_untold(&self, key: u32) -> Option<Topics> {
        let mut state = self.state.borrow_mut();
        let member = state.members.get_mut(key as usize)?;
        let untold = std::mem::take(&mut member.person.untold);
        untold.then(|| state.topics_of(&self.readers, key))
    }

    pub(in crate::events) fn is_untold(&self, key: u32) -> bool {
        let state = self.state.borrow();
        state.members.get(key as usize).is_some_and(|member| member.person.untold)
    }
}

impl State {
    pub fn change_filter(&mut self, readers: &Readers, position: i64, key: u32, filter: Filter) {
        // It has been given all there was of the old topics, or it stands before some
        // of that, which is then no longer for it.
        self.settle(key, position);
        let Some(member) = self.members.get_mut(key as usize) else { return };
        member.cursor = self.groups[member.group as usize].place(member.cursor);
        member.person.untold = true;
        let counted = match &member.outlet {
            Outlet::Poll(poll) => poll.counted,
            Outlet::Task(_) | Outlet::Stream(_) => true,
        };
        if counted {
            readers.interest.add(&filter);
            readers.interest.remove(&self.groups[member.group as usize].filter);
        }
        self.change_group(key, filter, position);
    }

    pub fn topics_of(&self, readers: &Readers, key: u32) -> Topics {
        let cursor = Cursor { epoch: readers.tail.epoch().clone(), seq: self.cursor(key) };
        let member = self.members.get(key as usize);
        let follows = member.and_then(|member| member.person.guest.follows.clone());
        Topics { cursor, filter: self.filter(key).unwrap_or_default(), follows }
    }

    /// Tells a stream of its new topics, now if nothing else is under way to
    /// it. False if it can be sent nothing more for the time being.
    pub fn tell(&mut self, readers: &Readers, position: i64, key: u32) -> bool {
        let frame = self.topics_of(readers, key).frame();
        let second = self.second;
        let Some(member) = self.members.get_mut(key as usize) else { return false };
        match &mut member.outlet {
            Outlet::Task(waker) => {
                wake(waker);
            }
            Outlet::Stream(line) if !line.is_blocked() => {
                member.person.untold = false;
                match line.send_own(&chunk(&frame)) {
                    Sent::All => return true,
                    Sent::Part => member.stalled = second,
                    Sent::Gone => self.drop_line(readers, key),
                }
            }
            Outlet::Poll(poll) if poll.waiting => self.answer(readers, position, key, 0),
            // It is told when it has taken what it is being sent, or with its next answer.
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stream_id_is_read_back_as_it_was_written(hub: u16, key: u32, secret: u64) {
            let id = StreamId { hub, key, secret };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn whatever_else_is_no_stream(text in "\\PC{0,30}|[0-9a-fA-F+]{28}") {
            if let Ok(id) = text.parse::<StreamId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
