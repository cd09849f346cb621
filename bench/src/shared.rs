//! What the coordinator and its forked workers know of each other: one piece of
//! shared memory, each counter of which has one writer.

use crate::hist::Hist;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The most topics of a run. Memory is taken only for those that are used.
pub const MAX_TOPICS: usize = 1 << 18;
/// The most worker processes.
pub const MAX_WORKERS: usize = 16;
/// How many send times are kept of each topic, for messages that cannot carry their own.
const TIMES: usize = 64;

/// Nothing yet.
pub const PHASE_WAIT: u32 = 0;
/// Open every connection.
pub const PHASE_CONNECT: u32 = 1;
/// Drop them all at once.
pub const PHASE_DROP: u32 = 2;
/// Open them again, each with what it has.
pub const PHASE_RECONNECT: u32 = 3;
/// Count what is missing and leave.
pub const PHASE_END: u32 = 4;

/// What one worker tells of itself.
#[repr(C)]
pub struct WorkerStats {
    pub ready: AtomicU64,
    pub dropped: AtomicU64,
    pub finished: AtomicU64,
    pub connect_errors: AtomicU64,
    pub http_errors: AtomicU64,
    pub protocol_errors: AtomicU64,
    pub closed_early: AtomicU64,
    pub delivered: AtomicU64,
    pub duplicated: AtomicU64,
    pub out_of_order: AtomicU64,
    pub corrupt: AtomicU64,
    pub lost: AtomicU64,
    pub polls: AtomicU64,
    pub last_delivery_ns: AtomicU64,
    pub last_ready_ns: AtomicU64,
    pub caught_up: AtomicU64,
    pub last_caught_up_ns: AtomicU64,
    /// The first status or errno that was not what it should be.
    pub first_error: AtomicU64,
    pub latency: Hist,
    pub connect: Hist,
    pub catch_up: Hist,
}

/// All of it.
#[repr(C)]
pub struct Shared {
    pub phase: AtomicU32,
    /// Messages stamped before this are warm-up: counted, not timed.
    pub timed_from_ns: AtomicU64,
    pub storm_start_ns: AtomicU64,
    /// Messages sent so far, of each topic.
    pub published: [AtomicU32; MAX_TOPICS],
    /// What a reader that came back must reach to count as caught up.
    pub target: [AtomicU32; MAX_TOPICS],
    pub workers: [WorkerStats; MAX_WORKERS],
    times: [[AtomicU64; TIMES]; MAX_TOPICS],
}

/// Maps it, before the workers are forked.
pub fn map() -> &'static Shared {
    // SAFETY: fresh anonymous memory is all zero, which is a valid state of
    // atomics and of arrays of them, and it is never unmapped.
    unsafe {
        let p = libc::mmap(
            std::ptr::null_mut(),
            std::mem::size_of::<Shared>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        assert!(p != libc::MAP_FAILED, "no shared memory");
        &*(p as *const Shared)
    }
}

impl Shared {
    /// A counter of all workers together.
    pub fn sum(&self, f: impl Fn(&WorkerStats) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|w| f(w).load(Relaxed)).sum()
    }

    /// The largest of all workers.
    pub fn max(&self, f: impl Fn(&WorkerStats) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|w| f(w).load(Relaxed)).max().unwrap_or(0)
    }

    /// Notes when a message was sent.
    pub fn sent(&self, topic: usize, seq: u32, time_ns: u64) {
        self.times[topic][seq as usize % TIMES].store(time_ns, Relaxed);
    }

    /// When a message was sent, if that is still known.
    pub fn sent_ns(&self, topic: usize, seq: u32) -> Option<u64> {
        let newest = self.published[topic].load(Relaxed);
        let time = self.times[topic][seq as usize % TIMES].load(Relaxed);
        (newest.wrapping_sub(seq) < TIMES as u32).then_some(time)
    }
}

/// Adds to a counter that only this process writes.
pub fn bump(c: &AtomicU64, by: u64) {
    c.store(c.load(Relaxed) + by, Relaxed);
}

/// The monotonic clock, which all processes share.
pub fn now_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid place to write the time to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}
