//! The limit: an epoll server that does nothing but fan out.
//!
//! One frame that was encoded once, one write(2) a reader a message. No
//! framework, no chunked framing, no timers, no history beyond a small ring.
//! What a push server reaches is to be read against this.
//!
//! GET  /sub/TOPIC            event stream (Last-Event-ID replays from the ring)
//! GET  /poll/TOPIC?c=CURSOR  long-poll; answers {"cursor":N,"data":[...]}
//! POST /pub/TOPIC            publishes the body; 202
//! POST /batch/TOPIC          publishes each line of the body; 202

mod conn;
mod server;
mod topic;

use server::{Mailbox, Server};
use std::net::SocketAddrV4;
use std::str::FromStr;
use std::sync::Mutex;

const HELP: &str = "\
rawlimit [--listen HOST:PORT] [--threads N] [--cpus LIST] [--ring N]
         [--writev | --sweep] [--slice N]

  --listen HOST:PORT  default 127.0.0.1:19100
  --threads N         event loops, each with its own SO_REUSEPORT listener (default 1)
  --cpus LIST         pin thread i to the i-th CPU of the list
  --ring N            messages kept a topic for replay and polls (default 1024)
  --writev            send all messages of one publish request with one writev(2)
                      a reader (default: one write(2) each)
  --sweep             go round the readers in slices, reading new publishes in
                      between, and send each all it has not had with one write(2)
  --slice N           readers served between two looks at the sockets (default 32)
";

/// The command line.
struct Options {
    addr: SocketAddrV4,
    threads: usize,
    cpus: Vec<usize>,
    ring: usize,
    writev: bool,
    sweep: bool,
    slice: usize,
}

fn parse() -> Result<Options, String> {
    let mut o = Options {
        addr: SocketAddrV4::new([127, 0, 0, 1].into(), 19100),
        threads: 1,
        cpus: Vec::new(),
        ring: 1024,
        writev: false,
        sweep: false,
        slice: 32,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut text = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--listen" => o.addr = value(&text()?)?,
            "--threads" => o.threads = value(&text()?)?,
            "--cpus" => o.cpus = text()?.split(',').map(value).collect::<Result<_, _>>()?,
            "--ring" => o.ring = value(&text()?)?,
            "--slice" => o.slice = value(&text()?)?,
            "--writev" => o.writev = true,
            "--sweep" => o.sweep = true,
            "-h" | "--help" => {
                print!("{HELP}");
                std::process::exit(0);
            }
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(o)
}

fn value<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("of no use: {text}"))
}

fn main() {
    let options = parse().unwrap_or_else(|e| {
        eprintln!("rawlimit: {e}\n{HELP}");
        std::process::exit(2);
    });
    raise_nofile();
    let boxes: Vec<Mailbox> = (0..options.threads).map(|_| Mailbox::new()).collect();
    let counters = Mutex::default();
    std::thread::scope(|scope| {
        for me in 0..options.threads {
            let (options, boxes, counters) = (&options, &boxes[..], &counters);
            scope.spawn(move || {
                if let Some(&cpu) = options.cpus.get(me) {
                    pin(cpu);
                }
                Server::new(options, me, boxes, counters).run();
            });
        }
    });
}

fn raise_nofile() {
    // SAFETY: `r` is read and written in place.
    unsafe {
        let mut r = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
    }
}

fn pin(cpu: usize) {
    // SAFETY: all-zero is an empty set, which is read in place.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set);
    }
}
