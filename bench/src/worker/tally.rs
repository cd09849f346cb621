//! Counting: which message of which topic a reader has had, in which order, and when.

use super::Ctx;
use super::conn::Conn;
use crate::http::json_value;
use crate::message;
use crate::profile::Price;
use crate::shared::bump;
use memchr::{memchr, memmem};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// How far a reader is with one topic.
#[derive(Default)]
pub struct Track {
    next: u32,
    missing: Vec<Range<u32>>,
}

/// What a message is to a reader.
enum Seen {
    InOrder,
    Late,
    Twice,
}

impl Track {
    fn see(&mut self, seq: u32) -> Seen {
        if seq >= self.next {
            if seq > self.next {
                self.missing.push(self.next..seq);
            }
            self.next = seq + 1;
            return Seen::InOrder;
        }
        let Some(i) = self.missing.iter().position(|r| r.contains(&seq)) else {
            return Seen::Twice;
        };
        let hole = self.missing.swap_remove(i);
        let parts = [hole.start..seq, seq + 1..hole.end];
        self.missing.extend(parts.into_iter().filter(|part| !part.is_empty()));
        Seen::Late
    }

    /// Of the first `published` messages, how many did not come.
    pub fn missing_of(&self, published: u32) -> u64 {
        let holes: usize = self.missing.iter().map(|r| r.len()).sum();
        u64::from(published.saturating_sub(self.next)) + holes as u64
    }
}

impl Conn {
    /// Counts every message in a piece of text that has no message cut in two.
    pub fn scan(&mut self, ctx: &Ctx, text: &[u8]) {
        match &ctx.task.profile.price {
            Some(price) => self.scan_prices(ctx, text, price),
            None => self.scan_stamps(ctx, text),
        }
    }

    fn scan_stamps(&mut self, ctx: &Ctx, text: &[u8]) {
        let size = ctx.task.size;
        let mut rest = text;
        while let Some(at) = memchr(b'~', rest) {
            rest = &rest[at..];
            if rest.get(1) == Some(&b'S') {
                match message::read(rest, size) {
                    Some(s) if self.count(ctx, s.topic as usize, s.seq, Some(s.time_ns)) => {
                        rest = &rest[size..];
                        continue;
                    }
                    _ => bump(&ctx.me.corrupt, 1),
                }
            }
            rest = &rest[1..];
        }
    }

    fn scan_prices(&mut self, ctx: &Ctx, text: &[u8], price: &Price) {
        let product = format!("\"{}\":", price.product);
        let fen = format!("\"{}\":", price.fen);
        let mut rest = text;
        while let Some(at) = memmem::find(rest, product.as_bytes()) {
            rest = &rest[at + product.len()..];
            let name = json_value(rest);
            let read = || {
                let topic = ctx.task.topics.find(name)? as usize;
                let at = memmem::find(rest, fen.as_bytes())?;
                let seq = message::read_price(json_value(&rest[at + fen.len()..]))?;
                Some((topic, seq))
            };
            let counted = read().is_some_and(|(topic, seq)| {
                self.count(ctx, topic, seq, ctx.sh.sent_ns(topic, seq))
            });
            if !counted {
                bump(&ctx.me.corrupt, 1);
            }
        }
    }

    /// Counts one message; false if it is none that this reader should get.
    fn count(&mut self, ctx: &Ctx, topic: usize, seq: u32, time_ns: Option<u64>) -> bool {
        let me = ctx.me;
        let track = topic.checked_sub(self.first_topic).and_then(|i| self.tracks.get_mut(i));
        let Some(track) = track else { return false };
        match track.see(seq) {
            Seen::InOrder => {}
            Seen::Late => bump(&me.out_of_order, 1),
            Seen::Twice => {
                bump(&me.duplicated, 1);
                return true;
            }
        }
        if let Some(time_ns) = time_ns.filter(|&time| time >= ctx.timed_from) {
            me.latency.record(ctx.now.saturating_sub(time_ns));
        }
        me.last_delivery_ns.store(ctx.now, Relaxed);
        bump(&me.delivered, 1);
        if ctx.storm {
            self.check_caught_up(ctx, ctx.now);
        }
        true
    }

    /// Storm: notes the moment when it has all that it missed.
    pub fn check_caught_up(&mut self, ctx: &Ctx, now: u64) {
        if self.caught {
            return;
        }
        let targets = &ctx.sh.target[self.first_topic..];
        self.caught =
            self.tracks.iter().zip(targets).all(|(t, to)| t.missing_of(to.load(Relaxed)) == 0);
        if self.caught {
            bump(&ctx.me.caught_up, 1);
            ctx.me.last_caught_up_ns.store(now, Relaxed);
            ctx.me.catch_up.record(now.saturating_sub(ctx.sh.storm_start_ns.load(Relaxed)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_known_and_filled() {
        let mut track = Track::default();
        assert!(matches!(track.see(0), Seen::InOrder));
        assert!(matches!(track.see(4), Seen::InOrder));
        assert_eq!(track.missing_of(6), 4);
        assert!(matches!(track.see(2), Seen::Late));
        assert!(matches!(track.see(2), Seen::Twice));
        assert!(matches!(track.see(4), Seen::Twice));
        assert_eq!(track.missing_of(5), 2);
    }
}
