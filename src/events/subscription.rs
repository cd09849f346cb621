use super::hub::{Hub, Reader};
use super::{Cursor, Events, Filter, log};
use crate::auth::Caller;
use crate::db;
use crate::telemetry::Metrics;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How many events one look into the past brings.
const PAGE: usize = 200;

/// Why a reader's cursor was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// What comes after it is not kept any more.
    Expired,
    /// It belongs to another log.
    EpochChanged,
    /// It is not one of ours.
    Unknown,
}

impl Reset {
    /// As readers are told.
    pub fn as_str(self) -> &'static str {
        match self {
            Reset::Expired => "expired",
            Reset::EpochChanged => "epoch_changed",
            Reset::Unknown => "unknown",
        }
    }
}

/// Where a reader wants to begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// With the oldest that is kept.
    Earliest,
    /// After what it was given last, in its own words.
    After(String),
}

/// What comes next for a reader.
#[derive(Debug)]
pub enum Step {
    /// Events, oldest first, at least one.
    Events(Events),
    /// Nothing happened for a while.
    Heartbeat,
    /// Some of what was to come is gone. It goes on after this position.
    Reset(Reset),
    /// It is over, and this is why.
    End(&'static str),
}

/// How much a reader can take at once.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Events.
    pub events: usize,
    /// Bytes of their JSON.
    pub bytes: usize,
    /// One event is taken even if it has more bytes than that.
    pub at_least_one: bool,
}

/// What came of a part of the past.
enum Taken {
    Step(Step),
    /// Nothing in it was for this reader.
    Nothing,
    /// What was, does not fit in what is to be taken now.
    NoRoom,
}

type PastPage = Pin<Box<dyn Future<Output = db::Result<log::Page>>>>;

/// One reader's way through the log, without gaps and without repeats. Every
/// transport serves its readers through this.
///
/// A reader is either behind, and reads the log up to where its queue begins,
/// or caught up, and takes from its queue. The queue is opened first and the
/// log read after: what comes in between is found twice and told once.
pub struct Subscription {
    hub: Rc<Hub>,
    id: u64,
    reader: Rc<Reader>,
    cursor: i64,
    past: Option<PastPage>,
}

impl Subscription {
    /// Begins to follow what `filter` lets pass. The second of what it
    /// returns says if `start` was of no use.
    ///
    /// `age` ends it after a while; `beats` asks for heartbeats.
    pub async fn open(
        hub: &Rc<Hub>,
        filter: Filter,
        start: &Start,
        caller: Caller,
        (age, beats): (Option<Duration>, bool),
    ) -> db::Result<(Subscription, Option<Reset>)> {
        let until = age.map(|age| Instant::now() + age);
        let (id, reader) = hub.enter(Arc::new(filter), caller, until, beats);
        let hub = hub.clone();
        let mut subscription = Subscription { hub, id, reader, cursor: 0, past: None };
        let (cursor, reset) = subscription.begin(start).await?;
        subscription.cursor = cursor;
        Ok((subscription, reset))
    }

    async fn begin(&self, start: &Start) -> db::Result<(i64, Option<Reset>)> {
        let tail = &self.hub.readers.tail;
        let text = match start {
            Start::Now => return Ok((tail.head(), None)),
            Start::Earliest => return Ok((tail.pruned_to(), None)),
            Start::After(text) => text,
        };
        let Ok(cursor) = text.parse::<Cursor>() else {
            return Ok((tail.head(), Some(Reset::Unknown)));
        };
        if cursor.epoch != *tail.epoch() {
            return Ok((tail.head(), Some(Reset::EpochChanged)));
        }
        if cursor.seq < tail.pruned_to() {
            return Ok((tail.pruned_to(), Some(Reset::Expired)));
        }
        if cursor.seq > tail.head() {
            // Another node may have given it before this one heard of the event.
            let stored = self.hub.readers.db.read(log::head).await?;
            if cursor.seq > stored.seq {
                return Ok((tail.head(), Some(Reset::Unknown)));
            }
        }
        Ok((cursor.seq, None))
    }

    /// Where the reader stands: it has been given all that was for it up to
    /// here.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.hub.readers.tail.epoch().clone(), seq: self.cursor }
    }

    /// The cursor, moved over whatever was looked at and not for this reader.
    pub fn settle(&mut self) -> Cursor {
        let queue = self.reader.queue.borrow();
        if queue.events.is_empty() && self.cursor >= queue.live_from {
            self.cursor = self.cursor.max(self.hub.position());
        }
        drop(queue);
        self.cursor()
    }

    /// Where to count.
    pub fn metrics(&self) -> &Metrics {
        &self.hub.readers.metrics
    }

    /// Whether there may be more right now.
    pub fn has_more(&self) -> bool {
        self.is_behind() || !self.reader.queue.borrow().events.is_empty()
    }

    /// What comes next, as much as there is room for. Waits until there is
    /// something. A caller that gives up waiting loses nothing.
    pub async fn next(&mut self, room: Room) -> db::Result<Step> {
        poll_fn(|cx| self.poll_next(cx, room)).await
    }

    /// Events that are there already, in the past or in the queue; none if
    /// the reader is caught up.
    pub async fn ready(&mut self, room: Room) -> db::Result<Option<Step>> {
        loop {
            if let Some(code) = self.reader.ended.get() {
                return Ok(Some(Step::End(code)));
            }
            if self.is_behind() {
                let page = poll_fn(|cx| self.poll_past(cx, room.events)).await?;
                match self.take_page(page, room) {
                    Taken::Step(step) => return Ok(Some(step)),
                    Taken::Nothing => continue,
                    Taken::NoRoom => return Ok(None),
                }
            }
            return Ok(self.take_queue(room).map(Step::Events));
        }
    }

    /// See [`next`](Subscription::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>, room: Room) -> Poll<db::Result<Step>> {
        loop {
            if let Some(code) = self.reader.ended.get() {
                return Poll::Ready(Ok(Step::End(code)));
            }
            if self.is_behind() {
                let page = match self.poll_past(cx, room.events) {
                    Poll::Ready(page) => page?,
                    Poll::Pending => {
                        self.listen(cx);
                        return Poll::Pending;
                    }
                };
                match self.take_page(page, room) {
                    Taken::Step(step) => return Poll::Ready(Ok(step)),
                    Taken::Nothing | Taken::NoRoom => continue,
                }
            }
            if let Some(events) = self.take_queue(room) {
                return Poll::Ready(Ok(Step::Events(events)));
            }
            if self.reader.heartbeat.replace(false) {
                return Poll::Ready(Ok(Step::Heartbeat));
            }
            self.listen(cx);
            return Poll::Pending;
        }
    }

    fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.reader.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn is_behind(&self) -> bool {
        self.cursor < self.reader.queue.borrow().live_from
    }

    /// The next part of the log between the cursor and the queue: from memory
    /// if it is recent, else from the database.
    fn poll_past(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<db::Result<log::Page>> {
        if let Some(past) = &mut self.past {
            let page = match past.as_mut().poll(cx) {
                Poll::Ready(page) => page,
                Poll::Pending => return Poll::Pending,
            };
            self.past = None;
            return Poll::Ready(page);
        }
        let readers = &self.hub.readers;
        let to = self.reader.queue.borrow().live_from;
        let limit = most.min(PAGE);
        if let Some(page) = self.recent(to, limit) {
            return Poll::Ready(Ok(page));
        }
        readers.metrics.log_reads.inc();
        let (epoch, filter) = (readers.tail.epoch().clone(), self.reader.filter.clone());
        let (blocks, after, db) = (readers.blocks.clone(), self.cursor, readers.db.clone());
        self.past = Some(Box::pin(async move {
            db.read(move |conn| log::forward(conn, &epoch, &filter, (after, to), limit, &blocks))
                .await
        }));
        self.poll_past(cx, most)
    }

    fn recent(&self, to: i64, limit: usize) -> Option<log::Page> {
        const CHUNK: usize = 1024;
        let mut page = log::Page { events: Vec::new(), reached: self.cursor, pruned_to: 0 };
        while page.reached < to {
            let chunk = self.hub.readers.tail.after(page.reached, CHUNK)?;
            let whole = chunk.len() < CHUNK;
            for event in chunk {
                if event.seq > to {
                    page.reached = to;
                    break;
                }
                page.reached = event.seq;
                if self.reader.filter.matches(&event) {
                    page.events.push(event);
                    if page.events.len() == limit {
                        return Some(page);
                    }
                }
            }
            if whole {
                page.reached = to;
            }
        }
        Some(page)
    }

    fn take_page(&mut self, mut page: log::Page, room: Room) -> Taken {
        // Pruning may have overtaken a reader that was far behind.
        if self.cursor < page.pruned_to {
            self.cursor = page.pruned_to;
            self.past = None;
            return Taken::Step(Step::Reset(Reset::Expired));
        }
        let mut size = 0;
        let fits = page.events.iter().take_while(|event| {
            size += event.json().len();
            size <= room.bytes
        });
        let fits = fits.count().max(usize::from(room.at_least_one));
        if fits < page.events.len() {
            page.events.truncate(fits);
            page.reached = page.events.last().map_or(self.cursor, |event| event.seq);
            if fits == 0 {
                return Taken::NoRoom;
            }
        }
        self.cursor = page.reached;
        self.progress();
        self.count(&page.events);
        match page.events.is_empty() {
            true => Taken::Nothing,
            false => Taken::Step(Step::Events(page.events)),
        }
    }

    fn take_queue(&mut self, room: Room) -> Option<Events> {
        let mut queue = self.reader.queue.borrow_mut();
        let mut events = Events::new();
        let mut size = 0;
        while events.len() < room.events
            && let Some(event) = queue.events.front()
        {
            let first = room.at_least_one && events.is_empty();
            if !first && size + event.json().len() > room.bytes {
                break;
            }
            let Some(event) = queue.events.pop_front() else { break };
            queue.bytes = queue.bytes.saturating_sub(event.size());
            if event.seq > self.cursor {
                size += event.json().len();
                self.cursor = event.seq;
                events.push(event);
            }
        }
        drop(queue);
        self.progress();
        self.count(&events);
        (!events.is_empty()).then_some(events)
    }

    /// The reader took something: what is left begins to wait now.
    fn progress(&self) {
        let mut queue = self.reader.queue.borrow_mut();
        let waiting = !queue.events.is_empty() || self.cursor < queue.live_from;
        queue.since = waiting.then(Instant::now);
    }

    fn count(&self, events: &Events) {
        self.hub.readers.metrics.delivered.inc_by(events.len() as u64);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(self.id, &self.reader.filter);
    }
}
