//! Streams that have left.

use super::{events, frames, left_the_dispatcher, stream};
use crate::harness::{Service, chunks_of, hands_over, message_batch};
use serde_json::{Value, json};

#[tokio::test]
async fn a_stream_that_waits_has_left_and_is_told_all_the_same() {
    let service = Service::start().await;
    let mut waiting = stream(&service, "topic=room/x&max_age=3").await;
    left_the_dispatcher(&service, 1).await;
    service.metric_is("teawire_streams", 1).await;

    for n in 0..5 {
        service.say("x", json!({ "n": n })).await.ok();
    }

    let answer = waiting.answer().await;
    let frames = frames(&answer.body);
    let kinds: Vec<&str> = frames.iter().map(|frame| frame.kind.as_str()).collect();
    assert_eq!(kinds[0], "hello");
    assert_eq!(kinds[1..6], ["room.message"; 5], "{kinds:?}");
    let last = frames.last().unwrap();
    assert_eq!((last.kind.as_str(), &last.json["code"]), ("bye", &json!("max_age")));
    assert_eq!(last.json["cursor"], frames[5].id());
    for (n, frame) in frames[1..6].iter().enumerate() {
        assert_eq!(frame.data()["n"], n);
    }
}

#[tokio::test]
async fn a_stream_with_another_request_behind_it_stays_and_that_is_answered_when_it_ends() {
    let service = Service::start().await;
    let mut both = service.raw().await;
    both.write(
        "GET /v1/stream?topic=room/x&max_age=2 HTTP/1.1\r\nHost: tea\r\n\r\n\
         GET /v1/status HTTP/1.1\r\nHost: tea\r\n\r\n",
    )
    .await;
    assert!(both.read_until("event: hello").await);
    // Of the two the one that may leave has; the other is still where it was.
    let _alone = stream(&service, "topic=room/y").await;
    left_the_dispatcher(&service, 1).await;
    service.metric_is("teawire_streams", 2).await;

    let said = service.say("x", json!({})).await.ok();

    let body = both.answer().await.body;
    assert_eq!(events(&body)[0].id(), said["receipt"]["id"]);
    assert_eq!(frames(&body).last().unwrap().json["code"], "max_age");
    assert_eq!(both.answer().await.ok()["name"], "teawire");
}

#[tokio::test]
async fn a_request_behind_a_stream_is_answered_when_that_has_ended() {
    let service = Service::with(|setup| {
        // It may wait for longer than a head may take.
        setup.env("TEAWIRE_HTTP__HEAD_SECONDS", 1);
    })
    .await;
    let token = service.merchant("m1");
    let body = json!({ "topics": ["room/y"], "type": "room.message", "data": {} }).to_string();
    let length = body.len();
    let post = format!(
        "POST /v1/events HTTP/1.1\r\nHost: tea\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let get = "GET /v1/status HTTP/1.1\r\nHost: tea\r\n\r\n".to_owned();
    for (request, status) in [(get, 200), (post, 201)] {
        let mut raw = stream(&service, "topic=room/x&max_age=3").await;
        left_the_dispatcher(&service, 1).await;
        raw.write(&request).await;
        let said = service.say("x", json!({})).await.ok();

        let streamed = raw.answer().await.body;

        assert_eq!(events(&streamed)[0].id(), said["receipt"]["id"], "{request}");
        assert_eq!(raw.answer().await.status, status, "{request}");
        assert_eq!(raw.get("/v1/status", "").await.status, 200, "{request}");
    }
}

#[tokio::test]
async fn a_connection_has_one_stream_after_another() {
    let service = Service::start().await;
    let mut raw = service.raw().await;
    let mut cursor = service.head().await;
    for n in 0..3 {
        let query = format!("topic=room/x&max_age=1&cursor={cursor}");
        raw.ask(&format!("/v1/stream?{query}"), "").await;
        assert!(raw.read_until("event: hello").await);
        service.say("x", json!({ "n": n })).await.ok();

        let body = raw.answer().await.body;

        let told = events(&body);
        assert_eq!((told.len(), &told[0].data()["n"]), (1, &json!(n)));
        cursor = frames(&body).last().unwrap().json["cursor"].as_str().unwrap().to_owned();
    }
    service.metric_is("teawire_streams", 0).await;
    left_the_dispatcher(&service, 0).await;
}

#[tokio::test]
async fn a_stream_that_is_to_be_the_last_on_its_connection_is() {
    let service = Service::start().await;
    let mut raw = service.raw().await;
    raw.ask("/v1/stream?topic=room/x&max_age=1", "Connection: close\r\n").await;

    raw.read_to_end().await;

    assert!(raw.read.ends_with(b"\n\n\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&raw.read));
}

#[tokio::test]
async fn a_connection_is_kept_after_its_stream_as_after_any_answer() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_HTTP__HEAD_SECONDS", 1);
    })
    .await;
    let mut raw = stream(&service, "topic=room/x&max_age=1").await;
    let mut longer = stream(&service, "topic=room/x&max_age=4").await;
    raw.answer().await;
    longer.answer().await;
    // Longer than the head of a request may take, but none was begun.
    assert_eq!(raw.get("/v1/status", "").await.status, 200);
}

#[tokio::test]
async fn a_stream_too_far_behind_is_given_the_past_and_then_the_present_again() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_EVENTS__RECENT_EVENTS", 4);
        setup.env("TEAWIRE_STREAMS__WRITE_SECONDS", 60);
    })
    .await;
    let mut slow = service.raw_with_little_room();
    slow.ask("/v1/stream?topic=room/x", "").await;
    assert!(slow.read_until("event: hello").await);
    left_the_dispatcher(&service, 1).await;
    const BATCHES: usize = 16;
    for batch in 0..BATCHES {
        let body = message_batch("x", batch * 8..batch * 8 + 8, &"x".repeat(30_000));
        service.post(&service.merchant("m1"), "/v1/events", body).await.ok();
    }

    let told = async |slow: &mut crate::harness::Raw, id: &Value| {
        let id = id.as_str().unwrap();
        assert!(slow.read_until(&format!("id: {id}\n")).await);
        assert!(slow.read_until("\n\n\r\n").await);
    };
    let caught_up = service.say("x", json!({ "n": BATCHES * 8 })).await.ok();
    told(&mut slow, &caught_up["receipt"]["id"]).await;
    if hands_over() {
        assert!(service.metric("teawire_readers_fell_behind_total").await > 0.0);
    }
    // It is back among the others, and needs no more of the database.
    left_the_dispatcher(&service, 1).await;
    let reads = service.metric("teawire_log_reads_total").await;
    assert!(reads > 0.0);
    for n in 1..=3 {
        let said = service.say("x", json!({ "n": BATCHES * 8 + n })).await.ok();
        told(&mut slow, &said["receipt"]["id"]).await;
    }
    assert_eq!(service.metric("teawire_log_reads_total").await, reads);

    let head = slow.read.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    let events = events(&chunks_of(&slow.read[head..]).0);
    assert_eq!(events.len(), BATCHES * 8 + 4);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.data()["n"], n);
    }
}

#[tokio::test]
async fn a_thousand_who_each_follow_their_own_are_told_of_no_other_and_forgotten() {
    const ROOMS: usize = 1_000;
    let service = Service::start().await;
    let mut readers = Vec::new();
    for n in 0..ROOMS {
        readers.push(stream(&service, &format!("topic=room/r{n}")).await);
    }
    left_the_dispatcher(&service, ROOMS as u32).await;
    service.metric_is("teawire_followed_topics", ROOMS as u32).await;

    let token = service.merchant("m1");
    for round in 0..2 {
        let one = |n| {
            let data = json!({ "n": n, "round": round });
            json!({ "topics": [format!("room/r{n}")], "type": "room.message", "data": data })
        };
        let batch: Vec<Value> = (0..ROOMS).map(one).collect();
        let answer = service.post(&token, "/v1/events", json!(batch)).await.ok();
        for receipt in answer["receipts"].as_array().unwrap() {
            assert_eq!(receipt["subscribers"], 1);
        }
    }

    for (n, reader) in readers.iter_mut().enumerate() {
        assert!(reader.read_until("\"round\":1").await);
        assert!(reader.read_until("\n\n\r\n").await);
        let text = String::from_utf8_lossy(&reader.read);
        assert_eq!(text.matches("event: room.message").count(), 2, "{text}");
        assert_eq!(text.matches(&format!("\"n\":{n},\"round\"")).count(), 2, "{text}");
    }
    drop(readers);
    service.metric_is("teawire_streams", 0).await;
    service.metric_is("teawire_followed_topics", 0).await;
    service.metric_is("teawire_reader_groups", 0).await;
    left_the_dispatcher(&service, 0).await;
}

#[tokio::test]
async fn who_comes_back_soon_costs_the_database_nothing() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.product_with("keemun", json!({ "category": "black", "market": "anxi" })).await;
    let start = service.head().await;
    let mut expected = Vec::new();
    for n in 1..=20 {
        let price = service.price("longjing", format!("10{}.00", n % 2)).await.ok();
        let stock = service.set_stock("keemun", n).await.ok();
        service.set_stock("longjing", n).await.ok();
        service.say("x", json!({ "n": n })).await.ok();
        for answer in [price, stock] {
            expected.extend(answer["receipt"]["id"].as_str().map(str::to_owned));
        }
    }
    let reads = service.metric("teawire_log_reads_total").await;

    let query = "topic=product/keemun,price/*,market/fangcun,room/x\
                 &type=price.changed,stock.changed&product=keemun,longjing";
    let mut follower = service.listen(service.stream(&format!("{query}&cursor={start}"))).await;
    let told = follower.collect(expected.len()).await;
    let poll = service.poll(&format!("{query}&cursor={start}&wait=0")).await;

    let ids: Vec<&str> = told.iter().map(|event| event.id()).collect();
    assert_eq!(ids, expected);
    let polled = poll["events"].as_array().unwrap().iter();
    assert_eq!(polled.map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!(service.metric("teawire_log_reads_total").await, reads);
}
