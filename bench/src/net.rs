//! Non-blocking sockets and epoll, straight from libc.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;

fn sockaddr(a: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: a.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*a.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn set(fd: RawFd, level: i32, name: i32, value: i32) {
    // SAFETY: four bytes are read in place.
    unsafe {
        libc::setsockopt(fd, level, name, (&value as *const i32).cast(), 4);
    }
}

/// Starts a connection from the given source address.
pub fn connect(from: Option<Ipv4Addr>, to: SocketAddrV4) -> Result<RawFd, i32> {
    // SAFETY: addresses are 16 bytes and read in place; the descriptor is ours.
    unsafe {
        let fd = libc::socket(
            libc::AF_INET,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        );
        if fd < 0 {
            return Err(errno());
        }
        set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        if let Some(ip) = from {
            set(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
            let a = sockaddr(SocketAddrV4::new(ip, 0));
            if libc::bind(fd, (&a as *const libc::sockaddr_in).cast(), 16) != 0 {
                let e = errno();
                libc::close(fd);
                return Err(e);
            }
        }
        let a = sockaddr(to);
        if libc::connect(fd, (&a as *const libc::sockaddr_in).cast(), 16) != 0
            && errno() != libc::EINPROGRESS
        {
            let e = errno();
            libc::close(fd);
            return Err(e);
        }
        Ok(fd)
    }
}

/// The error of the last call.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Why a connection could not be opened; 0 if it could.
pub fn socket_error(fd: RawFd) -> i32 {
    let mut e = 0i32;
    let mut len = 4u32;
    // SAFETY: four bytes are written in place.
    unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&mut e as *mut i32).cast(),
            &mut len,
        )
    };
    e
}

/// Closes; with `reset` the peer gets RST and no port is left in TIME_WAIT.
pub fn close(fd: RawFd, reset: bool) {
    // SAFETY: eight bytes are read in place; whoever calls owns the descriptor.
    unsafe {
        if reset {
            let l = libc::linger { l_onoff: 1, l_linger: 0 };
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&l as *const libc::linger).cast(),
                8,
            );
        }
        libc::close(fd);
    }
}

/// Sends what fits; negative with [`errno`] if nothing does.
pub fn send(fd: RawFd, b: &[u8]) -> isize {
    // SAFETY: the pointer and length are those of a slice.
    unsafe { libc::send(fd, b.as_ptr().cast(), b.len(), libc::MSG_NOSIGNAL) }
}

/// Sends all of it, waiting where the socket is full; false if it broke.
pub fn send_all(fd: RawFd, mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let n = send(fd, rest);
        if n > 0 {
            rest = &rest[n as usize..];
        } else if errno() != libc::EAGAIN || !wait_writable(fd) {
            return false;
        }
    }
    true
}

fn wait_writable(fd: RawFd) -> bool {
    let mut p = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: `p` is one pollfd.
    unsafe { libc::poll(&mut p, 1, 10_000) == 1 }
}

/// Opens a connection and waits until it is open.
pub fn connect_and_wait(to: SocketAddrV4) -> Option<RawFd> {
    let fd = connect(None, to).ok()?;
    if wait_writable(fd) && socket_error(fd) == 0 {
        return Some(fd);
    }
    close(fd, true);
    None
}

/// Receives what there is; 0 at the end, negative with [`errno`] if nothing.
pub fn recv(fd: RawFd, b: &mut [u8]) -> isize {
    // SAFETY: the pointer and length are those of a slice.
    unsafe { libc::recv(fd, b.as_mut_ptr().cast(), b.len(), 0) }
}

/// An epoll set.
pub struct Epoll(RawFd);

impl Epoll {
    /// An empty set.
    pub fn new() -> Epoll {
        // SAFETY: a call without pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(fd >= 0, "epoll_create1 failed");
        Epoll(fd)
    }

    /// Watches a descriptor; `data` comes back with its events.
    pub fn add(&self, fd: RawFd, events: i32, data: u64) {
        let mut e = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: `e` is read in place.
        unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_ADD, fd, &mut e) };
    }

    /// Watches it for other events.
    pub fn modify(&self, fd: RawFd, events: i32, data: u64) {
        let mut e = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: `e` is read in place.
        unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_MOD, fd, &mut e) };
    }

    /// Waits at most `timeout_ns`; how many events there are.
    pub fn wait(&self, events: &mut [libc::epoll_event], timeout_ns: u64) -> usize {
        let ts = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        // SAFETY: there is room for as many events as are asked for.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0,
                events.as_mut_ptr(),
                events.len() as i32,
                &ts,
                std::ptr::null::<u8>(),
                0,
            )
        };
        n.max(0) as usize
    }
}
