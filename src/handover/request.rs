use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::rc::Rc;

/// The path of the requests that are recognised when they come again.
const POLL: &[u8] = b"GET /v1/poll?";

/// The header that wins over the parameter `cursor`.
const LAST_EVENT_ID: &[u8] = b"last-event-id:";

/// How much of a line of a head is looked at: enough for the names that matter
/// and a length.
const LINE: usize = 40;

/// Follows what arrives on a connection from request to request, to know how
/// many are whole and whether anything lies behind the last one.
///
/// The dispatcher has a buffer of its own, and what is in it when the socket
/// is taken away would be lost. So whatever this does not understand as the
/// dispatcher does (chunks, upgrades, line ends without a CR) ends the
/// following for good: such a connection never leaves.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    place: Place,
    /// Requests of which everything has come.
    pub whole: u64,
    /// The last of them was a `GET` without a body.
    bare: bool,
}

#[derive(Debug, Default, PartialEq)]
enum Place {
    /// Between two requests.
    #[default]
    Between,
    Head(Head),
    /// So many bytes of a body are to come.
    Body(u64),
    Lost,
}

#[derive(Debug, Default, PartialEq)]
struct Head {
    line: Vec<u8>,
    /// How long the line is, of which `line` has the beginning.
    length: usize,
    /// What stood before: a line ends with CR LF.
    carriage_return: bool,
    get: Option<bool>,
    body: Option<u64>,
}

impl Arrived {
    /// Takes note of `bytes`.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Lost => return,
                Place::Between => self.place = Place::Head(Head::default()),
                Place::Body(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[length..];
                    *left -= length as u64;
                    if *left == 0 {
                        self.place = Place::Between;
                        self.whole += 1;
                    }
                }
                Place::Head(head) => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        head.keep(bytes);
                        return;
                    };
                    head.keep(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    match head.end_of_line() {
                        None => self.place = Place::Lost,
                        Some(false) => {}
                        Some(true) => {
                            let body = head.body.unwrap_or(0);
                            self.bare = body == 0 && head.get == Some(true);
                            self.whole += u64::from(body == 0);
                            self.place = if body == 0 { Place::Between } else { Place::Body(body) };
                        }
                    }
                }
            }
        }
    }

    /// Whether the last request was a `GET` without a body, and nothing lies
    /// behind it.
    pub fn ends_with_bare_get(&self) -> bool {
        self.bare && self.place == Place::Between
    }

    /// Whether what comes next is the beginning of a request.
    pub fn is_between(&self) -> bool {
        self.place == Place::Between
    }

    /// Whether a head has begun and not ended.
    pub fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Head(_))
    }
}

impl Head {
    fn keep(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            let room = LINE.saturating_sub(self.line.len()).min(bytes.len());
            self.line.extend_from_slice(&bytes[..room]);
            self.length += bytes.len();
            self.carriage_return = *last == b'\r';
        }
    }

    /// Looks at the line that has ended; true if it ends the head, `None` if
    /// this cannot be followed.
    fn end_of_line(&mut self) -> Option<bool> {
        if !std::mem::take(&mut self.carriage_return) {
            return None;
        }
        let length = std::mem::take(&mut self.length) - 1;
        self.line.truncate(length);
        if length == 0 && self.get.is_none() {
            // Some send one before a request; none has begun with it.
            return Some(false);
        }
        let get = *self.get.get_or_insert(self.line.starts_with(b"GET "));
        let line = &self.line;
        let is = |name: &[u8]| {
            line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
        };
        if is(b"transfer-encoding") || is(b"upgrade") || is(b"expect") {
            return None;
        }
        if is(b"content-length") {
            let value = line.splitn(2, |byte| *byte == b':').nth(1)?;
            let value = std::str::from_utf8(value).ok()?.trim();
            let known = length <= LINE && value.bytes().all(|byte| byte.is_ascii_digit());
            let body = known.then(|| value.parse().ok()).flatten()?;
            // Twice, or with a GET: what comes of that is not for this to say.
            if self.body.replace(body).is_some() || (get && body > 0) {
                return None;
            }
        }
        self.line.clear();
        Some(length == 0)
    }
}

/// Recognises a poll that comes again with another cursor, without reading it:
/// by a keyed hash of everything else in it.
#[derive(Clone, Debug, Default)]
pub struct Signatures(Rc<RandomState>);

/// What a poll is recognised by.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Equal in two polls that differ in their cursor alone.
    pub signature: u64,
    /// Where the cursor stands.
    pub cursor: Range<usize>,
}

impl Signatures {
    /// Looks at `head`, the whole head of a request and nothing more. None if
    /// it is no poll with exactly one cursor.
    pub fn read(&self, head: &[u8]) -> Option<Asked> {
        if !head.starts_with(POLL) || !head.ends_with(b"\r\n\r\n") {
            return None;
        }
        let target = &head[POLL.len()..];
        let target = &target[..target.iter().position(|byte| matches!(byte, b' ' | b'\r'))?];
        let mut cursor = None;
        let mut at = POLL.len();
        for pair in target.split(|byte| *byte == b'&') {
            if let Some(value) = pair.strip_prefix(b"cursor=") {
                let begin = at + pair.len() - value.len();
                if cursor.replace(begin..begin + value.len()).is_some() {
                    return None;
                }
            }
            at += pair.len() + 1;
        }
        let cursor = cursor?;
        if has_last_event_id(&head[cursor.end..]) {
            return None;
        }
        // Another request may follow in the same bytes, or what is none to us.
        let mut arrived = Arrived::default();
        arrived.take(head);
        if arrived.whole != 1 || !arrived.ends_with_bare_get() {
            return None;
        }
        let mut hasher = self.0.build_hasher();
        hasher.write(&head[..cursor.start]);
        hasher.write_usize(cursor.start);
        hasher.write(&head[cursor.end..]);
        Some(Asked { signature: hasher.finish(), cursor })
    }
}

fn has_last_event_id(lines: &[u8]) -> bool {
    lines.split(|byte| *byte == b'\n').any(|line| {
        line.get(..LAST_EVENT_ID.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(LAST_EVENT_ID))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "GET /v1/stream HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &str = "POST /v1/events HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\n\r\n\r\n!";

    fn arrived(parts: &[&str]) -> Arrived {
        let mut arrived = Arrived::default();
        parts.iter().for_each(|part| arrived.take(part.as_bytes()));
        arrived
    }

    fn bare(parts: &[&str]) -> (u64, bool) {
        let arrived = arrived(parts);
        (arrived.whole, arrived.ends_with_bare_get())
    }

    proptest! {
        #[test]
        fn requests_are_followed_however_they_are_cut(
            posts in proptest::collection::vec(any::<bool>(), 1..5),
            cuts in proptest::collection::vec(0..400_usize, 0..9),
        ) {
            let all: String = posts.iter().map(|post| if *post { POST } else { HEAD }).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % all.len()).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let parts: Vec<&str> = cuts.windows(2).map(|cut| &all[cut[0]..cut[1]]).collect();
            let last_is_get = posts.last() == Some(&false);
            prop_assert_eq!(bare(&parts), (posts.len() as u64, last_is_get));
            let more: Vec<&str> = parts.into_iter().chain(["G"]).collect();
            prop_assert!(!arrived(&more).ends_with_bare_get());
        }

        #[test]
        fn no_bytes_are_mistaken_for_a_poll(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let signatures = Signatures::default();
            let head = [b"GET /v1/poll?".as_slice(), &bytes, b"\r\n\r\n"].concat();
            if let Some(asked) = signatures.read(&head) {
                prop_assert!(asked.cursor.end <= head.len());
                prop_assert!(head[..asked.cursor.start].ends_with(b"cursor="));
            }
        }
    }

    #[test]
    fn what_cannot_be_followed_is_not_followed_any_more() {
        let doubtful = [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        ];
        for text in doubtful {
            assert!(!bare(&[text, HEAD]).1, "{text:?}");
        }
        assert_eq!(bare(&[&HEAD[..20]]), (0, false));
        assert_eq!(bare(&[]), (0, false));
    }

    #[test]
    fn a_poll_is_recognised_whatever_its_cursor_and_by_nothing_less() {
        let signatures = Signatures::default();
        let poll = |query: &str, more: &str| {
            let head = format!("GET /v1/poll?{query} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
            signatures
                .read(head.as_bytes())
                .map(|asked| (asked.signature, head[asked.cursor].to_owned()))
        };
        let first = poll("topic=room/x&cursor=k-1&wait=25", "").expect("a poll");
        let second = poll("topic=room/x&cursor=k-1z&wait=25", "").expect("a poll");
        assert_eq!(first.0, second.0);
        assert_eq!((first.1.as_str(), second.1.as_str()), ("k-1", "k-1z"));
        let others = [
            poll("topic=room/y&cursor=k-1&wait=25", ""),
            poll("topic=room/x&cursor=k-1&wait=25", "Authorization: Bearer a\r\n"),
            poll("cursor=k-1&topic=room/x&wait=25", ""),
        ];
        for other in others {
            assert_ne!(other.expect("a poll").0, first.0);
        }
        assert_eq!(poll("topic=room/x", ""), None);
        assert_eq!(poll("cursor=a&cursor=b", ""), None);
        assert_eq!(poll("topic=room/x&cursor=k-1", "LAST-Event-Id: k-2\r\n"), None);
        assert_eq!(poll("topic=x&cursor=k-1", "\r\nGET / HTTP/1.1\r\n"), None);
        assert_ne!(Signatures::default().read(b"GET /v1/poll?cursor=a \r\n\r\n"), None);
    }
}
