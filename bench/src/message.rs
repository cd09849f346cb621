//! What is published, and how it is known again when it arrives.
//!
//! A *stamp* is `~S` seq(8 hex) time(16 hex) topic(6 hex) filler `$`: plain
//! ASCII that needs no escaping in JSON, SSE or a header, so it can be found in
//! any framing. A *price* has room for none of that: the price itself is the
//! sequence number, and when it was sent stands in the shared table.

/// The shortest stamp there is.
pub const MIN_SIZE: usize = 33;

/// The first price of a product, in fen. Those that follow are a fen higher
/// each: no two are the same, none is a move that needs to be confirmed, and
/// all have the same number of digits.
pub const FIRST_FEN: u64 = 1_000_000;

/// One message: which it is on its topic, and when it was (or should have been) sent.
#[derive(Debug, PartialEq, Clone, Copy)]
pub struct Stamp {
    pub seq: u32,
    pub time_ns: u64,
    pub topic: u32,
}

fn put_hex(out: &mut Vec<u8>, v: u64, digits: u32) {
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(v >> (i * 4) & 15) as usize]);
    }
}

/// Appends a stamp of `size` bytes.
pub fn write(out: &mut Vec<u8>, s: Stamp, size: usize) {
    let start = out.len();
    out.extend_from_slice(b"~S");
    put_hex(out, s.seq.into(), 8);
    put_hex(out, s.time_ns, 16);
    put_hex(out, s.topic.into(), 6);
    out.resize(start + size - 1, b'x');
    out.push(b'$');
}

/// Appends the price that stands for a sequence number, in yuan.
pub fn write_price(out: &mut Vec<u8>, seq: u32) {
    let fen = FIRST_FEN + u64::from(seq);
    out.extend_from_slice(format!("{}.{:02}", fen / 100, fen % 100).as_bytes());
}

/// The sequence number that a price in fen stands for.
pub fn read_price(fen: &[u8]) -> Option<u32> {
    let fen: u64 = std::str::from_utf8(fen).ok()?.parse().ok()?;
    u32::try_from(fen.checked_sub(FIRST_FEN)?).ok()
}

fn hex(b: &[u8]) -> Option<u64> {
    let mut v = 0u64;
    for &c in b {
        let d = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => return None,
        };
        v = v << 4 | u64::from(d);
    }
    Some(v)
}

/// Reads the stamp at the start of `b`; None if it is cut off or damaged.
pub fn read(b: &[u8], size: usize) -> Option<Stamp> {
    if b.len() < size || b[size - 1] != b'$' || &b[..2] != b"~S" {
        return None;
    }
    Some(Stamp {
        seq: hex(&b[2..10])? as u32,
        time_ns: hex(&b[10..26])?,
        topic: hex(&b[26..32])? as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let s = Stamp { seq: 77, time_ns: 123_456_789_012, topic: 99_999 };
        let mut v = Vec::new();
        write(&mut v, s, 200);
        assert_eq!(v.len(), 200);
        assert_eq!(read(&v, 200), Some(s));
        assert_eq!(read(&v[..199], 200), None);
        assert_eq!(read(&v, 199), None);
        write(&mut v, s, MIN_SIZE);
        assert_eq!(read(&v[200..], MIN_SIZE), Some(s));
    }

    #[test]
    fn a_price_is_a_sequence_number() {
        let mut v = Vec::new();
        write_price(&mut v, 205);
        assert_eq!(v, b"10002.05");
        assert_eq!(read_price(b"1000205"), Some(205));
        assert_eq!(read_price(b"999999"), None);
        assert_eq!(read_price(b""), None);
    }
}
