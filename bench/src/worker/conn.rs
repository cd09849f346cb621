//! One connection of a reader.

use super::Ctx;
use super::tally::Track;
use crate::http::{Chunk, Framing};
use crate::net;
use crate::shared::{Shared, bump, now_ns};
use crate::topics::Topics;
use std::sync::atomic::Ordering::Relaxed;

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Closed,
    Connecting,
    /// Waits for a response head (or, for polls, for a whole response).
    Head,
    Body,
}

/// A reader: its connection, and what it has had so far.
pub struct Conn {
    pub fd: i32,
    pub state: State,
    /// It reads: whatever is published from now on must reach it.
    pub ready: bool,
    /// Storm: it has what it missed.
    pub caught: bool,
    /// It counts as one being opened.
    pub opening: bool,
    pub retries: u16,
    /// When it began to connect.
    pub began: u64,
    pub framing: Framing,
    pub chunk: Chunk,
    /// What came and is not whole yet.
    pub carry: Vec<u8>,
    /// The last event id.
    pub id: Vec<u8>,
    /// The values a poll captured.
    pub captured: Vec<String>,
    /// The first of its topics, and how far it is with each.
    pub first_topic: usize,
    pub tracks: Vec<Track>,
}

/// What is to be done with a connection.
pub enum Act {
    Go,
    /// Send this and wait for a response.
    Ask(Vec<u8>),
    /// Close and open again, without counting an error.
    Again,
    Dead(Why),
}

/// Why a connection is of no use any more.
#[derive(Clone, Copy, Debug)]
pub enum Why {
    Closed,
    Status(u16),
    Protocol,
}

impl Conn {
    /// A reader that has not connected yet.
    pub fn new(topics: &Topics, stream: usize) -> Conn {
        Conn {
            fd: -1,
            state: State::Closed,
            ready: false,
            caught: false,
            opening: false,
            retries: 0,
            began: 0,
            framing: Framing::None,
            chunk: Chunk::START,
            carry: Vec::new(),
            id: Vec::new(),
            captured: Vec::new(),
            first_topic: topics.first_of(stream),
            tracks: (0..topics.a_stream()).map(|_| Track::default()).collect(),
        }
    }

    /// Whether a poll can go on from where another was.
    pub fn has_cursor(&self) -> bool {
        self.captured.iter().any(|v| !v.is_empty())
    }

    /// Closes it; what it had stays.
    pub fn shut(&mut self, ctx: &Ctx) {
        if self.fd >= 0 {
            net::close(self.fd, ctx.task.reset);
            self.fd = -1;
        }
        if self.ready {
            self.ready = false;
            ctx.me.ready.store(ctx.me.ready.load(Relaxed) - 1, Relaxed);
        }
        self.state = State::Closed;
        self.carry = Vec::new();
    }

    /// From here on everything must reach it.
    pub fn become_ready(&mut self, ctx: &Ctx) {
        if self.ready {
            return;
        }
        self.ready = true;
        let now = now_ns();
        bump(&ctx.me.ready, 1);
        ctx.me.last_ready_ns.store(now, Relaxed);
        ctx.me.connect.record(now.saturating_sub(self.began));
        if ctx.storm {
            self.check_caught_up(ctx, now);
        }
    }

    /// How many messages of its topics it never had.
    pub fn lost(&self, sh: &Shared) -> u64 {
        let published = &sh.published[self.first_topic..];
        self.tracks.iter().zip(published).map(|(t, p)| t.missing_of(p.load(Relaxed))).sum()
    }
}
