//! A service that ends leaves nobody without a word, and waits for nobody.

use super::{frames, left_the_dispatcher, poll, polled, polls_wait, stream};
use crate::harness::{Service, Setup, hands_over, message_batch};
use serde_json::json;

/// So long that a service which waits for its deadline has failed.
fn patient(setup: &mut Setup) {
    setup.env("TEAWIRE_SHUTDOWN_SECONDS", 300);
}

#[tokio::test]
async fn whoever_waits_is_told_and_who_is_idle_is_hung_up_on() {
    let mut service = Service::with(patient).await;
    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(stream(&service, "topic=room/y").await);
    }
    let (mut between, _) = polled(&service, "").await;
    let mut idle = service.raw().await;
    idle.get("/v1/status", "").await;
    let mut unused = service.raw().await;
    let at = service.head().await;
    let mut polls = Vec::new();
    for _ in 0..40 {
        let mut raw = service.raw().await;
        raw.ask(&poll("room/y", &at), "").await;
        polls.push(raw);
    }
    polls_wait(&service, 40).await;
    left_the_dispatcher(&service, 81).await;

    service.signal_end();

    for mut raw in streams {
        raw.read_to_end().await;
        assert!(raw.read.ends_with(b"\n\n\r\n0\r\n\r\n"), "{raw:?}", raw = raw.read);
        let bye = frames(&raw.answer().await.body).pop().unwrap();
        assert_eq!((bye.kind.as_str(), &bye.json["code"]), ("bye", &json!("shutdown")));
        assert_eq!(bye.json["cursor"], at);
    }
    for mut raw in polls {
        let answer = raw.answer().await.ok();
        assert_eq!((&answer["events"], &answer["cursor"]), (&json!([]), &json!(at)));
        assert!(answer["retry_after_ms"].as_u64().unwrap() > 0);
        raw.read_to_end().await;
    }
    for raw in [&mut between, &mut idle, &mut unused] {
        raw.read_to_end().await;
        assert!(raw.read.is_empty(), "{:?}", String::from_utf8_lossy(&raw.read));
    }
    assert!(service.ended().await.success());
}

#[tokio::test]
async fn a_poll_that_comes_while_the_service_ends_is_answered_at_once() {
    let mut service = Service::with(patient).await;
    let at = service.head().await;
    let mut raw = service.raw().await;
    raw.ask(&poll("room/x", &at), "").await;
    polls_wait(&service, 1).await;

    service.signal_end();

    // It comes again as soon as it is answered, in the moment that is left.
    let first = raw.answer().await.ok();
    assert!(first["retry_after_ms"].as_u64().unwrap() > 0);
    raw.ask(&poll("room/x", &at), "").await;
    let second = raw.answer().await.ok();
    assert_eq!(second["events"], json!([]));
    assert!(second["retry_after_ms"].as_u64().unwrap() > 0);
    assert!(service.ended().await.success());
}

#[tokio::test]
async fn a_reader_in_the_middle_of_a_frame_holds_nobody_up() {
    let mut service = Service::with(|setup| {
        // The dispatcher gives such a one the time there is; the hub does not.
        setup.env("TEAWIRE_SHUTDOWN_SECONDS", if hands_over() { 300 } else { 3 });
    })
    .await;
    let mut slow = service.raw_with_little_room();
    slow.ask("/v1/stream?topic=room/x", "").await;
    assert!(slow.read_until("event: hello").await);
    left_the_dispatcher(&service, 1).await;
    for batch in 0..16 {
        let body = message_batch("x", batch * 8..batch * 8 + 8, &"x".repeat(30_000));
        service.post(&service.merchant("m1"), "/v1/events", body).await.ok();
    }

    service.signal_end();
    service.ended().await;

    // What came is a beginning of what was to come.
    slow.read_to_end().await;
    let body = crate::harness::body_of(&slow.read);
    for (n, event) in super::events(&body).iter().enumerate() {
        assert_eq!(event.data()["n"], n);
    }
}

#[tokio::test]
async fn a_write_begun_on_a_connection_that_came_back_is_finished() {
    for came_back in [false, true] {
        let mut service = Service::with(patient).await;
        let mut idle = service.raw().await;
        idle.get("/v1/status", "").await;
        let mut raw = service.raw().await;
        if came_back {
            raw = polled(&service, "").await.0;
        } else {
            raw.get("/v1/status", "").await;
        }
        let body = json!({ "topics": ["room/y"], "type": "room.message", "data": {} }).to_string();
        let (first, second) = body.split_at(10);
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: tea\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            service.merchant("m1"),
            body.len()
        );
        raw.write(format!("{head}{first}")).await;
        // It has been read: whatever has left is waiting for nothing.
        left_the_dispatcher(&service, 0).await;

        service.signal_end();
        // Whoever is idle is let go; whoever is not, is waited for.
        idle.read_to_end().await;
        raw.write(second).await;

        assert_eq!(raw.answer().await.status, 201, "came back: {came_back}");
        assert!(service.ended().await.success());
    }
}
