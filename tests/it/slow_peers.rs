//! Peers that are slow, on purpose or not, harm nobody but themselves.

use crate::harness::{Frames, Service, body_of, message_batch};
use serde_json::json;

#[tokio::test]
async fn a_request_whose_head_never_ends_is_hung_up_on() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_HTTP__HEAD_SECONDS", 1);
    })
    .await;
    for begun in ["", "G", "GET /v1/status HTTP/1.1\r\nHost: tea\r\nX-Slow: "] {
        let mut raw = service.raw().await;
        raw.write(begun).await;
        raw.read_to_end().await;
        let answer = String::from_utf8_lossy(&raw.read);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{begun:?}: {answer}");
    }
    assert_eq!(service.get("/v1/status").await.status, 200);
}

#[tokio::test]
async fn a_request_whose_body_never_ends_is_given_up() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_HTTP__BODY_SECONDS", 1);
    })
    .await;
    service.product("longjing").await;
    let head = format!(
        "PUT /v1/products/longjing/price HTTP/1.1\r\nHost: tea\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\n",
        service.merchant("m1")
    );
    let announced = format!("{head}Content-Length: 18\r\n\r\n{{\"price\":");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n9\r\n{{\"price\":\r\n");
    for request in [announced, chunked] {
        let answer = service.talk(&request).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert_eq!(service.shown("longjing").await["price"], "100.00");
}

#[tokio::test]
async fn a_reader_that_has_stopped_reading_is_let_go_and_others_go_on() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_STREAMS__WRITE_SECONDS", 2);
    })
    .await;
    let mut stalled = service.raw_with_little_room();
    stalled.write("GET /v1/stream?topic=room/x HTTP/1.1\r\nHost: tea\r\n\r\n").await;
    assert!(stalled.read_until("event: hello").await);
    let mut healthy = service.follow("room/x").await;
    let start = service.head().await;

    // More than all the buffers on the way can hold.
    const BATCHES: usize = 48;
    let writing = async {
        for batch in 0..BATCHES {
            let body = message_batch("x", batch * 8..batch * 8 + 8, &"x".repeat(30_000));
            let answer = service.post(&service.merchant("m1"), "/v1/events", body).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
        }
    };
    let ((), events) = tokio::join!(writing, healthy.collect(BATCHES * 8));
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.data()["n"], n);
    }
    let alone = async || (service.get("/v1/status").await.ok()["streams"] == 1).then_some(());
    service.eventually("end of the stalled stream", alone).await;
    service.say("x", json!({ "n": "last" })).await.ok();
    assert_eq!(healthy.next().await.data()["n"], "last");

    // What was on the way has no hole, and the rest is there for who returns.
    stalled.read_to_end().await;
    let mut frames = Frames::default();
    frames.push(&body_of(&stalled.read));
    let mut told = Vec::new();
    while let Some(frame) = frames.next() {
        if !frame.is_control() {
            told.push(frame);
        }
    }
    assert!(told.len() < events.len());
    assert_eq!(told, events[..told.len()]);
    let seen = told.last().map_or(&*start, |event| event.id());
    let mut again = service.follow_after("room/x", Some(seen)).await;
    assert_eq!(again.next().await, events[told.len()]);
}

#[tokio::test]
async fn a_reader_that_has_left_is_forgotten() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", 1);
    })
    .await;
    let open = async |n: u64| {
        let streams = async || {
            let status = service.get("/v1/status").await.ok();
            (status["streams"] == n && status["polls"] == 0).then_some(())
        };
        service.eventually("right number of streams", streams).await;
    };
    let mut followers = Vec::new();
    for _ in 0..5 {
        followers.push(service.follow("price/green").await);
    }
    open(5).await;

    followers.truncate(2);
    open(2).await;
    followers.clear();
    let mut poll = service.raw().await;
    let path = format!("/v1/poll?topic=arrivals&wait=50&cursor={}", service.head().await);
    poll.write(format!("GET {path} HTTP/1.1\r\nHost: tea\r\n\r\n")).await;
    drop(poll);
    open(0).await;
}

#[tokio::test]
async fn a_reader_that_pruning_overtakes_is_told_of_the_hole() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_EVENTS__KEEP_COUNT", 20);
        setup.env("TEAWIRE_EVENTS__RECENT_EVENTS", 4);
        setup.env("TEAWIRE_STREAMS__WRITE_SECONDS", 60);
    })
    .await;
    let mut slow = service.raw_with_little_room();
    slow.write("GET /v1/stream?topic=room/x HTTP/1.1\r\nHost: tea\r\n\r\n").await;
    assert!(slow.read_until("event: hello").await);
    let start = service.head().await;

    // Far more than is on the way to it and than is kept, while it does not read.
    for batch in 0..32 {
        let body = message_batch("x", batch * 8..batch * 8 + 8, &"x".repeat(30_000));
        service.post(&service.merchant("m1"), "/v1/events", body).await.ok();
    }
    let gone = async || {
        let poll = service.poll(&format!("topic=room/x&cursor={start}&wait=0")).await;
        (!poll["reset"].is_null()).then_some(())
    };
    service.eventually("pruning", gone).await;
    let last = service.say("x", json!({ "n": 256 })).await.ok()["receipt"]["id"].clone();
    assert!(slow.read_until(&format!("id: {}\n", last.as_str().unwrap())).await);
    slow.read_until("\n\n").await;

    let mut frames = Frames::default();
    frames.push(&body_of(&slow.read));
    let (mut next, mut told, mut holes) = (0, false, 0);
    while let Some(frame) = frames.next() {
        match frame.kind.as_str() {
            "reset" => told = true,
            "room.message" => {
                let n = frame.data()["n"].as_u64().unwrap();
                assert!(n == next || told, "{next} to {n} are missing and nobody said so");
                holes += usize::from(n > next);
                (next, told) = (n + 1, false);
            }
            _ => {}
        }
    }
    assert!(holes > 0, "pruning did not overtake the reader");
}
