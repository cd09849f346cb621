//! A bare socket, for what no well-behaved client does.

use super::api::Api;
use socket2::{Domain, Socket, Type};
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A connection whose bytes the test writes itself.
pub struct Raw {
    api: Api,
    socket: TcpStream,
    /// All that has been read.
    pub read: Vec<u8>,
}

impl Api {
    /// A bare connection.
    pub async fn raw(&self) -> Raw {
        let socket = TcpStream::connect(self.address()).await.unwrap();
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
        let found = |read: &[u8]| read.windows(wanted.len()).any(|part| part == wanted.as_bytes());
        while !found(&self.read) {
            if !self.read_some(65_536).await {
                return false;
            }
        }
        true
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
