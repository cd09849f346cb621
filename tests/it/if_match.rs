use crate::harness::{Answer, Service};
use reqwest::Method;
use serde_json::{Value, json};

async fn send(service: &Service, method: &str, path: &str, tag: &str, body: Value) -> Answer {
    let request = service.request(method.parse::<Method>().unwrap(), path);
    let request = request.bearer_auth(service.merchant("m1")).header("If-Match", tag);
    service.send(if body.is_null() { request } else { request.json(&body) }).await
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_overwritten() {
    let service = Service::start().await;
    service.product_with("longjing", json!({ "stock": 40 })).await;
    let tea = json!({ "name": "n", "category": "green", "market": "fangcun", "unit": "jin" });
    let writes = [
        ("PUT", "/v1/products/longjing/price", json!({ "price": "110.00" })),
        ("PUT", "/v1/products/longjing/stock", json!({ "quantity": 39 })),
        ("POST", "/v1/products/longjing/stock", json!({ "delta": -1 })),
        ("PUT", "/v1/products/longjing/clearance", json!({ "price": "80.00" })),
        ("DELETE", "/v1/products/longjing/clearance", Value::Null),
        ("PUT", "/v1/products/longjing", tea),
        ("DELETE", "/v1/products/longjing", Value::Null),
    ];
    for (method, path, body) in writes {
        let before = service.shown("longjing").await;
        let shown = service.get("/v1/products/longjing").await;
        let tag = shown.header("etag").unwrap().to_owned();
        let version = shown.json["version"].clone();
        for stale in ["\"0\"", "\"999\", W/\"1\"", &format!("W/{tag}"), "\"x\""] {
            let answer = send(&service, method, path, stale, body.clone()).await;
            assert_eq!((answer.status, answer.code()), (412, "stale_version"), "{method} {path}");
            assert_eq!(answer.json["version"], version);
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
        }
        assert_eq!(service.shown("longjing").await, before);
        let list = format!("\"0\", {tag}");
        let answer = send(&service, method, path, &list, body.clone()).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn of_two_who_saw_the_same_version_one_wins() {
    let service = Service::start().await;
    service.product("longjing").await;
    let tag = service.get("/v1/products/longjing").await.header("etag").unwrap().to_owned();
    let writers = (0..10).map(|n| {
        let (api, tag) = ((*service).clone(), tag.clone());
        tokio::spawn(async move {
            let request = api.request(Method::PUT, "/v1/products/longjing/price");
            let request = request.bearer_auth(api.merchant("m1")).header("If-Match", tag);
            api.send(request.json(&json!({ "price": format!("10{n}.50") }))).await.status
        })
    });
    let mut statuses = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        statuses.push(writer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412, 412, 412]);
}

#[tokio::test]
async fn a_header_that_is_none_or_does_not_belong_there_is_refused() {
    let service = Service::start().await;
    service.product("longjing").await;
    let price = || json!({ "price": "110.00" });
    let path = "/v1/products/longjing/price";
    for bad in ["17", "\"17", "\"1\" \"2\"", "*,\"1\"", ","] {
        let answer = send(&service, "PUT", path, bad, price()).await;
        assert_eq!((answer.status, answer.code()), (400, "bad_if_match"), "{bad}");
    }
    assert_eq!(send(&service, "PUT", path, "*", price()).await.status, 200);
    let none = "/v1/products/none/price";
    assert_eq!(send(&service, "PUT", none, "*", price()).await.code(), "unknown_product");
    let tea = json!({ "name": "n", "category": "green", "market": "fangcun", "unit": "jin" });
    let new = send(&service, "PUT", "/v1/products/new", "*", tea).await;
    assert_eq!((new.status, &new.json["version"]), (412, &Value::Null));
    let event = json!({ "topics": ["room/x"], "type": "room.message", "data": 1 });
    let odd = send(&service, "POST", "/v1/events", "*", event).await;
    assert_eq!((odd.code(), &odd.json["field"]), ("if_match_not_here", &json!("If-Match")));
}
