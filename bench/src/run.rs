//! A run: workers are forked, connections opened, the mode does its part, and
//! what was found is printed.

use crate::args::{Mode, Options};
use crate::hist::Summary;
use crate::publisher::{self, Pace, Plan};
use crate::report::Report;
use crate::shared::{self, PHASE_CONNECT, PHASE_END, Shared, now_ns};
use crate::topics::Topics;
use crate::worker::{self, Task, Transport};
use crate::{modes, proc};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What the modes work with.
pub struct Run<'a> {
    pub options: &'a Options,
    pub sh: &'static Shared,
    pub workers: Vec<i32>,
    pub report: Report,
}

/// Does what the command line says.
pub fn run(o: &Options) -> Result<(), String> {
    let topics = Topics::new(now_ns() / 1_000_000 % 100_000_000, o.topics, o.topics_a_stream);
    let readers = topics.readers(o.conns);
    publisher::create_topics(&o.profile, o.publish_addr, &topics, o.timeout)?;
    let transport = if o.mode == Mode::Longpoll { Transport::Poll } else { Transport::Stream };
    let sh = shared::map();
    let workers = fork_workers(o, &topics, transport, sh)?;
    proc::pin(&o.cpus);
    // SAFETY: a call without pointers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000) };

    let mut run = Run { options: o, sh, workers, report: Report::default() };
    run.describe(transport);
    let plan = Plan {
        profile: &o.profile,
        addr: o.publish_addr,
        topics: &topics,
        readers: &readers,
        size: o.size,
        batch: o.batch,
        connections: o.publishers,
        messages: o.messages,
        pace: o.pace,
        time_limit_s: o.seconds,
        stall_s: o.drain,
    };
    let result = run.connect().and_then(|()| match o.mode {
        Mode::Idle => {
            modes::hold(&mut run);
            Ok(())
        }
        Mode::Storm => modes::storm(&mut run, &plan),
        Mode::Fanout | Mode::Longpoll | Mode::Ingest | Mode::Alerts => {
            if o.conns > 0 && o.warmup > 0 {
                let warm = Plan { messages: o.warmup, pace: Pace::Window(o.batch), ..plan.clone() };
                modes::warm_up(&mut run, &warm)?;
            }
            modes::load(&mut run, &plan)
        }
    });
    let printed = run.finish();
    result.and(printed)
}

fn fork_workers(
    o: &Options,
    topics: &Topics,
    transport: Transport,
    sh: &'static Shared,
) -> Result<Vec<i32>, String> {
    let mut workers = Vec::new();
    for index in 0..o.procs {
        let task = Task {
            index,
            range: o.conns * index / o.procs..o.conns * (index + 1) / o.procs,
            profile: &o.profile,
            transport,
            signed_in: o.signed_in,
            query: &o.query,
            topics,
            size: o.size,
            window: o.connect_window,
            server: o.server,
            reset: o.reset,
            cpus: &o.cpus,
        };
        // SAFETY: there is one thread, so the child has all there is.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err("no process for another worker".into());
        }
        if pid == 0 {
            // SAFETY: a call without pointers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            worker::run(&task, sh);
            // SAFETY: ends the child without the parent's exit handlers.
            unsafe { libc::_exit(0) };
        }
        workers.push(pid);
    }
    Ok(workers)
}

impl Run<'_> {
    fn describe(&mut self, transport: Transport) {
        let (o, r) = (self.options, &mut self.report);
        r.put("mode", format!("{:?}", o.mode).to_lowercase());
        r.put("server", o.profile.name.clone());
        r.put("label", o.label.clone());
        r.put("transport", format!("{transport:?}").to_lowercase());
        r.put("conns", o.conns);
        r.put("topics", o.topics);
        r.put("topics_a_stream", o.topics_a_stream);
        r.put("size", o.size);
        r.put("batch", o.batch);
        r.put("publishers", o.publishers);
        r.put("pace", format!("{:?}", o.pace));
    }

    /// What the server used so far.
    pub fn server(&self, memory: bool) -> proc::Usage {
        proc::usage(&proc::tree(&self.options.pids), memory)
    }

    /// CPU seconds of the generator.
    pub fn generator_cpu(&self) -> f64 {
        let mut pids = self.workers.clone();
        pids.push(std::process::id() as i32);
        proc::usage(&pids, false).cpu_s()
    }

    /// Bytes a connection, above the server as it was without any.
    pub fn a_conn(&self, rss_kib: u64) -> f64 {
        let base = self.report.whole("rss_base_kib");
        (rss_kib as f64 - base as f64) * 1024.0 / self.options.conns.max(1) as f64
    }

    fn connect(&mut self) -> Result<(), String> {
        let conns = self.options.conns;
        let base = self.server(true);
        let (tcp, available) = (proc::tcp_mem_kib(), proc::mem_available_kib());
        self.report.put("server_processes", base.processes);
        self.report.put("rss_base_kib", base.rss_kib);
        self.report.put("pss_base_kib", base.pss_kib);
        let start = now_ns();
        self.sh.phase.store(PHASE_CONNECT, Relaxed);
        while self.sh.sum(|w| &w.ready) < conns as u64 && since_s(start) < self.options.timeout {
            sleep(0.002);
        }
        let ready = self.sh.sum(|w| &w.ready);
        self.report.put("connected", ready);
        if ready < conns as u64 {
            return Err(format!("only {ready} of {conns} connected"));
        }
        if conns == 0 {
            return Ok(());
        }
        let took = self.sh.max(|w| &w.last_ready_ns).saturating_sub(start) as f64 / 1e9;
        let cpu = self.server(false).cpu_s() - base.cpu_s();
        sleep(self.options.settle);
        let idle = self.server(true);
        let pss = (idle.pss_kib as f64 - base.pss_kib as f64) * 1024.0 / conns as f64;
        let rss = self.a_conn(idle.rss_kib);
        let r = &mut self.report;
        r.put_rounded("connect_s", took, 4);
        r.put_rounded("connects_per_s", conns as f64 / took, 0);
        r.put_rounded("cpu_us_per_connect", cpu * 1e6 / conns as f64, 2);
        r.put("threads", idle.threads);
        r.put("rss_idle_kib", idle.rss_kib);
        r.put("pss_idle_kib", idle.pss_kib);
        r.put_rounded("rss_per_conn_idle_b", rss, 0);
        r.put_rounded("pss_per_conn_idle_b", pss, 0);
        r.put("tcp_mem_kib", proc::tcp_mem_kib() as i64 - tcp as i64);
        r.put("machine_mem_kib", available as i64 - proc::mem_available_kib() as i64);
        Ok(())
    }

    /// Waits until so many deliveries were made since the start of the run, or
    /// none came for a while; whether they were.
    pub fn wait_delivered(&self, expected: u64) -> bool {
        let start = now_ns();
        let mut last = (start, 0);
        loop {
            let delivered = self.sh.sum(|w| &w.delivered);
            if delivered >= expected {
                return true;
            }
            if delivered != last.1 {
                last = (now_ns(), delivered);
            }
            if since_s(last.0) > self.options.drain || since_s(start) > self.options.timeout {
                return false;
            }
            sleep(0.001);
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.sh.phase.store(PHASE_END, Relaxed);
        for &pid in &self.workers {
            let mut status = 0;
            // SAFETY: `status` is a place to write to, and the child is our own.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            if status != 0 {
                return Err(format!("a worker ended with status {status}"));
            }
        }
        let (mut latency, mut connect) = (Summary::new(), Summary::new());
        for w in &self.sh.workers {
            w.latency.add_to(&mut latency);
            w.connect.add_to(&mut connect);
        }
        self.report.quantiles("latency", &latency);
        self.report.quantiles("connect", &connect);
        for (name, count) in [
            ("lost", self.sh.sum(|w| &w.lost)),
            ("duplicated", self.sh.sum(|w| &w.duplicated)),
            ("out_of_order", self.sh.sum(|w| &w.out_of_order)),
            ("corrupt", self.sh.sum(|w| &w.corrupt)),
            ("connect_errors", self.sh.sum(|w| &w.connect_errors)),
            ("http_errors", self.sh.sum(|w| &w.http_errors)),
            ("protocol_errors", self.sh.sum(|w| &w.protocol_errors)),
            ("closed_early", self.sh.sum(|w| &w.closed_early)),
            ("first_error", self.sh.max(|w| &w.first_error)),
        ] {
            self.report.put(name, count);
        }
        self.report.print(self.options.quiet, self.options.json.as_deref())
    }
}

/// Seconds since a moment.
pub fn since_s(ns: u64) -> f64 {
    now_ns().saturating_sub(ns) as f64 / 1e9
}

/// Waits that many seconds.
pub fn sleep(s: f64) {
    std::thread::sleep(Duration::from_secs_f64(s.max(0.0)));
}
