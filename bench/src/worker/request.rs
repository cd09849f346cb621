//! What a reader sends.

use super::conn::Conn;
use super::{Task, Transport};
use crate::profile;

/// The first request of a connection: from now on, or from where it was.
pub fn opening(task: &Task, c: &Conn) -> Vec<u8> {
    if task.transport == Transport::Poll {
        return poll(task, c);
    }
    let s = &task.profile.subscribe;
    let id = (!c.id.is_empty()).then(|| String::from_utf8_lossy(&c.id).into_owned());
    let path = s.resume_path.as_ref().filter(|_| id.is_some()).unwrap_or(&s.path);
    let resume = if id.is_some() { &s.resume_headers[..] } else { &[] };
    let get = |name: &str| if name == "id" { id.clone() } else { place(task, c, name) };
    request(task, path, &[&s.headers, resume], &get)
}

/// The next poll of a reader.
pub fn poll(task: &Task, c: &Conn) -> Vec<u8> {
    let p = task.poll();
    let get = |name: &str| {
        let at = p.capture.iter().position(|capture| capture.name == name);
        match at {
            Some(at) => c.captured.get(at).filter(|v| !v.is_empty()).cloned(),
            None => place(task, c, name),
        }
    };
    let path = p.resume_path.as_ref().filter(|_| c.has_cursor()).unwrap_or(&p.path);
    let resume = if c.has_cursor() { &p.resume_headers[..] } else { &[] };
    request(task, path, &[&p.headers, resume], &get)
}

fn place(task: &Task, c: &Conn, name: &str) -> Option<String> {
    let topics = &task.topics.names()[c.first_topic..][..c.tracks.len()];
    let item = &task.profile.subscribe.topic;
    match name {
        "topic" => Some(topics[0].clone()),
        "topics" => {
            let one = |topic: &String| item.replace("{topic}", topic);
            Some(topics.iter().map(one).collect::<Vec<_>>().join(","))
        }
        _ => None,
    }
}

fn request(
    task: &Task,
    path: &str,
    headers: &[&[String]],
    get: &dyn Fn(&str) -> Option<String>,
) -> Vec<u8> {
    let mut target = profile::fill(path, get).unwrap_or_default();
    if !task.query.is_empty() {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(task.query);
    }
    let mut out = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n", task.server);
    let signed_in = if task.signed_in { &task.profile.subscribe.signed_in[..] } else { &[] };
    for header in headers.iter().copied().flatten().chain(signed_in) {
        // One that names what is not known yet is left out.
        if let Some(header) = profile::fill(header, get) {
            out.push_str(&header);
            out.push_str("\r\n");
        }
    }
    out.push_str("\r\n");
    out.into_bytes()
}
