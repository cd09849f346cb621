//! A reader that does not keep up is spared prices and stock that are no longer
//! true, and nothing else.

use crate::harness::{Frame, Frames, Raw, Service, body_of};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const TEAS: usize = 10;
const ROUNDS: usize = 300;

/// A service that takes a reader for slow early, with some teas.
async fn service() -> Service {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_STREAMS__CONFLATE_EVENTS", 50);
        setup.env("TEAWIRE_STREAMS__WRITE_SECONDS", 60);
        setup.env("TEAWIRE_LIMITS__ENABLED", false);
    })
    .await;
    for n in 0..TEAS {
        service.product(&format!("t{n}")).await;
    }
    service
}

async fn slow(service: &Service, query: &str) -> Raw {
    let mut raw = service.raw_with_little_room();
    let target = format!("/v1/stream?topic=price/*,clearance,arrivals,room/x{}{query}", products());
    raw.write(format!("GET {target} HTTP/1.1\r\nHost: tea\r\n\r\n")).await;
    assert!(raw.read_until("event: hello").await);
    raw
}

fn products() -> String {
    (0..TEAS).map(|n| format!(",product/t{n}")).collect()
}

/// Changes every price and stock again and again, with other things between;
/// the id of the last of all.
async fn much_happens(service: &Service) -> String {
    let began = Instant::now();
    let mut round = 0;
    // Who has not kept up for two seconds is slow.
    while round < ROUNDS || began.elapsed() < Duration::from_secs(4) {
        let rows: String = (0..TEAS)
            .map(|n| format!("t{n},{}.{:02},{}\n", 100 + round % 7, round % 100, round + n + 1))
            .collect();
        let table = format!("id,price,stock\n{rows}");
        let request = service.request(Method::POST, "/v1/import").bearer_auth(service.admin());
        service.send(request.header("Content-Type", "text/csv").body(table)).await.ok();
        if round % 10 == 0 {
            service.say("x", json!({ "n": round })).await.ok();
        }
        if round == ROUNDS / 2 {
            service.product("sale").await;
            let clearance = json!({ "price": "50.00", "ends_at": "2099-01-01T00:00:00Z" });
            service.put(&service.admin(), "/v1/products/sale/clearance", clearance).await.ok();
        }
        round += 1;
    }
    let last = service.say("x", json!({ "n": "last" })).await.ok();
    last["receipt"]["id"].as_str().unwrap().to_owned()
}

async fn read(mut raw: Raw, last: &str) -> Vec<Frame> {
    assert!(raw.read_until(&format!("id: {last}\n")).await);
    raw.read_until("\n\n").await;
    let mut frames = Frames::default();
    frames.push(&body_of(&raw.read));
    std::iter::from_fn(|| frames.next()).filter(|frame| frame.kind != "heartbeat").collect()
}

fn is_folded(event: &Value) -> bool {
    ["price.changed", "stock.changed"].contains(&event["type"].as_str().unwrap())
}

/// The last of each kind and product.
fn newest<'a>(events: impl Iterator<Item = &'a Value>) -> BTreeMap<(String, String), Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let folded = events.filter(|event| is_folded(event));
    folded
        .map(|event| {
            let data = &event["data"];
            let now = data.get("price").or(data.get("quantity")).cloned().unwrap();
            ((text(&event["type"]), text(&data["product"])), now)
        })
        .collect()
}

#[tokio::test]
async fn a_slow_reader_is_told_the_newest_of_each_product_and_all_of_the_rest() {
    let service = service().await;
    let start = service.head().await;
    let stalled = slow(&service, "").await;
    let whole = slow(&service, "&conflate=false").await;
    let last = much_happens(&service).await;
    let told = read(stalled, &last).await;
    let all = read(whole, &last).await;

    let mut told_all = Vec::new();
    let mut after = start.clone();
    let query = format!("topic=price/*,clearance,arrivals,room/x{}&limit=200", products());
    loop {
        let page = service.get(&format!("/v1/events?{query}&after={after}")).await.ok();
        told_all.extend(page["events"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let events = |frames: &[Frame]| -> Vec<Value> {
        frames.iter().filter(|it| !it.is_control()).map(|it| it.json.clone()).collect()
    };
    assert_eq!(events(&all), told_all, "without it nothing is left out");
    assert!(all.iter().all(|frame| frame.kind != "folded"));

    let heard = events(&told);
    let spared: u64 = told
        .iter()
        .filter(|frame| frame.kind == "folded")
        .map(|frame| {
            assert!(frame.id.is_none() && frame.json["from"] != frame.json["to"]);
            frame.json["folded"].as_u64().unwrap()
        })
        .sum();
    assert!(spared > 0, "it was not slow");
    assert_eq!(heard.len() as u64 + spared, told_all.len() as u64);
    let others = |events: &[Value]| -> Vec<Value> {
        events.iter().filter(|event| !is_folded(event)).cloned().collect()
    };
    assert_eq!(others(&heard), others(&told_all), "nothing else is left out, nor moved");
    assert_eq!(newest(heard.iter()), newest(told_all.iter()));
    for n in 0..TEAS {
        let shown = service.shown(&format!("t{n}")).await;
        let newest = newest(heard.iter());
        let known = |kind: &str| &newest[&(kind.to_owned(), format!("t{n}"))];
        assert_eq!(known("stock.changed"), &shown["stock"]);
        assert_eq!(known("price.changed"), &shown["price"]);
    }
    // In the order of the log, each once.
    let ids: Vec<&Value> = told_all.iter().map(|event| &event["id"]).collect();
    let places: Vec<usize> =
        heard.iter().map(|it| ids.iter().position(|id| **id == it["id"]).unwrap()).collect();
    assert!(places.is_sorted_by(|one, next| one < next));
    assert_eq!(service.metric("teawire_events_folded_total").await as u64, spared);

    // Whoever comes back with any cursor of it is given all there was since.
    let middle = heard[heard.len() / 2]["id"].as_str().unwrap();
    let mut again = service.follow_after("price/*", Some(middle)).await;
    let place = ids.iter().position(|id| *id == middle).unwrap();
    let next = told_all[place + 1..]
        .iter()
        .find(|event| event["topics"].to_string().contains("price/"))
        .unwrap();
    assert_eq!(again.next().await.json, *next);
}

#[tokio::test]
async fn conflate_is_true_or_false() {
    let service = Service::start().await;
    for query in ["conflate=maybe", "conflate=true&conflate=false"] {
        let answer = service.get(&format!("/v1/stream?topic=price/*&{query}")).await;
        answer.code();
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!("conflate")));
    }
}
