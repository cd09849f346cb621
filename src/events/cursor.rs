use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest cursor there is, in bytes.
const LONGEST: usize = 40;

/// A reader's place in the log: it has been given everything up to here.
///
/// It goes out as the `id` of every event and comes back as `Last-Event-ID`
/// or `?cursor=`: `<epoch>-<position in base 36>`. Readers hand it back and
/// never look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The log it belongs to.
    pub epoch: Arc<str>,
    /// The position up to which everything was given.
    pub seq: i64,
}

/// Not a cursor of ours.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("this is not a cursor")]
pub struct MalformedCursor;

impl FromStr for Cursor {
    type Err = MalformedCursor;

    fn from_str(text: &str) -> Result<Cursor, MalformedCursor> {
        if text.len() > LONGEST {
            return Err(MalformedCursor);
        }
        let (epoch, position) = text.split_once('-').ok_or(MalformedCursor)?;
        let lower = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !lower(epoch) || !lower(position) {
            return Err(MalformedCursor);
        }
        let seq = i64::from_str_radix(position, 36).map_err(|_| MalformedCursor)?;
        Ok(Cursor { epoch: epoch.into(), seq })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(f, &self.epoch, self.seq)
    }
}

/// Writes the id of position `seq` without making a [`Cursor`].
pub(super) fn write_id(out: &mut impl fmt::Write, epoch: &str, seq: i64) -> fmt::Result {
    // 36^13 > 2^63
    let mut digits = [0_u8; 13];
    let mut at = digits.len();
    let mut rest = seq.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    write!(out, "{epoch}-{}", std::str::from_utf8(&digits[at..]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back_as_it_was_written(seq in 0..=i64::MAX) {
            let cursor = Cursor { epoch: "k3f9x".into(), seq };
            let text = cursor.to_string();
            prop_assert!(text.len() <= LONGEST);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn whatever_else_comes_is_refused_and_no_more(text in "\\PC*") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert!(cursor.seq >= 0);
            }
        }
    }
}
