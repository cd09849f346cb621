//! The forms in which a stream is told: frames, lines of JSON, lines for eyes.

use super::text;
use crate::clock::Millis;
use crate::events::Batch;
use crate::http::{Params, Problem, accepts};
use crate::refusal::Refusal;
use actix_web::http::header::{ACCEPT, HeaderMap};
use bytes::Bytes;
use serde_json::Value;

const SSE: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";
const TEXT: &str = "text/plain";

/// How a stream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events, whose bytes all readers share.
    Sse,
    /// One JSON a line.
    Lines,
    /// A line for eyes.
    Text,
}

impl Form {
    /// By `format` or, without it, by what is accepted.
    pub fn take(params: &mut Params, headers: &HeaderMap) -> Result<Form, Problem> {
        let named = |kind| {
            let mut lines = headers.get_all(ACCEPT);
            lines.any(|line| line.to_str().unwrap_or_default().contains(kind))
        };
        let (form, kind) = match params.take_one_of("format", &["sse", "ndjson", "text"])? {
            Some("ndjson") => (Form::Lines, NDJSON),
            Some("text") => (Form::Text, TEXT),
            None if named(NDJSON) && !named(SSE) => (Form::Lines, NDJSON),
            _ => (Form::Sse, SSE),
        };
        if accepts(headers, &[kind]) {
            return Ok(form);
        }
        Err(Problem::new(
            406,
            "not_acceptable",
            "a stream is text/event-stream or, with format=ndjson, application/x-ndjson or, with format=text, text/plain; /v1/poll answers JSON",
            "流式接口提供 text/event-stream，format=ndjson 时为 application/x-ndjson，format=text 时为 text/plain；JSON 请用 /v1/poll",
        ))
    }

    /// Refuses ASCII where there is no JSON to escape it in.
    pub fn allows(self, ascii: bool) -> Result<(), Refusal> {
        if ascii && self == Form::Text { Err(no_ascii("text")) } else { Ok(()) }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Form::Sse => SSE,
            Form::Lines => NDJSON,
            Form::Text => "text/plain; charset=utf-8",
        }
    }

    /// Events as they are sent.
    pub fn batch(self, batch: &Batch, now: Millis) -> Bytes {
        if self == Form::Sse {
            return batch.frames();
        }
        let mut lines = batch.folded().map_or_else(String::new, |folded| {
            String::from_utf8_lossy(&self.control(folded.frame(), now)).into_owned()
        });
        for event in batch.events() {
            match self {
                Form::Sse => {}
                Form::Lines => lines.extend([event.json(), "\n"]),
                Form::Text => lines.extend([&*for_eyes(event.kind, event.json(), now), "\n"]),
            }
        }
        lines.into()
    }

    /// What is told besides events, as it is sent; `frames` is how it is told in frames.
    pub fn control(self, frames: String, now: Millis) -> Bytes {
        if self == Form::Sse {
            return frames.into();
        }
        let mut lines = String::new();
        let mut kind = "";
        for line in frames.lines() {
            if let Some(name) = line.strip_prefix("event: ") {
                kind = name;
            } else if let Some(data) = line.strip_prefix("data: ") {
                if self == Form::Lines {
                    let fields = data.strip_prefix('{').unwrap_or(data);
                    lines.extend(["{\"type\":\"", kind, "\",", fields, "\n"]);
                } else {
                    lines += &text::control(kind, &parsed(data), now);
                }
            }
        }
        lines.into()
    }
}

/// An event as a line for eyes.
pub(super) fn for_eyes(kind: &str, json: &str, now: Millis) -> String {
    text::of(kind, &parsed(json), now)
}

/// What we wrote ourselves is JSON.
pub(super) fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// The answer to whoever wants `format` in ASCII.
pub(super) fn no_ascii(format: &str) -> Refusal {
    Refusal::invalid(
        "ascii",
        "contradictory_parameters",
        format!(
            "`ascii=true` escapes characters in JSON, and format={format} is none: leave one out"
        ),
        format!("ascii=true 只用于 JSON，format={format} 不是 JSON：请去掉其一"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_told_besides_events_is_a_line_of_its_own() {
        let frames = "retry: 2000\n\nid: k-1\nevent: hello\ndata: {\"cursor\":\"k-1\",\"topics\":[\"price/green\"]}\n\nretry: 7\nevent: bye\ndata: {\"code\":\"shutdown\",\"retry_after_ms\":7}\n\n";
        let told = |form: Form| form.control(frames.to_owned(), 0);
        assert_eq!(told(Form::Sse), frames);
        let lines = "{\"type\":\"hello\",\"cursor\":\"k-1\",\"topics\":[\"price/green\"]}\n{\"type\":\"bye\",\"code\":\"shutdown\",\"retry_after_ms\":7}\n";
        assert_eq!(told(Form::Lines), lines);
        let text = "# hello  price/green  k-1\n# bye  shutdown  come back after 7 ms\n";
        assert_eq!(told(Form::Text), text);
    }
}
