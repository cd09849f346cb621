//! When the next request is due, and to which lane.

use super::{Job, Pace, Plan, Publisher};
use crate::shared::Shared;
use std::collections::VecDeque;

/// Gives out the requests of a plan at its pace.
pub struct Schedule {
    /// When publishing began.
    pub start_ns: u64,
    /// Every request was given out.
    pub done: bool,
    /// How often deliveries stood still for too long and were given up.
    pub stalls: u64,
    pace: Pace,
    lanes: usize,
    total: u64,
    issued: u64,
    /// Acked: the next lane of each connection.
    turns: Vec<usize>,
    /// Window: what must have been delivered for each request in flight to be through.
    in_flight: VecDeque<u64>,
    planned: u64,
    before: u64,
    forgiven: u64,
    progress: (u64, u64),
}

/// How often deliveries may stand still before publishing ends.
const STALLS: u64 = 3;

impl Schedule {
    /// The schedule of a plan over so many lanes.
    pub fn new(plan: &Plan, lanes: usize, sh: &Shared) -> Schedule {
        Schedule {
            start_ns: 0,
            done: false,
            stalls: 0,
            pace: plan.pace,
            lanes,
            total: plan.messages.div_ceil(plan.batch as u64),
            issued: 0,
            turns: (0..plan.connections).map(|k| k % lanes).collect(),
            in_flight: VecDeque::new(),
            planned: 0,
            before: sh.sum(|w| &w.delivered),
            forgiven: 0,
            progress: (0, 0),
        }
    }

    /// Queues what is due now; how long to wait for more, in nanoseconds.
    pub fn give_out(&mut self, publisher: &mut Publisher, now: u64) -> u64 {
        let wait = match self.pace {
            Pace::Acked => self.acked(publisher),
            Pace::Rate(rate) => self.rate(publisher, now, rate),
            Pace::Window(size) => self.window(publisher, now, size),
        };
        self.done = self.issued == self.total || self.stalls >= STALLS;
        wait
    }

    fn next_lane(&self) -> usize {
        (self.issued % self.lanes as u64) as usize
    }

    fn acked(&mut self, publisher: &mut Publisher) -> u64 {
        let step = publisher.conns.len();
        for (k, conn) in publisher.conns.iter_mut().enumerate() {
            if self.issued < self.total && conn.busy_since == 0 && conn.queue.is_empty() {
                conn.queue.push_back(Job { lane: self.turns[k], due_ns: 0 });
                self.issued += 1;
                self.turns[k] += step;
                if self.turns[k] >= self.lanes {
                    self.turns[k] = k % self.lanes;
                }
            }
        }
        100_000_000
    }

    fn rate(&mut self, publisher: &mut Publisher, now: u64, rate: f64) -> u64 {
        let batch = publisher.plan.batch as f64;
        while self.issued < self.total {
            let due_ns = self.start_ns + (self.issued as f64 * batch * 1e9 / rate) as u64;
            if due_ns > now {
                return due_ns - now;
            }
            let lane = self.next_lane();
            let k = lane % publisher.conns.len();
            publisher.conns[k].queue.push_back(Job { lane, due_ns });
            self.issued += 1;
        }
        100_000_000
    }

    fn window(&mut self, publisher: &mut Publisher, now: u64, size: usize) -> u64 {
        let batch = publisher.plan.batch;
        let delivered = publisher.sh.sum(|w| &w.delivered) - self.before + self.forgiven;
        while self.in_flight.front().is_some_and(|&need| need <= delivered) {
            self.in_flight.pop_front();
        }
        if delivered != self.progress.1 || self.in_flight.is_empty() {
            self.progress = (now, delivered);
        } else if now - self.progress.0 > (publisher.plan.stall_s * 1e9) as u64 {
            self.stalls += 1;
            self.forgiven += self.planned.saturating_sub(delivered);
            self.in_flight.clear();
            self.progress = (now, self.planned);
            if self.stalls >= STALLS {
                return 0;
            }
        }
        while self.issued < self.total && self.in_flight.len() * batch < size.max(batch) {
            let lane = self.next_lane();
            let k = lane % publisher.conns.len();
            publisher.conns[k].queue.push_back(Job { lane, due_ns: 0 });
            self.planned += publisher.deliveries(lane);
            self.in_flight.push_back(self.planned);
            self.issued += 1;
        }
        30_000
    }
}
