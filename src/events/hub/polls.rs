//! Polls whose connection has left the dispatcher: they are answered from
//! here, and so is the same poll when it comes again with another cursor.

use super::super::Cursor;
use super::super::frames::{Answered, jitter, push_answer, push_events};
use super::group::Piece;
use super::line::{Line, Sent};
use super::member::{Member, Outlet};
use super::state::{Look, State};
use super::{Hub, Readers};
use crate::clock::Millis;
use crate::http::{Address, Standing};
use bytes::Bytes;
use std::fmt::Write;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::net::TcpStream;
use uuid::Builder;

/// The most bytes of events in an answer, of 48 KiB in all: a mini-program
/// likes no more.
pub const BYTES: usize = 48 * 1024 - 512;

/// How long a connection stays here between two polls.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a poll that was answered may take to come back before its topics
/// have lost a reader.
const BACK: Duration = Duration::from_secs(1);

/// How many different heads of answers are kept.
const TEMPLATES: usize = 1_024;

/// A poll as it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// By which it is recognised when it comes again.
    pub signature: Option<u64>,
    /// The most events of an answer.
    pub limit: usize,
    /// How long it may be held.
    pub wait: Duration,
    /// Whose reads are counted together with it.
    pub address: Address,
}

pub(super) struct PollLine {
    pub line: Line,
    asker: Asker,
    /// The head of its answers but for what is another in each.
    template: Rc<[u8]>,
    /// What is this answer's own in its head, if the dispatcher wrote it.
    first: Option<Box<str>>,
    /// What was left of its quota when it was asked.
    standing: Option<Standing>,
    pub closes: bool,
    pub waiting: bool,
    /// It is among the followers of its topics: while it waits, and for a
    /// little longer, since it will nearly always be back at once.
    pub counted: bool,
    /// Something came while it waited.
    pub unread: bool,
    /// The second in which its wait is over, or its time between two polls.
    pub until: u32,
}

/// Headers that are another in each answer.
const OWN: [&str; 3] = ["date:", "x-request-id:", "ratelimit-"];

/// Headers that say how a body is sent, which is another way here.
const LENGTH: [&str; 3] = ["transfer-encoding:", "content-length:", "content-encoding:"];

/// The head of an answer, taken apart.
#[derive(Debug, PartialEq)]
struct Head {
    /// What is the same in the next answer.
    kept: String,
    /// What is this one's own, its length aside.
    own: String,
    closes: bool,
}

impl Head {
    fn read(head: &[u8]) -> Option<Head> {
        let head = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
        if !head.starts_with("HTTP/1.1 200 ") || head.contains("\r\n\r\n") {
            return None;
        }
        let (mut kept, mut own) = (String::with_capacity(head.len()), String::new());
        let mut closes = false;
        for line in head.split("\r\n") {
            let lower = line.to_ascii_lowercase();
            closes |= lower.starts_with("connection:") && lower.contains("close");
            let to = match lower {
                lower if LENGTH.iter().any(|name| lower.starts_with(name)) => continue,
                lower if OWN.iter().any(|name| lower.starts_with(name)) => &mut own,
                _ => &mut kept,
            };
            to.push_str(line);
            to.push_str("\r\n");
        }
        Some(Head { kept, own, closes })
    }
}

impl State {
    /// Makes the reader `key`, whose answer's head is `head`, a poll that waits
    /// on `line`. False if that head is none.
    pub fn adopt_poll(&mut self, key: u32, line: Line, head: &[u8], asker: Asker) -> bool {
        let Some(Head { kept, own, closes }) = Head::read(head) else { return false };
        let kept = match self.templates.get(kept.as_bytes()) {
            Some(kept) => kept.clone(),
            None => {
                let kept: Rc<[u8]> = kept.into_bytes().into();
                if self.templates.len() >= TEMPLATES {
                    self.templates.clear();
                }
                self.templates.insert(kept.clone());
                kept
            }
        };
        let Some(member) = self.members.get_mut(key as usize) else { return false };
        let until = self.second + seconds(asker.wait);
        // It is not known yet for how long its caller is good.
        member.due = self.second;
        let (waiting, unread) = (true, false);
        let first = Some(own.into_boxed_str());
        let (template, standing) = (kept, None);
        member.outlet = Outlet::Poll(Box::new(PollLine {
            line,
            asker,
            template,
            first,
            standing,
            closes,
            waiting,
            counted: true,
            unread,
            until,
        }));
        self.groups[member.group as usize].waiting += 1;
        self.landed();
        true
    }

    /// Answers a poll that waits with what there is for it, if anything.
    pub fn answer(&mut self, readers: &Readers, position: i64, key: u32, retry_after_ms: u64) {
        let look = self.look(readers, key, position);
        let untold = self.members.get(key as usize).is_some_and(|it| it.person.untold);
        let topics = untold.then(|| self.topics_of(readers, key));
        let settled = self.settle(key, position);
        let Some(member) = self.members.get_mut(key as usize) else { return };
        let group = &mut self.groups[member.group as usize];
        let Outlet::Poll(poll) = &mut member.outlet else { return };
        let cut;
        let (events, told, seq, more) = match &look {
            Look::Nothing => ("", 0, settled, false),
            // Whoever comes back is told what the database still has.
            Look::Far => ("", 0, member.cursor, true),
            Look::Piece(piece) => {
                let fits = fitting(piece, poll.asker.limit);
                let page = &piece.page;
                if fits == page.events.len() {
                    let more = page.reached < group.head;
                    let seq = if more { page.reached } else { page.reached.max(position) };
                    (piece.json(), fits, seq, more)
                } else {
                    let mut json = String::new();
                    push_events(&mut json, &page.events[..fits]);
                    cut = json;
                    let seq = page.events[..fits].last().map_or(member.cursor, |event| event.seq);
                    (&*cut, fits, seq, true)
                }
            }
        };
        member.cursor = seq;
        let now = readers.gate.now();
        let cursor = Cursor { epoch: readers.tail.epoch().clone(), seq };
        member.person.untold = false;
        let topics = topics.as_ref();
        let told_of = Answered {
            cursor: &cursor,
            more,
            reset: None,
            topics,
            retry_after_ms,
            now,
            more_fields: "",
        };
        let body = &mut self.scratch;
        body.clear();
        push_answer(body, events, &told_of);
        if poll.first.is_none() {
            // The first was counted when its head was written.
            readers.metrics.answered_polls.inc();
        }
        let answer = whole(poll, body, now);
        let sent = poll.line.send_own(&answer);
        readers.metrics.delivered.inc_by(told as u64);
        readers.metrics.polls.dec();
        poll.waiting = false;
        poll.until = self.second + seconds(KEEP_ALIVE);
        member.due = self.second + seconds(BACK);
        group.waiting -= 1;
        member.person.guest.seat = None;
        let closes = poll.closes;
        if sent == Sent::Part {
            member.stalled = self.second;
        }
        let unread = poll.unread;
        if sent == Sent::Gone || (closes && sent == Sent::All) {
            self.drop_line(readers, key);
        } else if unread {
            self.unread.push(key);
            self.asked.notify_one();
        }
    }
}

/// Seconds from the last look. What is due is looked at once a second, so a
/// wait ends up to a second after its time, never before.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX / 2) + 1
}

/// How many events of `piece` fit into an answer.
fn fitting(piece: &Piece, limit: usize) -> usize {
    let mut size = 0;
    let fits = piece.page.events.iter().take(limit).take_while(|event| {
        size += event.json_bytes() + 1;
        size <= BYTES
    });
    fits.count().max(usize::from(!piece.page.events.is_empty()))
}

/// The answer with its head.
fn whole(poll: &mut PollLine, body: &str, now: Millis) -> Vec<u8> {
    let mut head = String::with_capacity(256);
    let _ = write!(head, "content-length: {}\r\n", body.len());
    match poll.first.take() {
        Some(first) => head.push_str(&first),
        None => {
            let random: [u8; 10] = rand::random();
            let id = Builder::from_unix_timestamp_millis(now.unsigned_abs(), &random).into_uuid();
            let date = UNIX_EPOCH + Duration::from_millis(now.unsigned_abs());
            let date = httpdate::fmt_http_date(date);
            let _ = write!(head, "date: {date}\r\nx-request-id: {id}\r\n");
            for (name, value) in poll.standing.iter().flat_map(Standing::headers) {
                let _ = write!(head, "{}: {value}\r\n", name.to_ascii_lowercase());
            }
        }
    }
    head.push_str("\r\n");
    [&poll.template, head.as_bytes(), body.as_bytes()].concat()
}

impl Hub {
    /// Something came on the connection of a poll, or its end did.
    pub(super) fn read_poll(self: &Rc<Hub>, key: u32) {
        let mut buffer = [0; 4096];
        let read = {
            let mut state = self.state.borrow_mut();
            let Some(member) = state.members.get_mut(key as usize) else { return };
            let Outlet::Poll(poll) = &mut member.outlet else { return };
            if poll.waiting || poll.line.is_blocked() {
                // The next request, before this one was answered.
                poll.unread = true;
                return;
            }
            poll.unread = false;
            match poll.line.read(&mut buffer) {
                Ok(0) => None,
                Ok(read) => Some(read),
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Err(_) => None,
            }
        };
        let Some(read) = read else {
            return self.state.borrow_mut().drop_line(&self.readers, key);
        };
        let head = &buffer[..read];
        // As much as there is room for: more may lie behind it, of which nobody would
        // be told.
        let more = read == buffer.len();
        if more || self.ask_again(key, head).is_none() {
            self.give_back(key, Bytes::copy_from_slice(head));
        }
    }

    /// Lets the poll `key` wait again, or answers it, if `head` is the same
    /// poll with another cursor and nothing has come between. None if that is
    /// not for this place to say.
    fn ask_again(&self, key: u32, head: &[u8]) -> Option<()> {
        let asked = self.signatures.read(head)?;
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let member = state.members.get_mut(key as usize)?;
        let Outlet::Poll(poll) = &mut member.outlet else { return None };
        if poll.asker.signature != Some(asked.signature) || *self.readers.stopping.borrow() {
            return None;
        }
        let readers = &self.readers;
        let caller = &member.person.guest.caller;
        if readers.gate.ended(caller).is_some() {
            return None;
        }
        let text = std::str::from_utf8(&head[asked.cursor]).ok()?;
        let cursor: Cursor = text.parse().ok()?;
        let tail = &readers.tail;
        let known = tail.pruned_to()..=self.position();
        if cursor.epoch != *tail.epoch() || !known.contains(&cursor.seq) {
            return None;
        }
        let address = poll.asker.address;
        let user = caller.identity().map(|identity| &*identity.sub);
        member.person.guest.seat = Some(readers.limits.seat(address, user).ok()?);
        member.cursor = cursor.seq;
        let look = state.look(readers, key, self.position());
        if matches!(look, Look::Far) {
            return None;
        }
        let member = state.members.get_mut(key as usize)?;
        let Outlet::Poll(poll) = &mut member.outlet else { return None };
        // Last of all: what is refused here is counted again by the dispatcher.
        poll.standing = readers.limits.reads.check(address.key(), 1).ok()?;
        poll.waiting = true;
        poll.until = state.second + seconds(poll.asker.wait);
        member.due = state.second;
        let group = &mut state.groups[member.group as usize];
        group.waiting += 1;
        if !std::mem::replace(&mut poll.counted, true) {
            readers.interest.add(&group.filter);
        }
        readers.metrics.polls.inc();
        match look {
            Look::Piece(piece) if piece.page.events.is_empty() => {
                state.advance(key, piece.page.reached);
            }
            Look::Piece(_) => state.answer(readers, self.position(), key, 0),
            Look::Nothing | Look::Far => {}
        }
        let untold = |it: &Member| it.waits() && it.person.untold;
        if state.members.get(key as usize).is_some_and(untold) {
            state.answer(readers, self.position(), key, 0);
        }
        Some(())
    }

    /// Gives the connection of `key` back to the dispatcher, with what was read
    /// from it already.
    fn give_back(&self, key: u32, early: Bytes) {
        if let (Some(socket), Some(dispatch)) = (self.take_out(key), self.dispatch.get()) {
            dispatch(socket, early);
        }
    }

    /// Keeps the connection of a stream that has ended until its next request:
    /// the dispatcher would want that one at once.
    pub(super) fn let_rest(self: &Rc<Hub>, key: u32) {
        let Some(socket) = self.take_out(key) else { return };
        let (hub, away) = (self.clone(), self.away());
        tokio::task::spawn_local(async move {
            let _away = away;
            let asked = tokio::time::timeout(KEEP_ALIVE, socket.readable()).await;
            if let (Ok(Ok(())), Some(dispatch)) = (asked, hub.dispatch.get()) {
                dispatch(socket, Bytes::new());
            }
        });
    }

    /// Forgets the reader `key` but not its connection.
    fn take_out(&self, key: u32) -> Option<TcpStream> {
        let mut state = self.state.borrow_mut();
        let (filter, member) = state.leave(key)?;
        member.count_out(&self.readers, &filter);
        let line = match member.outlet {
            Outlet::Poll(poll) => poll.line,
            Outlet::Stream(line) => line,
            Outlet::Task(_) => return None,
        };
        let socket = line.close(&state.registry);
        socket.inspect_err(|error| tracing::warn!(%error, "a connection was lost")).ok()
    }

    /// Ends the wait of a poll: there was nothing.
    pub(super) fn end_wait(&self, key: u32, code: Option<&'static str>) {
        let retry = if code == Some("shutdown") { jitter(1_000, 5_000) } else { 0 };
        self.state.borrow_mut().answer(&self.readers, self.position(), key, retry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_the_next_answer_is_that_of_the_first_but_for_what_changes() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ncontent-type: application/json\r\ndate: x\r\nX-Request-Id: 1\r\nratelimit-remaining: 5\r\nvary: Origin\r\n\r\n";
        let read = Head::read(head).expect("a head");
        assert_eq!(
            read.kept,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nvary: Origin\r\n"
        );
        assert_eq!(read.own, "date: x\r\nX-Request-Id: 1\r\nratelimit-remaining: 5\r\n");
        assert!(!read.closes);
        let last = Head::read(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        assert!(last.expect("a head").closes);
        assert_eq!(Head::read(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
