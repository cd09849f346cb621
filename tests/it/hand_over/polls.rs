//! Polls that come again on a connection that has left.

use super::{left_the_dispatcher, numbers, poll, polled, polls_wait};
use crate::harness::{Raw, RawAnswer, Service, hands_over};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// What every answer has of its own.
const OWN: [&str; 5] =
    ["content-length", "date", "x-request-id", "ratelimit-remaining", "ratelimit-reset"];

/// The headers that answers have in common, and the names of the others.
fn common(answer: &RawAnswer) -> BTreeMap<String, String> {
    let mut headers = answer.headers.clone();
    for name in OWN {
        if let Some(value) = headers.get_mut(name) {
            value.clear();
        }
    }
    headers
}

fn cursor(answer: &Value) -> &str {
    answer["cursor"].as_str().unwrap()
}

#[tokio::test]
async fn polls_on_one_connection_miss_nothing_and_repeat_nothing() {
    let service = Service::start().await;
    let mut raw = service.raw().await;
    let mut at = service.head().await;
    let mut told = Vec::new();
    let mut asked = HashSet::new();
    for round in 0..12_u64 {
        raw.ask(&poll("room/x", &at), "").await;
        polls_wait(&service, 1).await;
        left_the_dispatcher(&service, 1).await;
        for n in 0..3 {
            service.say("x", json!({ "n": round * 3 + n })).await.ok();
        }
        loop {
            let answer = raw.answer().await;
            assert!(asked.insert(answer.headers["x-request-id"].clone()), "{answer:?}");
            let answer = answer.ok();
            told.extend(numbers(&answer));
            at = cursor(&answer).to_owned();
            if told.last() == Some(&(round * 3 + 2)) {
                break;
            }
            // What did not come with the first is there by now, or soon.
            raw.ask(&poll("room/x", &at), "").await;
        }
    }
    assert_eq!(told, (0..36).collect::<Vec<_>>());
    assert!(raw.read.is_empty());
}

#[tokio::test]
async fn an_answer_looks_the_same_whoever_gave_it() {
    for limits in [false, true] {
        let service = Service::with(|setup| {
            setup.env("TEAWIRE_LIMITS__ENABLED", limits);
            setup.env("TEAWIRE_HTTP__ALLOWED_ORIGINS", "https://shop.example");
        })
        .await;
        for headers in ["", "Origin: https://shop.example\r\nAccept-Language: zh\r\n"] {
            // By the dispatcher, at once: there is something.
            let before = service.head().await;
            service.say("x", json!({ "n": "first" })).await.ok();
            let mut raw = service.raw().await;
            let at_once = raw.get(&poll("room/x", &before), headers).await;
            assert_eq!(at_once.status, 200, "{at_once:?}");
            let mut at = cursor(&at_once.json).to_owned();
            // By whoever has the connection: the first time, and when it comes again.
            for _ in 0..3 {
                raw.ask(&poll("room/x", &at), headers).await;
                polls_wait(&service, 1).await;
                service.say("x", json!({ "n": "first" })).await.ok();
                let answer = raw.answer().await;
                assert_eq!(common(&answer), common(&at_once), "{headers:?}");
                assert_eq!(answer.body.last(), Some(&b'\n'));
                let members = |answer: &RawAnswer| {
                    let members = answer.json.as_object().unwrap();
                    members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
                };
                assert_eq!(members(&answer), members(&at_once));
                at = cursor(&answer.json).to_owned();
            }
        }
    }
}

#[tokio::test]
async fn a_poll_is_counted_once() {
    let service = Service::start().await;
    let (mut raw, at) = polled(&service, "").await;
    raw.ask(&poll("room/x", &at), "").await;
    polls_wait(&service, 1).await;
    service.say("x", json!({ "n": 2 })).await.ok();
    raw.answer().await.ok();

    let metrics = service.get(&format!("{}/metrics", service.ops())).await.text;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("teawire_requests_total") && line.contains("\"/v1/poll\""));
    assert!(line.is_some_and(|line| line.ends_with(" 2")), "{line:?}");
}

/// What else may be asked on the connection of a poll, and what must come of it.
type Case = (&'static str, fn(&str) -> (String, String), fn(&RawAnswer));

const CASES: [Case; 7] = [
    (
        "another resource",
        |_| ("/v1/status".into(), String::new()),
        |answer| assert_eq!(answer.json["name"], "teawire"),
    ),
    (
        "another topic",
        |_| ("/v1/poll?topic=room/y&cursor=earliest&wait=50".into(), String::new()),
        |answer| {
            let events = answer.json["events"].as_array().unwrap();
            assert_eq!(events.len(), 1);
            assert_eq!(events[0]["topics"], json!(["room/y"]));
        },
    ),
    (
        "with a token",
        |at| (poll("room/x,merchant/m1", at), "Authorization: Bearer M1\r\n".into()),
        |answer| assert_eq!(answer.status, 200),
    ),
    (
        "with a token of no use",
        |at| (poll("room/x", at), "Authorization: Bearer nonsense\r\n".into()),
        |answer| assert_eq!((answer.status, &answer.json["code"]), (401, &json!("bad_token"))),
    ),
    (
        "without waiting",
        |at| (format!("/v1/poll?topic=room/x&cursor={at}&wait=0"), String::new()),
        |answer| {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json["events"], json!([]));
            assert_eq!(answer.json["more"], false);
        },
    ),
    (
        "with a cursor of nobody's",
        |_| (poll("room/x", "nonsense"), String::new()),
        |answer| assert_eq!(answer.json["reset"]["reason"], "unknown"),
    ),
    (
        "with a parameter of no use",
        |at| (format!("{}&limit=0", poll("room/x", at)), String::new()),
        |answer| assert_eq!((answer.status, &answer.json["field"]), (422, &json!("limit"))),
    ),
];

#[tokio::test]
async fn whatever_else_is_asked_between_two_polls_is_answered_as_ever() {
    let service = Service::start().await;
    service.say("y", json!({ "n": 0 })).await.ok();
    let (mut raw, mut at) = polled(&service, "").await;
    for (what, ask, check) in CASES {
        let (target, headers) = ask(&at);
        let headers = headers.replace("M1", &service.merchant("m1"));
        if what == "with a token" {
            raw.ask(&target, &headers).await;
            polls_wait(&service, 1).await;
            service.say("x", json!({ "n": 1 })).await.ok();
            let answer = raw.answer().await;
            check(&answer);
            at = cursor(&answer.json).to_owned();
        } else {
            let answer = raw.get(&target, &headers).await;
            check(&answer);
        }
        again(&service, &mut raw, &mut at).await;
    }
}

/// A poll that waits, on a connection that had something else to do.
async fn again(service: &Service, raw: &mut Raw, at: &mut String) {
    raw.ask(&poll("room/x", at), "").await;
    polls_wait(service, 1).await;
    left_the_dispatcher(service, 1).await;
    let said = service.say("x", json!({ "n": 1 })).await.ok();
    let answer = raw.answer().await.ok();
    assert_eq!(answer["events"][0]["id"], said["receipt"]["id"]);
    *at = cursor(&answer).to_owned();
}

#[tokio::test]
async fn a_write_between_two_polls_is_done() {
    let service = Service::start().await;
    service.product("longjing").await;
    let (mut raw, mut at) = polled(&service, "").await;
    for price in ["101.00", "102.00"] {
        let body = json!({ "price": price }).to_string();
        raw.write(format!(
            "PUT /v1/products/longjing/price HTTP/1.1\r\nHost: tea\r\n\
             Content-Type: application/json\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            service.merchant("m1"),
            body.len()
        ))
        .await;
        assert_eq!(raw.answer().await.ok()["price"], price);
        assert_eq!(service.shown("longjing").await["price"], price);
        again(&service, &mut raw, &mut at).await;
    }
}

#[tokio::test]
async fn the_last_event_id_wins_over_the_cursor_on_whatever_connection() {
    let service = Service::start().await;
    let (mut raw, before) = polled(&service, "").await;
    let mut at = before.clone();
    again(&service, &mut raw, &mut at).await;

    let names = ["Last-Event-ID", "last-event-id", "LAST-EVENT-ID"];
    for (more, name) in names.into_iter().enumerate() {
        let answer = raw.get(&poll("room/x", &at), &format!("{name}: {before}\r\n")).await.ok();
        assert_eq!(numbers(&answer), vec![1; more + 1], "{name}");
        again(&service, &mut raw, &mut at).await;
    }
}

#[tokio::test]
async fn the_same_cursor_twice_is_the_same_events_whoever_answers() {
    let service = Service::start().await;
    let (mut raw, before) = polled(&service, "").await;
    let mut at = before.clone();
    again(&service, &mut raw, &mut at).await;
    again(&service, &mut raw, &mut at).await;

    let once = raw.get(&poll("room/x", &before), "").await.ok();
    let twice = raw.get(&poll("room/x", &before), "").await.ok();
    let elsewhere = service.poll(&format!("topic=room/x&cursor={before}&wait=0")).await;

    assert_eq!(numbers(&once), [1, 1]);
    for answer in [&twice, &elsewhere] {
        assert_eq!((&answer["events"], &answer["cursor"]), (&once["events"], &once["cursor"]));
    }
}

#[tokio::test]
async fn who_says_close_is_hung_up_on_after_the_answer() {
    let service = Service::start().await;
    let one = |version: &str, cursor: &str, headers: &str| {
        format!("GET {} {version}\r\nHost: tea\r\n{headers}\r\n", poll("room/x", cursor))
    };
    for (version, headers) in [("HTTP/1.1", "Connection: close\r\n"), ("HTTP/1.0", "")] {
        // As the first thing on a connection, and as the next.
        for first in [true, false] {
            let (mut raw, mut at) = polled(&service, "").await;
            if first {
                (raw, at) = (service.raw().await, service.head().await);
            }
            raw.write(one(version, &at, headers)).await;
            polls_wait(&service, 1).await;
            let said = service.say("x", json!({ "n": 1 })).await.ok();
            raw.read_to_end().await;
            let answer = String::from_utf8(raw.read).unwrap();
            let id = said["receipt"]["id"].as_str().unwrap();
            assert!(answer.contains(" 200 OK\r\n"), "{version} {first}: {answer}");
            assert!(answer.contains(&format!("\"id\":\"{id}\"")), "{version} {first}: {answer}");
            assert!(answer.ends_with("}\n"), "{version} {first}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_limit_holds_for_every_answer_of_a_connection() {
    let service = Service::start().await;
    let mut at = service.head().await;
    let mut raw = service.raw().await;
    let limited = |at: &str| format!("{}&limit=2", poll("room/x", at));
    raw.ask(&limited(&at), "").await;
    polls_wait(&service, 1).await;
    let token = service.merchant("m1");
    let batch = crate::harness::message_batch("x", 0..7, "");
    service.post(&token, "/v1/events", batch).await.ok();

    let mut told = Vec::new();
    for more in [true, true, true, false] {
        let answer = raw.answer().await.ok();
        assert_eq!(answer["more"], more, "{answer}");
        told.push(numbers(&answer));
        at = cursor(&answer).to_owned();
        if more {
            raw.ask(&limited(&at), "").await;
        }
    }
    assert_eq!(told, [vec![0, 1], vec![2, 3], vec![4, 5], vec![6]]);
}

#[tokio::test]
async fn a_wait_that_is_over_is_an_empty_answer_and_the_next_one_waits_again() {
    let service = Service::start().await;
    let (mut raw, at) = polled(&service, "").await;
    // Others have events meanwhile; the cursor moves over them.
    let brief = |at: &str| format!("/v1/poll?topic=room/x&cursor={at}&wait=1");
    raw.ask(&brief(&at), "").await;
    polls_wait(&service, 1).await;
    let other = service.say("y", json!({})).await.ok();

    let empty = raw.answer().await.ok();
    assert_eq!(empty["events"], json!([]));
    assert_eq!((&empty["more"], &empty["reset"]), (&json!(false), &Value::Null));
    assert_eq!(empty["retry_after_ms"], 0);
    assert_eq!(empty["cursor"], other["receipt"]["id"]);

    raw.ask(&brief(cursor(&empty)), "").await;
    let again = raw.answer().await.ok();
    assert_eq!((&again["events"], &again["cursor"]), (&json!([]), &empty["cursor"]));
    if hands_over() {
        // It was here all the time.
        left_the_dispatcher(&service, 1).await;
    }
}

#[tokio::test]
async fn who_has_gone_from_memory_is_given_the_past_on_the_same_connection() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_EVENTS__RECENT_EVENTS", 4);
    })
    .await;
    let (mut raw, mut at) = polled(&service, "").await;
    let token = service.merchant("m1");
    let batch = crate::harness::message_batch("x", 0..30, "");
    service.post(&token, "/v1/events", batch).await.ok();

    let mut told = Vec::new();
    while told.len() < 30 {
        let answer = raw.get(&poll("room/x", &at), "").await.ok();
        told.extend(numbers(&answer));
        at = cursor(&answer).to_owned();
    }
    assert_eq!(told, (0..30).collect::<Vec<_>>());
    again(&service, &mut raw, &mut at).await;
}

#[tokio::test]
async fn who_comes_back_is_one_subscriber_and_who_does_not_is_none_for_long() {
    let service = Service::start().await;
    let (mut raw, mut at) = polled(&service, "").await;
    for n in 0..3 {
        raw.ask(&poll("room/x", &at), "").await;
        polls_wait(&service, 1).await;
        let told = service.say("x", json!({ "n": n })).await.ok();
        assert_eq!(told["receipt"]["subscribers"], 1);
        at = cursor(&raw.answer().await.ok()).to_owned();
    }

    service.metric_is("teawire_followed_topics", 0).await;
    let nobody = service.say("x", json!({ "n": 3 })).await.ok();
    assert_eq!(nobody["receipt"]["subscribers"], 0);
    assert_eq!(numbers(&raw.get(&poll("room/x", &at), "").await.ok()), [3]);
}
