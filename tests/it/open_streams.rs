//! The topics of a stream can be changed while it is open.

use crate::harness::{Answer, Follower, Service, message_batch};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Changes the topics of `stream` as nobody in particular.
async fn change(service: &Service, stream: &str, wish: Value) -> Answer {
    let path = format!("/v1/streams/{stream}/topics");
    service.send(service.request(Method::PUT, &path).json(&wish)).await
}

/// A stream of `topics`, and its id.
async fn open(service: &Service, topics: &str) -> (Follower, String) {
    let mut follower = service.open(service.stream(&format!("topic={topics}"))).await;
    let hello = follower.hello().await;
    (follower, hello.json["stream"].as_str().unwrap().to_owned())
}

/// The position that a cursor or an id names.
fn position(id: &Value) -> u64 {
    u64::from_str_radix(id.as_str().unwrap().split_once('-').unwrap().1, 36).unwrap()
}

async fn say(service: &Service, room: &str) -> Value {
    service.say(room, json!({})).await.ok()["receipt"]["id"].clone()
}

#[tokio::test]
async fn topics_are_added_and_dropped_and_the_stream_is_told_from_where_on() {
    let service = Service::start().await;
    let (mut follower, stream) = open(&service, "room/a,room/b").await;
    // Whether it is still with the dispatcher, or has left it.
    for round in 0..2 {
        let before = say(&service, "a").await;
        assert_eq!(follower.next().await.json["id"], before);
        let wish = json!({ "add": ["room/c"], "drop": ["room/b"] });
        let told = change(&service, &stream, wish).await.ok();
        assert_eq!(told["topics"], json!(["room/a", "room/c"]), "{round}");
        let control = follower.next().await;
        assert_eq!((&*control.kind, &control.json["topics"]), ("topics", &told["topics"]));
        assert_eq!(control.json["cursor"], told["cursor"]);
        assert_eq!(control.id(), told["cursor"].as_str().unwrap());
        say(&service, "b").await;
        let (c, a) = (say(&service, "c").await, say(&service, "a").await);
        assert_eq!(follower.next().await.json["id"], c);
        assert_eq!(follower.next().await.json["id"], a);

        let told = change(&service, &stream, json!({ "topics": ["room/a", "room/b"] })).await.ok();
        assert_eq!(told["topics"], json!(["room/a", "room/b"]));
        assert_eq!(follower.next().await.kind, "topics");
    }
    let said = service.say("b", json!({})).await.ok();
    assert_eq!(said["receipt"]["subscribers"], 1, "who follows is counted as before");
    let said = service.say("c", json!({})).await.ok();
    assert_eq!(said["receipt"]["subscribers"], 0);
    drop(follower);
    service.metric_is("teawire_streams", 0).await;
    service.metric_is("teawire_followed_topics", 0).await;
}

#[tokio::test]
async fn whatever_is_changed_while_events_come_each_is_told_once_if_it_is_followed_there() {
    const ROOMS: usize = 6;
    let service = Service::start().await;
    let (follower, stream) = open(&service, "room/r0").await;
    let (published, changes) = tokio::join!(
        async {
            let mut published = Vec::new();
            for n in 0..120 {
                let room = n * 7 % ROOMS;
                let batch = message_batch(&format!("r{room}"), 0..1 + n % 5, "");
                let admin = service.admin();
                let receipts = service.post(&admin, "/v1/events", batch).await.ok();
                for receipt in receipts["receipts"].as_array().unwrap() {
                    published.push((position(&receipt["id"]), room));
                }
            }
            published
        },
        async {
            let mut changes = vec![(0, BTreeSet::from([0]))];
            for n in 0..30_usize {
                let (add, drop) = (n * 5 % ROOMS, (n * 3 + 1) % ROOMS);
                let name = |room: &usize| format!("room/r{room}");
                let mut model = changes[changes.len() - 1].1.clone();
                let wish = if n % 4 == 3 || add == drop {
                    model = BTreeSet::from([add, n % ROOMS]);
                    json!({ "topics": model.iter().map(name).collect::<Vec<_>>() })
                } else {
                    model.remove(&drop);
                    model.insert(add);
                    json!({ "add": [name(&add)], "drop": [name(&drop)] })
                };
                let told = change(&service, &stream, wish).await.ok();
                let names: Vec<String> = model.iter().map(name).collect();
                assert_eq!(told["topics"], json!(names));
                changes.push((position(&told["cursor"]), model));
            }
            changes
        },
    );
    // The last word is for whoever is still listening.
    change(&service, &stream, json!({ "add": ["room/end"] })).await.ok();
    let end = say(&service, "end").await;
    let wanted: Vec<u64> = published
        .iter()
        .filter(|(seq, room)| {
            let (_, topics) = changes.iter().rfind(|(from, _)| from < seq).unwrap();
            topics.contains(room)
        })
        .map(|(seq, _)| *seq)
        .collect();
    let (told, controls) = until(follower, &end).await;
    assert_eq!(told, wanted);
    // A reader that is behind is told of several changes at once, the last of them.
    assert!(controls.iter().all(
        |at| changes.iter().any(|(from, _)| from == at) || *at >= changes[changes.len() - 1].0
    ));
    assert!(!wanted.is_empty() && wanted.len() < published.len());
}

/// The positions of events up to `end`, and the cursors of `topics`.
async fn until(mut follower: Follower, end: &Value) -> (Vec<u64>, Vec<u64>) {
    let (mut told, mut controls) = (Vec::new(), Vec::new());
    loop {
        let frame = follower.next_frame().await.unwrap();
        match &*frame.kind {
            "heartbeat" => {}
            "topics" => controls.push(position(&frame.json["cursor"])),
            "room.message" if frame.json["id"] == *end => return (told, controls),
            "room.message" => told.push(position(&frame.json["id"])),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn only_whoever_opened_a_stream_changes_it_and_only_to_what_they_may_read() {
    let service = Service::start().await;
    let lin = service.shopper("lin");
    let mut follower = service.open(service.stream("topic=room/a").bearer_auth(&lin)).await;
    let stream = follower.hello().await.json["stream"].as_str().unwrap().to_owned();
    let path = format!("/v1/streams/{stream}/topics");
    let wish = || json!({ "add": ["room/b"] });

    for other in [&service.shopper("wang"), &service.admin(), &service.merchant("m1")] {
        let answer = service.put(other, &path, wish()).await;
        assert_eq!((answer.status, answer.code()), (403, "stream_forbidden"));
    }
    assert_eq!(change(&service, &stream, wish()).await.status, 403);
    for topic in ["merchant/m1", "user/wang"] {
        let answer = service.put(&lin, &path, json!({ "add": ["room/b", topic] })).await;
        assert_eq!((answer.status, answer.code()), (403, "topic_forbidden"));
        assert_eq!(answer.json["field"], "add[1]");
    }
    assert_eq!(service.put(&lin, &path, json!({ "add": ["product/none"] })).await.status, 404);
    let told = service.put(&lin, &path, json!({ "add": ["user/me"] })).await.ok();
    assert_eq!(told["topics"], json!(["room/a", "user/lin"]), "nothing of the rest was done");
}

#[tokio::test]
async fn what_cannot_be_done_with_a_stream_is_refused_and_leaves_it_as_it_is() {
    let service = Service::start().await;
    let (mut follower, stream) = open(&service, "room/a").await;
    let rooms = |n: usize| (0..n).map(|n| format!("room/r{n}")).collect::<Vec<_>>();
    for (wish, field) in [
        (json!({}), "topics"),
        (json!({ "topics": [] }), "topics"),
        (json!({ "drop": ["room/a"] }), "drop"),
        (json!({ "add": ["room/b"], "drop": ["room/b"] }), "drop"),
        (json!({ "topics": ["room/b"], "drop": ["room/b"] }), "topics"),
        (json!({ "add": rooms(100) }), "add"),
        (json!({ "topics": rooms(101) }), "topics"),
        (json!({ "add": "room/b" }), "add"),
        (json!({ "adds": ["room/b"] }), "adds"),
    ] {
        let answer = change(&service, &stream, wish.clone()).await;
        answer.code();
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!(field)), "{wish}");
    }
    let last = stream.chars().last().unwrap();
    let other = format!("{}{}", &stream[..27], if last == '0' { '1' } else { '0' });
    for stream in ["x", "", &other, &stream.to_uppercase(), "00000000000000000000000000000000"] {
        let answer = change(&service, stream, json!({ "add": ["room/b"] })).await;
        assert_eq!(answer.status, 404, "{stream}");
    }
    let said = say(&service, "a").await;
    assert_eq!(follower.next().await.json["id"], said);
    drop(follower);
    service.metric_is("teawire_streams", 0).await;
    let answer = change(&service, &stream, json!({ "add": ["room/b"] })).await;
    assert_eq!((answer.status, answer.code()), (404, "unknown_stream"));
}
