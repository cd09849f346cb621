//! The ceiling: an epoll server that does nothing but fan out.
//!
//! One pre-encoded frame, one write(2) a subscriber a message. No framework, no
//! chunked framing, no timers, no history beyond a small ring. What a push
//! server reaches is to be read against this.
//!
//! GET  /sub/TOPIC            event stream (Last-Event-ID replays from the ring)
//! GET  /poll/TOPIC?c=CURSOR  long-poll; answers {"cursor":N,"data":[...]}
//! POST /pub/TOPIC            publishes the body; 202
//! POST /batch/TOPIC          publishes each line of the body; 202

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

const HELP: &str = "\
rawlimit [--listen HOST:PORT] [--threads N] [--cpus LIST] [--ring N]
         [--writev | --sweep] [--slice N]

  --listen HOST:PORT  default 127.0.0.1:9100
  --threads N         event loops, each with its own SO_REUSEPORT listener (default 1)
  --cpus LIST         pin thread i to the i-th CPU of the list
  --ring N            messages kept a topic for replay and polls (default 1024)
  --writev            send all messages of one publish request with one writev(2)
                      a subscriber (default: one write(2) each)
  --sweep             go round the subscribers in slices, reading new publishes in
                      between, and send each all it has not had with one write(2)
  --slice N           subscribers served between two looks at the sockets (default 32)
";

struct Opts {
    addr: std::net::SocketAddrV4,
    threads: usize,
    cpus: Vec<usize>,
    ring: usize,
    writev: bool,
    sweep: bool,
    slice: usize,
}

#[derive(Clone)]
struct Frames {
    topic: Arc<str>,
    first: u64,
    items: Arc<Vec<Arc<[u8]>>>,
    polls: Arc<Vec<Arc<[u8]>>>,
}

struct Mailbox {
    queue: Mutex<Vec<Frames>>,
    event: i32,
}

#[derive(Default)]
struct Topic {
    subs: Vec<i32>,
    waiting: Vec<i32>,
    next: u64,
    ring: VecDeque<(u64, Arc<[u8]>, Arc<[u8]>)>,
    /// Sweep: where it stands, what was newest when the round began, and the
    /// last joined run of frames (from, to, bytes).
    pos: usize,
    round: u64,
    dirty: bool,
    joined: Option<(u64, u64, Arc<[u8]>)>,
}

#[derive(Default)]
struct Conn {
    inbuf: Vec<u8>,
    pending: VecDeque<(Arc<[u8]>, usize)>,
    topic: Option<Arc<str>>,
    streaming: bool,
    at: usize,
    /// Sweep: the first message this subscriber has not been sent.
    cursor: u64,
}

struct Server<'a> {
    opts: &'a Opts,
    me: usize,
    ep: i32,
    listener: i32,
    conns: Vec<Option<Box<Conn>>>,
    topics: HashMap<Arc<str>, Topic>,
    boxes: &'a [Mailbox],
    counters: &'a Mutex<HashMap<Arc<str>, u64>>,
    dirty: VecDeque<Arc<str>>,
}

impl Topic {
    /// All frames from a message on, as one piece.
    fn frames(&mut self, from: u64) -> Arc<[u8]> {
        if from + 1 == self.next {
            return self.ring.back().unwrap().1.clone();
        }
        match &self.joined {
            Some((f, to, bytes)) if *f == from && *to == self.next => bytes.clone(),
            _ => {
                let all: Vec<u8> = self
                    .ring
                    .iter()
                    .filter(|f| f.0 >= from)
                    .flat_map(|f| f.1.iter().copied())
                    .collect();
                let all: Arc<[u8]> = all.into();
                self.joined = Some((from, self.next, all.clone()));
                all
            }
        }
    }
}

fn ctl(ep: i32, op: i32, fd: i32, events: i32) {
    let mut e = libc::epoll_event { events: events as u32, u64: fd as u64 };
    unsafe { libc::epoll_ctl(ep, op, fd, &mut e) };
}

fn listen(a: std::net::SocketAddrV4) -> i32 {
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        let one = 1i32;
        for name in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
            libc::setsockopt(fd, libc::SOL_SOCKET, name, (&one as *const i32).cast(), 4);
        }
        let sa = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: a.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(*a.ip()).to_be() },
            sin_zero: [0; 8],
        };
        let ok = libc::bind(fd, (&sa as *const libc::sockaddr_in).cast(), 16) == 0
            && libc::listen(fd, 4096) == 0;
        assert!(ok, "cannot listen on {a}: {}", std::io::Error::last_os_error());
        fd
    }
}

fn write(fd: i32, b: &[u8]) -> isize {
    unsafe { libc::send(fd, b.as_ptr().cast(), b.len(), libc::MSG_NOSIGNAL) }
}

fn poll_answer(cursor: u64, items: &[&[u8]]) -> Arc<[u8]> {
    let mut body = format!("{{\"cursor\":{cursor},\"data\":[").into_bytes();
    for (i, p) in items.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.push(b'"');
        body.extend_from_slice(p);
        body.push(b'"');
    }
    body.extend_from_slice(b"]}");
    let mut out = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend(body);
    out.into()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|l| {
        let (k, v) = l.split_once(':')?;
        k.eq_ignore_ascii_case(name).then(|| v.trim())
    })
}

impl Server<'_> {
    fn run(&mut self) {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
        let mut buf = vec![0u8; 256 * 1024];
        loop {
            let n = unsafe {
                libc::epoll_wait(self.ep, events.as_mut_ptr(), events.len() as i32, self.timeout())
            };
            for e in &events[..n.max(0) as usize] {
                let (fd, flags) = (e.u64 as i32, e.events as i32);
                if fd == self.listener {
                    self.accept();
                } else if fd == self.boxes[self.me].event {
                    let mut v = 0u64;
                    unsafe { libc::read(fd, (&mut v as *mut u64).cast(), 8) };
                    let mail = std::mem::take(&mut *self.boxes[self.me].queue.lock().unwrap());
                    for f in mail {
                        self.fan_out(&f);
                    }
                } else {
                    if flags & libc::EPOLLOUT != 0 {
                        self.flush(fd);
                    }
                    if flags & !libc::EPOLLOUT != 0 {
                        self.readable(fd, &mut buf);
                    }
                }
            }
            if let Some(name) = self.dirty.pop_front() {
                if self.sweep(&name) {
                    self.dirty.push_back(name);
                }
            }
        }
    }

    fn timeout(&self) -> i32 {
        if self.dirty.is_empty() { -1 } else { 0 }
    }

    /// One slice of a topic's subscribers; true if there is more to do.
    fn sweep(&mut self, name: &Arc<str>) -> bool {
        let mut t = self.topics.remove(name).unwrap_or_default();
        let mut left = self.opts.slice;
        while left > 0 && t.pos < t.subs.len() {
            let fd = t.subs[t.pos];
            t.pos += 1;
            let Some(c) = &mut self.conns[fd as usize] else { continue };
            let from = std::mem::replace(&mut c.cursor, t.next);
            if from < t.next {
                left -= 1;
                let frames = t.frames(from);
                self.send(fd, &frames);
            }
        }
        if t.pos >= t.subs.len() {
            t.dirty = t.round < t.next;
            t.pos = 0;
            t.round = t.next;
        }
        let more = t.dirty;
        self.topics.insert(name.clone(), t);
        more
    }

    fn accept(&mut self) {
        loop {
            let fd = unsafe {
                libc::accept4(
                    self.listener,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    libc::SOCK_NONBLOCK,
                )
            };
            if fd < 0 {
                return;
            }
            let one = 1i32;
            unsafe {
                libc::setsockopt(
                    fd,
                    libc::IPPROTO_TCP,
                    libc::TCP_NODELAY,
                    (&one as *const i32).cast(),
                    4,
                )
            };
            if self.conns.len() <= fd as usize {
                self.conns.resize_with(fd as usize + 1, || None);
            }
            self.conns[fd as usize] = Some(Box::default());
            ctl(self.ep, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN);
        }
    }

    fn close(&mut self, fd: i32) {
        if let Some(c) = self.conns[fd as usize].take() {
            if let Some(t) = c.topic.and_then(|t| self.topics.get_mut(&t)) {
                if c.streaming && t.subs.get(c.at) == Some(&fd) {
                    t.subs.swap_remove(c.at);
                    if let Some(&moved) = t.subs.get(c.at) {
                        self.conns[moved as usize].as_mut().unwrap().at = c.at;
                    }
                } else {
                    t.waiting.retain(|&w| w != fd);
                }
            }
            unsafe { libc::close(fd) };
        }
    }

    fn readable(&mut self, fd: i32, buf: &mut [u8]) {
        let n = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), 0) };
        if n <= 0 {
            if n == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EAGAIN) {
                self.close(fd);
            }
            return;
        }
        let Some(c) = &mut self.conns[fd as usize] else { return };
        c.inbuf.extend_from_slice(&buf[..n as usize]);
        loop {
            let Some(c) = &mut self.conns[fd as usize] else { return };
            let Some(end) = c.inbuf.windows(4).position(|w| w == b"\r\n\r\n") else { return };
            let head = String::from_utf8_lossy(&c.inbuf[..end]).into_owned();
            let length: usize =
                header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            if c.inbuf.len() < end + 4 + length {
                return;
            }
            let rest = c.inbuf.split_off(end + 4 + length);
            let request = std::mem::replace(&mut c.inbuf, rest);
            if c.inbuf.is_empty() {
                c.inbuf = Vec::new();
            }
            self.request(fd, &head, &request[end + 4..]);
        }
    }

    fn request(&mut self, fd: i32, head: &str, body: &[u8]) {
        let target = head.split(' ').nth(1).unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts = path[1..].split('/');
        let (verb, topic) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        match verb {
            "sub" => {
                let last = header(head, "last-event-id").and_then(|v| v.parse::<u64>().ok());
                self.subscribe(fd, topic, last);
            }
            "poll" => {
                let cursor = query.strip_prefix("c=").and_then(|v| v.parse::<u64>().ok());
                self.poll(fd, topic, cursor);
            }
            "pub" => {
                write(fd, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
                self.publish(topic, vec![body]);
            }
            "batch" => {
                write(fd, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
                let items = body.split(|&b| b == b'\n').filter(|l| !l.is_empty()).collect();
                self.publish(topic, items);
            }
            _ => {
                write(fd, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            }
        }
    }

    fn topic_name(&mut self, topic: &str) -> Arc<str> {
        if let Some((k, _)) = self.topics.get_key_value(topic) {
            return k.clone();
        }
        let name: Arc<str> = topic.into();
        self.topics.insert(name.clone(), Topic::default());
        name
    }

    fn subscribe(&mut self, fd: i32, topic: &str, last: Option<u64>) {
        let name = self.topic_name(topic);
        let t = self.topics.get_mut(&name).unwrap();
        let c = self.conns[fd as usize].as_mut().unwrap();
        c.topic = Some(name);
        c.streaming = true;
        c.at = t.subs.len();
        c.cursor = t.next.max(1);
        t.subs.push(fd);
        let mut hello =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n:ok\n\n".to_vec();
        if let Some(last) = last {
            for (_, frame, _) in t.ring.iter().filter(|f| f.0 > last) {
                hello.extend_from_slice(frame);
            }
        }
        self.send(fd, &Arc::from(hello));
    }

    fn poll(&mut self, fd: i32, topic: &str, cursor: Option<u64>) {
        let name = self.topic_name(topic);
        let t = self.topics.get_mut(&name).unwrap();
        let c = self.conns[fd as usize].as_mut().unwrap();
        c.topic = Some(name);
        match cursor {
            Some(cur) if cur + 1 < t.next => {
                let items: Vec<&[u8]> =
                    t.ring.iter().filter(|f| f.0 > cur).map(|f| &*f.2).collect();
                let a = poll_answer(t.next - 1, &items);
                self.send(fd, &a);
            }
            _ => t.waiting.push(fd),
        }
    }

    fn publish(&mut self, topic: &str, items: Vec<&[u8]>) {
        let name = self.topic_name(topic);
        let first = {
            let mut all = self.counters.lock().unwrap();
            let n = all.entry(name.clone()).or_insert(1);
            let first = *n;
            *n += items.len() as u64;
            first
        };
        let frames = items.iter().enumerate().map(|(i, p)| {
            let mut f = format!("id: {}\ndata: ", first + i as u64).into_bytes();
            f.extend_from_slice(p);
            f.extend_from_slice(b"\n\n");
            f.into()
        });
        let f = Frames {
            topic: name,
            first,
            items: Arc::new(frames.collect()),
            polls: Arc::new(items.iter().map(|p| Arc::from(*p)).collect()),
        };
        for (i, b) in self.boxes.iter().enumerate() {
            if i != self.me {
                b.queue.lock().unwrap().push(f.clone());
                let one = 1u64;
                unsafe { libc::write(b.event, (&one as *const u64).cast(), 8) };
            }
        }
        self.fan_out(&f);
    }

    fn fan_out(&mut self, f: &Frames) {
        let name = self.topic_name(&f.topic);
        let t = self.topics.get_mut(&name).unwrap();
        t.next = f.first + f.items.len() as u64;
        for (i, (frame, payload)) in f.items.iter().zip(f.polls.iter()).enumerate() {
            if t.ring.len() == self.opts.ring {
                t.ring.pop_front();
            }
            t.ring.push_back((f.first + i as u64, frame.clone(), payload.clone()));
        }
        if self.opts.sweep && !t.dirty && !t.subs.is_empty() {
            t.dirty = true;
            t.pos = 0;
            t.round = t.next;
            self.dirty.push_back(name.clone());
        }
        let waiting = std::mem::take(&mut t.waiting);
        let subs = if self.opts.sweep { Vec::new() } else { std::mem::take(&mut t.subs) };
        if !waiting.is_empty() {
            let items: Vec<&[u8]> = f.polls.iter().map(|p| &**p).collect();
            let a = poll_answer(f.first + items.len() as u64 - 1, &items);
            for fd in waiting {
                self.send(fd, &a);
            }
        }
        if self.opts.writev && f.items.len() > 1 {
            for &fd in &subs {
                self.send_many(fd, &f.items);
            }
        } else {
            for frame in f.items.iter() {
                for &fd in &subs {
                    self.send(fd, frame);
                }
            }
        }
        if !self.opts.sweep {
            self.topics.get_mut(&name).unwrap().subs = subs;
        }
    }

    fn send(&mut self, fd: i32, frame: &Arc<[u8]>) {
        let Some(c) = &mut self.conns[fd as usize] else { return };
        if !c.pending.is_empty() {
            c.pending.push_back((frame.clone(), 0));
            return;
        }
        let n = write(fd, frame).max(0) as usize;
        if n < frame.len() {
            c.pending.push_back((frame.clone(), n));
            ctl(self.ep, libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN | libc::EPOLLOUT);
        }
    }

    fn send_many(&mut self, fd: i32, frames: &[Arc<[u8]>]) {
        let Some(c) = &mut self.conns[fd as usize] else { return };
        if !c.pending.is_empty() || frames.len() > 64 {
            for f in frames {
                self.send(fd, f);
            }
            return;
        }
        let iov: Vec<libc::iovec> = frames
            .iter()
            .map(|f| libc::iovec { iov_base: f.as_ptr() as *mut _, iov_len: f.len() })
            .collect();
        let mut n = unsafe { libc::writev(fd, iov.as_ptr(), iov.len() as i32) }.max(0) as usize;
        for f in frames {
            if n >= f.len() {
                n -= f.len();
            } else {
                if c.pending.is_empty() {
                    ctl(self.ep, libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN | libc::EPOLLOUT);
                }
                c.pending.push_back((f.clone(), n));
                n = 0;
            }
        }
    }

    fn flush(&mut self, fd: i32) {
        let Some(c) = &mut self.conns[fd as usize] else { return };
        while let Some((f, at)) = c.pending.front_mut() {
            let n = write(fd, &f[*at..]);
            if n <= 0 {
                return;
            }
            *at += n as usize;
            if *at == f.len() {
                c.pending.pop_front();
            }
        }
        c.pending = VecDeque::new();
        ctl(self.ep, libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN);
    }
}

fn main() {
    let mut o = Opts {
        addr: "127.0.0.1:9100".parse().unwrap(),
        threads: 1,
        cpus: vec![],
        ring: 1024,
        writev: false,
        sweep: false,
        slice: 32,
    };
    let mut it = std::env::args().skip(1);
    while let Some(a) = it.next() {
        let mut v = || it.next().expect("a value is missing");
        match a.as_str() {
            "--listen" => o.addr = v().parse().expect("not an address"),
            "--threads" => o.threads = v().parse().expect("not a number"),
            "--cpus" => o.cpus = v().split(',').map(|c| c.parse().expect("not a number")).collect(),
            "--ring" => o.ring = v().parse().expect("not a number"),
            "--writev" => o.writev = true,
            "--sweep" => o.sweep = true,
            "--slice" => o.slice = v().parse().expect("not a number"),
            _ => {
                print!("{HELP}");
                std::process::exit(if a == "--help" || a == "-h" { 0 } else { 2 });
            }
        }
    }
    unsafe {
        let mut r = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
    }
    let boxes: Vec<Mailbox> = (0..o.threads)
        .map(|_| Mailbox {
            queue: Mutex::default(),
            event: unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) },
        })
        .collect();
    let listeners: Vec<i32> = (0..o.threads).map(|_| listen(o.addr)).collect();
    let counters = Mutex::default();
    std::thread::scope(|s| {
        for me in 0..o.threads {
            let (o, boxes, counters, listener) = (&o, &boxes[..], &counters, listeners[me]);
            s.spawn(move || {
                if let Some(&cpu) = o.cpus.get(me) {
                    unsafe {
                        let mut set: libc::cpu_set_t = std::mem::zeroed();
                        libc::CPU_SET(cpu, &mut set);
                        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set);
                    }
                }
                let ep = unsafe { libc::epoll_create1(0) };
                ctl(ep, libc::EPOLL_CTL_ADD, listener, libc::EPOLLIN);
                ctl(ep, libc::EPOLL_CTL_ADD, boxes[me].event, libc::EPOLLIN);
                let topics = HashMap::new();
                Server {
                    opts: o,
                    me,
                    ep,
                    listener,
                    conns: Vec::new(),
                    topics,
                    boxes,
                    counters,
                    dirty: VecDeque::new(),
                }
                .run();
            });
        }
    });
}
