//! Just enough of HTTP/1.1 for a client that must cost less than its server.

use memchr::{memchr, memmem};
use std::borrow::Cow;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// The head of a response.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub framing: Framing,
    /// The server closes the connection after it.
    pub close: bool,
    /// Bytes up to and including the blank line.
    pub len: usize,
}

/// What came is not HTTP, or not of a kind that is read here.
#[derive(Debug)]
pub struct NotHttp;

/// The value of a header.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = head;
    while let Some(nl) = memchr(b'\n', rest) {
        let line = &rest[..nl];
        rest = &rest[nl + 1..];
        if line.len() > name.len()
            && line[name.len()] == b':'
            && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
        {
            return Some(line[name.len() + 1..].trim_ascii());
        }
    }
    None
}

/// The head at the start of `b`; None: not whole yet.
pub fn parse_head(b: &[u8]) -> Result<Option<Head>, NotHttp> {
    let Some(end) = memmem::find(b, b"\r\n\r\n") else {
        return if b.len() > 64 * 1024 { Err(NotHttp) } else { Ok(None) };
    };
    if !b.starts_with(b"HTTP/1.") || b.len() < 12 {
        return Err(NotHttp);
    }
    let status = number(&b[9..12])?;
    let head = &b[..end + 2];
    let chunked = header(head, "transfer-encoding");
    let framing = if chunked.is_some_and(|v| v.eq_ignore_ascii_case(b"chunked")) {
        Framing::Chunked
    } else if let Some(v) = header(head, "content-length") {
        Framing::Length(number(v)?)
    } else if status == 204 || status == 304 || status < 200 {
        Framing::None
    } else {
        Framing::UntilClose
    };
    let close = header(head, "connection").is_some_and(|v| v.eq_ignore_ascii_case(b"close"));
    Ok(Some(Head { status, framing, close, len: end + 4 }))
}

fn number<T: std::str::FromStr>(b: &[u8]) -> Result<T, NotHttp> {
    std::str::from_utf8(b).ok().and_then(|s| s.parse().ok()).ok_or(NotHttp)
}

/// A head, and the body freed of chunk framing.
pub type Response<'a> = (Head, Cow<'a, [u8]>);

/// A response that has fully arrived; None: not yet.
pub fn whole_response(b: &[u8]) -> Result<Option<Response<'_>>, NotHttp> {
    let Some(head) = parse_head(b)? else { return Ok(None) };
    let rest = &b[head.len..];
    match head.framing {
        Framing::None => Ok(Some((head, rest[..0].into()))),
        Framing::Length(n) => Ok((rest.len() >= n).then(|| (head, rest[..n].into()))),
        Framing::Chunked => {
            let mut chunk = Chunk::START;
            let mut body = Vec::new();
            let mut at = 0;
            while at < rest.len() && chunk != Chunk::Done {
                let (used, data) = chunk.step(&rest[at..])?;
                body.extend_from_slice(&rest[at + data.start..at + data.end]);
                at += used;
            }
            Ok((chunk == Chunk::Done).then(|| (head, body.into())))
        }
        Framing::UntilClose => Err(NotHttp),
    }
}

/// The string or number that follows `"name":` for the first time.
pub fn json_field<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let key = format!("\"{name}\"");
    let at = memmem::find(body, key.as_bytes())? + key.len();
    let rest = body[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    Some(json_value(rest))
}

/// The string or number at the start of `rest`, up to its end or that of the text.
pub fn json_value(rest: &[u8]) -> &[u8] {
    if let Some(s) = rest.strip_prefix(b"\"") {
        return &s[..memchr(b'"', s).unwrap_or(s.len())];
    }
    let is_number = |b: &u8| b.is_ascii_digit() || b"-+.eE".contains(b);
    &rest[..rest.iter().position(|b| !is_number(b)).unwrap_or(rest.len())]
}

/// Incremental decoder of chunked bodies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Chunk {
    Size(usize),
    SizeExt(usize),
    Data(usize),
    DataEnd,
    Trailer(bool),
    Done,
}

impl Chunk {
    /// Before the first chunk.
    pub const START: Chunk = Chunk::Size(0);

    /// Takes one step: how much of `b` was used, and which part of it is body.
    pub fn step(&mut self, b: &[u8]) -> Result<(usize, std::ops::Range<usize>), NotHttp> {
        let mut i = 0;
        while i < b.len() && *self != Chunk::Done {
            if let Chunk::Data(n) = *self {
                let take = n.min(b.len() - i);
                *self = if take == n { Chunk::DataEnd } else { Chunk::Data(n - take) };
                return Ok((i + take, i..i + take));
            }
            *self = self.after(b[i])?;
            i += 1;
        }
        Ok((i, 0..0))
    }

    /// The state after one byte that is not data.
    fn after(self, byte: u8) -> Result<Chunk, NotHttp> {
        let sized = |n| if n == 0 { Chunk::Trailer(true) } else { Chunk::Data(n) };
        Ok(match (self, byte) {
            (Chunk::Size(n) | Chunk::SizeExt(n), b'\n') => sized(n),
            (Chunk::SizeExt(n), _) => Chunk::SizeExt(n),
            (Chunk::Size(n), b'\r') => Chunk::Size(n),
            (Chunk::Size(n), b';') => Chunk::SizeExt(n),
            (Chunk::Size(n), c) => {
                let digit = char::from(c).to_digit(16).ok_or(NotHttp)?;
                if n > 1 << 40 {
                    return Err(NotHttp);
                }
                Chunk::Size(n << 4 | digit as usize)
            }
            (Chunk::DataEnd, b'\r') => Chunk::DataEnd,
            (Chunk::DataEnd, b'\n') => Chunk::Size(0),
            (Chunk::DataEnd, _) => return Err(NotHttp),
            (Chunk::Trailer(at_start), b'\r') => Chunk::Trailer(at_start),
            (Chunk::Trailer(true), b'\n') => Chunk::Done,
            (Chunk::Trailer(false), b'\n') => Chunk::Trailer(true),
            (Chunk::Trailer(_), _) => Chunk::Trailer(false),
            (state @ (Chunk::Data(_) | Chunk::Done), _) => state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dechunk(parts: &[&[u8]]) -> (Vec<u8>, Chunk) {
        let mut c = Chunk::START;
        let mut out = Vec::new();
        for p in parts {
            let mut b = *p;
            while !b.is_empty() && c != Chunk::Done {
                let (used, data) = c.step(b).unwrap();
                out.extend_from_slice(&b[data]);
                b = &b[used..];
            }
        }
        (out, c)
    }

    #[test]
    fn chunks_may_be_cut_anywhere() {
        let whole = b"5\r\nhello\r\n1A;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            let (out, c) = dechunk(&[&whole[..cut], &whole[cut..]]);
            assert_eq!(out, b"helloabcdefghijklmnopqrstuvwxyz", "cut at {cut}");
            assert_eq!(c, Chunk::Done);
        }
    }

    #[test]
    fn a_head_tells_how_the_body_ends() {
        let h = parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap().unwrap();
        assert_eq!((h.status, h.framing), (200, Framing::Length(12)));
        let h = parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx");
        let h = h.unwrap().unwrap();
        assert_eq!((h.len, h.framing), (47, Framing::Chunked));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
        assert!(parse_head(b"garbage\r\n\r\n").is_err());
    }

    #[test]
    fn a_json_field_is_found() {
        let body = br#"{"a":{"cursor": "k3-1"},"price_fen":12800}"#;
        assert_eq!(json_field(body, "cursor").unwrap(), b"k3-1");
        assert_eq!(json_field(body, "price_fen").unwrap(), b"12800");
        assert_eq!(json_field(body, "none"), None);
    }
}
