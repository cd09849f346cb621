use super::Topic;
use super::ascii::to_ascii;
use super::cursor::write_id;
use crate::clock::{Millis, rfc3339};
use bytes::Bytes;
use serde::Serialize;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

/// Every type of event there is. Readers match on these, so they never
/// change; nobody but us may publish the ones of the trade.
pub const KINDS: [&str; 16] = [
    "price.changed",
    "stock.changed",
    "product.arrived",
    "product.updated",
    "product.withdrawn",
    "clearance.started",
    "clearance.ended",
    "market.updated",
    "market.summary",
    "announcement",
    "notification.created",
    "notification.read",
    "room.message",
    "merchant.stale",
    "merchant.fresh",
    "subscriptions.changed",
];

/// Something that happened, as the module it happened in tells it.
pub trait Fact: Serialize {
    /// What happened, one of [`KINDS`].
    fn kind(&self) -> &'static str;

    /// Everywhere it is told. A reader who follows several of these is told
    /// once.
    fn topics(&self) -> Vec<Topic>;
}

/// A fact as the log keeps it and readers get it.
///
/// It is encoded once, into one buffer; what the transports send are slices
/// of that: a chunk of HTTP/1.1 (RFC 9112, section 7.1) that holds an SSE frame
/// that holds the envelope.
#[derive(Debug)]
pub struct Event {
    /// Its position in the log.
    pub seq: i64,
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// Everywhere it is told.
    pub topics: Box<[Topic]>,
    buffer: Bytes,
    frame: (u32, u32),
    json: (u32, u32),
    /// Where its data begins in `buffer`; it ends one before the envelope does.
    data: u32,
    /// Where the merchant whose product it is about is named in `buffer`.
    merchant: Option<(u32, u32)>,
    /// By how much the price changed, whichever way, in hundredths of a percent.
    change: Option<u32>,
    /// The same in ASCII, once somebody has asked for it; none if it is that anyway.
    ascii: OnceLock<Option<Arc<Event>>>,
}

/// Events in the order of the log, shared between readers.
pub type Events = Vec<Arc<Event>>;

impl Event {
    /// Encodes the event at `seq` of the log `epoch`. `data` is JSON.
    pub fn encode(
        epoch: &str,
        seq: i64,
        time: Millis,
        kind: &'static str,
        topics: Vec<Topic>,
        data: &str,
    ) -> Event {
        let mut id = String::with_capacity(24);
        let _ = write_id(&mut id, epoch, seq);
        let time = rfc3339(time);
        let quoted = topics.iter().map(|topic| topic.as_str().len() + 2).sum::<usize>();
        let commas = topics.len().saturating_sub(1);
        let head = [r#"{"id":""#, &id, r#"","type":""#, kind, r#"","topics":["#];
        let foot = [r#"],"time":""#, &time, r#"","data":"#, data, "}"];
        let size = |parts: [&str; 5]| parts.iter().map(|part| part.len()).sum::<usize>();
        let json = size(head) + quoted + commas + size(foot);
        // "id: " + "\nevent: " + "\ndata: " + "\n\n"
        let length = 4 + id.len() + 8 + kind.len() + 7 + json + 2;
        // The size of a chunk stands before it, so it has to be known first.
        let mut buffer = String::with_capacity(length + 16);
        let _ = write!(buffer, "{length:X}\r\n");
        let begin = buffer.len();
        buffer.extend(["id: ", &id, "\nevent: ", kind, "\ndata: "]);
        let json_at = buffer.len();
        buffer.extend(head);
        for (i, topic) in topics.iter().enumerate() {
            buffer.extend([if i == 0 { "\"" } else { ",\"" }, topic.as_str(), "\""]);
        }
        buffer.extend(foot);
        let json_end = buffer.len();
        buffer += "\n\n";
        let end = buffer.len();
        buffer += "\r\n";
        debug_assert_eq!(end - begin, length);
        let data_at = json_end - 1 - data.len();
        // Of what others publish the trade knows nothing, whatever it calls its fields.
        let ours = topics.iter().any(|topic| topic.kind() == "product");
        let merchant = if ours { text_field(data, "\"merchant\":\"") } else { None };
        let merchant = merchant.map(|(from, to)| ((data_at + from) as u32, (data_at + to) as u32));
        let change =
            if kind == PRICE_CHANGED { number_field(data, "\"change_bp\":") } else { None };
        Event {
            seq,
            kind,
            topics: topics.into(),
            merchant,
            change,
            buffer: buffer.into_bytes().into(),
            frame: (begin as u32, end as u32),
            json: (json_at as u32, json_end as u32),
            data: data_at as u32,
            ascii: OnceLock::new(),
        }
    }

    /// The same event in ASCII. It is encoded for the first who asks and shared
    /// by all others.
    pub(super) fn in_ascii(self: &Arc<Event>) -> Arc<Event> {
        let ascii = self
            .ascii
            .get_or_init(|| (!self.buffer.is_ascii()).then(|| Arc::new(self.encode_in_ascii())));
        ascii.as_ref().unwrap_or(self).clone()
    }

    fn encode_in_ascii(&self) -> Event {
        let frame = to_ascii(self.text(self.frame.0, self.frame.1));
        let begin = format!("{:X}\r\n", frame.len());
        let at = |place: u32| (begin.len() + to_ascii(self.text(self.frame.0, place)).len()) as u32;
        Event {
            seq: self.seq,
            kind: self.kind,
            topics: self.topics.clone(),
            merchant: self.merchant.map(|(from, to)| (at(from), at(to))),
            change: self.change,
            frame: (at(self.frame.0), at(self.frame.1)),
            json: (at(self.json.0), at(self.json.1)),
            data: at(self.data),
            buffer: [&begin, &frame, "\r\n"].concat().into(),
            ascii: OnceLock::new(),
        }
    }

    /// Its id: a cursor.
    pub fn id(&self) -> &str {
        // The frame begins `id: k3f9x-11\nevent: `.
        let rest = self.text(self.frame.0 + 4, self.frame.1);
        rest.split_once('\n').map_or(rest, |(id, _)| id)
    }

    /// What its module tells of it.
    pub(super) fn data(&self) -> &str {
        self.text(self.data, self.json.1 - 1)
    }

    /// The SSE frame.
    pub fn frame(&self) -> Bytes {
        self.buffer.slice(self.frame.0 as usize..self.frame.1 as usize)
    }

    /// The SSE frame as a chunk of HTTP/1.1.
    pub fn chunk(&self) -> &Bytes {
        &self.buffer
    }

    /// The envelope.
    pub fn json(&self) -> &str {
        self.text(self.json.0, self.json.1)
    }

    fn text(&self, from: u32, to: u32) -> &str {
        std::str::from_utf8(&self.buffer[from as usize..to as usize]).unwrap_or_default()
    }

    /// How many bytes the envelope has.
    pub fn json_bytes(&self) -> usize {
        (self.json.1 - self.json.0) as usize
    }

    /// The product it is about.
    pub fn product(&self) -> Option<&str> {
        self.topics.iter().find(|topic| topic.kind() == "product").and_then(Topic::name)
    }

    /// The merchant whose product it is about.
    pub fn merchant(&self) -> Option<&str> {
        self.merchant.map(|(from, to)| self.text(from, to))
    }

    /// By how much the price changed, whichever way, in hundredths of a percent;
    /// `None` for a first price, and for what is no change of a price.
    pub fn change(&self) -> Option<u32> {
        self.change
    }

    /// About how much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        self.buffer.len() + 120 + self.topics.len() * 40
    }
}

/// The type of a change of a price.
pub(super) const PRICE_CHANGED: &str = KINDS[0];

/// The type of a change of what a user has saved.
pub(super) const SUBSCRIPTIONS_CHANGED: &str = "subscriptions.changed";

/// The type of a change of a stock.
pub(super) const STOCK_CHANGED: &str = KINDS[1];

/// Where the text that follows `name` stands in JSON of ours. A quote inside of
/// a string is escaped, so what looks like a field is one.
fn text_field(json: &str, name: &str) -> Option<(usize, usize)> {
    let from = memchr::memmem::find(json.as_bytes(), name.as_bytes())? + name.len();
    let length = memchr::memchr(b'"', &json.as_bytes()[from..])?;
    Some((from, from + length))
}

/// The number that follows `name`, without its sign; what is larger than there
/// is room for is as large as there is.
fn number_field(json: &str, name: &str) -> Option<u32> {
    let from = memchr::memmem::find(json.as_bytes(), name.as_bytes())? + name.len();
    let digits = json[from..].strip_prefix('-').unwrap_or(&json[from..]);
    let end = digits.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].parse::<u64>().ok()?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The well-known name of `kind`, if there is one.
pub fn known_kind(kind: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|known| *known == kind)
}

/// Encodes what goes into `data`.
///
/// JSON leaves U+2028, U+2029, U+0085 and DEL as they are, and there are
/// clients that break a line at them; escaped they harm nobody.
pub(super) fn data_json(fact: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, fact)?;
    Ok(escape_breaks(String::from_utf8(json).map_err(serde::ser::Error::custom)?))
}

fn escape_breaks(json: String) -> String {
    const BREAKS: [char; 4] = ['\u{2028}', '\u{2029}', '\u{85}', '\u{7f}'];
    if !has_breaks(json.as_bytes()) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            // Only outside of strings, in JSON that somebody else laid out.
            '\n' | '\r' => escaped.push(' '),
            c if BREAKS.contains(&c) => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether there is anything to escape. Every event passes through here, so it
/// looks at bytes, many at once, and closer only where one of them may begin a
/// break: `¥` begins like U+0085.
fn has_breaks(json: &[u8]) -> bool {
    const AT_ONCE: usize = 32;
    let suspect = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0x7f | 0xc2 | 0xe2);
    json.chunks(AT_ONCE).enumerate().any(|(at, chunk)| {
        // Not `any`: without a way out in between the whole chunk is one step.
        let suspected = chunk.iter().fold(false, |found, byte| found | suspect(byte));
        let begin = at * AT_ONCE;
        suspected && (begin..begin + chunk.len()).any(|at| is_break(&json[at..]))
    })
}

/// Whether a character that [`escape_breaks`] escapes stands at the beginning.
fn is_break(json: &[u8]) -> bool {
    matches!(json, [b'\n' | b'\r' | 0x7f, ..] | [0xc2, 0x85, ..] | [0xe2, 0x80, 0xa8 | 0xa9, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_is_one_buffer_that_is_chunk_and_frame_and_envelope() {
        let topics = vec![Topic::price("green"), Topic::product("a")];
        let event = Event::encode("k3", 37, 0, "price.changed", topics, r#"{"price":"1.00"}"#);
        let json = r#"{"id":"k3-11","type":"price.changed","topics":["price/green","product/a"],"time":"1970-01-01T00:00:00.000Z","data":{"price":"1.00"}}"#;
        assert_eq!(event.json(), json);
        let frame = format!("id: k3-11\nevent: price.changed\ndata: {json}\n\n");
        assert_eq!(event.frame(), frame);
        assert_eq!(event.buffer, format!("{:X}\r\n{frame}\r\n", frame.len()));
        assert_eq!(event.product(), Some("a"));
        assert_eq!((event.id(), event.data()), ("k3-11", r#"{"price":"1.00"}"#));
    }

    #[test]
    fn in_ascii_it_is_another_buffer_with_everything_in_its_place() {
        let topics = vec![Topic::product("a"), Topic::known("room/明前")];
        let data = r#"{"name":"龙井 🍵","merchant":"m1","price":"1.00"}"#;
        let event = Arc::new(Event::encode("k3", 37, 0, "price.changed", topics, data));
        let ascii = event.in_ascii();
        assert!(ascii.chunk().is_ascii());
        assert!(Arc::ptr_eq(&ascii, &event.in_ascii()), "encoded once");
        assert!(Arc::ptr_eq(&ascii, &ascii.in_ascii()), "nothing left to do");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).expect("json");
        assert_eq!(value(ascii.json()), value(event.json()));
        assert_eq!(value(ascii.data()), value(event.data()));
        assert_eq!((ascii.id(), ascii.merchant()), ("k3-11", Some("m1")));
        let frame = format!("id: k3-11\nevent: price.changed\ndata: {}\n\n", ascii.json());
        assert_eq!(ascii.frame(), frame);
        assert_eq!(*ascii.chunk(), format!("{:X}\r\n{frame}\r\n", frame.len()));
    }

    #[test]
    fn whose_and_by_how_much_is_read_from_fields_and_not_from_what_they_say() {
        let event = |kind, data: &serde_json::Value| {
            let topics = vec![Topic::product("a")];
            Event::encode("k", 1, 0, kind, topics, &data_json(data).expect("json"))
        };
        let told = |change: serde_json::Value| {
            let name = r#""merchant":"m0","change_bp":7"#;
            let data = serde_json::json!({ "name": name, "merchant": "m-1", "change_bp": change });
            let event = event("price.changed", &data);
            assert_eq!(event.merchant(), Some("m-1"));
            event.change()
        };
        assert_eq!(told(serde_json::json!(-250)), Some(250));
        assert_eq!(told(serde_json::json!(i64::MAX)), Some(u32::MAX));
        assert_eq!(told(serde_json::Value::Null), None);
        let data = serde_json::json!({ "merchant": "m1", "change_bp": 3 });
        assert_eq!(event("stock.changed", &data).change(), None);
        let room = vec![Topic::known("room/x")];
        let said = Event::encode("k", 1, 0, "room.message", room, &data.to_string());
        assert_eq!((said.merchant(), said.change()), (None, None));
    }

    proptest! {
        #[test]
        fn no_text_can_break_a_frame(text in "\\PC*|[\\x00-\\x1f\\x7f\\u{85}\\u{2028}\\u{2029}\\r\\n ]*") {
            let data = data_json(&serde_json::json!({ "text": text })).expect("json");
            let event = Event::encode("k", 1, 0, "room.message", vec![], &data);
            let frame = String::from_utf8(event.frame().to_vec()).expect("UTF-8");
            prop_assert_eq!(frame.matches(['\n', '\r']).count(), 4);
            let breaks = frame.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{7f}', '\0']);
            prop_assert!(!breaks);
            let envelope: serde_json::Value = serde_json::from_str(event.json()).expect("json");
            prop_assert_eq!(envelope["data"]["text"].as_str(), Some(text.as_str()));
        }
    }
}
