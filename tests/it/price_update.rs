use crate::harness::Service;
use serde_json::json;

#[tokio::test]
async fn a_price_reaches_everyone_who_follows_the_product_its_category_or_its_market() {
    let service = Service::start().await;
    service.product("longjing").await;
    let mut followers = Vec::new();
    for topics in ["product/longjing", "price/green", "market/fangcun", "price/*", "market/*"] {
        followers.push(service.follow(topics).await);
    }

    assert_eq!(service.set_price("longjing", "128.00").await, 200);

    let mut ids = Vec::new();
    for follower in &mut followers {
        let event = follower.next().await;
        assert_eq!(event.kind, "price.changed");
        assert_eq!(event.data()["from"], "100.00");
        assert_eq!(event.data()["price"], "128.00");
        ids.push(event.id().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one event for all of them");
}

#[tokio::test]
async fn a_price_event_says_all_that_the_contract_names() {
    let service = Service::start().await;
    service.product_with("longjing", json!({ "name": "明前龙井" })).await;
    let mut follower = service.follow("product/longjing").await;

    service.set_price("longjing", "128").await;

    let event = follower.next().await;
    assert_eq!(event.json["topics"], json!(["price/green", "market/fangcun", "product/longjing"]));
    let mut data = event.data().clone();
    assert!(data["observed_at"].take().is_string() && data["price_type"].take().is_string());
    let expected = json!({
        "product": "longjing", "name": "明前龙井", "category": "green", "market": "fangcun",
        "merchant": "m1", "price": "128.00", "price_fen": 12800, "price_text": "¥128.00/斤",
        "unit": "jin", "grams_per_unit": 500, "price_type": null, "from": "100.00",
        "from_fen": 10000, "change_bp": 2800, "observed_at": null, "kind": "tick",
    });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn a_price_of_a_sub_category_is_a_price_of_its_parent_too() {
    let service = Service::start().await;
    let fields = json!({ "category": "dark.puer", "unit": "piece", "grams_per_unit": 357 });
    service.product_with("7542", fields).await;
    let mut dark = service.follow("price/dark").await;
    let mut puer = service.follow("price/dark.puer").await;

    service.set_price("7542", "120.00").await;

    let event = puer.next().await;
    assert_eq!(dark.next().await, event);
    for topic in ["price/dark.puer", "price/dark", "market/fangcun", "product/7542"] {
        assert!(event.json["topics"].as_array().unwrap().contains(&json!(topic)), "{topic}");
    }
}

#[tokio::test]
async fn a_price_that_repeats_itself_is_no_news() {
    let service = Service::start().await;
    service.product("longjing").await;
    let mut follower = service.follow("product/longjing").await;

    for (price, changed) in [("128.00", true), ("128.00", false), ("128.0", false), ("129", true)] {
        let answer = service.price("longjing", price).await.ok();
        assert_eq!(answer["changed"], changed, "{price}");
        assert_eq!(answer["receipt"].is_object(), changed, "{price}");
    }

    assert_eq!(follower.next().await.data()["price"], "128.00");
    assert_eq!(follower.next().await.data()["price"], "129.00");
}

#[tokio::test]
async fn the_receipt_names_the_event_and_counts_who_was_reached() {
    let service = Service::start().await;
    service.product("longjing").await;
    let mut alice = service.follow("product/longjing,price/green").await;
    let _bob = service.follow("price/*").await;
    let _carol = service.follow("price/black").await;

    let answer = service.price("longjing", "128.00").await.ok();

    let event = alice.next().await;
    assert_eq!(answer["price_fen"], 12800);
    assert_eq!(answer["receipt"]["id"], event.id());
    assert_eq!(answer["receipt"]["topics"], event.json["topics"]);
    assert_eq!(answer["receipt"]["subscribers"], 2);
}

#[tokio::test]
async fn a_move_beyond_half_must_be_meant() {
    let service = Service::start().await;
    service.product("longjing").await;

    let slip = service.price("longjing", "1.28").await;
    assert_eq!((slip.status, slip.code()), (422, "confirm_needed"));
    assert_eq!((&slip.json["from"], &slip.json["to"]), (&json!("100.00"), &json!("1.28")));
    assert_eq!(service.shown("longjing").await["price"], "100.00");
    assert_eq!(service.set_price("longjing", "150.00").await, 200);
    assert_eq!(service.set_price("longjing", "74.99").await, 422);

    let path = "/v1/products/longjing/price?confirm=true";
    let meant = service.put(&service.merchant("m1"), path, json!({ "price": "1.28" })).await;
    assert_eq!(meant.status, 200);
    assert_eq!(service.shown("longjing").await["price_fen"], 128);
}

#[tokio::test]
async fn a_price_may_come_as_a_form() {
    let service = Service::start().await;
    service.product("longjing").await;
    let path = "/v1/products/longjing/price";
    let request = service.request(reqwest::Method::PUT, path).bearer_auth(service.merchant("m1"));
    let form = "application/x-www-form-urlencoded";

    let answer = service.send(request.header("Content-Type", form).body("price=128.00")).await;

    assert_eq!(answer.ok()["price"], "128.00");
}
