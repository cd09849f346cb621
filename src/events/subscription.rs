use super::fold::{self, Folded};
use super::frames::{chunk, join};
use super::hub::{Asker, Guest, Hub, Look, Piece, StreamId, Topics};
use super::{Cursor, Event, Events, Filter, log};
use crate::db;
use crate::handover::Landed;
use crate::telemetry::Metrics;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

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
    Events(Batch),
    /// Nothing happened for a while.
    Heartbeat,
    /// Its topics were changed. What comes now is of the new ones.
    Topics(Topics),
    /// Some of what was to come is gone. It goes on after this position.
    Reset(Reset),
    /// It is over, and this is why.
    End(&'static str),
}

/// Events that were looked up together.
#[derive(Debug)]
pub enum Batch {
    /// For every reader at the same place.
    Shared(Rc<Piece>),
    /// For one, and what it was spared.
    Own(Events, Option<Folded>),
}

impl Batch {
    /// The events, oldest first.
    pub fn events(&self) -> &Events {
        match self {
            Batch::Shared(piece) => &piece.page.events,
            Batch::Own(events, _) => events,
        }
    }

    /// What the reader is told before the events, if some were left out.
    pub fn folded(&self) -> Option<&Folded> {
        match self {
            Batch::Shared(piece) => piece.folded(),
            Batch::Own(_, folded) => folded.as_ref(),
        }
    }

    /// How many events were left out.
    fn spared(&self) -> u64 {
        match self {
            Batch::Shared(piece) => piece.spared(),
            Batch::Own(_, folded) => folded.as_ref().map_or(0, |folded| folded.events as u64),
        }
    }

    /// Their SSE frames in one piece.
    pub fn frames(&self) -> Bytes {
        match self {
            Batch::Shared(piece) => piece.frames().clone(),
            Batch::Own(events, None) => join(events, Event::frame),
            Batch::Own(events, Some(folded)) => {
                [folded.frame().as_bytes(), &join(events, Event::frame)].concat().into()
            }
        }
    }

    /// The same as chunks of HTTP/1.1.
    pub(super) fn chunks(&self) -> Bytes {
        match self {
            Batch::Shared(piece) => piece.chunks().clone(),
            Batch::Own(events, folded) => {
                let joined = join(events, |event| event.chunk().clone());
                match folded {
                    Some(folded) => [chunk(&folded.frame()), joined].concat().into(),
                    None => joined,
                }
            }
        }
    }
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

impl Room {
    /// How many of `events` there is room for.
    pub fn fitting(&self, events: &[Arc<Event>]) -> usize {
        let mut size = 0;
        let fits = events.iter().take(self.events).take_while(|event| {
            size += event.json_bytes();
            size <= self.bytes
        });
        fits.count().max(usize::from(self.at_least_one && !events.is_empty()))
    }
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
/// transport serves its readers through this, until their connection leaves the
/// dispatcher; from then on the [`Hub`] does.
///
/// A reader is a place in the log. What lies between it and the news is looked
/// up in memory or, if that does not go back far enough, in the database.
pub struct Subscription {
    hub: Rc<Hub>,
    key: u32,
    past: Option<PastPage>,
    /// Somebody else has the place now.
    left: bool,
}

impl Subscription {
    /// Begins to follow what `filter` lets pass. The second of what it
    /// returns says if `start` was of no use.
    pub async fn open(
        hub: &Rc<Hub>,
        filter: Filter,
        start: &Start,
        guest: Guest,
    ) -> db::Result<(Subscription, Option<Reset>)> {
        let user = guest.follows.as_ref().map(|follows| follows.user.clone());
        // Until it is known where it stands, nothing is news to it.
        let key = hub.enter(filter, guest, i64::MAX);
        let subscription = Subscription::resume(hub, key);
        if let Some(user) = user {
            // It may have been changed before this one was among those who hear of it.
            hub.follow_saved(&user).await?;
        }
        let (cursor, reset) = subscription.begin(start).await?;
        hub.be_up_to_date();
        hub.advance(key, cursor);
        Ok((subscription, reset))
    }

    /// Goes on for a reader that the hub knows already.
    pub(super) fn resume(hub: &Rc<Hub>, key: u32) -> Subscription {
        Subscription { hub: hub.clone(), key, past: None, left: false }
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
        let epoch = self.hub.readers.tail.epoch().clone();
        Cursor { epoch, seq: self.hub.cursor(self.key) }
    }

    /// By which whoever opened it can change its topics.
    pub fn id(&self) -> StreamId {
        self.hub.stream_id(self.key)
    }

    /// The cursor, moved over whatever was looked at and not for this reader.
    pub fn settle(&mut self) -> Cursor {
        self.hub.settle(self.key);
        self.cursor()
    }

    /// Says where the reader stands: it has been given all up to `seq` in another
    /// way.
    pub fn place(&self, seq: i64) {
        self.hub.advance(self.key, seq);
    }

    /// Takes its place from the reader until it is given another: nothing is
    /// news to it meanwhile.
    pub fn displace(&mut self) {
        self.past = None;
        self.hub.advance(self.key, i64::MAX);
    }

    /// Whether it wants the present state where its cursor is of no use.
    pub fn snapshots(&self) -> bool {
        self.hub.snapshots(self.key)
    }

    /// Why it is over, if it is; if not, whoever asks is woken when it is, or
    /// when there is news.
    pub fn ended(&self, cx: &Context<'_>) -> Option<&'static str> {
        self.hub.listen(self.key, cx);
        self.hub.ended(self.key)
    }

    /// Where to count.
    pub fn metrics(&self) -> &Metrics {
        &self.hub.readers.metrics
    }

    /// Whether there may be more right now.
    pub fn has_more(&self) -> bool {
        match self.hub.look(self.key) {
            Look::Nothing => false,
            Look::Piece(piece) => !piece.page.events.is_empty(),
            Look::Far => true,
        }
    }

    /// Whether there is nothing to do but to wait.
    pub fn is_at_rest(&self) -> bool {
        self.past.is_none()
            && self.hub.ended(self.key).is_none()
            && !self.hub.is_untold(self.key)
            && matches!(self.hub.look(self.key), Look::Nothing)
    }

    /// Leaves the rest to the hub: `landed` is the connection of a stream.
    pub fn hand_over(mut self, landed: Landed) {
        self.left = true;
        self.hub.adopt_stream(self.key, landed);
    }

    /// The same for a poll that waits.
    pub fn hand_over_poll(mut self, landed: Landed, asker: Asker) {
        self.left = true;
        self.hub.adopt_poll(self.key, landed, asker);
    }

    /// What comes next, as much as there is room for. Waits until there is
    /// something. A caller that gives up waiting loses nothing.
    pub async fn next(&mut self, room: Room) -> db::Result<Step> {
        poll_fn(|cx| self.poll_next(cx, room)).await
    }

    /// Events that are there already, in the past or new; none if the reader is
    /// up to date.
    pub async fn ready(&mut self, room: Room) -> db::Result<Option<Step>> {
        poll_fn(|cx| match self.poll_step(cx, room) {
            Poll::Ready(Err(err)) => Poll::Ready(Err(err)),
            Poll::Ready(Ok(Some(Step::Heartbeat))) => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(step)) => Poll::Ready(Ok(step)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// See [`next`](Subscription::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>, room: Room) -> Poll<db::Result<Step>> {
        let step = self.poll_step(cx, room);
        match step {
            Poll::Ready(Ok(Some(step))) => return Poll::Ready(Ok(step)),
            Poll::Ready(Err(err)) => return Poll::Ready(Err(err)),
            Poll::Ready(Ok(None)) | Poll::Pending => {}
        }
        self.hub.listen(self.key, cx);
        Poll::Pending
    }

    /// The next step that can be taken without waiting for news.
    fn poll_step(&mut self, cx: &mut Context<'_>, room: Room) -> Poll<db::Result<Option<Step>>> {
        loop {
            if let Some(code) = self.hub.ended(self.key) {
                return Poll::Ready(Ok(Some(Step::End(code))));
            }
            if let Some(topics) = self.hub.take_untold(self.key) {
                // What was looked up for the old ones is not for the new ones.
                self.past = None;
                return Poll::Ready(Ok(Some(Step::Topics(topics))));
            }
            let taken = match &mut self.past {
                Some(past) => match past.as_mut().poll(cx) {
                    Poll::Ready(page) => {
                        self.past = None;
                        self.take_page(page?, room)
                    }
                    Poll::Pending => return Poll::Pending,
                },
                None => match self.hub.look(self.key) {
                    Look::Piece(piece) => self.take_piece(&piece, room),
                    Look::Far => {
                        self.past = self.read_past(room.events);
                        continue;
                    }
                    Look::Nothing => {
                        let beats = self.hub.take_heartbeat(self.key);
                        return Poll::Ready(Ok(beats.then_some(Step::Heartbeat)));
                    }
                },
            };
            match taken {
                Taken::Step(step) => return Poll::Ready(Ok(Some(step))),
                Taken::Nothing => {}
                Taken::NoRoom => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// The next part of the log, from the database.
    fn read_past(&self, most: usize) -> Option<PastPage> {
        let readers = &self.hub.readers;
        readers.metrics.log_reads.inc();
        let (epoch, filter) = (readers.tail.epoch().clone(), self.hub.filter(self.key)?);
        let (blocks, db) = (readers.blocks.clone(), readers.db.clone());
        let (after, to) = (self.hub.cursor(self.key), self.hub.position());
        let limit = most.min(PAGE);
        Some(Box::pin(async move {
            db.read(move |conn| log::forward(conn, &epoch, &filter, (after, to), limit, &blocks))
                .await
        }))
    }

    fn take_page(&mut self, mut page: log::Page, room: Room) -> Taken {
        // Pruning may have overtaken a reader that was far behind.
        if self.hub.cursor(self.key) < page.pruned_to {
            self.hub.advance(self.key, page.pruned_to);
            return Taken::Step(Step::Reset(Reset::Expired));
        }
        let from = self.cursor();
        // So far behind it has missed more than any bound.
        let spared = if self.hub.folds(self.key) { fold::fold(&mut page, room) } else { 0 };
        let fits = room.fitting(&page.events);
        if fits < page.events.len() {
            page.events.truncate(fits);
            match page.events.last() {
                Some(event) => page.reached = event.seq,
                None => return Taken::NoRoom,
            }
        }
        self.hub.advance(self.key, page.reached);
        let folded = Folded { events: spared, from, to: self.cursor() };
        self.took(Batch::Own(page.events, (spared > 0).then_some(folded)))
    }

    fn take_piece(&mut self, piece: &Rc<Piece>, room: Room) -> Taken {
        let page = &piece.page;
        let fits = room.fitting(&page.events);
        if fits == page.events.len() {
            self.hub.advance(self.key, page.reached);
            return self.took(Batch::Shared(piece.clone()));
        }
        let events = page.events[..fits].to_vec();
        match events.last() {
            Some(event) => self.hub.advance(self.key, event.seq),
            None => return Taken::NoRoom,
        }
        // A stream has room for a whole piece, and nobody else's is folded.
        self.took(Batch::Own(events, None))
    }

    fn took(&self, batch: Batch) -> Taken {
        let events = batch.events().len();
        self.metrics().delivered.inc_by(events as u64);
        self.metrics().folded.inc_by(batch.spared());
        if events == 0 { Taken::Nothing } else { Taken::Step(Step::Events(batch)) }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.left {
            self.hub.leave(self.key);
        }
    }
}
