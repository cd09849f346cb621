//! However requests are cut and whatever comes with them, each is answered once
//! and none is made up.

use super::{left_the_dispatcher, poll, polled, polls_wait, stream};
use crate::harness::{Raw, Service, message_batch};
use serde_json::json;

#[tokio::test]
async fn a_poll_may_come_byte_by_byte() {
    let service = Service::start().await;
    let mut raw = service.raw().await;
    let mut at = service.head().await;
    for _ in 0..3 {
        let head = format!("GET {} HTTP/1.1\r\nHost: tea\r\n\r\n", poll("room/x", &at));
        for byte in head.bytes() {
            raw.write([byte]).await;
            tokio::task::yield_now().await;
        }
        polls_wait(&service, 1).await;
        let said = service.say("x", json!({})).await.ok();
        let answer = raw.answer().await.ok();
        assert_eq!(answer["events"][0]["id"], said["receipt"]["id"]);
        at = answer["cursor"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn a_poll_may_come_in_two_halves_on_a_connection_that_has_left() {
    let service = Service::start().await;
    let (mut raw, mut at) = polled(&service, "").await;
    let length = format!("GET {} HTTP/1.1\r\nHost: tea\r\n\r\n", poll("room/x", &at)).len();
    // In the method, the target, and the last line.
    for cut in [1, 40, length - 3, length - 1] {
        left_the_dispatcher(&service, 1).await;
        let head = format!("GET {} HTTP/1.1\r\nHost: tea\r\n\r\n", poll("room/x", &at));
        let (first, second) = head.split_at(cut.min(head.len() - 1));
        raw.write(first).await;
        // It has gone back for the rest.
        left_the_dispatcher(&service, 0).await;
        raw.write(second).await;
        polls_wait(&service, 1).await;
        let said = service.say("x", json!({})).await.ok();
        let answer = raw.answer().await.ok();
        assert_eq!(answer["events"][0]["id"], said["receipt"]["id"], "{cut}");
        at = answer["cursor"].as_str().unwrap().to_owned();
        // The next leaves again.
        raw.ask(&poll("room/x", &at), "").await;
        polls_wait(&service, 1).await;
        service.say("x", json!({})).await.ok();
        at = raw.answer().await.ok()["cursor"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn a_second_head_that_never_ends_is_hung_up_on() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_HTTP__HEAD_SECONDS", 1);
    })
    .await;
    for begun in ["\r\n", "G", "GET /v1/poll?topic=room/x&cur", "GET / HTTP/1.1\r\nX-Slow: "] {
        let mut answered = service.raw().await;
        assert_eq!(answered.get("/v1/status", "").await.status, 200);
        let (polled, _) = polled(&service, "").await;
        let mut streamed = stream(&service, "topic=room/x&max_age=1").await;
        streamed.answer().await;
        for mut raw in [answered, polled, streamed] {
            raw.write(begun).await;
            raw.read_to_end().await;
            let last = String::from_utf8_lossy(&raw.read);
            assert!(last.is_empty() || last.starts_with("HTTP/1.1 408"), "{begun:?}: {last}");
        }
    }
}

#[tokio::test]
async fn two_polls_in_one_packet_are_both_answered() {
    let service = Service::start().await;
    for first in [true, false] {
        let (mut raw, mut at) = polled(&service, "").await;
        if first {
            (raw, at) = (service.raw().await, service.head().await);
        }
        let one = format!("GET {} HTTP/1.1\r\nHost: tea\r\n\r\n", poll("room/x", &at));
        raw.write(format!("{one}{one}")).await;
        polls_wait(&service, 1).await;
        let said = service.say("x", json!({})).await.ok();
        for _ in 0..2 {
            let answer = raw.answer().await.ok();
            assert_eq!(answer["events"][0]["id"], said["receipt"]["id"], "{first}");
        }
        assert_eq!(raw.get("/v1/status", "").await.status, 200);
    }
}

#[tokio::test]
async fn a_request_behind_a_poll_that_waits_is_answered_after_it() {
    let service = Service::start().await;
    let (mut raw, at) = polled(&service, "").await;
    raw.ask(&poll("room/x", &at), "").await;
    polls_wait(&service, 1).await;
    raw.ask("/v1/status", "").await;
    raw.ask("/v1/limits", "").await;

    let said = service.say("x", json!({})).await.ok();

    assert_eq!(raw.answer().await.ok()["events"][0]["id"], said["receipt"]["id"]);
    assert_eq!(raw.answer().await.ok()["name"], "teawire");
    assert!(raw.answer().await.ok()["poll_events"].is_u64());
}

#[tokio::test]
async fn a_request_behind_a_poll_of_any_size_is_answered_after_it() {
    let service = Service::start().await;
    // 4096 is as much as is read at once.
    for size in [4095, 4096, 4097, 8192] {
        let at = service.head().await;
        let bare = format!("GET {} HTTP/1.1\r\nHost: tea\r\nX-Pad: \r\n\r\n", poll("room/x", &at));
        let pad = format!("X-Pad: {}\r\n", "x".repeat(size - bare.len()));
        let (mut raw, now) = polled(&service, &pad).await;
        assert_eq!(now.len(), at.len(), "a cursor of another length");
        let one = format!("GET {} HTTP/1.1\r\nHost: tea\r\n{pad}\r\n", poll("room/x", &now));
        assert_eq!(one.len(), size);
        raw.write(format!("{one}GET /v1/status HTTP/1.1\r\nHost: tea\r\n\r\n")).await;
        polls_wait(&service, 1).await;

        let said = service.say("x", json!({})).await.ok();

        let answer = raw.answer().await.ok();
        assert_eq!(answer["events"][0]["id"], said["receipt"]["id"], "{size}");
        assert_eq!(raw.answer().await.ok()["name"], "teawire", "{size}");
    }
}

/// What looks like a poll within another head must not be taken for one.
#[tokio::test]
async fn a_poll_is_recognised_by_its_whole_head_and_by_no_part_of_it() {
    let service = Service::start().await;
    let at = service.head().await;
    let inner =
        |cursor: &str| format!("GET {} HTTP/1.1\r\nHost: tea\r\n\r\n", poll("room/mine", cursor));
    let mut raw = service.raw().await;
    raw.write(format!("GET {} HTTP/1.1\r\nX-Line: ", poll("room/other", &at))).await;
    // So that the rest comes by itself.
    service.get("/v1/status").await.ok();
    raw.write(inner(&at)).await;
    polls_wait(&service, 1).await;
    service.say("other", json!({})).await.ok();
    let answer = raw.answer().await.ok();
    let at = answer["cursor"].as_str().unwrap();
    assert_eq!(answer["events"][0]["topics"], json!(["room/other"]));

    raw.write(inner(at)).await;
    polls_wait(&service, 1).await;
    service.say("other", json!({})).await.ok();
    service.say("mine", json!({})).await.ok();

    let answer = raw.answer().await.ok();
    assert_eq!(answer["events"][0]["topics"], json!(["room/mine"]));
}

/// What a front server takes for the body of one request must not become
/// another here.
#[tokio::test]
async fn the_body_of_a_poll_is_no_request() {
    let service = Service::start().await;
    let hidden = "GET /v1/limits HTTP/1.1\r\nHost: tea\r\n\r\n";
    let mut raw = service.raw().await;
    let length = format!("Content-Length: {}\r\n", hidden.len());
    let at = service.head().await;
    let before = service.metric("teawire_requests_total").await;
    raw.ask(&poll("room/x", &at), &length).await;
    let read = async || {
        let waits = service.metric("teawire_polls").await == 1.0;
        let answered = service.metric("teawire_requests_total").await > before;
        (waits || answered).then_some(())
    };
    service.eventually("poll", read).await;
    raw.write(hidden).await;
    service.say("x", json!({})).await.ok();
    raw.ask("/v1/status", "Connection: close\r\n").await;
    raw.read_to_end().await;

    let answers = String::from_utf8_lossy(&raw.read);
    assert!(!answers.contains("poll_events"), "{answers}");
}

#[tokio::test]
async fn the_body_of_a_stream_is_no_request() {
    let service = Service::start().await;
    let hidden = "GET /v1/limits HTTP/1.1\r\nHost: tea\r\n\r\n";
    let mut raw = service.raw().await;
    let length = format!("Content-Length: {}\r\n", hidden.len());
    raw.ask("/v1/stream?topic=room/x&max_age=2", &length).await;
    assert!(raw.read_until("\r\n\r\n").await);
    raw.write(hidden).await;
    raw.ask("/v1/status", "Connection: close\r\n").await;
    raw.read_to_end().await;

    let answers = String::from_utf8_lossy(&raw.read);
    assert!(!answers.contains("poll_events"), "{answers}");
}

/// Rooms with a history of more than is on its way to who does not read, each
/// with a little more than the one before.
async fn old_rooms(service: &Service) -> Vec<String> {
    let token = service.merchant("m1");
    let mut rooms = Vec::new();
    for size in 0..7 {
        let room = format!("old{size}");
        for half in 0..2 {
            let padding = "茶".repeat((300_000 + size * 14_000) / 48);
            let batch = message_batch(&room, half * 8..half * 8 + 8, &padding);
            service.post(&token, "/v1/events", batch).await.ok();
        }
        rooms.push(room);
    }
    rooms
}

/// Asks for the history of `room`, and for `next` before it has come; reads no
/// more than it takes until the next is being served.
async fn ask_on(service: &Service, raw: &mut Raw, room: &str, next: &str) {
    raw.ask(&format!("/v1/events?topic=room/{room}&limit=200"), "").await;
    assert!(raw.read_until("\r\n\r\n").await);
    raw.ask(next, "").await;
    let served = async || {
        let (polls, streams) = ("teawire_polls", "teawire_streams");
        service.metric(polls).await + service.metric(streams).await == 1.0
    };
    while !served().await {
        assert!(raw.read_some(3_000).await);
    }
}

/// A client may ask on before it has read what it asked for first.
#[tokio::test]
async fn an_answer_still_on_its_way_when_a_poll_comes_arrives_whole_and_once() {
    let service = Service::start().await;
    for room in old_rooms(&service).await {
        let whole = service.get(&format!("/v1/events?topic=room/{room}&limit=200")).await;
        let mut at = service.head().await;
        let mut raw = service.raw_with_little_room();
        ask_on(&service, &mut raw, &room, &poll("room/x", &at)).await;
        let history = raw.answer().await;
        assert!(history.body == whole.text.as_bytes(), "{room}");
        for n in 0..2 {
            let said = service.say("x", json!({ "n": n })).await.ok();
            let answer = raw.answer().await.ok();
            assert_eq!(answer["events"][0]["id"], said["receipt"]["id"], "{room}");
            at = answer["cursor"].as_str().unwrap().to_owned();
            raw.ask(&poll("room/x", &at), "").await;
            polls_wait(&service, 1).await;
        }
        drop(raw);
        polls_wait(&service, 0).await;
    }
}

#[tokio::test]
async fn an_answer_still_on_its_way_when_a_stream_comes_arrives_whole_and_once() {
    let service = Service::start().await;
    for room in old_rooms(&service).await {
        let whole = service.get(&format!("/v1/events?topic=room/{room}&limit=200")).await;
        let mut raw = service.raw_with_little_room();
        ask_on(&service, &mut raw, &room, "/v1/stream?topic=room/x").await;
        let history = raw.answer().await;
        assert!(history.body == whole.text.as_bytes(), "{room}");
        assert!(raw.read_until("event: hello").await);
        let said = service.say("x", json!({})).await.ok();
        let id = said["receipt"]["id"].as_str().unwrap();
        assert!(raw.read_until(&format!("id: {id}\n")).await);
        drop(raw);
        service.metric_is("teawire_streams", 0).await;
    }
}
