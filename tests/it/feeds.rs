use crate::harness::{Service, on_postgres};
use serde_json::{Value, json};

const FEED: &str = "/v1/me/feed";

async fn declare(service: &Service, minutes: Value) -> Value {
    service.put(&service.merchant("m1"), FEED, json!({ "cadence_minutes": minutes })).await.ok()
}

/// An hour goes by in which nobody writes.
fn an_hour_goes_by(service: &Service) {
    service.sql("UPDATE feeds SET last_write = last_write - 3601000, due = due - 3601000");
}

async fn shown(service: &Service) -> Value {
    service.get("/v1/products/longjing").await.ok()
}

/// What was told of silences, to everybody who follows the market.
async fn told(service: &Service) -> Vec<Value> {
    let events = service.whole_history("market/fangcun").await;
    let kinds = events.iter().map(|event| event["type"].clone());
    kinds.filter(|kind| kind.as_str().unwrap().starts_with("merchant.")).collect()
}

async fn stale(service: &Service, wanted: Value) {
    let is = async || (shown(service).await["stale"] == wanted).then_some(());
    service.eventually(&format!("stale {wanted}"), is).await;
}

#[tokio::test]
async fn a_merchant_who_is_silent_for_too_long_is_told_of_once_and_when_back() {
    let service = Service::start().await;
    service.product("longjing").await;
    assert_eq!(shown(&service).await["stale"], Value::Null);
    let declared = declare(&service, json!(60)).await;
    assert_eq!((&declared["cadence_minutes"], &declared["stale"]), (&json!(60), &json!(false)));
    let mut market = service.follow("market/fangcun").await;
    let token = service.merchant("m1");
    let mut own = service.follow_as(&token, "merchant/m1").await;

    an_hour_goes_by(&service);

    let event = market.next().await;
    assert_eq!((event.kind.as_str(), &event.data()["merchant"]), ("merchant.stale", &json!("m1")));
    assert_eq!(event.data()["cadence_minutes"], 60);
    assert_eq!(own.next().await.id(), event.id());
    stale(&service, json!(true)).await;
    // Who says what is so already is there.
    service.price("longjing", "100.00").await.ok();
    let event = market.next().await;
    assert_eq!((event.kind.as_str(), &event.data()["merchant"]), ("merchant.fresh", &json!("m1")));
    stale(&service, json!(false)).await;
    let listed = service.get("/v1/products").await.ok();
    assert_eq!(listed["products"][0]["stale"], false);
    assert!(listed["products"][0]["last_write_at"].is_string());

    assert_eq!(told(&service).await, ["merchant.stale", "merchant.fresh"]);
}

#[tokio::test]
async fn a_silence_is_told_after_a_restart_and_once_by_two_nodes() {
    let mut service = Service::start().await;
    service.product("longjing").await;
    declare(&service, json!(60)).await;
    service.kill().await;
    an_hour_goes_by(&service);
    service.restart().await;
    let _other = if on_postgres() { Some(service.second_node().await) } else { None };

    stale(&service, json!(true)).await;
    let once = async || (told(&service).await == ["merchant.stale"]).then_some(());
    service.eventually("silence", once).await;
    service.price("longjing", "101.00").await.ok();
    let back =
        async || (told(&service).await == ["merchant.stale", "merchant.fresh"]).then_some(());
    service.eventually("return", back).await;
}

#[tokio::test]
async fn what_was_only_tried_is_no_sign_of_life_and_an_import_is_one() {
    let service = Service::start().await;
    service.product("longjing").await;
    declare(&service, json!(60)).await;
    let mut own = service.follow_as(&service.merchant("m1"), "merchant/m1").await;
    an_hour_goes_by(&service);
    assert_eq!(own.next().await.kind, "merchant.stale");
    stale(&service, json!(true)).await;

    let token = service.merchant("m1");
    let path = "/v1/products/longjing/price?dry_run=true";
    service.put(&token, path, json!({ "price": "101.00" })).await.ok();
    let request = service.request(reqwest::Method::POST, "/v1/import").bearer_auth(&token);
    let table = "product,price\nlongjing,100.00\n";
    service.send(request.header("Content-Type", "text/csv").body(table)).await.ok();

    assert_eq!(own.next().await.kind, "merchant.fresh");
    let events = service.whole_history("market/fangcun").await;
    assert!(events.iter().all(|event| event["type"] != "price.changed"));
}

#[tokio::test]
async fn a_cadence_is_a_merchants_own_and_may_be_taken_back() {
    let service = Service::start().await;
    service.product("longjing").await;
    declare(&service, json!(60)).await;
    stale(&service, json!(false)).await;
    let admin = service.get_as(&service.admin(), "/v1/me/feed?merchant=m1").await.ok();
    assert_eq!(admin["cadence_minutes"], 60);
    assert_eq!(declare(&service, Value::Null).await["stale"], Value::Null);
    stale(&service, Value::Null).await;

    let token = service.merchant("m1");
    for (body, code) in [
        (json!({ "cadence_minutes": 0 }), "out_of_range"),
        (json!({ "cadence_minutes": 10_081 }), "out_of_range"),
        (json!({ "minutes": 1 }), "unknown_field"),
    ] {
        assert_eq!(service.put(&token, FEED, body).await.code(), code);
    }
    let theirs = service.get_as(&service.merchant("m2"), "/v1/me/feed?merchant=m1").await;
    assert_eq!(theirs.code(), "not_yours");
    assert_eq!(service.get(FEED).await.code(), "unauthorized");
}
