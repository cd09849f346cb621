//! `teawire tail TOPIC…`: what happens, one line per event, for as long as
//! anybody reads. It outlives the service: whatever ends a connection, it
//! comes back and goes on after the last event it has seen.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::client::stream::{Next, Opened};
use super::client::{self, Backoff, Client, Remote, encoded, printable, seconds};
use super::sse::{Frame, Parser};
use crate::clock::Clock;
use crate::transports::text;

/// Until `hello` says otherwise: what the service does by default.
const HEARTBEAT: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(2);
/// Whatever a server asks for, it is not asked more often than this.
const SHORTEST: Duration = Duration::from_millis(100);
/// How many ids are remembered; a `reset` that replays more than this many
/// events we have printed would print the oldest again.
const REMEMBERED: usize = 1 << 16;

/// Follow topics and print what happens
#[derive(Clone, Debug, clap::Args)]
pub struct TailArgs {
    /// What to follow: price/green, product/7542-2003, arrivals, clearance, …
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub remote: Remote,
    /// Print each event as a line of JSON
    #[arg(long)]
    pub json: bool,
    /// Start after this cursor, or at the earliest event kept; else: from now
    #[arg(long, value_name = "earliest|CURSOR")]
    pub from: Option<String>,
    /// Only events of this type, such as price.changed
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Only events about this product
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub product: Vec<String>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Keep the cursor in this file, and go on from it at the next start
    #[arg(long, value_name = "FILE")]
    pub cursor_file: Option<PathBuf>,
}

/// Why `tail` stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service refused, or is none.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The cursor could not be read or kept.
    #[error("the cursor file {path}: {why}")]
    CursorFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Standard output is gone.
    #[error("the output failed: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        1
    }
}

/// Follows until `--count`, a refusal, or nobody reads any more.
pub fn run(args: TailArgs) -> Result<(), Error> {
    let mut say = |text: &str| {
        // Nobody reading stderr is no reason to stop.
        let _ = writeln!(io::stderr(), "{text}");
    };
    match Tail::new(&args)?.follow(&mut io::stdout().lock(), &mut say) {
        Err(Error::Output(err)) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Why a connection ended, and the least time to stay away.
struct Cut {
    why: String,
    least: Option<Duration>,
}

/// What a frame means for the connection it came on.
enum Then {
    ReadOn,
    Reconnect(Cut),
    Stop,
}

struct Tail<'a> {
    args: &'a TailArgs,
    client: Client,
    /// Where we stand: the id of the last frame that had one.
    cursor: Option<String>,
    seen: Seen,
    heartbeat: Duration,
    retry: Duration,
    backoff: Backoff,
    printed: u64,
    greeted: bool,
}

impl Tail<'_> {
    fn new(args: &TailArgs) -> Result<Tail<'_>, Error> {
        Ok(Tail {
            args,
            client: Client::new(&args.remote)?,
            cursor: args.cursor_file.as_deref().map(read_cursor).transpose()?.flatten(),
            seen: Seen::default(),
            heartbeat: HEARTBEAT,
            retry: RETRY,
            backoff: Backoff::new(RETRY),
            printed: 0,
            greeted: false,
        })
    }

    fn follow(&mut self, out: &mut dyn Write, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        if self.args.count == Some(0) {
            return Ok(());
        }
        while let Some(cut) = self.connection(out, say)? {
            let wait = self.backoff.wait(cut.least).max(SHORTEST);
            say(&format!("{}, reconnecting in {}", cut.why, seconds(wait)));
            thread::sleep(wait);
        }
        Ok(())
    }

    /// One connection from its opening to its end; none if all is said.
    fn connection(
        &mut self,
        out: &mut dyn Write,
        say: &mut dyn FnMut(&str),
    ) -> Result<Option<Cut>, Error> {
        let cut = |why: String| Ok(Some(Cut { why, least: None }));
        let stream = match self.client.stream(&self.path(), self.cursor.as_deref()) {
            Ok(Opened::Stream(stream)) => stream,
            Ok(Opened::Answer(answer)) if answer.is_passing() => {
                let why = answer.problem().to_string();
                return Ok(Some(Cut { why, least: answer.retry_after }));
            }
            Ok(Opened::Answer(answer)) => return Err(answer.refusal().into()),
            Err(err @ client::Error::Unreachable { .. }) => return cut(err.to_string()),
            Err(err) => return Err(err.into()),
        };
        let (mut parser, mut frames) = (Parser::default(), Vec::new());
        loop {
            // Two beats lost and a half for the way.
            let patience = self.heartbeat * 5 / 2;
            match stream.next(patience) {
                Next::Bytes(bytes) => {
                    let parsed = parser.push(&bytes, &mut frames);
                    self.retry = parser.retry().unwrap_or(self.retry);
                    for frame in frames.drain(..) {
                        match self.frame(&frame, out, say)? {
                            Then::ReadOn => {}
                            Then::Reconnect(cut) => return Ok(Some(cut)),
                            Then::Stop => return Ok(None),
                        }
                    }
                    if let Err(err) = parsed {
                        return cut(err.to_string());
                    }
                }
                Next::Silence => return cut(format!("nothing heard for {}", seconds(patience))),
                Next::End(None) => return cut("the service closed the connection".to_owned()),
                Next::End(Some(why)) => return cut(format!("the connection broke ({why})")),
            }
        }
    }

    fn frame(
        &mut self,
        frame: &Frame,
        out: &mut dyn Write,
        say: &mut dyn FnMut(&str),
    ) -> Result<Then, Error> {
        let told: Value = serde_json::from_str(&frame.data).unwrap_or_default();
        let word = |name: &str| printable(told[name].as_str().unwrap_or("unknown"));
        match frame.kind.as_str() {
            "heartbeat" => return Ok(Then::ReadOn),
            "hello" => {
                self.backoff.reset(self.retry);
                if let Some(millis) = told["heartbeat_ms"].as_u64().filter(|it| *it > 0) {
                    self.heartbeat = Duration::from_millis(millis.min(600_000));
                }
                let again = if std::mem::replace(&mut self.greeted, true) { " again" } else { "" };
                say(&format!("following {}{again}", self.args.topics.join(" ")));
                self.stand_at(&frame.id)?;
            }
            "reset" => {
                say(&format!("reset: {}", word("reason")));
                self.stand_at(told["cursor"].as_str().unwrap_or(&frame.id))?;
            }
            "topics" => {
                let names = told["topics"].as_array().into_iter().flatten();
                let names: Vec<String> = names.filter_map(Value::as_str).map(printable).collect();
                say(&format!("following now: {}", names.join(" ")));
                self.stand_at(told["cursor"].as_str().unwrap_or(&frame.id))?;
            }
            "folded" => {
                // It says what is spared before what comes: we do not stand there yet.
                let spared = told["folded"].as_u64().unwrap_or_default();
                say(&format!("too slow: {spared} older prices and stock levels left out"));
            }
            "bye" => {
                self.stand_at(told["cursor"].as_str().unwrap_or_default())?;
                let least = told["retry_after_ms"].as_u64().map(Duration::from_millis);
                let why = format!("bye: {}", word("code"));
                return Ok(Then::Reconnect(Cut { why, least }));
            }
            _ => {
                let id = told["id"].as_str().unwrap_or(&frame.id);
                if self.seen.is_new(id) {
                    self.print(frame, &told, out)?;
                    self.printed += 1;
                }
                self.stand_at(&frame.id)?;
                if self.args.count == Some(self.printed) {
                    return Ok(Then::Stop);
                }
            }
        }
        Ok(Then::ReadOn)
    }

    fn print(&self, frame: &Frame, told: &Value, out: &mut dyn Write) -> Result<(), Error> {
        if !self.args.json {
            writeln!(out, "{}", text::of(&frame.kind, told, Clock::System.now()))?;
        } else if frame.data.contains('\n') {
            writeln!(out, "{told}")?; // never more than one line each
        } else {
            writeln!(out, "{}", frame.data)?;
        }
        Ok(out.flush()?)
    }

    fn stand_at(&mut self, cursor: &str) -> Result<(), Error> {
        if cursor.is_empty() || self.cursor.as_deref() == Some(cursor) {
            return Ok(());
        }
        self.cursor = Some(cursor.to_owned());
        match &self.args.cursor_file {
            Some(path) => keep_cursor(path, cursor),
            None => Ok(()),
        }
    }

    fn path(&self) -> String {
        let args = self.args;
        // Once we stand somewhere, `Last-Event-ID` says where.
        let from = if self.cursor.is_none() { args.from.as_deref() } else { None };
        let topics = args.topics.iter().map(|it| ("topic", it.as_str()));
        let kinds = args.kinds.iter().map(|it| ("type", it.as_str()));
        let products = args.product.iter().map(|it| ("product", it.as_str()));
        let pairs = topics.chain(kinds).chain(products).chain(from.map(|it| ("cursor", it)));
        let query: Vec<_> =
            pairs.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("/v1/stream?{}", query.join("&"))
    }
}

/// The ids printed lately.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_new(&mut self, id: &str) -> bool {
        if id.is_empty() {
            return true;
        }
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

fn file_error(path: &Path, why: impl ToString) -> Error {
    Error::CursorFile { path: path.display().to_string(), why: why.to_string() }
}

/// None if the file is not there yet. Whatever is no cursor is somebody's
/// file named by mistake, and is not overwritten.
fn read_cursor(path: &Path) -> Result<Option<String>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(file_error(path, err)),
    };
    let cursor = text.trim();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    if cursor.len() > 40 || !cursor.bytes().all(known) {
        return Err(file_error(path, "this is something else, no cursor"));
    }
    Ok(Some(cursor.to_owned()).filter(|it| !it.is_empty()))
}

/// Written beside and moved over: whoever reads it, or starts after a crash,
/// finds the old cursor or the new one.
fn keep_cursor(path: &Path, cursor: &str) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, format!("{cursor}\n"))
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|err| file_error(path, err))
}

#[cfg(test)]
mod tests;
