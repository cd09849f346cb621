use crate::harness::{Follower, Service};
use serde_json::json;

/// Ends the waiting of every follower of room `end`.
async fn end(service: &Service) {
    assert_eq!(service.say("end", json!({})).await.status, 201);
}

/// The kind and product of every event before the end.
async fn until_end(mut follower: Follower) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let event = follower.next().await;
        if event.json["topics"] == json!(["room/end"]) {
            return told;
        }
        told.push(format!("{} {}", event.kind, event.data()["product"].as_str().unwrap_or("-")));
    }
}

async fn two_teas() -> Service {
    let service = Service::start().await;
    service.product("longjing").await;
    service.product_with("keemun", json!({ "category": "black", "market": "anxi" })).await;
    service
}

#[tokio::test]
async fn an_event_with_three_topics_is_told_once() {
    let service = two_teas().await;
    let topics = "price/green,market/fangcun,product/longjing,price/*,room/end";
    let follower = service.follow(topics).await;

    service.set_price("longjing", "101.00").await;
    service.set_price("longjing", "102.00").await;
    end(&service).await;

    let told = until_end(follower).await;
    assert_eq!(told, ["price.changed longjing", "price.changed longjing"]);
}

#[tokio::test]
async fn topics_may_be_repeated_or_separated_by_commas() {
    let service = two_teas().await;
    let repeated = "topic=product/longjing&topic=product/keemun&topic=room/end";
    let repeated = service.listen(service.stream(repeated)).await;
    let commas = service.follow("product/longjing,product/keemun,room/end").await;
    let one = service.request(reqwest::Method::GET, "/v1/stream/room/end");
    let one = service.listen(one.header("Accept", "text/event-stream")).await;

    service.set_price("longjing", "101.00").await;
    service.set_price("keemun", "101.00").await;
    end(&service).await;

    let both = ["price.changed longjing", "price.changed keemun"];
    assert_eq!(until_end(repeated).await, both);
    assert_eq!(until_end(commas).await, both);
    assert!(until_end(one).await.is_empty());
}

#[tokio::test]
async fn a_star_is_all_of_a_kind_and_nothing_else() {
    let service = two_teas().await;
    let prices = service.follow("price/*,room/end").await;
    let markets = service.follow("market/*,room/end").await;

    service.set_price("longjing", "101.00").await;
    service.set_stock("longjing", 40).await;
    service.set_price("keemun", "101.00").await;
    let update = json!({ "title": "Spring harvest" });
    service.post(&service.admin(), "/v1/markets/anxi/updates", update).await.ok();
    end(&service).await;

    let both = ["price.changed longjing", "price.changed keemun"];
    assert_eq!(until_end(prices).await, both);
    assert_eq!(until_end(markets).await, [&both[..], &["market.updated -"]].concat());
}

#[tokio::test]
async fn a_filter_by_type_or_product_passes_only_these() {
    let service = two_teas().await;
    let all = "topic=product/longjing,product/keemun,room/end";
    let open = async |filter: &str| service.listen(service.stream(&format!("{all}{filter}"))).await;
    let stocks = open("&type=stock.changed,room.message").await;
    let repeated = open("&type=stock.changed&type=room.message").await;

    service.set_price("longjing", "101.00").await;
    service.set_stock("longjing", 40).await;
    service.set_stock("keemun", 7).await;
    end(&service).await;

    let stock_only = ["stock.changed longjing", "stock.changed keemun"];
    assert_eq!(until_end(stocks).await, stock_only);
    assert_eq!(until_end(repeated).await, stock_only);
    let query = "topic=price/*,product/keemun,product/longjing&product=keemun&cursor=earliest";
    let poll = service.poll(&format!("{query}&wait=0&type=stock.changed")).await;
    assert_eq!(poll["events"].as_array().unwrap().len(), 1);
    assert_eq!(poll["events"][0]["data"]["product"], "keemun");
}

#[tokio::test]
async fn a_filter_by_merchant_or_change_passes_only_these() {
    let service = two_teas().await;
    let other = json!({
        "id": "biluochun", "name": "碧螺春", "category": "green", "market": "fangcun",
        "unit": "jin", "merchant": "m2",
    });
    service.post(&service.admin(), "/v1/products", other).await.ok();
    let all = "topic=price/*,product/longjing,product/biluochun";
    let follower = service.stream(&format!("{all}&merchant=m2,m3&min_change=2.5"));
    let mut follower = service.listen(follower).await;
    let cursor = service.head().await;
    let set = async |product: &str, price: &str| {
        let path = format!("/v1/products/{product}/price");
        let answer = service.put(&service.admin(), &path, json!({ "price": price })).await;
        answer.ok()["receipt"]["id"].as_str().unwrap().to_owned()
    };

    set("longjing", "150.00").await;
    let first = set("biluochun", "100.00").await;
    set("biluochun", "102.49").await;
    let fell = set("biluochun", "99.90").await;
    let stock = json!({ "quantity": 7 });
    let stock = service.put(&service.admin(), "/v1/products/biluochun/stock", stock).await.ok();
    let rose = set("biluochun", "130.00").await;

    let told: Vec<String> =
        follower.collect(4).await.iter().map(|event| event.id().to_owned()).collect();
    let stock = stock["receipt"]["id"].as_str().unwrap();
    assert_eq!(told, [&first, &fell, stock, &rose], "a first price, 2.53 %, a stock, 30 %");
    let ids = |answer: &serde_json::Value| -> Vec<String> {
        let events = answer["events"].as_array().unwrap().iter();
        events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    let query = format!("{all}&merchant=m2&merchant=m3&min_change=2.50");
    let poll = service.poll(&format!("{query}&cursor={cursor}&wait=0")).await;
    assert_eq!(ids(&poll), told);
    let past = service.get(&format!("/v1/events?{query}&after={cursor}")).await.ok();
    assert_eq!(ids(&past), told);
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused_by_name() {
    let service = Service::start().await;
    let many = vec!["m"; 101].join(",");
    for (query, field) in [
        ("min_change=-1", "min_change"),
        ("min_change=0", "min_change"),
        ("min_change=2.555", "min_change"),
        ("min_change=1e3", "min_change"),
        ("min_change=1&min_change=2", "min_change"),
        ("merchant=a%20b", "merchant"),
        (&format!("merchant={many}"), "merchant"),
    ] {
        for path in ["/v1/stream", "/v1/poll", "/v1/events"] {
            let answer = service.get(&format!("{path}?topic=price/*&{query}")).await;
            answer.code();
            assert_eq!((answer.status, &answer.json["field"]), (422, &json!(field)), "{query}");
        }
    }
}

#[tokio::test]
async fn events_of_several_topics_keep_the_order_of_the_log() {
    let service = two_teas().await;
    let mut follower = service.follow("room/b,price/*,room/a,product/keemun").await;

    let mut ids = Vec::new();
    for n in 1..=5 {
        let said = service.say("a", json!({ "n": n })).await.ok();
        let price = service.price("longjing", format!("10{n}.00")).await.ok();
        let stock = service.set_stock("keemun", n).await.ok();
        let last = service.say("b", json!({ "n": n })).await.ok();
        let answers = [said, price, stock, last];
        ids.extend(answers.map(|answer| answer["receipt"]["id"].as_str().unwrap().to_owned()));
    }

    let told: Vec<String> =
        follower.collect(20).await.iter().map(|event| event.id().to_owned()).collect();
    assert_eq!(told, ids);
}

#[tokio::test]
async fn a_hundred_topics_are_enough() {
    let service = Service::start().await;
    let rooms = |n: usize| (0..n).map(|n| format!("room/r{n}")).collect::<Vec<_>>().join(",");

    service.follow(&rooms(100)).await;

    for path in ["/v1/stream", "/v1/poll"] {
        let answer = service.get(&format!("{path}?topic={}", rooms(101))).await;
        answer.code();
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!("topic")), "{path}");
    }
}
