//! A reader of a server-sent event stream, as strict as the standard.

use super::api::Api;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::Value;

/// One dispatched event.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub id: Option<String>,
    pub kind: String,
    /// The `data:` line, byte for byte.
    pub raw: String,
    pub json: Value,
}

impl Frame {
    #[track_caller]
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_else(|| panic!("no id in {self:?}"))
    }

    /// What the event tells: `data` of its envelope.
    pub fn data(&self) -> &Value {
        &self.json["data"]
    }

    pub fn is_control(&self) -> bool {
        ["hello", "heartbeat", "topics", "folded", "snapshot", "reset", "bye"]
            .contains(&self.kind.as_str())
    }
}

/// Turns bytes into frames; keeps what is not complete yet.
#[derive(Default)]
pub struct Frames {
    unread: Vec<u8>,
    /// The last `retry:` that was read.
    pub retry: Option<u64>,
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(!bytes.contains(&b'\r') && !bytes.contains(&0), "CR or NUL in a stream");
        self.unread.extend_from_slice(bytes);
    }

    /// The next complete frame that dispatches an event.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let end = self.unread.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.unread.drain(..end + 2).collect();
            if let Some(frame) = self.read(std::str::from_utf8(&block).unwrap()) {
                return Some(frame);
            }
        }
    }

    fn read(&mut self, block: &str) -> Option<Frame> {
        let (mut id, mut kind, mut data) = (None, None, Vec::new());
        for line in block.split('\n').filter(|line| !line.is_empty()) {
            let (field, value) = line.split_once(": ").unwrap_or((line, ""));
            match field {
                "id" => id = Some(value.to_owned()),
                "event" => kind = Some(value.to_owned()),
                "data" => data.push(value),
                "retry" => self.retry = Some(value.parse().unwrap()),
                _ => assert!(line.starts_with(':'), "a line that is none: {line:?}"),
            }
        }
        if data.is_empty() {
            assert!(kind.is_none(), "an event without data: {block:?}");
            return None;
        }
        assert_eq!(data.len(), 1, "an event on several lines: {block:?}");
        let json: Value = serde_json::from_str(data[0]).unwrap();
        let frame = Frame { id, kind: kind.unwrap(), raw: data[0].to_owned(), json };
        if !frame.is_control() {
            assert_eq!(frame.json["id"], frame.id(), "{block:?}");
            assert_eq!(frame.json["type"], frame.kind, "{block:?}");
        }
        Some(frame)
    }
}

/// An open stream.
pub struct Follower {
    api: Api,
    bytes: BoxStream<'static, Result<Vec<u8>, reqwest::Error>>,
    frames: Frames,
    pub headers: reqwest::header::HeaderMap,
}

impl Follower {
    pub fn new(api: Api, response: reqwest::Response) -> Follower {
        let headers = response.headers().clone();
        let bytes = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec())).boxed();
        Follower { api, bytes, frames: Frames::default(), headers }
    }

    /// The last `retry:` of the stream.
    pub fn retry(&self) -> Option<u64> {
        self.frames.retry
    }

    /// The next frame of any kind; `None` at the end of the stream.
    pub async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.next() {
                return Some(frame);
            }
            // The service hung up, or was killed: either way the stream is over.
            let Some(Ok(chunk)) = self.api.within("event", self.bytes.next()).await else {
                return None;
            };
            self.frames.push(&chunk);
        }
    }

    /// The greeting, which must be the first frame.
    pub async fn hello(&mut self) -> Frame {
        let frame = self.some_frame().await;
        assert_eq!(frame.kind, "hello", "{frame:?}");
        frame
    }

    /// The next event; a greeting or a heartbeat is none. `reset` and `bye` are
    /// not passed over: what they tell must not be missed.
    pub async fn next(&mut self) -> Frame {
        loop {
            let frame = self.some_frame().await;
            if !["hello", "heartbeat"].contains(&frame.kind.as_str()) {
                return frame;
            }
        }
    }

    /// The next control event that is no heartbeat; events are passed over.
    pub async fn next_control(&mut self) -> Frame {
        loop {
            let frame = self.some_frame().await;
            if frame.is_control() && frame.kind != "heartbeat" {
                return frame;
            }
        }
    }

    /// The next `n` events.
    pub async fn collect(&mut self, n: usize) -> Vec<Frame> {
        let mut events = Vec::new();
        while events.len() < n {
            events.push(self.next().await);
        }
        events
    }

    /// Waits for a `bye` of this code and for the end of the stream after it.
    pub async fn bye(mut self, code: &str) -> Frame {
        let bye = self.next_control().await;
        assert_eq!((bye.kind.as_str(), &bye.json["code"]), ("bye", &code.into()), "{bye:?}");
        assert!(bye.json["retry_after_ms"].is_u64(), "{bye:?}");
        assert!(self.retry().is_some_and(|retry| retry > 0), "no `retry:` before {bye:?}");
        assert_eq!(self.next_frame().await, None);
        bye
    }

    async fn some_frame(&mut self) -> Frame {
        let frame = self.next_frame().await;
        frame.unwrap_or_else(|| panic!("the stream ended; the log:\n{}", self.api.tail()))
    }
}
