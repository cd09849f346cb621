//! The command line.

use crate::profile::{self, Profile};
use crate::publisher::Pace;
use crate::shared::{MAX_TOPICS, MAX_WORKERS};
use crate::{message, proc};
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::str::FromStr;

const HELP: &str = "\
teawire-load MODE --profile FILE [options]

Modes
  fanout    N streams, then a publisher; deliveries, loss, latency, CPU, memory
  longpoll  N clients that poll again with the server's cursor; the same figures
  idle      open N streams and hold them; memory and CPU of the server at rest
  storm     N streams drop at once, messages go on, all come back with their last id
  ingest    how fast can be published, with --conns streams listening (0 for none)
  alerts    N products, N streams each following its own; every price must reach
            exactly the one who follows its product. There are no alert rules yet:
            this is the way a price takes to one who waits for it, without a rule.
            Needs a profile with a [price]

Server
  --profile FILE      how the server is spoken to (TOML, see profiles/)
  --addr HOST:PORT    instead of the profile's addr
  --pid PID[,PID]     server processes to account for, with all their children
  --pid-file FILE     the same, from a file
  --signed-in         streams and polls send the profile's signed_in headers
  --query TEXT        added to the query of streams and polls, e.g. type=room.message

Load
  --conns N           streams or polls (default 1000; ingest 0)
  --topics T          topics they are spread over (default 1; ingest: one a publisher;
                      alerts: one a stream)
  --topics-a-stream T how many topics each follows (default 1)
  --messages M        messages to publish (default 100)
  --size B            payload bytes, at least 33 (default 200); prices have their own
  --window W          at most W messages in flight, i.e. not yet with every reader
  --rate R            R messages a second in all; latency counts from the due time
                      (with neither: each publisher sends when the last was answered)
  --publishers C      publishing connections (default 1; ingest 16)
  --batch K           messages a publish request, where the profile has a [batch]
  --warmup W          messages before the measured ones (default 3 a topic, at most
                      1000); counted, not timed
  --gap G             storm: messages published while everyone is away (default 20)
  --live-rate R       storm: messages a second published while they come back (default 0)
  --drop rst|fin      storm: how connections drop (default rst)
  --hold S            idle: seconds to hold (default 10)
  --settle S          pause between connecting and publishing (default 0.5)
  --seconds S         stop publishing after S seconds (default 30)
  --timeout S         give up waiting for connections or deliveries (default 60)
  --drain S           give up after S seconds without a delivery (default 3)

Generator
  --procs P           worker processes (default: as many as the open-file limit needs)
  --connect-window W  connections being opened at once, per worker (default 256)
  --cpus LIST         pin the generator to these CPUs, e.g. 1 or 0,1
  --label TEXT        copied into the result
  --json FILE         append the result as one JSON line
  --quiet             print only the JSON line
";

const WITH_VALUE: &str = "profile addr pid pid-file query conns topics topics-a-stream messages \
    size window rate publishers batch warmup gap live-rate drop hold settle seconds timeout drain \
    procs connect-window cpus label json";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mode {
    Fanout,
    Longpoll,
    Idle,
    Storm,
    Ingest,
    Alerts,
}

/// A command line that was understood and makes sense.
pub struct Options {
    pub mode: Mode,
    pub profile: Profile,
    pub server: SocketAddrV4,
    pub publish_addr: SocketAddrV4,
    pub pids: Vec<i32>,
    pub signed_in: bool,
    pub query: String,
    pub conns: usize,
    pub topics: usize,
    pub topics_a_stream: usize,
    pub messages: u64,
    pub size: usize,
    pub pace: Pace,
    pub publishers: usize,
    pub batch: usize,
    pub warmup: u64,
    pub gap: u64,
    pub live_rate: f64,
    pub reset: bool,
    pub hold: f64,
    pub settle: f64,
    pub seconds: f64,
    pub timeout: f64,
    pub drain: f64,
    pub procs: usize,
    pub connect_window: usize,
    pub cpus: Vec<usize>,
    pub label: String,
    pub json: Option<String>,
    pub quiet: bool,
}

/// The options as they were written.
struct Words(HashMap<String, String>);

impl Words {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.text(name) {
            None => Ok(default),
            Some(v) => v.parse().map_err(|_| format!("--{name}: not a number: {v}")),
        }
    }

    fn list<T: FromStr>(&self, name: &str) -> Result<Vec<T>, String> {
        let parts = self.text(name).unwrap_or("").split(',').filter(|p| !p.is_empty());
        parts.map(|p| p.trim().parse().map_err(|_| format!("--{name}: {p}"))).collect()
    }

    fn pids(&self) -> Result<Vec<i32>, String> {
        let mut pids: Vec<i32> = self.list("pid")?;
        if let Some(file) = self.text("pid-file") {
            let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
            pids.extend(text.split_whitespace().filter_map(|p| p.parse::<i32>().ok()));
        }
        Ok(pids)
    }
}

/// Reads the command line; `--help` is answered here.
pub fn parse() -> Result<Options, String> {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap_or_default();
    let mut words = HashMap::new();
    let mut help = matches!(mode.as_str(), "" | "-h" | "--help" | "help");
    while let Some(arg) = args.next() {
        let name = arg.strip_prefix("--").ok_or(format!("unexpected '{arg}'"))?;
        match name {
            "help" => help = true,
            "quiet" | "signed-in" => drop(words.insert(name.into(), String::new())),
            _ if WITH_VALUE.split_whitespace().any(|known| known == name) => {
                let value = args.next().ok_or(format!("--{name} needs a value"))?;
                words.insert(name.into(), value);
            }
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    if help {
        print!("{HELP}");
        std::process::exit(if mode.is_empty() { 2 } else { 0 });
    }
    let mode = match mode.as_str() {
        "fanout" => Mode::Fanout,
        "longpoll" => Mode::Longpoll,
        "idle" => Mode::Idle,
        "storm" => Mode::Storm,
        "ingest" => Mode::Ingest,
        "alerts" => Mode::Alerts,
        _ => return Err(format!("unknown mode '{mode}' (see --help)")),
    };
    let options = options(mode, &Words(words))?;
    check(&options)?;
    Ok(options)
}

fn options(mode: Mode, words: &Words) -> Result<Options, String> {
    let mut profile = profile::load(words.text("profile").ok_or("--profile is needed")?)?;
    if let Some(a) = words.text("addr") {
        profile.addr = a.into();
    }
    let addr = |text: &str| -> Result<SocketAddrV4, String> {
        text.parse().map_err(|_| format!("not an IPv4 address and port: {text}"))
    };
    let ingest = mode == Mode::Ingest;
    let conns = words.number("conns", if ingest { 0 } else { 1000 })?;
    let publishers = words.number("publishers", if ingest { 16 } else { 1 })?;
    let topics_a_stream = words.number("topics-a-stream", 1)?;
    let topics = words.number(
        "topics",
        match mode {
            Mode::Ingest => publishers,
            Mode::Alerts => conns * topics_a_stream,
            _ => topics_a_stream,
        },
    )?;
    let pace = match (words.text("rate"), words.text("window")) {
        (Some(_), _) => Pace::Rate(words.number("rate", 1.0)?),
        (_, Some(_)) => Pace::Window(words.number("window", 1)?),
        _ => Pace::Acked,
    };
    let files = (proc::raise_nofile() as usize).saturating_sub(200).min(60_000);
    Ok(Options {
        mode,
        server: addr(&profile.addr)?,
        publish_addr: addr(profile.publish.addr.as_ref().unwrap_or(&profile.addr))?,
        pids: words.pids()?,
        signed_in: words.text("signed-in").is_some(),
        query: words.text("query").unwrap_or("").into(),
        conns,
        topics,
        topics_a_stream,
        messages: words.number("messages", 100)?,
        size: words.number("size", 200)?,
        pace,
        publishers,
        batch: words.number("batch", 1)?,
        warmup: words.number("warmup", (3 * topics as u64).min(1000))?,
        gap: words.number("gap", 20)?,
        live_rate: words.number("live-rate", 0.0)?,
        reset: words.text("drop") != Some("fin"),
        hold: words.number("hold", 10.0)?,
        settle: words.number("settle", 0.5)?,
        seconds: words.number("seconds", 30.0)?,
        timeout: words.number("timeout", 60.0)?,
        drain: words.number("drain", 3.0)?,
        procs: words.number("procs", conns.div_ceil(files).max(1))?,
        connect_window: words.number("connect-window", 256)?,
        cpus: words.list("cpus")?,
        label: words.text("label").unwrap_or("").into(),
        json: words.text("json").map(String::from),
        quiet: words.text("quiet").is_some(),
        profile,
    })
}

/// What would go wrong later, and be hard to understand then.
fn check(o: &Options) -> Result<(), String> {
    let p = &o.profile;
    let refuse = |wrong: bool, why: &str| if wrong { Err(why.to_string()) } else { Ok(()) };
    refuse(o.size < message::MIN_SIZE, "--size is too small")?;
    refuse(o.topics == 0 || o.topics > MAX_TOPICS, "--topics is out of range")?;
    refuse(o.publishers == 0 || o.batch == 0, "--publishers and --batch begin at 1")?;
    refuse(o.procs == 0 || o.procs > MAX_WORKERS, "--procs is out of range")?;
    refuse(o.mode == Mode::Longpoll && p.poll.is_none(), "the profile has no [poll]")?;
    refuse(o.mode == Mode::Alerts && p.price.is_none(), "the profile has no [price]")?;
    refuse(o.batch > 1 && p.batch.is_none(), "the profile has no [batch]")?;
    let a_stream = o.topics_a_stream;
    refuse(
        a_stream == 0 || !o.topics.is_multiple_of(a_stream),
        "--topics must be a multiple of --topics-a-stream",
    )?;
    let paths = [Some(&p.subscribe.path), p.poll.as_ref().map(|poll| &poll.path)];
    let path = paths[usize::from(o.mode == Mode::Longpoll)];
    refuse(
        a_stream > 1 && !path.is_some_and(|path| path.contains("{topics}")),
        "the profile's path has no {topics}",
    )?;
    let spread = o.batch > 1 && p.batch.as_ref().is_some_and(|b| b.spread);
    refuse(
        spread && !o.topics.is_multiple_of(o.batch),
        "--topics must be a multiple of --batch, which spreads over them",
    )
}
