//! What readers are told besides events, as it stands on the wire.

use super::hub::Topics;
use super::{Cursor, Event, Events, Reset};
use crate::clock::{Millis, rfc3339};
use bytes::Bytes;
use serde_json::{Map, Value, json};
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

/// The same for a reader that is given the present state next. It has no id,
/// nor has anything before the state is whole: who is cut off in between begins
/// anew.
pub fn reset_to_snapshot_frame(reset: Reset, now: Millis) -> String {
    let data = json!({
        "reason": reset.as_str(),
        "cursor": null,
        "server_time": rfc3339(now),
    });
    format!("event: reset\ndata: {data}\n\n")
}

/// A part of the present state, `fields` of JSON; the last one has the cursor
/// from which the log goes on.
pub fn snapshot_frame(part: u32, fields: &str, cursor: Option<&Cursor>) -> String {
    let head = cursor.map_or(String::new(), |cursor| format!("id: {cursor}\n"));
    let quoted = cursor.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""));
    let more = cursor.is_none();
    format!(
        "{head}event: snapshot\ndata: {{\"part\":{part},\"more\":{more},\"cursor\":{quoted},{fields}}}\n\n"
    )
}

/// The frame that says that the topics were changed: all after `cursor` is of
/// those that are `told`.
pub fn topics_frame(cursor: &Cursor, told: &Map<String, Value>) -> String {
    let mut data = Map::from_iter([("cursor".to_owned(), cursor.to_string().into())]);
    data.extend(told.clone());
    format!("id: {cursor}\nevent: topics\ndata: {}\n\n", Value::from(data))
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
pub struct Answered<'a> {
    /// Where to go on.
    pub cursor: &'a Cursor,
    /// Whether there is more already.
    pub more: bool,
    /// Whether the cursor was of use.
    pub reset: Option<Reset>,
    /// The topics, if they were changed since it was told last.
    pub topics: Option<&'a Topics>,
    /// How long to wait before the next poll, in milliseconds.
    pub retry_after_ms: u64,
    /// The time.
    pub now: Millis,
    /// More fields, each with a comma before it.
    pub more_fields: &'a str,
}

/// Writes the answer of a poll: `events` as [`push_events`] wrote them, and
/// what else is told.
pub fn push_answer(body: &mut String, events: &str, told: &Answered<'_>) {
    let Answered { cursor, more, reset, topics, retry_after_ms, now, more_fields } = told;
    let time = rfc3339(*now);
    let _ =
        write!(body, "{{\"events\":[{events}],\"cursor\":\"{cursor}\",\"more\":{more},\"reset\":");
    let _ = match reset {
        Some(reset) => write!(body, "{{\"reason\":\"{}\"}}", reset.as_str()),
        None => write!(body, "null"),
    };
    for (name, value) in topics.iter().flat_map(|topics| topics.json()) {
        let _ = write!(body, ",\"{name}\":{value}");
    }
    let _ = writeln!(
        body,
        ",\"retry_after_ms\":{retry_after_ms},\"server_time\":\"{time}\"{more_fields}}}"
    );
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
