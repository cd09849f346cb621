//! Whoever takes a byte at a time gets every one of them.

use super::{events, left_the_dispatcher, numbers, poll, polled, polls_wait};
use crate::harness::{Service, hands_over, message_batch};
use serde_json::json;

#[tokio::test]
async fn a_stream_that_is_read_slowly_is_whole_and_others_do_not_wait_for_it() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_STREAMS__WRITE_SECONDS", 60);
    })
    .await;
    let mut slow = service.raw_with_little_room();
    slow.ask("/v1/stream?topic=room/x&max_age=60", "").await;
    assert!(slow.read_until("event: hello").await);
    let mut quick = service.follow("room/x").await;
    left_the_dispatcher(&service, 2).await;

    const BATCHES: usize = 12;
    let token = service.merchant("m1");
    let writing = async {
        for batch in 0..BATCHES {
            let padding = "茶".repeat(3_000 + batch * 500);
            let body = message_batch("x", batch * 8..batch * 8 + 8, &padding);
            service.post(&token, "/v1/events", body).await.ok();
        }
    };
    let ((), told) = tokio::join!(writing, quick.collect(BATCHES * 8));

    // Only now, in bites of every size.
    let last = service.say("x", json!({ "n": BATCHES * 8 })).await.ok()["receipt"]["id"].clone();
    assert_eq!(quick.next().await.id(), last);
    let wanted = format!("id: {}\n", last.as_str().unwrap());
    let mut bite = 1;
    let mut found = 0;
    while !slow.read[found..].windows(wanted.len()).any(|part| part == wanted.as_bytes()) {
        found = slow.read.len().saturating_sub(wanted.len());
        assert!(slow.read_some(bite).await);
        bite = bite % 4_000 + 37;
    }
    assert!(slow.read_until("\n\n\r\n").await);
    let head = slow.read.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    let (body, _, ended) = crate::harness::chunks_of(&slow.read[head..]);
    assert!(!ended);
    let events = events(&body);
    assert_eq!(events[..BATCHES * 8], told);
    assert_eq!(events[BATCHES * 8].id(), last);
    // It has caught up, and goes on.
    let next = service.say("x", json!({})).await.ok();
    assert!(slow.read_until(&format!("id: {}\n", next["receipt"]["id"].as_str().unwrap())).await);
}

#[tokio::test]
async fn an_answer_as_large_as_there_are_is_whole_however_slowly_it_is_read() {
    let service = Service::start().await;
    let mut slow = service.raw_with_little_room();
    let mut at = service.head().await;
    let token = service.merchant("m1");
    for round in 0..3 {
        slow.ask(&poll("room/x", &at), "").await;
        polls_wait(&service, 1).await;
        let batch = message_batch("x", round * 8..round * 8 + 8, &"x".repeat(5_900));
        service.post(&token, "/v1/events", batch).await.ok();
        let answer = slow.answer_in_bites(701).await;
        assert!((47_000..49_152).contains(&answer.body.len()), "{}", answer.body.len());
        let answer = answer.ok();
        let expected: Vec<u64> = (round as u64 * 8..round as u64 * 8 + 8).collect();
        assert_eq!(numbers(&answer), expected);
        at = answer["cursor"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn a_client_may_ask_on_before_it_reads_its_answers() {
    const ANSWERS: usize = 24;
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_STREAMS__WRITE_SECONDS", 60);
    })
    .await;
    let (other, _) = polled(&service, "").await;
    drop(other);
    let start = service.head().await;
    let mut cursors = vec![start.clone()];
    let token = service.merchant("m1");
    for answer in 0..ANSWERS {
        let batch = message_batch("x", answer * 4..answer * 4 + 4, &"x".repeat(11_000));
        let receipts = service.post(&token, "/v1/events", batch).await.ok();
        cursors.push(receipts["receipts"][3]["id"].as_str().unwrap().to_owned());
    }

    // Far more than is on its way to who does not read.
    let mut slow = service.raw_with_little_room();
    slow.ask(&poll("room/y", &service.head().await), "").await;
    polls_wait(&service, 1).await;
    service.say("y", json!({})).await.ok();
    slow.answer().await.ok();
    let answered = service.metric("teawire_requests_total").await;
    for (n, cursor) in cursors[..ANSWERS].iter().enumerate() {
        slow.ask(&poll("room/x", cursor), "").await;
        if hands_over() && n < 4 {
            // One by one, as long as they are answered.
            let more = async || {
                let now = service.metric("teawire_requests_total").await;
                (now > answered + n as f64).then_some(())
            };
            service.eventually("answer", more).await;
        }
    }
    for n in 0..ANSWERS {
        let answer = slow.answer_in_bites(3_001).await.ok();
        assert_eq!(numbers(&answer)[..4], [0, 1, 2, 3].map(|i| (n * 4 + i) as u64));
    }
    assert_eq!(slow.get("/v1/status", "").await.status, 200);
}
