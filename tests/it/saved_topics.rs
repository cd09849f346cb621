//! What a user has saved is followed live on every device.

use crate::harness::{Answer, Follower, Service};
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/v1/me/subscriptions";

async fn put(service: &Service, token: &str, seen: &str, set: Value) -> Answer {
    let request = service.request(Method::PUT, PATH).bearer_auth(token);
    let request = if seen.is_empty() { request } else { request.header("If-Match", seen) };
    service.send(request.json(&set)).await
}

async fn say(service: &Service, room: &str) -> Value {
    service.say(room, json!({})).await.ok()["receipt"]["id"].clone()
}

/// The next `topics`.
async fn turn(follower: &mut Follower) -> Value {
    let frame = follower.next().await;
    assert_eq!(frame.kind, "topics", "{frame:?}");
    assert_eq!(frame.json["cursor"], frame.id());
    frame.json
}

#[tokio::test]
async fn whoever_follows_what_is_saved_goes_on_with_what_is_saved_now() {
    let service = Service::start().await;
    let lin = service.shopper("lin");
    let phone = service.stream("topic=subscribed").bearer_auth(&lin);
    let mut phone = service.open(phone).await;
    let hello = phone.hello().await;
    assert_eq!((&hello.json["topics"], &hello.json["version"]), (&json!([]), &json!(0)));

    let set = put(&service, &lin, "", json!({ "add": ["room/a", "user/me"] })).await;
    assert_eq!(set.header("etag"), Some("\"1\""));
    assert_eq!(set.ok()["topics"], json!(["room/a", "user/lin"]));
    let told = turn(&mut phone).await;
    assert_eq!(told["topics"], json!(["room/a", "user/lin"]));
    assert_eq!((&told["version"], &told["refused"]), (&json!(1), &json!([])));
    let mut desk = service.open(service.stream("topic=subscribed").bearer_auth(&lin)).await;
    assert_eq!(desk.hello().await.json["topics"], told["topics"]);
    let a = say(&service, "a").await;
    say(&service, "b").await;
    for follower in [&mut phone, &mut desk] {
        assert_eq!(follower.next().await.json["id"], a);
    }

    let set = json!({ "topics": ["room/b"], "types": ["room.message"] });
    put(&service, &lin, "\"1\"", set).await.ok();
    for follower in [&mut phone, &mut desk] {
        assert_eq!(turn(follower).await["topics"], json!(["room/b"]));
    }
    say(&service, "a").await;
    let b = say(&service, "b").await;
    assert_eq!(phone.next().await.json["id"], b);
    assert_eq!(desk.next().await.json["id"], b);
    let others =
        service.open(service.stream("topic=subscribed").bearer_auth(service.shopper("wang")));
    assert_eq!(others.await.hello().await.json["topics"], json!([]));
    service.metric_is("teawire_following_saved", 2).await;
}

#[tokio::test]
async fn a_poll_that_waits_is_told_of_the_new_set_and_goes_on_with_it() {
    let service = Service::start().await;
    let lin = service.shopper("lin");
    put(&service, &lin, "", json!({ "add": ["room/a"] })).await.ok();
    let ask = async |cursor: &str| {
        service.get_as(&lin, &format!("/v1/poll?topic=subscribed&cursor={cursor}&wait=50")).await
    };
    let head = service.head().await;
    let (answer, _) = tokio::join!(ask(&head), async {
        service.metric_is("teawire_polls", 1).await;
        put(&service, &lin, "", json!({ "add": ["room/b"] })).await.ok();
    });
    let answer = answer.ok();
    assert_eq!(answer["topics"], json!(["room/a", "room/b"]));
    assert_eq!(answer["version"], 2);
    let said = say(&service, "b").await;
    let next = ask(answer["cursor"].as_str().unwrap()).await.ok();
    assert_eq!(next["events"][0]["id"], said);
    assert!(next.get("topics").is_none());
    let page = service.get_as(&lin, "/v1/events?topic=subscribed").await.ok();
    assert_eq!(page["events"][0]["id"], said);
}

#[tokio::test]
async fn two_devices_do_not_overwrite_each_other_unseen() {
    let service = Service::start().await;
    let lin = service.shopper("lin");
    let set = || json!({ "topics": ["room/a"], "merchants": ["m1"], "min_change": "2.5" });

    let unsaid = put(&service, &lin, "", set()).await;
    assert_eq!((unsaid.status, unsaid.code()), (428, "if_match_required"));
    let saved = put(&service, &lin, "\"0\"", set()).await.ok();
    assert_eq!((&saved["version"], &saved["min_change"]), (&json!(1), &json!("2.50")));
    let stale = put(&service, &lin, "\"0\"", set()).await;
    assert_eq!((stale.status, stale.code()), (412, "version_changed"));
    assert_eq!(stale.header("etag"), Some("\"1\""));
    let same = put(&service, &lin, "\"1\"", set()).await.ok();
    assert_eq!(same["version"], 1, "what changes nothing is no change");
    let shown = service.get_as(&lin, PATH).await;
    assert_eq!(shown.header("etag"), Some("\"1\""));
    assert_eq!(shown.ok(), saved);
    let known = put(&service, &lin, "*", json!({ "topics": [] })).await.ok();
    assert_eq!((&known["version"], &known["topics"]), (&json!(2), &json!([])));
}

#[tokio::test]
async fn what_cannot_be_saved_is_refused_by_name_and_changes_nothing() {
    let service = Service::start().await;
    let lin = service.shopper("lin");
    let rooms = |n: usize| (0..n).map(|n| format!("room/r{n}")).collect::<Vec<_>>();
    put(&service, &lin, "", json!({ "add": rooms(100) })).await.ok();
    for (set, status, field) in [
        (json!({ "add": ["room/one-more"] }), 422, json!("add")),
        (json!({ "topics": rooms(101) }), 422, json!("topics")),
        (json!({ "add": ["room/a"], "types": ["room.message"] }), 422, json!("types")),
        (json!({ "topics": [], "types": ["room.massage"] }), 422, json!("types[0]")),
        (json!({ "topics": [], "merchants": ["a b"] }), 422, json!("merchants[0]")),
        (json!({ "topics": [], "min_change": "-1" }), 422, json!("min_change")),
        (json!({ "topics": ["merchant/m1"] }), 403, json!("topics[0]")),
        (json!({ "topics": ["user/wang"] }), 403, json!("topics[0]")),
        (json!({ "topics": ["price/none"] }), 404, Value::Null),
        (json!({}), 422, json!("topics")),
    ] {
        let answer = put(&service, &lin, "*", set.clone()).await;
        answer.code();
        assert_eq!(answer.status, status, "{set}: {}", answer.text);
        assert!(field.is_null() || answer.json["field"] == field, "{set}: {}", answer.text);
    }
    let bad = put(&service, &lin, "tea", json!({ "topics": [] })).await;
    assert_eq!((bad.status, &bad.json["field"]), (422, &json!("If-Match")));
    assert_eq!(service.get_as(&lin, PATH).await.ok()["version"], 1);
    assert_eq!(service.get(PATH).await.status, 401);
    assert_eq!(service.get("/v1/stream?topic=subscribed").await.status, 401);
    for query in ["topic=subscribed,room/a", "topic=subscribed&type=room.message"] {
        let answer = service.get_as(&lin, &format!("/v1/poll?{query}")).await;
        assert_eq!((answer.status, answer.code()), (422, "bad_topics"), "{query}");
    }
    let stream = service.stream("topic=subscribed").bearer_auth(&lin);
    let mut follower = service.open(stream).await;
    let id = follower.hello().await.json["stream"].clone();
    let path = format!("/v1/streams/{}/topics", id.as_str().unwrap());
    let answer = service.put(&lin, &path, json!({ "add": ["room/a"] })).await;
    assert_eq!((answer.status, answer.code()), (409, "stream_follows_saved"));
}

#[tokio::test]
async fn what_somebody_may_not_read_any_more_is_left_out_and_they_are_told() {
    let service = Service::start().await;
    let merchant = service.merchant("m1");
    put(&service, &merchant, "", json!({ "add": ["merchant/m1", "room/a"] })).await.ok();
    // The same user, with a token that says less.
    let whole = service.get_as(&merchant, PATH).await.ok();
    assert_eq!(whole["refused"], json!([]));
    let less = service.shopper("m1");
    let stream = service.stream("topic=subscribed").bearer_auth(&less);
    let mut follower = service.open(stream).await;
    let hello = follower.hello().await;
    assert_eq!(hello.json["topics"], json!(["room/a"]));
    assert_eq!(hello.json["refused"], json!(["merchant/m1"]));
    put(&service, &merchant, "", json!({ "add": ["room/b"] })).await.ok();
    let told = turn(&mut follower).await;
    assert_eq!(told["topics"], json!(["room/a", "room/b"]));
    assert_eq!(told["refused"], json!(["merchant/m1"]));
}

#[tokio::test]
async fn whoever_asked_for_ascii_is_told_in_ascii_whatever_is_saved_by_then() {
    let service = Service::start().await;
    let lin = service.shopper("lin");
    let stream = service.stream("topic=subscribed&ascii=true").bearer_auth(&lin);
    let mut follower = service.listen(stream).await;
    let wish = json!({ "add": ["room/a"] });
    service.put(&lin, "/v1/me/subscriptions", wish).await.ok();
    assert_eq!(follower.next().await.kind, "topics");

    service.say("a", json!({ "text": "今晚八点开仓" })).await.ok();

    let told = follower.next().await;
    assert!(told.raw.is_ascii(), "{}", told.raw);
    assert_eq!(told.data()["text"], "今晚八点开仓");
}
