//! The reading side: one process, one thread, one epoll set.

mod conn;
mod read;
mod request;
mod tally;

use crate::net::{self, Epoll};
use crate::profile::{Poll, Profile};
use crate::shared::{
    PHASE_CONNECT, PHASE_DROP, PHASE_END, PHASE_RECONNECT, PHASE_WAIT, Shared, WorkerStats, bump,
    now_ns,
};
use crate::topics::Topics;
use conn::{Act, Conn, State, Why};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// How a worker reads.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Transport {
    Stream,
    Poll,
}

/// What a worker is to do.
pub struct Task<'a> {
    pub index: usize,
    /// Numbers of the connections it holds.
    pub range: Range<usize>,
    pub profile: &'a Profile,
    pub transport: Transport,
    pub signed_in: bool,
    pub query: &'a str,
    pub topics: &'a Topics,
    pub size: usize,
    /// Connections being opened at once.
    pub window: usize,
    pub server: SocketAddrV4,
    /// Drop connections with RST.
    pub reset: bool,
    pub cpus: &'a [usize],
}

impl Task<'_> {
    /// The long-poll part of the profile.
    fn poll(&self) -> &Poll {
        self.profile.poll.as_ref().expect("the options were checked: a poll run has a [poll]")
    }
}

/// What every connection of a worker sees.
struct Ctx<'a> {
    task: &'a Task<'a>,
    sh: &'a Shared,
    me: &'a WorkerStats,
    now: u64,
    timed_from: u64,
    storm: bool,
}

impl Ctx<'_> {
    /// Keeps the first error seen, for the report.
    fn note(&self, code: u64) {
        if self.me.first_error.load(Relaxed) == 0 {
            self.me.first_error.store(code, Relaxed);
        }
    }
}

/// Holds its connections until the coordinator says that it is over.
pub fn run(task: &Task, sh: &Shared) {
    crate::proc::pin(task.cpus);
    let me = &sh.workers[task.index];
    let ctx = Ctx { task, sh, me, now: now_ns(), timed_from: 0, storm: false };
    let conns = task.range.clone().map(|stream| Conn::new(task.topics, stream)).collect();
    let mut worker = Worker {
        ctx,
        conns,
        ep: Epoll::new(),
        queue: VecDeque::new(),
        retry: VecDeque::new(),
        opening: 0,
    };
    worker.work();
    worker.count_lost();
    worker.conns.iter().filter(|c| c.fd >= 0).for_each(|c| net::close(c.fd, true));
    me.finished.store(1, Relaxed);
}

struct Worker<'a> {
    ctx: Ctx<'a>,
    conns: Vec<Conn>,
    ep: Epoll,
    /// Connections to be opened, and those that failed with when to try again.
    queue: VecDeque<usize>,
    retry: VecDeque<(u64, usize)>,
    opening: usize,
}

impl Worker<'_> {
    fn work(&mut self) {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
        let mut buf = vec![0u8; 256 * 1024];
        let mut phase = PHASE_WAIT;
        loop {
            let wanted = self.ctx.sh.phase.load(Relaxed);
            if wanted == PHASE_END {
                return;
            }
            if wanted != phase {
                self.enter(wanted);
                phase = wanted;
            }
            self.ctx.timed_from = self.ctx.sh.timed_from_ns.load(Relaxed);
            self.ctx.now = now_ns();
            self.open_some();
            let busy = !self.queue.is_empty() && self.opening < self.ctx.task.window;
            let n = self.ep.wait(&mut events, if busy { 0 } else { 2_000_000 });
            for event in &events[..n] {
                self.on_event(event.u64 as usize, event.events as i32, &mut buf);
            }
        }
    }

    fn enter(&mut self, phase: u32) {
        match phase {
            PHASE_CONNECT => self.queue.extend(0..self.conns.len()),
            PHASE_DROP => {
                self.queue.clear();
                self.retry.clear();
                for c in &mut self.conns {
                    c.shut(&self.ctx);
                    c.opening = false;
                }
                self.opening = 0;
                self.ctx.me.dropped.store(1, Relaxed);
            }
            PHASE_RECONNECT => {
                self.ctx.storm = true;
                for c in &mut self.conns {
                    c.caught = false;
                    c.retries = 0;
                    c.began = 0;
                }
                self.queue.extend(0..self.conns.len());
            }
            _ => {}
        }
    }

    fn open_some(&mut self) {
        while self.retry.front().is_some_and(|r| r.0 <= self.ctx.now) {
            self.queue.extend(self.retry.pop_front().map(|r| r.1));
        }
        for _ in 0..128 {
            if self.opening >= self.ctx.task.window {
                return;
            }
            let Some(i) = self.queue.pop_front() else { return };
            self.open(i);
        }
    }

    fn open(&mut self, i: usize) {
        // One address has too few ports for all, and few that are left take long to find.
        let number = (self.ctx.task.range.start + i) / 4_000;
        let from = Ipv4Addr::new(127, 0, 1 + (number / 250) as u8, 1 + (number % 250) as u8);
        let c = &mut self.conns[i];
        if c.began == 0 || !self.ctx.storm {
            c.began = self.ctx.now;
        }
        match net::connect(Some(from), self.ctx.task.server) {
            Ok(fd) => {
                c.fd = fd;
                c.state = State::Connecting;
                c.opening = true;
                self.opening += 1;
                self.ep.add(fd, libc::EPOLLOUT | libc::EPOLLIN, i as u64);
            }
            Err(errno) => {
                self.ctx.note(errno as u64);
                bump(&self.ctx.me.connect_errors, 1);
                self.try_again(i);
            }
        }
    }

    /// Tries a failed connection again after 100 ms, 100 times at most.
    fn try_again(&mut self, i: usize) {
        self.conns[i].retries += 1;
        if self.conns[i].retries <= 100 {
            self.retry.push_back((self.ctx.now + 100_000_000, i));
        }
    }

    fn on_event(&mut self, i: usize, flags: i32, buf: &mut [u8]) {
        let act = match self.conns[i].state {
            State::Closed => return,
            State::Connecting => {
                let errno = net::socket_error(self.conns[i].fd);
                if errno != 0 {
                    self.ctx.note(errno as u64);
                    bump(&self.ctx.me.connect_errors, 1);
                    self.shut(i);
                    self.try_again(i);
                    return;
                }
                if flags & libc::EPOLLOUT == 0 {
                    return;
                }
                self.ep.modify(self.conns[i].fd, libc::EPOLLIN, i as u64);
                self.conns[i].carry = Vec::new();
                Act::Ask(request::opening(self.ctx.task, &self.conns[i]))
            }
            State::Head | State::Body => {
                let n = net::recv(self.conns[i].fd, buf);
                self.ctx.now = now_ns();
                if n > 0 {
                    read::on_bytes(&self.ctx, &mut self.conns[i], &buf[..n as usize])
                } else if n < 0 && net::errno() == libc::EAGAIN {
                    Act::Go
                } else {
                    Act::Dead(Why::Closed)
                }
            }
        };
        self.act(i, act);
        let c = &mut self.conns[i];
        if c.opening && c.ready {
            c.opening = false;
            self.opening -= 1;
        }
    }

    fn act(&mut self, i: usize, act: Act) {
        let (ctx, c) = (&self.ctx, &mut self.conns[i]);
        match act {
            Act::Go => {}
            Act::Ask(bytes) => {
                c.state = State::Head;
                if net::send(c.fd, &bytes) != bytes.len() as isize {
                    bump(&ctx.me.closed_early, 1);
                    self.shut(i);
                    self.retry.push_back((self.ctx.now + 20_000_000, i));
                } else if ctx.task.transport == Transport::Poll && !c.ready {
                    let poll = ctx.task.poll();
                    if !poll.cursor_first || c.has_cursor() {
                        c.become_ready(ctx);
                    }
                }
            }
            Act::Again => {
                self.shut(i);
                self.queue.push_back(i);
            }
            Act::Dead(why) => {
                match why {
                    Why::Closed => bump(&ctx.me.closed_early, 1),
                    Why::Protocol => bump(&ctx.me.protocol_errors, 1),
                    Why::Status(status) => {
                        ctx.note(status.into());
                        bump(&ctx.me.http_errors, 1);
                    }
                }
                self.shut(i);
                self.try_again(i);
            }
        }
    }

    fn shut(&mut self, i: usize) {
        let c = &mut self.conns[i];
        c.shut(&self.ctx);
        if std::mem::take(&mut c.opening) {
            self.opening -= 1;
        }
    }

    fn count_lost(&self) {
        let lost = self.conns.iter().map(|c| c.lost(self.ctx.sh)).sum();
        self.ctx.me.lost.store(lost, Relaxed);
    }
}
