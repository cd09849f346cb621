//! One live connection: bytes as they come, and the word when none do.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ureq::http::{Request, Uri};
use ureq::{Agent, BodyReader};

use super::{Answer, Client, Error, agent, reason};

/// What a wait for more ended with.
#[derive(Debug)]
pub enum Next {
    /// More of the stream.
    Bytes(Vec<u8>),
    /// Nothing for as long as we were willing to wait.
    Silence,
    /// The stream is over; why, if it was cut off.
    End(Option<String>),
}

/// An answer to a request for a stream.
#[derive(Debug)]
pub enum Opened {
    /// The stream flows.
    Stream(Stream),
    /// Something else, whole.
    Answer(Answer),
}

/// A stream of events being read. Dropping it closes the connection.
///
/// A socket has one read timeout, fixed before the server says how often its
/// heart beats. So a thread reads, and whoever waits says for how long.
#[derive(Debug)]
pub struct Stream {
    pieces: Receiver<Result<Vec<u8>, String>>,
    agent: Agent,
}

impl Client {
    /// Opens a stream; `last_id` goes into `Last-Event-ID`.
    pub fn stream(&self, path: &str, last_id: Option<&str>) -> Result<Opened, Error> {
        let url = format!("{}{path}", self.base);
        let fault = |why| Error::Unreachable { url: self.base.clone(), why };
        let uri: Uri = url.parse().map_err(|_| Error::BadUrl(url.clone()))?;
        let agent = agent(&uri, None);
        let mut request = Request::get(uri)
            .header("accept", "text/event-stream")
            .header("cache-control", "no-cache");
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
        }
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(()).map_err(|err| fault(err.to_string()))?;
        let response = agent.run(request).map_err(|err| fault(reason(&err)))?;
        if response.status() != 200 || response.body().mime_type() != Some("text/event-stream") {
            return Answer::new(url, response).map(Opened::Answer);
        }
        // Bounded, so that a reader who prints slowly slows the server down
        // instead of filling this machine.
        let (sender, pieces) = sync_channel(16);
        let reader = response.into_body().into_reader();
        thread::spawn(move || forward(reader, &sender));
        Ok(Opened::Stream(Stream { pieces, agent }))
    }
}

impl Stream {
    /// Waits for more, at most for `patience`.
    pub fn next(&self, patience: Duration) -> Next {
        match self.pieces.recv_timeout(patience) {
            Ok(Ok(bytes)) => Next::Bytes(bytes),
            Ok(Err(why)) => Next::End(Some(why)),
            Err(RecvTimeoutError::Timeout) => Next::Silence,
            Err(RecvTimeoutError::Disconnected) => Next::End(None),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Wakes the thread out of its read.
        self.agent.clone().shutdown();
    }
}

fn forward(mut reader: BodyReader<'static>, sender: &SyncSender<Result<Vec<u8>, String>>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let piece = match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => Ok(buffer[..count].to_vec()),
            Err(err) => Err(err.to_string()),
        };
        let over = piece.is_err();
        if sender.send(piece).is_err() || over {
            return;
        }
    }
}
