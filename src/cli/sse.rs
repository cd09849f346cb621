//! Server-sent events, as the WHATWG's HTML standard reads them.
//!
//! Bytes go in as they come off the wire, cut anywhere; whole frames come
//! out. It keeps what the standard keeps between frames: the last id and the
//! retry time. A stream that ends in the middle of a frame loses that frame,
//! so a parser serves one connection and the next one gets its own.

use std::time::Duration;

/// The most one line or one frame may hold. Teawire's own frames stay under
/// 64 KiB; whoever sends more than this sends no events.
const LONGEST: usize = 8 << 20;

/// One dispatched event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// The last id seen when it came; its own, or an older one, or empty.
    pub id: String,
    /// `event:`, or `message` where the server said none.
    pub kind: String,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
}

/// A line or a frame grew beyond all reason.
#[derive(Debug, thiserror::Error)]
#[error("the server sends a line without an end, so this is no event stream")]
pub struct Endless;

/// Turns bytes into frames.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte was a CR, so a LF now belongs to it.
    after_cr: bool,
    /// The first line is past, and a byte order mark is no longer one.
    started: bool,
    id: String,
    kind: String,
    data: String,
    retry: Option<Duration>,
}

impl Parser {
    /// Takes the next bytes and appends the frames they complete.
    pub fn push(&mut self, bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), Endless> {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            // A line ends at its CR already: who waits for the LF shows every
            // event of a CR-only stream one event late.
            match rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                Some(end) => {
                    self.line.extend_from_slice(&rest[..end]);
                    self.after_cr = rest[end] == b'\r';
                    rest = &rest[end + 1..];
                    self.end_line(frames);
                }
                None => {
                    self.line.extend_from_slice(rest);
                    rest = &[];
                }
            }
            if self.line.len() > LONGEST || self.data.len() > LONGEST {
                return Err(Endless);
            }
        }
        Ok(())
    }

    /// The wait before reconnecting that the server last asked for.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn end_line(&mut self, frames: &mut Vec<Frame>) {
        let line = std::mem::take(&mut self.line);
        // CR and LF never occur inside a UTF-8 sequence, so a whole line can
        // be decoded by itself, wherever the network cut it.
        let text = String::from_utf8_lossy(&line);
        let mut text: &str = &text;
        if !std::mem::replace(&mut self.started, true) {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if text.is_empty() {
            return self.dispatch(frames);
        }
        let (field, value) = match text.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (text, ""),
        };
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                if let Ok(millis) = value.parse() {
                    self.retry = Some(Duration::from_millis(millis));
                }
            }
            _ => {} // a comment (its field is empty), or a field of a later standard
        }
    }

    fn dispatch(&mut self, frames: &mut Vec<Frame>) {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return;
        }
        data.pop();
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        frames.push(Frame { id: self.id.clone(), kind, data });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        Parser::default().push(bytes, &mut frames).expect("short lines");
        frames
    }

    fn frame(id: &str, kind: &str, data: &str) -> Frame {
        Frame { id: id.into(), kind: kind.into(), data: data.into() }
    }

    #[test]
    fn frames_are_the_same_wherever_the_network_cuts_them() {
        let wire = "\u{feff}retry: 2000\r\n\r\nid: a-1\r\nevent: hello\r\ndata: {\"名\":\"龙井🍵\"}\r\n\r\n\
                    : 心跳\nid: a-2\rdata:饼\rdata: 二\r\r";
        let whole = read(wire.as_bytes());
        assert_eq!(
            whole,
            [frame("a-1", "hello", "{\"名\":\"龙井🍵\"}"), frame("a-2", "message", "饼\n二"),]
        );
        for size in 1..7 {
            let (mut parser, mut frames) = (Parser::default(), Vec::new());
            for piece in wire.as_bytes().chunks(size) {
                parser.push(piece, &mut frames).expect("short lines");
            }
            assert_eq!(frames, whole, "in pieces of {size}");
            assert_eq!(parser.retry(), Some(Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_frame_comes_with_its_carriage_return_not_with_the_byte_after() {
        assert_eq!(read(b"data: 1\r\r"), [frame("", "message", "1")]);
        assert_eq!(read(b"data: 1\r\n\r"), [frame("", "message", "1")]);
        assert_eq!(read(b"data: 1\n\r\ndata: 2\n\n").len(), 2);
    }

    #[test]
    fn the_standard_s_own_examples() {
        assert_eq!(
            read(b"data: YHOO\ndata: +2\ndata: 10\n\n"),
            [frame("", "message", "YHOO\n+2\n10")]
        );
        assert_eq!(
            read(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
            [
                frame("1", "message", "first event"),
                frame("", "message", "second event"),
                frame("", "message", " third event"),
            ]
        );
        assert_eq!(
            read(b"data\n\ndata\ndata\n\ndata:"),
            [frame("", "message", ""), frame("", "message", "\n")]
        );
        assert_eq!(read(b"data:test\n\ndata: test\n\n").len(), 2);
    }

    #[test]
    fn an_id_outlives_its_frame_and_a_nul_spoils_it() {
        let frames = read(b"id: 7\n\ndata: a\n\nid: 8\0\ndata: b\n\nevent: x\n\ndata: c\n\n");
        assert_eq!(
            frames,
            [frame("7", "message", "a"), frame("7", "message", "b"), frame("7", "message", "c")]
        );
    }

    #[test]
    fn retry_takes_digits_only() {
        for (line, millis) in [
            ("retry: 0", Some(0)),
            ("retry:1500", Some(1500)),
            ("retry: -1", None),
            ("retry: 1.5", None),
            ("retry: 2 s", None),
            ("retry", None),
            ("retry: 99999999999999999999999", None),
        ] {
            let mut parser = Parser::default();
            parser.push(format!("{line}\n").as_bytes(), &mut Vec::new()).expect("short");
            assert_eq!(parser.retry(), millis.map(Duration::from_millis), "{line}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_replaced_and_harms_no_neighbour() {
        assert_eq!(
            read(b"data: \xe9\xbe\n\ndata: ok\n\n"),
            [frame("", "message", "\u{fffd}"), frame("", "message", "ok"),]
        );
        // Only the first mark of the stream is a mark.
        assert_eq!(read(b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n").len(), 1);
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let (mut parser, mut frames) = (Parser::default(), Vec::new());
        let piece = vec![b'x'; 1 << 20];
        assert!((0..10).any(|_| parser.push(&piece, &mut frames).is_err()));
    }
}
