use crate::harness::{Api, Service};
use reqwest::header::HeaderValue;
use serde_json::json;

/// Says `range` in room `x`, in order.
async fn count(service: &Api, range: std::ops::RangeInclusive<i32>) {
    for n in range {
        assert_eq!(service.say("x", json!({ "n": n })).await.status, 201);
    }
}

#[tokio::test]
async fn a_follower_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let service = Service::start().await;
    service.product("longjing").await;
    let mut follower = service.follow("product/longjing").await;
    service.set_price("longjing", "100.01").await;
    let seen = follower.next().await;
    drop(follower);

    for fen in 2..=60 {
        service.set_price("longjing", &format!("100.{fen:02}")).await;
    }
    let mut follower = service.follow_after("product/longjing", Some(seen.id())).await;
    service.set_price("longjing", "101.00").await;

    for fen in 2..=60 {
        assert_eq!(follower.next().await.data()["price"], format!("100.{fen:02}"));
    }
    assert_eq!(follower.next().await.data()["price"], "101.00");
}

#[tokio::test]
async fn a_greeting_is_enough_to_come_back_with() {
    let service = Service::start().await;
    count(&service, 1..=3).await;
    let hello = service.open(service.stream("topic=room/x")).await.hello().await;
    assert_eq!(hello.json["cursor"], hello.id());
    count(&service, 4..=5).await;

    let mut follower = service.follow_after("room/x", Some(hello.id())).await;

    assert_eq!(follower.next().await.data()["n"], 4);
    assert_eq!(follower.next().await.data()["n"], 5);
}

#[tokio::test]
async fn a_greeting_says_what_a_client_needs_to_know() {
    let service = Service::start().await;

    let mut follower = service.open(service.stream("topic=price/green&topic=arrivals")).await;

    let hello = follower.hello().await;
    assert!(follower.retry().unwrap() >= 1000);
    assert_eq!(hello.json["topics"], json!(["price/green", "arrivals"]));
    assert_eq!(hello.json["heartbeat_ms"], 15_000);
    assert!(hello.json["stream"].is_string() && hello.json["server_time"].is_string());
    let header = |name| follower.headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert!(header("content-type").starts_with("text/event-stream"));
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-accel-buffering"), "no");
}

#[tokio::test]
async fn a_heartbeat_is_an_event_without_an_id() {
    let quick = |setup: &mut crate::harness::Setup| {
        setup.env("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", 1);
    };
    let service = Service::with(quick).await;
    let mut follower = service.follow("price/green").await;

    let heartbeat = follower.next_frame().await.unwrap();

    assert_eq!((heartbeat.kind.as_str(), heartbeat.id), ("heartbeat", None));
    assert!(heartbeat.json["server_time"].is_string());
}

#[tokio::test]
async fn the_last_event_id_wins_over_the_cursor_of_the_address() {
    let service = Service::start().await;
    count(&service, 1..=4).await;
    let events = service.whole_history("room/x").await;
    let id = |n: usize| events[n - 1]["id"].as_str().unwrap();
    let query = format!("topic=room/x&cursor={}", id(1));

    let mut by_cursor = service.listen(service.stream(&query)).await;
    let request = service.stream(&query).header("Last-Event-ID", id(3));
    let mut by_header = service.listen(request).await;

    assert_eq!(by_cursor.next().await.data()["n"], 2);
    assert_eq!(by_header.next().await.data()["n"], 4);
}

#[tokio::test]
async fn earliest_is_the_oldest_event_that_is_kept() {
    let service = Service::start().await;
    count(&service, 1..=3).await;

    let mut follower = service.listen(service.stream("topic=room/x&cursor=earliest")).await;

    for n in 1..=3 {
        assert_eq!(follower.next().await.data()["n"], n);
    }
    let poll = service.poll("topic=room/x&cursor=earliest&wait=0").await;
    assert_eq!(poll["events"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn without_a_cursor_a_stream_begins_now() {
    let service = Service::start().await;
    count(&service, 1..=3).await;

    let mut follower = service.follow("room/x").await;
    count(&service, 4..=4).await;

    assert_eq!(follower.next().await.data()["n"], 4);
}

#[tokio::test]
async fn a_cursor_of_another_database_is_told_so() {
    let (service, other) = tokio::join!(Service::start(), Service::start());
    count(&service, 1..=3).await;
    count(&other, 1..=2).await;
    let foreign = other.head().await;

    let mut follower = service.follow_after("room/x", Some(&foreign)).await;
    let reset = follower.next_control().await;
    assert_eq!((reset.kind.as_str(), &reset.json["reason"]), ("reset", &json!("epoch_changed")));
    assert!(reset.json["server_time"].is_string());
    count(&service, 4..=4).await;
    assert_eq!(follower.next().await.data()["n"], 4);

    let poll = service.poll(&format!("topic=room/x&cursor={foreign}&wait=5")).await;
    assert_eq!(poll["reset"], json!({ "reason": "epoch_changed" }));
    assert_eq!(poll["cursor"].as_str().unwrap(), service.head().await);
}

#[tokio::test]
async fn a_cursor_that_is_none_is_told_so_and_the_stream_goes_on() {
    let service = Service::start().await;
    let head = service.head().await;
    let long = "a".repeat(4000);
    let beyond = format!("{head}zz");
    let cursors =
        ["garbage", "-", "a-", "0", "-1", "a-b-c", "%00", "null", "a b", "é", &long, &beyond];
    for cursor in cursors {
        let header = HeaderValue::from_bytes(cursor.as_bytes()).unwrap();
        let request = service.stream("topic=room/x").header("Last-Event-ID", header);
        let mut follower = service.listen(request).await;
        let reset = follower.next_control().await;
        assert_eq!(reset.kind, "reset", "{cursor}");
        assert!(["unknown", "epoch_changed"].contains(&reset.json["reason"].as_str().unwrap()));

        let told = service.say("x", json!({ "after": cursor })).await.ok();
        assert_eq!(follower.next().await.id(), told["receipt"]["id"], "{cursor}");
        let at = reset.json["cursor"].as_str().unwrap();
        let mut again = service.follow_after("room/x", Some(at)).await;
        assert_eq!(again.next().await.id(), told["receipt"]["id"], "{cursor}");
    }
    for cursor in ["garbage", "%00", "%ff%fe", "a%0d%0ab", "%E9%BE%99", &long] {
        let poll = service.poll(&format!("topic=room/x&cursor={cursor}&wait=5")).await;
        assert!(poll["reset"]["reason"].is_string(), "{cursor}: {poll}");
        let query = format!("topic=room/x&cursor={cursor}");
        let mut follower = service.listen(service.stream(&query)).await;
        assert_eq!(follower.next_control().await.kind, "reset", "{cursor}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_a_goodbye_when_its_reader_wanted_no_more() {
    let service = Service::start().await;
    count(&service, 1..=1).await;

    let follower = service.listen(service.stream("topic=room/x&max_age=1&cursor=earliest")).await;

    let bye = follower.bye("max_age").await;
    assert_eq!(bye.json["cursor"].as_str().unwrap(), service.head().await);
}

#[tokio::test]
async fn a_cursor_outlives_the_process() {
    let mut service = Service::start().await;
    count(&service, 1..=2).await;
    let seen = service.whole_history("room/x").await[0]["id"].as_str().unwrap().to_owned();

    service.kill().await;
    service.restart().await;

    let mut follower = service.follow_after("room/x", Some(&seen)).await;
    assert_eq!(follower.next().await.data()["n"], 2);
}
