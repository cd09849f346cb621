//! Whoever goes, or may not stay, is let go.

use super::{left_the_dispatcher, poll, polled, polls_wait, stream};
use crate::harness::{Service, forge, message_batch};
use crate::keys::create_key;
use serde_json::json;

/// Nobody is left, as far as the service knows.
async fn nobody_is_left(service: &Service) {
    service.metric_is("teawire_streams", 0).await;
    service.metric_is("teawire_polls", 0).await;
    service.metric_is("teawire_followed_topics", 0).await;
    service.metric_is("teawire_reader_groups", 0).await;
    left_the_dispatcher(service, 0).await;
}

#[tokio::test]
async fn a_reader_that_vanishes_is_missed_at_once() {
    // Long before there is anything to send it.
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", 3600);
    })
    .await;
    for reset in [true, false] {
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(stream(&service, "topic=room/x,price/*").await);
        }
        let at = service.head().await;
        for _ in 0..4 {
            let mut raw = service.raw().await;
            raw.ask(&poll("room/x,room/y", &at), "").await;
            readers.push(raw);
        }
        polls_wait(&service, 4).await;
        service.metric_is("teawire_streams", 4).await;
        left_the_dispatcher(&service, 8).await;

        for reader in readers {
            if reset {
                reader.reset();
            }
        }

        nobody_is_left(&service).await;
    }
}

#[tokio::test]
async fn a_reader_that_vanishes_between_two_polls_is_forgotten() {
    let service = Service::start().await;
    for reset in [true, false] {
        let (raw, _) = polled(&service, "").await;
        left_the_dispatcher(&service, 1).await;
        if reset {
            raw.reset();
        } else {
            drop(raw);
        }
        nobody_is_left(&service).await;
    }
}

#[tokio::test]
async fn a_reader_that_vanishes_in_the_middle_of_a_frame_is_forgotten() {
    let service = Service::start().await;
    for reset in [true, false] {
        let mut slow = service.raw_with_little_room();
        slow.ask("/v1/stream?topic=room/x", "").await;
        assert!(slow.read_until("event: hello").await);
        left_the_dispatcher(&service, 1).await;
        for batch in 0..16 {
            let body = message_batch("x", batch * 8..batch * 8 + 8, &"x".repeat(30_000));
            service.post(&service.merchant("m1"), "/v1/events", body).await.ok();
        }
        if reset {
            slow.reset();
        } else {
            drop(slow);
        }
        nobody_is_left(&service).await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_key_or_token_that_opened_it() {
    let service = Service::start().await;
    let (key, id) = create_key(&service, "m1");
    let token = forge::signed(&json!({
        "sub": "u1", "role": "merchant", "merchant": "m1", "aud": "teawire",
        "exp": forge::unix(4),
    }));
    let mut streams = Vec::new();
    for shown in [&key, &token] {
        let mut raw = service.raw().await;
        let header = format!("Authorization: Bearer {shown}\r\n");
        raw.ask("/v1/stream?topic=merchant/m1", &header).await;
        assert!(raw.read_until("event: hello").await);
        streams.push(raw);
    }
    left_the_dispatcher(&service, 2).await;

    service.run(&["key", "revoke", &id]);

    for (raw, code) in streams.iter_mut().zip(["forbidden", "token_expired"]) {
        let body = raw.answer().await.body;
        let bye = super::frames(&body).pop().unwrap();
        assert_eq!((bye.kind.as_str(), &bye.json["code"]), ("bye", &json!(code)));
        assert!(bye.json["cursor"].is_string());
        // The connection is as good as any.
        assert_eq!(raw.get("/v1/status", "").await.status, 200);
    }
    nobody_is_left(&service).await;
}

#[tokio::test]
async fn a_poll_ends_with_the_key_or_token_that_asked_and_the_next_is_refused() {
    let service = Service::start().await;
    let (key, id) = create_key(&service, "m1");
    let token = forge::signed(&json!({
        "sub": "u1", "role": "merchant", "merchant": "m1", "aud": "teawire",
        "exp": forge::unix(4),
    }));
    let at = service.head().await;
    let target = poll("merchant/m1", &at);
    let mut polls = Vec::new();
    for shown in [key, token] {
        let mut raw = service.raw().await;
        let header = format!("Authorization: Bearer {shown}\r\n");
        raw.ask(&target, &header).await;
        polls.push((raw, header));
    }
    polls_wait(&service, 2).await;
    left_the_dispatcher(&service, 2).await;

    service.run(&["key", "revoke", &id]);

    for (raw, header) in &mut polls {
        assert_eq!(raw.answer().await.ok()["events"], json!([]));
        let refused = raw.get(&target, header).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(raw.get("/v1/status", "").await.status, 200);
    }
    nobody_is_left(&service).await;
}

#[tokio::test]
async fn a_key_revoked_between_two_polls_asks_no_more() {
    let service = Service::start().await;
    let (key, id) = create_key(&service, "m1");
    let header = format!("Authorization: Bearer {key}\r\n");
    let (mut raw, at) = polled(&service, &header).await;
    left_the_dispatcher(&service, 1).await;

    service.run(&["key", "revoke", &id]);

    let brief = format!("/v1/poll?topic=room/x&cursor={at}&wait=0");
    let refused = async || (service.get_as(&key, &brief).await.status == 401).then_some(());
    service.eventually("revocation", refused).await;
    assert_eq!(raw.get(&poll("room/x", &at), &header).await.status, 401);
    nobody_is_left(&service).await;
}
