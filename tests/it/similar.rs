use crate::harness::Service;
use serde_json::{Value, json};

/// Lists a cake of 7542 that `merchant` asks `price` for.
async fn cake(service: &Service, id: &str, merchant: &str, price: &str, fields: Value) {
    let mut body = json!({
        "id": id, "name": id, "category": "dark.puer", "market": "fangcun", "unit": "piece",
        "grams_per_unit": 357, "recipe": "7542", "origin": "云南勐海", "vintage": 2003,
        "batch": "301", "form": "饼", "price": price,
    });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = service.post(&service.merchant(merchant), "/v1/products", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

async fn similar(service: &Service, id: &str) -> Value {
    service.get(&format!("/v1/products/{id}/similar")).await.ok()
}

#[tokio::test]
async fn what_others_ask_is_told_by_weight_and_from_five_merchants_on() {
    let service = Service::start().await;
    cake(&service, "own", "m0", "1000.00", json!({})).await;
    for n in 1..=4 {
        let id = format!("other{n}");
        cake(&service, &id, &format!("m{n}"), &format!("{n}00.00"), json!({})).await;
    }
    // More of the same merchants are no more voices, nor is one's own.
    cake(&service, "again", "m4", "401.00", json!({})).await;
    cake(&service, "mine", "m0", "1.00", json!({})).await;

    let few = similar(&service, "own").await;
    assert_eq!((&few["statistics"], &few["reason"]), (&Value::Null, &json!("too_few")));
    for id in ["own", "other1", "again"] {
        let text = similar(&service, id).await.to_string();
        assert!(!text.contains("56022"), "a single competitor's price shows: {text}");
    }

    // 500 a kilogram is 250 for 500 g; a cake of 178.50 would be as much.
    let kilo = json!({ "unit": "kg", "grams_per_unit": 1000, "grams_per_piece": 357 });
    cake(&service, "kilo", "m5", "500.00", kilo).await;
    let found = similar(&service, "own").await;
    assert_eq!((&found["tier"], &found["reason"]), (&json!(1), &Value::Null));
    let statistics = &found["statistics"];
    assert_eq!(statistics["n"], 5);
    // 100, 178.50, 200, 300, and the newer 401 a cake, for 500 g.
    let fen =
        ["min", "q1", "median", "q3", "max"].map(|it| statistics[format!("{it}_fen")].clone());
    assert_eq!(fen, [14_006, 25_000, 28_011, 42_017, 56_162].map(Value::from));
    assert_eq!(statistics["median"], "280.11");
    assert_eq!(
        (&statistics["percentile_bp"], &found["own_per_500g_fen"]),
        (&json!(10_000), &json!(140_056))
    );
    assert!(statistics["age_seconds"].as_i64().unwrap() < 60);
}

#[tokio::test]
async fn the_nearest_tier_with_enough_merchants_is_used() {
    let service = Service::start().await;
    cake(&service, "own", "m0", "1000.00", json!({})).await;
    for (n, fields) in [
        json!({}),
        json!({ "batch": "302" }),
        json!({ "batch": "303" }),
        json!({ "batch": null, "vintage": 2004 }),
        json!({ "origin": "云南昆明", "vintage": 2002 }),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(similar(&service, "own").await["tier"], Value::Null);
        cake(&service, &format!("o{n}"), &format!("m{}", n + 1), "900.00", fields).await;
    }
    assert_eq!(similar(&service, "own").await["tier"], 3);

    // Other sorts of price, other recipes and withdrawn ones do not count.
    cake(&service, "retail", "m6", "1.00", json!({ "price_type": "retail" })).await;
    cake(&service, "8582", "m7", "1.00", json!({ "recipe": "8582" })).await;
    service.delete(&service.merchant("m5"), "/v1/products/o4").await.ok();
    assert_eq!(similar(&service, "own").await["tier"], Value::Null);
    cake(&service, "brick", "m8", "800.00", json!({ "form": "砖" })).await;
    let found = similar(&service, "own").await;
    assert_eq!((&found["tier"], &found["statistics"]["n"]), (&json!(4), &json!(5)));
}

#[tokio::test]
async fn a_price_that_is_too_old_does_not_count() {
    let service = Service::start().await;
    cake(&service, "own", "m0", "1000.00", json!({})).await;
    for n in 1..=5 {
        cake(&service, &format!("o{n}"), &format!("m{n}"), "900.00", json!({})).await;
    }
    assert_eq!(similar(&service, "own").await["tier"], 1);
    let body = json!({ "price": "901.00", "observed_at": "2020-01-01T00:00:00Z" });
    service.put(&service.merchant("m1"), "/v1/products/o1/price", body).await.ok();
    assert_eq!(similar(&service, "own").await["reason"], "too_few");
}

#[tokio::test]
async fn similar_takes_nothing_to_narrow_it_with() {
    let service = Service::start().await;
    service.product("longjing").await;
    assert_eq!(similar(&service, "longjing").await["reason"], "no_variety");
    for query in ["merchant=m2", "tier=1", "batch=301", "origin=x"] {
        let answer = service.get(&format!("/v1/products/longjing/similar?{query}")).await;
        assert_eq!((answer.status, &answer.json["code"]), (422, &json!("unknown_parameter")));
    }
    assert_eq!(service.get("/v1/products/nope/similar").await.status, 404);
}
