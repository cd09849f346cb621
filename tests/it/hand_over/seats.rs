//! What a caller may take of the house is counted, wherever their connection is.

use super::{left_the_dispatcher, poll, polls_wait, stream};
use crate::harness::{Raw, Service, Setup};
use serde_json::json;

fn limited(setup: &mut Setup) {
    setup.env("TEAWIRE_LIMITS__ENABLED", true);
    setup.env("TEAWIRE_LIMITS__OPENS_BURST", 500);
    setup.env("TEAWIRE_LIMITS__READS_BURST", 500);
}

fn header(service: &Service, user: &str) -> String {
    format!("Authorization: Bearer {}\r\n", service.shopper(user))
}

/// Ten polls of one user, who may have no more.
async fn ten_polls(service: &Service, at: &str, header: &str) -> Vec<Raw> {
    let mut polls = Vec::new();
    for _ in 0..10 {
        let mut raw = service.raw().await;
        raw.ask(&poll("room/x", at), header).await;
        polls.push(raw);
    }
    polls_wait(service, 10).await;
    left_the_dispatcher(service, 10).await;
    polls
}

#[tokio::test]
async fn a_user_has_ten_polls_that_wait_and_what_was_answered_counts_no_more() {
    let service = Service::with(limited).await;
    let header = header(&service, "u1");
    let mut at = service.head().await;
    let mut polls = ten_polls(&service, &at, &header).await;
    for _ in 0..2 {
        let mut eleventh = service.raw().await;
        let refused = eleventh.get(&poll("room/x", &at), &header).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        assert_eq!(refused.json["code"], "too_many_streams");
        assert_eq!(refused.headers["content-type"], "application/problem+json");

        service.say("x", json!({})).await.ok();
        for raw in &mut polls {
            at = raw.answer().await.ok()["cursor"].as_str().unwrap().to_owned();
        }
        // All ten connections are still open; another has ten seats.
        let others = some_polls(&service, &at, &header, 10).await;
        // One of the ten comes again and is refused, in words.
        let refused = polls[0].get(&poll("room/x", &at), &header).await;
        assert_eq!((refused.status, &refused.json["code"]), (429, &json!("too_many_streams")));
        drop(others);
        polls_wait(&service, 0).await;
        for raw in &mut polls {
            raw.ask(&poll("room/x", &at), &header).await;
        }
        polls_wait(&service, 10).await;
    }
}

/// Polls that wait on connections of their own, one after the other.
async fn some_polls(service: &Service, at: &str, header: &str, most: u32) -> Vec<Raw> {
    let mut polls = Vec::new();
    for n in 1..=most {
        let mut raw = service.raw().await;
        raw.ask(&poll("room/x", at), header).await;
        polls_wait(service, n).await;
        polls.push(raw);
    }
    polls
}

#[tokio::test]
async fn seats_of_readers_that_vanished_are_free_again() {
    let service = Service::with(|setup| {
        limited(setup);
        setup.env("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", 3600);
    })
    .await;
    let header = header(&service, "u1");
    let at = service.head().await;
    for reset in [true, false] {
        let mut readers = some_polls(&service, &at, &header, 5).await;
        for _ in 0..5 {
            let mut raw = service.raw().await;
            raw.ask("/v1/stream?topic=room/x", &header).await;
            assert!(raw.read_until("event: hello").await);
            readers.push(raw);
        }
        left_the_dispatcher(&service, 10).await;
        let mut eleventh = service.raw().await;
        assert_eq!(eleventh.get("/v1/stream?topic=room/x", &header).await.status, 429);
        for reader in readers {
            if reset {
                reader.reset();
            }
        }
        polls_wait(&service, 0).await;
        service.metric_is("teawire_streams", 0).await;
    }
    // Somebody else was never in their way.
    stream(&service, "topic=room/x").await;
}

#[tokio::test]
async fn polls_that_come_again_are_reads_like_any() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_LIMITS__ENABLED", true);
        setup.env("TEAWIRE_LIMITS__READS_PER_SECOND", 1);
        setup.env("TEAWIRE_LIMITS__READS_BURST", 12);
        setup.env("TEAWIRE_HTTP__TRUSTED_PROXIES", "127.0.0.1");
    })
    .await;
    let header = "X-Forwarded-For: 203.0.113.7\r\n";
    let mut at = service.head().await;
    let mut raw = service.raw().await;
    let mut answers = 0;
    let refused = loop {
        raw.ask(&poll("room/x", &at), header).await;
        let waiting = async || {
            let waits = service.metric("teawire_polls").await == 1.0;
            let refused = service.metric("teawire_limited_total").await > 0.0;
            (waits || refused).then_some(())
        };
        service.eventually("poll or refusal", waiting).await;
        service.say("x", json!({})).await.ok();
        let answer = raw.answer().await;
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(answer.headers["ratelimit-limit"], "12");
        assert!(answer.headers["ratelimit-remaining"].parse::<u32>().unwrap() < 12);
        at = answer.json["cursor"].as_str().unwrap().to_owned();
        answers += 1;
        assert!(answers < 500, "{answers} polls and no end");
        // What else they read counts with it, and is quicker.
        for _ in 0..2 {
            service.raw().await.get("/v1/status", header).await;
        }
    };
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert_eq!(refused.json["code"], "rate_limited");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    // It was told so on the connection that it has, which is as good as before.
    let again = async || {
        raw.ask(&format!("/v1/poll?topic=room/x&cursor={at}&wait=0"), header).await;
        (raw.answer().await.status == 200).then_some(())
    };
    service.eventually("another read", again).await;
}
