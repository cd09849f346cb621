//! A publish request with places for what differs from one to the next.

use super::Plan;
use crate::message::{self, Stamp};
use crate::profile::{self, Part};
use crate::topics::Topics;

enum Piece {
    Text(Vec<u8>),
    Topic,
    Message,
}

/// What a request is made of.
pub struct Form {
    head: Vec<Piece>,
    prefix: Vec<Piece>,
    item: Vec<Piece>,
    separator: Vec<Piece>,
    suffix: Vec<Piece>,
    /// Bytes of a stamp; None where prices are published.
    size: Option<usize>,
    /// What an answer must hold.
    says: Vec<u8>,
    body: Vec<u8>,
    request: Vec<u8>,
}

fn pieces(template: &str) -> Vec<Piece> {
    let parts = profile::parts(template).into_iter();
    parts
        .map(|part| match part {
            Part::Place("topic") => Piece::Topic,
            Part::Place("payload" | "price") => Piece::Message,
            Part::Place(other) => Piece::Text(format!("{{{other}}}").into_bytes()),
            Part::Text(text) => Piece::Text(text.into()),
        })
        .collect()
}

impl Form {
    /// The form of the requests of a plan.
    pub fn new(plan: &Plan) -> Form {
        let p = &plan.profile.publish;
        let batch = plan.profile.batch.as_ref().filter(|_| plan.batch > 1);
        let (method, path, headers) = match batch {
            Some(b) => (&b.method, &b.path, &b.headers),
            None => (&p.method, &p.path, &p.headers),
        };
        let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}", plan.addr);
        let (prefix, item, separator, suffix, says) = match batch {
            Some(b) => (&*b.prefix, &*b.item, &*b.separator, &*b.suffix, &*b.says),
            None => ("", &*p.body, "", "", &*p.says),
        };
        Form {
            head: pieces(&head),
            prefix: pieces(prefix),
            item: pieces(item),
            separator: pieces(separator),
            suffix: pieces(suffix),
            size: plan.profile.price.is_none().then_some(plan.size),
            says: says.into(),
            body: Vec::new(),
            request: Vec::new(),
        }
    }

    /// The request that carries these messages; the head names the topic of the first.
    pub fn request(&mut self, topics: &Topics, messages: &[Stamp]) -> &[u8] {
        let size = self.size;
        let put = |out: &mut Vec<u8>, pieces: &[Piece], stamp: Stamp| {
            for piece in pieces {
                match (piece, size) {
                    (Piece::Text(text), _) => out.extend_from_slice(text),
                    (Piece::Topic, _) => {
                        out.extend_from_slice(topics.name(stamp.topic as usize).as_bytes())
                    }
                    (Piece::Message, Some(size)) => message::write(out, stamp, size),
                    (Piece::Message, None) => message::write_price(out, stamp.seq),
                }
            }
        };
        self.body.clear();
        put(&mut self.body, &self.prefix, messages[0]);
        for (i, &stamp) in messages.iter().enumerate() {
            if i > 0 {
                put(&mut self.body, &self.separator, stamp);
            }
            put(&mut self.body, &self.item, stamp);
        }
        put(&mut self.body, &self.suffix, messages[0]);
        self.request.clear();
        put(&mut self.request, &self.head, messages[0]);
        let length = format!("Content-Length: {}\r\n\r\n", self.body.len());
        self.request.extend_from_slice(length.as_bytes());
        self.request.extend_from_slice(&self.body);
        &self.request
    }

    /// Whether an answer says what it must.
    pub fn is_said(&self, body: &[u8]) -> bool {
        self.says.is_empty() || memchr::memmem::find(body, &self.says).is_some()
    }
}
