use crate::harness::{Frame, Service, Setup};
use serde_json::{Value, json};

const KEPT: usize = 10;

fn short(setup: &mut Setup) {
    setup.env("TEAWIRE_EVENTS__KEEP_COUNT", KEPT);
}

/// Talks in room `x` until its first event is no longer kept; the ids of all.
async fn talk_until_pruned(service: &Service) -> Vec<Value> {
    let mut ids = Vec::new();
    for n in 0..5 * KEPT {
        ids.push(service.say("x", json!({ "n": n })).await.ok()["receipt"]["id"].clone());
    }
    let first = ids[0].as_str().unwrap().to_owned();
    let pruned = async || {
        let poll = service.poll(&format!("topic=room/x&cursor={first}&wait=0")).await;
        (!poll["reset"].is_null()).then_some(poll)
    };
    let poll = service.eventually("pruning", pruned).await;
    assert_eq!(poll["reset"], json!({ "reason": "expired" }));
    ids
}

/// `events` must be the end of `ids`, without a hole, and no less than is kept.
#[track_caller]
fn assert_whole_run(ids: &[Value], events: &[Value]) {
    assert!(events.len() >= KEPT && events.len() < ids.len(), "{} events", events.len());
    assert_eq!(ids[ids.len() - events.len()..], *events);
}

#[tokio::test]
async fn a_stream_with_an_expired_cursor_is_told_and_gets_all_that_is_kept() {
    let service = Service::with(short).await;
    let ids = talk_until_pruned(&service).await;

    let mut follower = service.follow_after("room/x", ids[0].as_str()).await;
    let reset = follower.next().await;
    assert_eq!((reset.kind.as_str(), &reset.json["reason"]), ("reset", &json!("expired")));

    let mut events = Vec::new();
    while events.last() != ids.last() {
        match follower.next().await {
            // Pruning went on meanwhile: what was told before is void.
            Frame { kind, .. } if kind == "reset" => events.clear(),
            event => events.push(json!(event.id())),
        }
    }
    assert_whole_run(&ids, &events);
}

#[tokio::test]
async fn a_poll_with_an_expired_cursor_is_told_and_gets_all_that_is_kept() {
    let service = Service::with(short).await;
    let ids = talk_until_pruned(&service).await;

    let (mut events, mut cursor) = (Vec::new(), ids[0].as_str().unwrap().to_owned());
    while events.last() != ids.last() {
        let poll = service.poll(&format!("topic=room/x&cursor={cursor}&wait=0&limit=3")).await;
        if !poll["reset"].is_null() {
            events.clear();
        }
        events.extend(poll["events"].as_array().unwrap().iter().map(|event| event["id"].clone()));
        cursor = poll["cursor"].as_str().unwrap().to_owned();
    }
    assert_whole_run(&ids, &events);
}

#[tokio::test]
async fn the_state_outlives_the_history_that_made_it() {
    let mut service = Service::with(short).await;
    service.product("longjing").await;
    service.set_price("longjing", "101.00").await;
    talk_until_pruned(&service).await;

    service.restart().await;

    assert_eq!(service.shown("longjing").await["price"], "101.00");
    assert_eq!(service.set_price("longjing", "102.00").await, 200);
}
