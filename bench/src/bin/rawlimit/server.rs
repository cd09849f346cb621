//! One event loop.

use super::Options;
use super::conn::{self, Conn, Request, header};
use super::topic::{Kept, Shared, Topic, frame, poll_answer};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers of messages, which all loops count together.
pub type Counters = Mutex<HashMap<Arc<str>, u64>>;

/// What was published in one request.
#[derive(Clone)]
struct Published {
    topic: Arc<str>,
    first: u64,
    frames: Arc<[Shared]>,
    payloads: Arc<[Shared]>,
}

/// What other loops published.
pub struct Mailbox {
    queue: Mutex<Vec<Published>>,
    event: i32,
}

impl Mailbox {
    /// An empty one.
    pub fn new() -> Mailbox {
        // SAFETY: a call without pointers.
        Mailbox { queue: Mutex::default(), event: unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) } }
    }

    fn put(&self, published: Published) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(published);
        // SAFETY: eight bytes are read in place.
        unsafe { libc::write(self.event, (&raw const ONE).cast(), 8) };
    }

    fn take(&self) -> Vec<Published> {
        let mut count = 0u64;
        // SAFETY: eight bytes are written in place.
        unsafe { libc::read(self.event, (&raw mut count).cast(), 8) };
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

static ONE: u64 = 1;

/// An event loop with its connections.
pub struct Server<'a> {
    options: &'a Options,
    me: usize,
    ep: i32,
    listener: i32,
    conns: Vec<Option<Box<Conn>>>,
    topics: HashMap<Arc<str>, Topic>,
    boxes: &'a [Mailbox],
    counters: &'a Counters,
    /// Sweep: topics with readers to be served.
    dirty: VecDeque<Arc<str>>,
}

impl<'a> Server<'a> {
    /// A loop that listens.
    pub fn new(
        options: &'a Options,
        me: usize,
        boxes: &'a [Mailbox],
        counters: &'a Counters,
    ) -> Server<'a> {
        let listener = conn::listen(options.addr);
        // SAFETY: a call without pointers.
        let ep = unsafe { libc::epoll_create1(0) };
        conn::ctl(ep, libc::EPOLL_CTL_ADD, listener, libc::EPOLLIN);
        conn::ctl(ep, libc::EPOLL_CTL_ADD, boxes[me].event, libc::EPOLLIN);
        Server {
            options,
            me,
            ep,
            listener,
            conns: Vec::new(),
            topics: HashMap::new(),
            boxes,
            counters,
            dirty: VecDeque::new(),
        }
    }

    /// Serves until the process ends.
    pub fn run(&mut self) {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
        let mut buf = vec![0u8; 256 * 1024];
        loop {
            let timeout = if self.dirty.is_empty() { -1 } else { 0 };
            let most = events.len() as i32;
            // SAFETY: there is room for as many events as are asked for.
            let n = unsafe { libc::epoll_wait(self.ep, events.as_mut_ptr(), most, timeout) };
            for e in &events[..n.max(0) as usize] {
                let (fd, flags) = (e.u64 as i32, e.events as i32);
                if fd == self.listener {
                    self.accept();
                } else if fd == self.boxes[self.me].event {
                    for published in self.boxes[self.me].take() {
                        self.fan_out(&published);
                    }
                } else {
                    if flags & libc::EPOLLOUT != 0 {
                        self.flush(fd);
                    }
                    if flags & !libc::EPOLLOUT != 0 {
                        self.readable(fd, &mut buf);
                    }
                }
            }
            if let Some(name) = self.dirty.pop_front()
                && self.sweep(&name)
            {
                self.dirty.push_back(name);
            }
        }
    }

    fn conn(&mut self, fd: i32) -> Option<&mut Conn> {
        self.conns.get_mut(fd as usize)?.as_deref_mut()
    }

    fn accept(&mut self) {
        while let Some(fd) = conn::accept(self.listener) {
            if self.conns.len() <= fd as usize {
                self.conns.resize_with(fd as usize + 1, || None);
            }
            self.conns[fd as usize] = Some(Box::default());
            conn::ctl(self.ep, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN);
        }
    }

    fn close(&mut self, fd: i32) {
        let Some(c) = self.conns[fd as usize].take() else { return };
        let topic = c.topic.and_then(|topic| self.topics.get_mut(&topic));
        if let Some(moved) = topic.and_then(|topic| topic.leave(fd, c.at))
            && let Some(other) = self.conn(moved)
        {
            other.at = c.at;
        }
        // SAFETY: the descriptor is this connection's, which is gone now.
        unsafe { libc::close(fd) };
    }

    fn readable(&mut self, fd: i32, buf: &mut [u8]) {
        let Some(n) = conn::read(fd, buf) else { return };
        if n == 0 {
            self.close(fd);
            return;
        }
        let Some(c) = self.conn(fd) else { return };
        c.inbuf.extend_from_slice(&buf[..n]);
        while let Some(request) = self.conn(fd).and_then(Conn::request) {
            self.answer(fd, &request);
        }
    }

    fn answer(&mut self, fd: i32, request: &Request) {
        let target = request.head.split(' ').nth(1).unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts = path.trim_start_matches('/').split('/');
        let (verb, topic) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
        match verb {
            "sub" => {
                let last = header(&request.head, "last-event-id").and_then(|v| v.parse().ok());
                self.subscribe(fd, topic, last);
            }
            "poll" => self.poll(fd, topic, query.strip_prefix("c=").and_then(|v| v.parse().ok())),
            "pub" => {
                conn::write(fd, ACCEPTED);
                self.publish(topic, &[&request.body]);
            }
            "batch" => {
                conn::write(fd, ACCEPTED);
                let lines = request.body.split(|&b| b == b'\n').filter(|line| !line.is_empty());
                self.publish(topic, &lines.collect::<Vec<_>>());
            }
            _ => {
                conn::write(fd, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            }
        }
    }

    fn topic_name(&self, topic: &str) -> Arc<str> {
        self.topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone())
    }

    fn subscribe(&mut self, fd: i32, topic: &str, last: Option<u64>) {
        let name = self.topic_name(topic);
        let t = self.topics.entry(name.clone()).or_default();
        let (at, cursor) = (t.subs.len(), t.next.max(1));
        t.subs.push(fd);
        let mut hello = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
            Cache-Control: no-store\r\n\r\n:ok\n\n"
            .to_vec();
        let missed = t.ring.iter().filter(|kept| last.is_some_and(|last| kept.number > last));
        missed.for_each(|kept| hello.extend_from_slice(&kept.frame));
        if let Some(c) = self.conn(fd) {
            (c.topic, c.at, c.cursor) = (Some(name), at, cursor);
        }
        self.send(fd, &hello.into());
    }

    fn poll(&mut self, fd: i32, topic: &str, cursor: Option<u64>) {
        let name = self.topic_name(topic);
        let t = self.topics.entry(name.clone()).or_default();
        let answer = match cursor {
            Some(cursor) if cursor + 1 < t.next => {
                let new = t.ring.iter().filter(|kept| kept.number > cursor);
                Some(poll_answer(t.next - 1, new.map(|kept| &kept.payload)))
            }
            _ => {
                t.waiting.push(fd);
                None
            }
        };
        if let Some(c) = self.conn(fd) {
            (c.topic, c.at) = (Some(name), usize::MAX);
        }
        if let Some(answer) = answer {
            self.send(fd, &answer);
        }
    }

    fn publish(&mut self, topic: &str, payloads: &[&[u8]]) {
        let name = self.topic_name(topic);
        let first = {
            let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
            let next = counters.entry(name.clone()).or_insert(1);
            let first = *next;
            *next += payloads.len() as u64;
            first
        };
        let frames = (first..).zip(payloads).map(|(number, payload)| frame(number, payload));
        let published = Published {
            topic: name,
            first,
            frames: frames.collect(),
            payloads: payloads.iter().map(|payload| Shared::from(*payload)).collect(),
        };
        for (i, mailbox) in self.boxes.iter().enumerate() {
            if i != self.me {
                mailbox.put(published.clone());
            }
        }
        self.fan_out(&published);
    }

    fn fan_out(&mut self, published: &Published) {
        let name = self.topic_name(&published.topic);
        let t = self.topics.entry(name.clone()).or_default();
        let both = published.frames.iter().zip(&*published.payloads);
        for (number, (frame, payload)) in (published.first..).zip(both) {
            let kept = Kept { number, frame: frame.clone(), payload: payload.clone() };
            t.keep(kept, self.options.ring);
        }
        let cursor = t.next - 1;
        let waiting = std::mem::take(&mut t.waiting);
        if !waiting.is_empty() {
            let answer = poll_answer(cursor, published.payloads.iter());
            waiting.into_iter().for_each(|fd| self.send(fd, &answer));
        }
        let Some(t) = self.topics.get_mut(&name) else { return };
        if self.options.sweep {
            if !t.dirty && !t.subs.is_empty() {
                (t.dirty, t.pos, t.round) = (true, 0, t.next);
                self.dirty.push_back(name);
            }
            return;
        }
        let subs = std::mem::take(&mut t.subs);
        if self.options.writev && published.frames.len() > 1 {
            subs.iter().for_each(|&fd| self.send_many(fd, &published.frames));
        } else {
            for frame in &*published.frames {
                subs.iter().for_each(|&fd| self.send(fd, frame));
            }
        }
        if let Some(t) = self.topics.get_mut(&name) {
            t.subs = subs;
        }
    }

    /// One slice of a topic's readers; whether there is more to do.
    fn sweep(&mut self, name: &Arc<str>) -> bool {
        let mut t = self.topics.remove(name).unwrap_or_default();
        let mut left = self.options.slice;
        while left > 0 && t.pos < t.subs.len() {
            let fd = t.subs[t.pos];
            t.pos += 1;
            let Some(c) = self.conn(fd) else { continue };
            let from = std::mem::replace(&mut c.cursor, t.next);
            if from < t.next {
                left -= 1;
                let frames = t.frames(from);
                self.send(fd, &frames);
            }
        }
        if t.pos >= t.subs.len() {
            t.dirty = t.round < t.next;
            t.pos = 0;
            t.round = t.next;
        }
        let more = t.dirty;
        self.topics.insert(name.clone(), t);
        more
    }

    fn send(&mut self, fd: i32, bytes: &Shared) {
        let ep = self.ep;
        let Some(c) = self.conn(fd) else { return };
        if !c.pending.is_empty() {
            c.pending.push_back((bytes.clone(), 0));
            return;
        }
        let n = conn::write(fd, bytes).max(0) as usize;
        if n < bytes.len() {
            c.pending.push_back((bytes.clone(), n));
            conn::ctl(ep, libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN | libc::EPOLLOUT);
        }
    }

    fn send_many(&mut self, fd: i32, pieces: &[Shared]) {
        let ep = self.ep;
        let Some(c) = self.conn(fd) else { return };
        if !c.pending.is_empty() || pieces.len() > 64 {
            pieces.iter().for_each(|piece| self.send(fd, piece));
            return;
        }
        let mut n = conn::write_many(fd, pieces).max(0) as usize;
        for piece in pieces {
            if n >= piece.len() {
                n -= piece.len();
                continue;
            }
            if c.pending.is_empty() {
                conn::ctl(ep, libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN | libc::EPOLLOUT);
            }
            c.pending.push_back((piece.clone(), n));
            n = 0;
        }
    }

    fn flush(&mut self, fd: i32) {
        let ep = self.ep;
        let Some(c) = self.conn(fd) else { return };
        while let Some((bytes, at)) = c.pending.front_mut() {
            let n = conn::write(fd, &bytes[*at..]);
            if n <= 0 {
                return;
            }
            *at += n as usize;
            if *at == bytes.len() {
                c.pending.pop_front();
            }
        }
        c.pending = VecDeque::new();
        conn::ctl(ep, libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN);
    }
}
