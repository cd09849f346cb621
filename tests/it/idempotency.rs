use crate::harness::{Answer, Api, Service};
use reqwest::Method;
use serde_json::{Value, json};

async fn sell(api: &Api, key: &str, delta: i64) -> Answer {
    let request = api.request(Method::POST, "/v1/products/longjing/stock");
    let request = request.bearer_auth(api.merchant("m1")).header("Idempotency-Key", key);
    api.send(request.json(&json!({ "delta": delta }))).await
}

async fn service_with_stock() -> Service {
    let service = Service::start().await;
    service.product("longjing").await;
    service.set_stock("longjing", 100).await.ok();
    service
}

async fn stock(service: &Service) -> Value {
    service.shown("longjing").await["stock"].clone()
}

#[tokio::test]
async fn the_same_request_under_the_same_key_is_done_once() {
    let service = service_with_stock().await;
    let mut follower = service.follow("product/longjing").await;

    let first = sell(&service, "order-1", -3).await;
    let again = sell(&service, "order-1", -3).await;
    let other = sell(&service, "order-2", -3).await;

    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.text, first.text);
    assert_eq!(other.ok()["quantity"], 94);
    let quantities = [follower.next().await, follower.next().await];
    assert_eq!(quantities.map(|event| event.data()["quantity"].clone()), [json!(97), json!(94)]);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let service = service_with_stock().await;
    sell(&service, "order-1", -3).await.ok();

    let other = sell(&service, "order-1", -4).await;

    assert_eq!((other.status, other.code()), (422, "idempotency_key_reused"));
    assert_eq!(stock(&service).await, 97);
}

#[tokio::test]
async fn a_request_repeated_while_it_is_done_is_done_once() {
    let service = service_with_stock().await;

    let sales = (0..12).map(|_| {
        let api: Api = (*service).clone();
        tokio::spawn(async move { sell(&api, "order-1", -3).await })
    });
    for sale in sales.collect::<Vec<_>>() {
        let answer = sale.await.unwrap();
        assert!([200, 409].contains(&answer.status), "{} {}", answer.status, answer.text);
    }

    assert_eq!(stock(&service).await, 97);
}

#[tokio::test]
async fn a_key_outlives_the_process() {
    let mut service = service_with_stock().await;
    let first = sell(&service, "order-1", -3).await;

    service.kill().await;
    service.restart().await;

    assert_eq!(sell(&service, "order-1", -3).await.text, first.text);
    assert_eq!(stock(&service).await, 97);
}

#[tokio::test]
async fn a_key_belongs_to_who_used_it() {
    let service = service_with_stock().await;
    sell(&service, "order-1", -3).await.ok();
    let body = json!({
        "id": "keemun", "name": "祁门", "category": "black", "market": "anxi", "unit": "jin",
    });

    let request = service.request(Method::POST, "/v1/products").bearer_auth(service.merchant("m2"));
    let other = service.send(request.header("Idempotency-Key", "order-1").json(&body)).await;

    assert_eq!((other.status, other.header("idempotency-replayed")), (201, None));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let service = service_with_stock().await;
    for key in ["", " ", "a b", &"k".repeat(129)] {
        let answer = sell(&service, key, -3).await;
        answer.code();
    }
    sell(&service, &"k".repeat(128), -3).await.ok();
    assert_eq!(stock(&service).await, 97);
}

#[tokio::test]
async fn a_refused_request_may_be_mended_under_its_key_or_another() {
    let service = service_with_stock().await;

    assert_eq!(sell(&service, "order-1", -300).await.status, 422);
    sell(&service, "order-2", -3).await.ok();

    assert_eq!(stock(&service).await, 97);
}

#[tokio::test]
async fn what_was_refused_stays_refused_though_it_would_pass_by_now() {
    let service = service_with_stock().await;
    let first = sell(&service, "order-1", -101).await;
    assert_eq!(first.code(), "stock_below_zero");
    let more = json!({ "delta": 100 });
    service.post(&service.merchant("m1"), "/v1/products/longjing/stock", more).await.ok();

    let again = sell(&service, "order-1", -101).await;

    assert_eq!((again.code(), again.header("idempotency-replayed")), (first.code(), Some("true")));
    assert_eq!(stock(&service).await, 200);
    sell(&service, "order-2", -101).await.ok();
}
