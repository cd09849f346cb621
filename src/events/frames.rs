//! What readers are told besides events, as it stands on the wire.

use super::{Cursor, Event, Events, Reset};
use crate::clock::{Millis, rfc3339};
use bytes::Bytes;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// The end of a chunked body (RFC 9112, section 7.1).
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// `frames` as one chunk of HTTP/1.1.
pub(super) fn chunk(frames: &str) -> Bytes {
    format!("{:X}\r\n{frames}\r\n", frames.len()).into()
}

/// The frame that says that nothing happened for a while. It has no id: who
/// comes back must not begin with it.
pub fn heartbeat_frame(now: Millis) -> String {
    format!("event: heartbeat\ndata: {{\"server_time\":\"{}\"}}\n\n", rfc3339(now))
}

/// The frame that says that some of what was to come is gone.
pub fn reset_frame(reset: Reset, cursor: &Cursor, now: Millis) -> String {
    let data = json!({
        "reason": reset.as_str(),
        "cursor": cursor.to_string(),
        "server_time": rfc3339(now),
    });
    format!("id: {cursor}\nevent: reset\ndata: {data}\n\n")
}

/// The last frame of a stream. Each client is told another time to come back,
/// so that they do not all come at once.
pub fn bye_frame(code: &str, wait: Option<Duration>, cursor: Option<&Cursor>) -> String {
    let wait = match wait {
        Some(wait) => wait.as_millis() as u64 + jitter(0, 1_000),
        None => jitter(1_000, 5_000),
    };
    let cursor = cursor.map(ToString::to_string);
    let data = json!({ "code": code, "retry_after_ms": wait, "cursor": cursor });
    format!("retry: {wait}\nevent: bye\ndata: {data}\n\n")
}

/// Any number from `from` to before `to`.
pub fn jitter(from: u64, to: u64) -> u64 {
    from + rand::random::<u64>() % (to - from).max(1)
}

/// Writes envelopes as they are, separated by commas.
pub fn push_events(body: &mut String, events: &[Arc<Event>]) {
    for (i, event) in events.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        body.push_str(event.json());
    }
}

/// What a poll is answered besides events.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Where to go on.
    pub cursor: &'a Cursor,
    /// Whether there is more already.
    pub more: bool,
    /// Whether the cursor was of use.
    pub reset: Option<Reset>,
    /// How long to wait before the next poll, in milliseconds.
    pub retry_after_ms: u64,
    /// The time.
    pub now: Millis,
}

/// Writes the answer of a poll: `events` as [`push_events`] wrote them, and
/// what else is told.
pub fn push_answer(body: &mut String, events: &str, told: &Told<'_>) {
    let Told { cursor, more, reset, retry_after_ms, now } = told;
    let time = rfc3339(*now);
    let _ =
        write!(body, "{{\"events\":[{events}],\"cursor\":\"{cursor}\",\"more\":{more},\"reset\":");
    let _ = match reset {
        Some(reset) => write!(body, "{{\"reason\":\"{}\"}}", reset.as_str()),
        None => write!(body, "null"),
    };
    let _ = writeln!(body, ",\"retry_after_ms\":{retry_after_ms},\"server_time\":\"{time}\"}}");
}

/// The frames of `events` in one piece; of one event, without a copy.
pub(super) fn join(events: &Events, piece: impl Fn(&Event) -> Bytes) -> Bytes {
    match &events[..] {
        [event] => piece(event),
        events => {
            let pieces: Vec<Bytes> = events.iter().map(|event| piece(event)).collect();
            let mut joined = Vec::with_capacity(pieces.iter().map(Bytes::len).sum());
            pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
            joined.into()
        }
    }
}
