//! One topic: who reads it, and the last messages.

use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that were encoded once and go to many.
pub type Shared = Arc<[u8]>;

/// One message, as streams and as polls get it.
pub struct Kept {
    pub number: u64,
    pub frame: Shared,
    pub payload: Shared,
}

/// A topic.
#[derive(Default)]
pub struct Topic {
    /// Descriptors of its streams, and of the polls that wait.
    pub subs: Vec<i32>,
    pub waiting: Vec<i32>,
    /// The number of the next message; the first is 1.
    pub next: u64,
    pub ring: VecDeque<Kept>,
    /// Sweep: where it stands, what was newest when the round began, and
    /// whether there is anything to do.
    pub pos: usize,
    pub round: u64,
    pub dirty: bool,
    /// The last joined run of frames: from, to, bytes.
    joined: Option<(u64, u64, Shared)>,
}

impl Topic {
    /// All frames from a message on, as one piece.
    pub fn frames(&mut self, from: u64) -> Shared {
        if let Some(last) = self.ring.back().filter(|last| last.number == from) {
            return last.frame.clone();
        }
        if let Some((first, to, bytes)) = &self.joined
            && *first == from
            && *to == self.next
        {
            return bytes.clone();
        }
        let kept = self.ring.iter().filter(|kept| kept.number >= from);
        let all: Vec<u8> = kept.flat_map(|kept| kept.frame.iter().copied()).collect();
        let all: Shared = all.into();
        self.joined = Some((from, self.next, all.clone()));
        all
    }

    /// Keeps a message, and forgets the oldest beyond `most`.
    pub fn keep(&mut self, kept: Kept, most: usize) {
        if self.ring.len() == most {
            self.ring.pop_front();
        }
        self.next = kept.number + 1;
        self.ring.push_back(kept);
    }

    /// Takes a descriptor out; the one that moved into its place, if any.
    pub fn leave(&mut self, fd: i32, at: usize) -> Option<i32> {
        if self.subs.get(at) == Some(&fd) {
            self.subs.swap_remove(at);
            return self.subs.get(at).copied();
        }
        self.waiting.retain(|&w| w != fd);
        None
    }
}

/// A stream's frame of a message.
pub fn frame(number: u64, payload: &[u8]) -> Shared {
    let mut frame = format!("id: {number}\ndata: ").into_bytes();
    frame.extend_from_slice(payload);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

/// A poll's whole response.
pub fn poll_answer<'a>(cursor: u64, payloads: impl Iterator<Item = &'a Shared>) -> Shared {
    let mut body = format!("{{\"cursor\":{cursor},\"data\":[").into_bytes();
    for (i, payload) in payloads.enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.push(b'"');
        body.extend_from_slice(payload);
        body.push(b'"');
    }
    body.extend_from_slice(b"]}");
    let mut out = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend(body);
    out.into()
}
