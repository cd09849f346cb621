//! The publishing side: keep-alive connections that send messages at a pace.

mod create;
mod form;
mod pace;

pub use create::create_topics;

use crate::hist::Hist;
use crate::http::whole_response;
use crate::message::Stamp;
use crate::net::{self, Epoll};
use crate::profile::Profile;
use crate::shared::{Shared, now_ns};
use crate::topics::Topics;
use form::Form;
use pace::Schedule;
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::atomic::Ordering::Relaxed;

/// When the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each connection sends again as soon as the server answered.
    Acked,
    /// Messages a second in all, on a fixed schedule. Stamps carry the due
    /// time, so a late publisher shows up as latency.
    Rate(f64),
    /// At most this many messages that not every reader has yet.
    Window(usize),
}

/// What is to be published.
#[derive(Clone)]
pub struct Plan<'a> {
    pub profile: &'a Profile,
    pub addr: SocketAddrV4,
    pub topics: &'a Topics,
    /// Readers of each topic.
    pub readers: &'a [u64],
    pub size: usize,
    pub batch: usize,
    pub connections: usize,
    pub messages: u64,
    pub pace: Pace,
    pub time_limit_s: f64,
    /// How long to wait for a delivery, or an answer, that does not come.
    pub stall_s: f64,
}

/// What came of it.
pub struct Outcome {
    pub requests: u64,
    pub acked: u64,
    pub messages: u64,
    pub errors: u64,
    pub first_error: String,
    pub stalls: u64,
    pub start_ns: u64,
    pub end_ns: u64,
    pub ack: Box<Hist>,
    pub expected_deliveries: u64,
}

/// One request to be made: to which lane, and when it was due (0: now).
///
/// A lane is what one connection at a time publishes to, so that its order is
/// that of the sequence numbers: a topic, or as many as a spread batch goes to.
#[derive(Clone, Copy)]
struct Job {
    lane: usize,
    due_ns: u64,
}

struct Conn {
    fd: i32,
    busy_since: u64,
    got: Vec<u8>,
    queue: VecDeque<Job>,
}

/// Publishes a plan, and waits for the answers.
pub fn run(plan: &Plan, sh: &Shared) -> Outcome {
    let mut publisher = Publisher::new(plan, sh);
    if publisher.open_all() {
        publisher.publish();
    }
    publisher.out.end_ns = now_ns();
    for conn in &publisher.conns {
        if conn.fd >= 0 {
            net::close(conn.fd, true);
        }
    }
    publisher.out
}

struct Publisher<'a> {
    plan: &'a Plan<'a>,
    sh: &'a Shared,
    form: Form,
    ep: Epoll,
    conns: Vec<Conn>,
    /// Topics of a lane.
    width: usize,
    stamps: Vec<Stamp>,
    buf: Vec<u8>,
    out: Outcome,
}

impl<'a> Publisher<'a> {
    fn new(plan: &'a Plan<'a>, sh: &'a Shared) -> Publisher<'a> {
        let spread = plan.batch > 1 && plan.profile.batch.as_ref().is_some_and(|b| b.spread);
        let conn = || Conn { fd: -1, busy_since: 0, got: Vec::new(), queue: VecDeque::new() };
        Publisher {
            plan,
            sh,
            form: Form::new(plan),
            ep: Epoll::new(),
            conns: (0..plan.connections).map(|_| conn()).collect(),
            width: if spread { plan.batch } else { 1 },
            stamps: Vec::new(),
            buf: vec![0; 64 * 1024],
            out: Outcome {
                requests: 0,
                acked: 0,
                messages: 0,
                errors: 0,
                first_error: String::new(),
                stalls: 0,
                start_ns: now_ns(),
                end_ns: 0,
                ack: Hist::new_boxed(),
                expected_deliveries: 0,
            },
        }
    }

    fn fail(&mut self, why: impl FnOnce() -> String) {
        self.out.errors += 1;
        if self.out.first_error.is_empty() {
            self.out.first_error = why();
        }
    }

    fn open(&mut self, k: usize) -> bool {
        let Some(fd) = net::connect_and_wait(self.plan.addr) else {
            self.fail(|| "cannot connect".into());
            return false;
        };
        self.conns[k].fd = fd;
        self.ep.add(fd, libc::EPOLLIN, k as u64);
        true
    }

    fn open_all(&mut self) -> bool {
        (0..self.conns.len()).all(|k| self.open(k))
    }

    fn publish(&mut self) {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 256];
        let lanes = self.plan.topics.len() / self.width;
        let mut schedule = Schedule::new(self.plan, lanes, self.sh);
        self.out.start_ns = now_ns();
        schedule.start_ns = self.out.start_ns;
        let limit = self.out.start_ns + (self.plan.time_limit_s * 1e9) as u64;
        let give_up = limit + (self.plan.stall_s * 1e9) as u64;
        loop {
            let now = now_ns();
            let late = now > limit;
            let mut wait_ns = 20_000_000;
            if late {
                // What was not sent by now is not sent; what was sent is waited
                // for, since a request that is cut off may or may not be done.
                self.conns.iter_mut().for_each(|c| c.queue.clear());
            } else {
                wait_ns = schedule.give_out(self, now).min(limit - now + 1);
                self.send_queued();
            }
            let idle = self.conns.iter().all(|c| c.busy_since == 0 && c.queue.is_empty());
            if idle && (late || schedule.done) || now > give_up || self.out.errors > 1000 {
                break;
            }
            let n = self.ep.wait(&mut events, wait_ns);
            for event in &events[..n] {
                self.receive(event.u64 as usize);
            }
        }
        self.out.stalls = schedule.stalls;
    }

    /// Deliveries that one request to a lane leads to.
    fn deliveries(&self, lane: usize) -> u64 {
        let readers = |i: usize| self.plan.readers[lane * self.width + i % self.width];
        (0..self.plan.batch).map(readers).sum()
    }

    fn send_queued(&mut self) {
        for k in 0..self.conns.len() {
            if self.conns[k].busy_since != 0 {
                continue;
            }
            let Some(job) = self.conns[k].queue.pop_front() else { continue };
            if self.conns[k].fd >= 0 || self.open(k) {
                self.send(k, job);
            }
        }
    }

    fn send(&mut self, k: usize, job: Job) {
        let now = now_ns();
        let time_ns = if job.due_ns > 0 { job.due_ns } else { now };
        self.stamps.clear();
        for i in 0..self.plan.batch {
            let topic = job.lane * self.width + i % self.width;
            let seq = self.sh.published[topic].load(Relaxed);
            self.sh.sent(topic, seq, time_ns);
            self.sh.published[topic].store(seq + 1, Relaxed);
            self.stamps.push(Stamp { seq, time_ns, topic: topic as u32 });
        }
        self.out.requests += 1;
        self.out.messages += self.plan.batch as u64;
        self.out.expected_deliveries += self.deliveries(job.lane);
        self.conns[k].busy_since = now;
        // What cannot be sent shows when the connection closes.
        net::send_all(self.conns[k].fd, self.form.request(self.plan.topics, &self.stamps));
    }

    fn receive(&mut self, k: usize) {
        let conn = &mut self.conns[k];
        let n = net::recv(conn.fd, &mut self.buf);
        if n < 0 && net::errno() == libc::EAGAIN {
            return;
        }
        if n <= 0 {
            let busy = conn.busy_since != 0;
            self.close(k);
            if busy {
                self.fail(|| "connection closed".into());
            }
            return;
        }
        conn.got.extend_from_slice(&self.buf[..n as usize]);
        let got = std::mem::take(&mut conn.got);
        let since = conn.busy_since;
        let close = match whole_response(&got) {
            Ok(None) => {
                conn.got = got;
                return;
            }
            Ok(Some((head, body))) => {
                let ok = self.plan.profile.publish.ok.contains(&head.status);
                if ok && self.form.is_said(&body) {
                    self.out.acked += 1;
                    self.out.ack.record(now_ns() - since);
                } else {
                    let body: String = String::from_utf8_lossy(&body).chars().take(300).collect();
                    self.fail(|| format!("status {}: {body}", head.status));
                }
                head.close
            }
            Err(_) => {
                self.fail(|| "the answer is not HTTP".into());
                true
            }
        };
        if close {
            self.close(k);
        }
        self.conns[k].busy_since = 0;
    }

    fn close(&mut self, k: usize) {
        let conn = &mut self.conns[k];
        net::close(conn.fd, true);
        conn.fd = -1;
        conn.busy_since = 0;
        conn.got.clear();
    }
}
