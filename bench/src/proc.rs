//! CPU and memory of the measured server, read from /proc.

use std::collections::HashMap;
use std::fs;

/// What some processes used so far, and hold now.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    pub user_s: f64,
    pub sys_s: f64,
    /// The same to the nanosecond, with threads that have ended.
    pub run_s: f64,
    pub rss_kib: u64,
    pub pss_kib: u64,
    pub processes: usize,
    pub threads: usize,
}

impl Usage {
    /// CPU seconds, as fine as the kernel tells.
    pub fn cpu_s(&self) -> f64 {
        if self.run_s > 0.0 { self.run_s } else { self.user_s + self.sys_s }
    }
}

struct Stat {
    ppid: i32,
    user: u64,
    sys: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces: fields start after the last ')'.
    let rest = &text[text.rfind(')')? + 2..];
    let f: Vec<&str> = rest.split(' ').collect();
    Some(Stat { ppid: f[1].parse().ok()?, user: f[11].parse().ok()?, sys: f[12].parse().ok()? })
}

fn pids() -> Vec<i32> {
    let Ok(dir) = fs::read_dir("/proc") else { return Vec::new() };
    dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// The given processes and all their descendants.
pub fn tree(roots: &[i32]) -> Vec<i32> {
    if roots.is_empty() {
        return Vec::new();
    }
    let parents: HashMap<i32, i32> =
        pids().into_iter().filter_map(|p| Some((p, stat(p)?.ppid))).collect();
    let mut found: Vec<i32> = roots.to_vec();
    found.sort();
    found.dedup();
    let mut i = 0;
    while i < found.len() {
        for (&child, &parent) in &parents {
            if parent == found[i] && !found.contains(&child) {
                found.push(child);
            }
        }
        i += 1;
    }
    found
}

fn field_kib(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|l| {
            l.strip_prefix(key)?.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        })
        .unwrap_or(0)
}

/// CPU seconds of a process by its own clock; 0 if it has none.
fn run_s(pid: i32) -> f64 {
    let mut clock = 0;
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write to the place that they are given.
    unsafe {
        if libc::clock_getcpuclockid(pid, &mut clock) != 0
            || libc::clock_gettime(clock, &mut ts) != 0
        {
            return 0.0;
        }
    }
    ts.tv_sec as f64 + ts.tv_nsec as f64 / 1e9
}

/// Clock ticks a second, in which /proc counts.
fn ticks() -> f64 {
    // SAFETY: a call without pointers.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

/// What processes used together; memory only if asked, which takes longer.
pub fn usage(pids: &[i32], memory: bool) -> Usage {
    let hz = ticks();
    let mut u = Usage::default();
    for &pid in pids {
        let Some(s) = stat(pid) else { continue };
        u.processes += 1;
        u.user_s += s.user as f64 / hz;
        u.sys_s += s.sys as f64 / hz;
        u.run_s += run_s(pid);
        u.threads += fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        if memory {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            u.rss_kib += field_kib(&status, "VmRSS");
            let rollup =
                fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            u.pss_kib += field_kib(&rollup, "Pss");
        }
    }
    u
}

/// CPU seconds of the kernel's softirq threads: loopback work that was not
/// charged to the process that sent.
pub fn softirq_s() -> f64 {
    let hz = ticks();
    pids()
        .into_iter()
        .filter(|p| {
            fs::read_to_string(format!("/proc/{p}/comm")).is_ok_and(|c| c.starts_with("ksoftirqd"))
        })
        .filter_map(|p| stat(p).map(|s| (s.user + s.sys) as f64 / hz))
        .sum()
}

/// Kernel memory held by TCP sockets, both ends of loopback.
pub fn tcp_mem_kib() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages: u64 = text
        .lines()
        .find(|l| l.starts_with("TCP:"))
        .and_then(|l| l.split_whitespace().last()?.parse().ok())
        .unwrap_or(0);
    pages * 4
}

/// Memory the whole machine has left; its change covers kernel socket structures too.
pub fn mem_available_kib() -> u64 {
    field_kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable")
}

/// Keeps this process to these CPUs; anywhere if there are none.
pub fn pin(cpus: &[usize]) {
    if cpus.is_empty() {
        return;
    }
    // SAFETY: all-zero is an empty set, which is read in place.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &c in cpus {
            libc::CPU_SET(c, &mut set);
        }
        if libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set) != 0 {
            eprintln!("teawire-load: cannot pin to cpus {cpus:?}");
        }
    }
}

/// Raises the soft limit of open files to the hard limit, and the hard limit
/// where that is allowed. Returns the limit now in force.
pub fn raise_nofile() -> u64 {
    // SAFETY: limits are read and written in place.
    unsafe {
        let mut r = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        let big = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        if r.rlim_max < 1 << 20 && libc::setrlimit(libc::RLIMIT_NOFILE, &big) == 0 {
            return 1 << 20;
        }
        let full = libc::rlimit { rlim_cur: r.rlim_max, rlim_max: r.rlim_max };
        libc::setrlimit(libc::RLIMIT_NOFILE, &full);
        r.rlim_max
    }
}
