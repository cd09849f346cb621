//! A very small HTTP server for the tests of the command line: it shows each
//! request to a function, which writes the answer itself.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Remote;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// A server on a free port; it lives as long as the test process.
pub(crate) struct Toy {
    pub(crate) remote: Remote,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Toy {
    /// `answer` gets the request, its number from 0, and the connection; what
    /// it returns says whether the connection stays open.
    pub(crate) fn start(
        answer: impl Fn(&Asked, usize, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Toy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &log, answer.as_ref()));
            }
        });
        Toy { remote: Remote { url, token: Some("twk_test".into()) }, asked }
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics while holding it").clone()
    }
}

/// Writes a whole answer with a JSON body; `more` are header lines.
pub(crate) fn json(stream: &mut TcpStream, status: u16, more: &str, body: &str) -> bool {
    let kind = if status < 400 { "application/json" } else { "application/problem+json" };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{more}\r\n{body}"
    )
    .is_ok()
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &dyn Fn(&Asked, usize, &mut TcpStream) -> bool,
) {
    stream.set_nodelay(true).expect("a socket of ours");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut asked = Asked {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            ..Asked::default()
        };
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) <= 2 {
                break;
            }
            if let Some((name, value)) = header.trim_end().split_once(": ") {
                asked.headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
        }
        let length = asked.headers.get("content-length").and_then(|it| it.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        asked.body = String::from_utf8_lossy(&body).into_owned();
        let number = {
            let mut log = log.lock().expect("no test panics while holding it");
            log.push(asked.clone());
            log.len() - 1
        };
        if !answer(&asked, number, &mut stream) {
            return;
        }
    }
}
