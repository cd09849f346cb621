use crate::harness::Service;
use serde_json::{Value, json};

async fn shelves(service: &Service, query: &str) -> Value {
    service.get_as(&service.merchant("m1"), &format!("/v1/me/stock{query}")).await.ok()
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["products"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["product"].as_str().unwrap())
        .collect()
}

/// Loose tea by the jin: five of them, 2500 g, is where it is low.
async fn shop() -> Service {
    let service = Service::start().await;
    let stocks =
        [("a", Some(2501)), ("b", Some(0)), ("c", Some(2500)), ("d", None), ("e", Some(100))];
    for (id, stock) in stocks {
        service.product_with(id, json!({ "stock": stock })).await;
    }
    service
}

#[tokio::test]
async fn what_is_shortest_comes_first_and_what_is_unknown_last() {
    let service = shop().await;
    assert_eq!(ids(&shelves(&service, "").await), ["b", "e", "c", "a", "d"]);
    assert_eq!(ids(&shelves(&service, "?low=true").await), ["b", "e", "c"]);
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = shelves(&service, &format!("?limit=2{after}")).await;
        all.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(all, ["b", "e", "c", "a", "d"]);
}

#[tokio::test]
async fn a_merchant_says_for_a_product_where_it_is_low() {
    let service = shop().await;
    let token = service.merchant("m1");
    let path = "/v1/me/stock/e";
    service.put(&token, path, json!({ "low_stock": 50 })).await.ok();
    assert_eq!(ids(&shelves(&service, "?low=true").await), ["b", "c"]);
    // Another description, another price: it is kept.
    let tea = json!({ "name": "e", "category": "green", "market": "fangcun", "unit": "jin" });
    service.put(&token, "/v1/products/e", tea).await.ok();
    let shelf = shelves(&service, "").await;
    let shelf =
        shelf["products"].as_array().unwrap().iter().find(|it| it["product"] == "e").unwrap();
    assert_eq!((&shelf["low_stock"], &shelf["low"]), (&json!(50), &json!(false)));
    service.put(&token, path, json!({ "low_stock": null })).await.ok();
    assert_eq!(ids(&shelves(&service, "?low=true").await), ["b", "e", "c"]);

    let bad = service.put(&token, path, json!({ "low_stock": 0 })).await;
    assert_eq!((bad.code(), &bad.json["field"]), ("out_of_range", &json!("low_stock")));
    let other = service.put(&service.merchant("m2"), path, json!({ "low_stock": 1 })).await;
    assert_eq!(other.code(), "not_yours");
}

#[tokio::test]
async fn days_of_cover_follow_what_went_out_and_what_is_promised() {
    let service = shop().await;
    let token = service.merchant("m1");
    let moves = async |delta: i64| {
        service.post(&token, "/v1/products/a/stock", json!({ "delta": delta })).await.ok();
    };
    moves(-501).await;
    moves(1000).await;
    moves(-1000).await;
    let reserved = json!({ "quantity": 500 });
    service.post(&token, "/v1/products/a/reservations", reserved).await.ok();

    let answer = shelves(&service, "?days=10").await;
    let shelf =
        answer["products"].as_array().unwrap().iter().find(|it| it["product"] == "a").unwrap();
    assert_eq!((&shelf["outflow"], &shelf["available"]), (&json!(1501), &json!(1500)));
    assert_eq!((&shelf["cover_days"], &shelf["reserved"]), (&json!(9), &json!(500)));
    assert_eq!(answer["products"][0]["cover_days"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_asked_is_named() {
    let service = shop().await;
    for (query, code, field) in [
        ("?low=1", "bad_value", "low"),
        ("?days=0", "out_of_range", "days"),
        ("?days=91", "out_of_range", "days"),
        ("?limit=201", "out_of_range", "limit"),
        ("?limit=1&limit=2", "repeated_parameter", "limit"),
        ("?after=x", "bad_cursor", "after"),
        ("?after=-1-a", "bad_cursor", "after"),
        ("?merchant=m2", "not_yours", "merchant"),
        ("?sort=name", "unknown_parameter", "sort"),
    ] {
        let answer = service.get_as(&service.merchant("m1"), &format!("/v1/me/stock{query}")).await;
        assert_eq!((answer.code(), &answer.json["field"]), (code, &json!(field)), "{query}");
    }
    assert_eq!(service.get("/v1/me/stock").await.code(), "unauthorized");
    let theirs = service.get_as(&service.merchant("m2"), "/v1/me/stock").await.ok();
    assert_eq!(theirs["products"], json!([]));
}
