//! A connection that only waits leaves the HTTP dispatcher, and nobody can tell.
//!
//! Every promise here holds with `TEST_HAND_OVER=false` too; what differs is
//! only who keeps it.

mod bytes;
mod ends;
mod polls;
mod requests;
mod seats;
mod shutdown;
mod streams;

use crate::harness::{Api, Frame, Frames, Raw, Service, hands_over};
use serde_json::{Value, json};

/// Waits until so many connections have left the dispatcher, where they do.
async fn left_the_dispatcher(service: &Service, connections: u32) {
    if hands_over() {
        service.metric_is("teawire_handed_over_connections", connections).await;
    }
}

/// A stream of `topics` on a bare connection, greeted.
async fn stream(api: &Api, query: &str) -> Raw {
    let mut raw = api.raw().await;
    raw.ask(&format!("/v1/stream?{query}"), "").await;
    assert!(raw.read_until("event: hello").await);
    raw
}

/// The target of a poll that waits for what comes after `cursor`.
fn poll(topics: &str, cursor: &str) -> String {
    format!("/v1/poll?topic={topics}&cursor={cursor}&wait=50")
}

/// Whether as many polls wait as should.
async fn polls_wait(service: &Service, polls: u32) {
    service.metric_is("teawire_polls", polls).await;
}

/// A connection with one poll behind it that was answered while it waited, and
/// the cursor it was answered with. Where connections leave the dispatcher,
/// this one has.
async fn polled(service: &Service, headers: &str) -> (Raw, String) {
    let mut raw = service.raw().await;
    let before = service.metric("teawire_polls").await;
    raw.ask(&poll("room/x", &service.head().await), headers).await;
    polls_wait(service, before as u32 + 1).await;
    let said = service.say("x", json!({ "n": "first" })).await.ok();
    let answer = raw.answer().await.ok();
    assert_eq!(answer["events"][0]["id"], said["receipt"]["id"]);
    (raw, answer["cursor"].as_str().unwrap().to_owned())
}

/// The numbers that the events of an answer tell.
fn numbers(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().unwrap().iter();
    events.map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

/// The frames in the body of a stream.
fn frames(body: &[u8]) -> Vec<Frame> {
    let mut frames = Frames::default();
    frames.push(body);
    std::iter::from_fn(|| frames.next()).collect()
}

/// Those that are no control events.
fn events(body: &[u8]) -> Vec<Frame> {
    frames(body).into_iter().filter(|frame| !frame.is_control()).collect()
}
