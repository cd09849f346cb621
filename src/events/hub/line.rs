use bytes::Bytes;
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};

/// A connection that has left the dispatcher. It holds what the kernel did not
/// take, and nothing else: a slow reader costs one piece of what all are sent.
pub(super) struct Line {
    socket: TcpStream,
    unsent: Option<Box<Bytes>>,
}

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The kernel has them.
    All,
    /// It has some, or none; the rest is kept until it takes more.
    Part,
    /// Nobody will ever read them.
    Gone,
}

impl Line {
    /// Takes a connection over, to be told under `token` when there is
    /// something to read or room to write.
    pub fn open(
        socket: tokio::net::TcpStream,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Line> {
        let mut socket = TcpStream::from_std(socket.into_std()?);
        socket.register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Line { socket, unsent: None })
    }

    /// Gives it back as it is.
    pub fn close(mut self, registry: &Registry) -> io::Result<tokio::net::TcpStream> {
        self.socket.deregister(registry)?;
        tokio::net::TcpStream::from_std(self.socket.into())
    }

    /// Whether something waits to be sent.
    pub fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Sends `bytes`, which others are sent too.
    pub fn send(&mut self, bytes: &Bytes) -> Sent {
        self.write(bytes, |from| bytes.slice(from..))
    }

    /// Sends `bytes`, which nobody else is sent.
    pub fn send_own(&mut self, bytes: &[u8]) -> Sent {
        self.write(bytes, |from| Bytes::copy_from_slice(&bytes[from..]))
    }

    /// Sends what was left.
    pub fn flush(&mut self) -> Sent {
        match self.unsent.take() {
            Some(bytes) => self.send(&bytes),
            None => Sent::All,
        }
    }

    fn write(&mut self, bytes: &[u8], rest: impl Fn(usize) -> Bytes) -> Sent {
        debug_assert!(self.unsent.is_none(), "what was left goes first");
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(0) => return Sent::Gone,
                Ok(n) => sent += n,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    self.unsent = Some(Box::new(rest(sent)));
                    return Sent::Part;
                }
                Err(_) => return Sent::Gone,
            }
        }
        Sent::All
    }

    /// Reads what has come, if anything has.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buffer) {
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}
