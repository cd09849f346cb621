//! One connection, and the socket calls.

use super::topic::Shared;
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// A connection: what was received and is not whole, what could not be sent yet.
#[derive(Default)]
pub struct Conn {
    pub inbuf: Vec<u8>,
    pub pending: VecDeque<(Shared, usize)>,
    pub topic: Option<Arc<str>>,
    /// Its place among the streams of its topic.
    pub at: usize,
    /// Sweep: the first message it has not been sent.
    pub cursor: u64,
}

/// A request that has fully arrived.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Conn {
    /// Takes the next whole request out of what was received.
    pub fn request(&mut self) -> Option<Request> {
        let end = self.inbuf.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.inbuf[..end]).into_owned();
        let length = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let whole = end + 4 + length;
        if self.inbuf.len() < whole {
            return None;
        }
        let body = self.inbuf[end + 4..whole].to_vec();
        self.inbuf.drain(..whole);
        if self.inbuf.is_empty() {
            // An idle reader keeps no buffer.
            self.inbuf = Vec::new();
        }
        Some(Request { head, body })
    }
}

/// The value of a header.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Sends what fits.
pub fn write(fd: i32, b: &[u8]) -> isize {
    // SAFETY: the pointer and length are those of a slice.
    unsafe { libc::send(fd, b.as_ptr().cast(), b.len(), libc::MSG_NOSIGNAL) }
}

/// Sends what fits of several pieces.
pub fn write_many(fd: i32, pieces: &[Shared]) -> isize {
    let part = |p: &Shared| libc::iovec { iov_base: p.as_ptr() as *mut _, iov_len: p.len() };
    let iov: Vec<libc::iovec> = pieces.iter().map(part).collect();
    // SAFETY: each part is a slice that outlives the call, and is only read.
    unsafe { libc::writev(fd, iov.as_ptr(), iov.len() as i32) }
}

/// Receives what there is; None: nothing yet, 0: the end.
pub fn read(fd: i32, buf: &mut [u8]) -> Option<usize> {
    // SAFETY: the pointer and length are those of a slice.
    let n = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), 0) };
    match usize::try_from(n) {
        Ok(n) => Some(n),
        Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN) => None,
        Err(_) => Some(0),
    }
}

/// Accepts a connection, if one waits.
pub fn accept(listener: i32) -> Option<i32> {
    let (addr, len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the peer's address is not asked for; `one` is read in place.
    unsafe {
        let fd = libc::accept4(listener, addr, len, libc::SOCK_NONBLOCK);
        let one = 1i32;
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const one).cast(), 4);
        (fd >= 0).then_some(fd)
    }
}

/// A socket that listens; several may at one address.
pub fn listen(a: SocketAddrV4) -> i32 {
    // SAFETY: all that is passed by pointer is read in place.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        let one = 1i32;
        for name in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
            libc::setsockopt(fd, libc::SOL_SOCKET, name, (&raw const one).cast(), 4);
        }
        let sa = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: a.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(*a.ip()).to_be() },
            sin_zero: [0; 8],
        };
        let bound = libc::bind(fd, (&raw const sa).cast(), 16) == 0;
        let ok = bound && libc::listen(fd, 4096) == 0;
        assert!(ok, "cannot listen on {a}: {}", std::io::Error::last_os_error());
        fd
    }
}

/// Adds, changes or takes out a descriptor of an epoll set.
pub fn ctl(ep: i32, op: i32, fd: i32, events: i32) {
    let mut e = libc::epoll_event { events: events as u32, u64: fd as u64 };
    // SAFETY: `e` is read in place.
    unsafe { libc::epoll_ctl(ep, op, fd, &mut e) };
}
