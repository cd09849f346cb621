use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::rc::Rc;

/// The path of the requests that are recognised when they come again.
const POLL: &[u8] = b"GET /v1/poll?";

/// The header that wins over the parameter `cursor`.
const LAST_EVENT_ID: &[u8] = b"last-event-id:";

/// Follows what arrives between two answers, to know whether it was one head
/// of a request without a body and nothing else.
///
/// The dispatcher has a buffer of its own, and what is in it when the socket
/// is taken away would be lost. Whatever is not certain counts as more.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Arrived {
    /// Nothing since the last answer.
    #[default]
    Nothing,
    /// A head that begins with `GET `, of whose end so many bytes were seen.
    Head(u8),
    /// Something else, or something more.
    More,
}

impl Arrived {
    /// Takes note of `bytes`.
    pub fn take(&mut self, bytes: &[u8]) {
        if *self == Arrived::Nothing && !bytes.is_empty() {
            *self = if bytes.starts_with(b"GET ") { Arrived::Head(0) } else { Arrived::More };
        }
        let Arrived::Head(seen) = self else { return };
        let end = b"\r\n\r\n";
        for byte in bytes {
            let at = usize::from(*seen);
            if at == end.len() {
                *self = Arrived::More;
                return;
            }
            *seen = match *byte {
                byte if byte == end[at] => *seen + 1,
                b'\r' => 1,
                _ => 0,
            };
        }
    }

    /// Whether it is exactly one head.
    pub fn is_one_head(&self) -> bool {
        *self == Arrived::Head(4)
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
        // Another request may follow in the same bytes.
        let rest = &head[cursor.end..head.len() - 4];
        if rest.windows(4).any(|bytes| bytes == b"\r\n\r\n") || has_last_event_id(rest) {
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

    fn arrived(parts: &[&str]) -> Arrived {
        let mut arrived = Arrived::default();
        parts.iter().for_each(|part| arrived.take(part.as_bytes()));
        arrived
    }

    proptest! {
        #[test]
        fn a_head_is_one_head_however_it_is_cut(cuts in proptest::collection::vec(0..HEAD.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.push(0);
            cuts.push(HEAD.len());
            cuts.sort_unstable();
            // The first four bytes come together, or it is not believed.
            prop_assume!(cuts.iter().all(|cut| *cut == 0 || *cut >= 4));
            let parts: Vec<&str> = cuts.windows(2).map(|cut| &HEAD[cut[0]..cut[1]]).collect();
            prop_assert!(arrived(&parts).is_one_head());
            let more: Vec<&str> = parts.into_iter().chain(["G"]).collect();
            prop_assert!(!arrived(&more).is_one_head());
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
    fn two_requests_or_a_body_are_more_than_a_head() {
        assert!(!arrived(&[HEAD, HEAD]).is_one_head());
        assert!(!arrived(&[&format!("{HEAD}{HEAD}")]).is_one_head());
        assert!(!arrived(&["POST / HTTP/1.1\r\n\r\n"]).is_one_head());
        assert!(!arrived(&[&HEAD[..20]]).is_one_head());
        assert!(!arrived(&[]).is_one_head());
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
