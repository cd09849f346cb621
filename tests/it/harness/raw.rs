//! A bare socket, for what no well-behaved client does.

use super::api::Api;
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// A connection whose bytes the test writes itself.
pub struct Raw {
    api: Api,
    socket: TcpStream,
    /// All that has been read.
    pub read: Vec<u8>,
}

/// One answer of several on a connection, read to its end and no further.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// `Null` if the body is not JSON.
    pub json: Value,
}

impl RawAnswer {
    /// The JSON of an answer that must be good.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json
    }

    /// What `read` begins with, if that is a whole answer, and its length.
    fn take(read: &[u8]) -> Option<(RawAnswer, usize)> {
        let end = read.windows(4).position(|part| part == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&read[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
        let status = status[..3].parse().unwrap();
        let mut headers = BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let before = headers.insert(name.to_ascii_lowercase(), value.to_owned());
            assert!(before.is_none(), "{name} twice: {head}");
        }
        let rest = &read[end + 4..];
        let (body, length) = match (headers.get("content-length"), &headers) {
            (Some(length), headers) => {
                assert!(!headers.contains_key("transfer-encoding"), "{head}");
                let length = length.parse().unwrap();
                (rest.get(..length)?.to_vec(), length)
            }
            (None, headers) => {
                assert_eq!(headers["transfer-encoding"], "chunked", "{head}");
                let (body, length, whole) = chunks_of(rest);
                if !whole {
                    return None;
                }
                (body, length)
            }
        };
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Some((RawAnswer { status, headers, body, json }, end + 4 + length))
    }
}

/// What is in the chunks that `bytes` begins with, how many bytes those are, and
/// whether the last of them has come. Stops the test at what is no chunk.
pub fn chunks_of(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|pair| pair == b"\r\n") else { break };
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("chunk of {size:?}"));
        let Some(chunk) = rest.get(line + 2..line + 2 + size + 2) else { break };
        assert!(chunk.ends_with(b"\r\n"), "a chunk of {size} bytes that has more");
        body.extend_from_slice(&chunk[..size]);
        at += line + 2 + size + 2;
        if size == 0 {
            return (body, at, true);
        }
    }
    (body, at, false)
}

impl Api {
    /// A bare connection.
    pub async fn raw(&self) -> Raw {
        let socket = TcpStream::connect(self.address()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Raw { api: self.clone(), socket, read: Vec::new() }
    }

    /// A bare connection that takes only a few bytes before its owner reads.
    pub fn raw_with_little_room(&self) -> Raw {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address: SocketAddr = self.address().parse().unwrap();
        socket.connect(&address.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = TcpStream::from_std(socket.into()).unwrap();
        Raw { api: self.clone(), socket, read: Vec::new() }
    }

    /// Sends `request` as it is, and reads until the other side closes.
    pub async fn talk(&self, request: impl AsRef<[u8]>) -> String {
        let mut raw = self.raw().await;
        raw.write(request).await;
        raw.read_to_end().await;
        String::from_utf8_lossy(&raw.read).into_owned()
    }
}

impl Raw {
    /// Writes what it can: a peer that has hung up is no failure of the test.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let mut bytes = bytes.as_ref();
        while !bytes.is_empty() {
            self.api.within("room to write", self.socket.writable()).await.unwrap();
            match self.socket.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Asks with `GET`; `headers` are whole lines.
    pub async fn ask(&mut self, target: &str, headers: &str) {
        self.write(format!("GET {target} HTTP/1.1\r\nHost: tea\r\n{headers}\r\n")).await;
    }

    /// Takes the next answer from what is read.
    pub async fn answer(&mut self) -> RawAnswer {
        self.answer_in_bites(65_536).await
    }

    /// The same, at most `bite` bytes at a time.
    pub async fn answer_in_bites(&mut self, bite: usize) -> RawAnswer {
        loop {
            if let Some((answer, length)) = RawAnswer::take(&self.read) {
                self.read.drain(..length);
                return answer;
            }
            if !self.read_some(bite).await {
                let read = String::from_utf8_lossy(&self.read);
                panic!("the connection ended after {read:?}; the log:\n{}", self.api.tail());
            }
        }
    }

    /// Asks and waits for the answer.
    pub async fn get(&mut self, target: &str, headers: &str) -> RawAnswer {
        self.ask(target, headers).await;
        self.answer().await
    }

    /// Vanishes: the other side is told with a reset.
    pub fn reset(self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads at most `most` bytes more; false when the connection is over.
    pub async fn read_some(&mut self, most: usize) -> bool {
        let mut bytes = vec![0; most];
        loop {
            self.api.within("byte", self.socket.readable()).await.unwrap();
            match self.socket.try_read(&mut bytes) {
                Ok(0) => return false,
                Ok(read) => {
                    self.read.extend_from_slice(&bytes[..read]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }

    /// Reads until the other side closes.
    pub async fn read_to_end(&mut self) {
        while self.read_some(65_536).await {}
    }

    /// Reads until `wanted` has come; false if the connection ended before.
    pub async fn read_until(&mut self, wanted: &str) -> bool {
        let mut from = 0;
        loop {
            let mut parts = self.read[from..].windows(wanted.len());
            if parts.any(|part| part == wanted.as_bytes()) {
                return true;
            }
            from = (self.read.len() + 1).saturating_sub(wanted.len());
            if !self.read_some(65_536).await {
                return false;
            }
        }
    }
}

/// The body in what has been read of an answer, chunked or not, cut off or not.
pub fn body_of(answer: &[u8]) -> Vec<u8> {
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else {
        return Vec::new();
    };
    let (head, mut rest) = (&answer[..end], &answer[end + 4..]);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_vec();
    }
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let chunk = &rest[line + 2..];
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    body
}

#[test]
fn a_body_is_found_wherever_the_answer_was_cut() {
    let answer =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n";
    for cut in 0..=answer.len() {
        assert!(b"abc0123456789".starts_with(&body_of(&answer[..cut])));
    }
    assert_eq!(body_of(answer), b"abc0123456789");
    assert_eq!(body_of(b"HTTP/1.0 200 OK\r\n\r\nabc"), b"abc");
}
