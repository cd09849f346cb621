//! What a reader does with the bytes that come.

use super::conn::{Act, Conn, State, Why};
use super::{Ctx, Transport, request};
use crate::http::{self, Chunk, Framing, Head, json_field, whole_response};
use crate::shared::bump;

/// Takes what was received.
pub fn on_bytes(ctx: &Ctx, c: &mut Conn, data: &[u8]) -> Act {
    match ctx.task.transport {
        Transport::Stream if c.state == State::Body => on_body(ctx, c, data),
        Transport::Stream => on_head(ctx, c, data),
        Transport::Poll => on_answer(ctx, c, data),
    }
}

fn on_head(ctx: &Ctx, c: &mut Conn, data: &[u8]) -> Act {
    c.carry.extend_from_slice(data);
    let head = match http::parse_head(&c.carry) {
        Ok(Some(head)) => head,
        Ok(None) => return Act::Go,
        Err(_) => return Act::Dead(Why::Protocol),
    };
    if head.status != 200 {
        return Act::Dead(Why::Status(head.status));
    }
    let rest = c.carry[head.len..].to_vec();
    c.carry = Vec::new();
    c.state = State::Body;
    c.framing = head.framing;
    c.chunk = Chunk::START;
    c.become_ready(ctx);
    on_body(ctx, c, &rest)
}

fn on_body(ctx: &Ctx, c: &mut Conn, mut data: &[u8]) -> Act {
    if c.framing != Framing::Chunked {
        on_text(ctx, c, data);
        return Act::Go;
    }
    while !data.is_empty() {
        let Ok((used, body)) = c.chunk.step(data) else { return Act::Dead(Why::Protocol) };
        if !body.is_empty() {
            on_text(ctx, c, &data[body]);
        }
        data = &data[used..];
        if c.chunk == Chunk::Done {
            return Act::Dead(Why::Closed);
        }
    }
    Act::Go
}

fn on_text(ctx: &Ctx, c: &mut Conn, text: &[u8]) {
    if c.carry.is_empty() {
        let used = on_lines(ctx, c, text);
        if used < text.len() {
            c.carry.extend_from_slice(&text[used..]);
        }
    } else {
        let mut all = std::mem::take(&mut c.carry);
        all.extend_from_slice(text);
        let used = on_lines(ctx, c, &all);
        if used < all.len() {
            all.drain(..used);
            c.carry = all;
        }
    }
}

/// Reads whole lines; how many bytes they were.
fn on_lines(ctx: &Ctx, c: &mut Conn, text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(nl) = memchr::memchr(b'\n', &text[at..]) {
        let line = &text[at..at + nl];
        at += nl + 1;
        if let Some(data) = line.strip_prefix(b"data:") {
            c.scan(ctx, data);
            let named = ctx.task.profile.subscribe.id_json.as_ref();
            if let Some(id) = named.and_then(|name| json_field(data, name)) {
                c.id.clear();
                c.id.extend_from_slice(id);
            }
        } else if let Some(id) = line.strip_prefix(b"id:") {
            c.id.clear();
            c.id.extend_from_slice(id.trim_ascii());
        }
    }
    at
}

fn on_answer(ctx: &Ctx, c: &mut Conn, data: &[u8]) -> Act {
    let mut all = std::mem::take(&mut c.carry);
    let whole = if all.is_empty() {
        data
    } else {
        all.extend_from_slice(data);
        &all[..]
    };
    match whole_response(whole) {
        Ok(Some((head, body))) => on_poll(ctx, c, &whole[..head.len], &head, &body),
        Ok(None) => {
            c.carry = if all.is_empty() { data.to_vec() } else { all };
            Act::Go
        }
        Err(_) => Act::Dead(Why::Protocol),
    }
}

fn on_poll(ctx: &Ctx, c: &mut Conn, head_bytes: &[u8], head: &Head, body: &[u8]) -> Act {
    bump(&ctx.me.polls, 1);
    let poll = ctx.task.poll();
    if head.status == 200 {
        c.scan(ctx, body);
    } else if !poll.empty.contains(&head.status) {
        return Act::Dead(Why::Status(head.status));
    }
    c.captured.resize(poll.capture.len(), String::new());
    for (kept, capture) in c.captured.iter_mut().zip(&poll.capture) {
        let value = match (&capture.header, &capture.json) {
            (Some(name), _) => http::header(head_bytes, name),
            (_, Some(name)) => json_field(body, name),
            _ => None,
        };
        if let Some(value) = value.and_then(|value| std::str::from_utf8(value).ok()) {
            kept.clear();
            kept.push_str(value);
        }
    }
    if head.close { Act::Again } else { Act::Ask(request::poll(ctx.task, c)) }
}
