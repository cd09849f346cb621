use crate::harness::Service;
use serde_json::{Value, json};

#[tokio::test]
async fn a_market_update_is_told_and_shown() {
    let service = Service::start().await;
    let mut follower = service.follow("market/fangcun").await;
    let body = json!({
        "title": "芳村周报", "body": "春茶上市", "volume_kg": 120_000, "turnover": "9600000.00",
        "average": "80.00", "index": "1043.5",
    });

    let answer = service.post(&service.admin(), "/v1/markets/fangcun/updates", body).await;

    assert_eq!(answer.status, 201, "{}", answer.text);
    let event = follower.next().await;
    assert_eq!(
        (event.kind.as_str(), &event.json["topics"]),
        ("market.updated", &json!(["market/fangcun"]))
    );
    let data = event.data();
    assert_eq!(answer.json["receipt"]["id"], event.id());
    assert_eq!((&data["title"], &data["turnover_fen"]), (&json!("芳村周报"), &json!(960_000_000)));
    assert_eq!((&data["average_fen"], &data["period"]), (&json!(8000), &Value::Null));
    assert_eq!(service.get("/v1/markets/fangcun").await.ok()["latest"], *data);
}

#[tokio::test]
async fn a_title_is_enough_for_an_update() {
    let service = Service::start().await;
    let mut follower = service.follow("market/*").await;

    let body = json!({ "title": "Closed tomorrow" });
    service.post(&service.admin(), "/v1/markets/anxi/updates", body).await.ok();

    let event = follower.next().await;
    assert_eq!(event.data()["market"], "anxi");
    for field in ["body", "period", "volume_kg", "turnover", "average", "index"] {
        assert_eq!(event.data()[field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn the_built_in_markets_and_categories_are_there_and_count_their_products() {
    let service = Service::start().await;
    service.product("longjing").await;
    let find = |answer: &Value, list: &str, id: &str| {
        let rows = answer[list].as_array().unwrap().iter();
        rows.clone().find(|row| row["id"] == id).cloned().unwrap_or_else(|| panic!("no {id}"))
    };

    let markets = service.get("/v1/markets").await.ok();
    for id in [
        "fangcun",
        "xinchang",
        "songyang",
        "anxi",
        "wuyishan",
        "fuding",
        "kunming",
        "menghai",
        "maliandao",
        "emeishan",
        "xinyang",
        "meitan",
        "hengzhou",
    ] {
        find(&markets, "markets", id);
    }
    assert_eq!(find(&markets, "markets", "fangcun")["products"], 1);

    let categories = service.get("/v1/categories").await.ok();
    for id in ["white", "yellow", "oolong", "black", "dark", "scented", "other"] {
        find(&categories, "categories", id);
    }
    assert_eq!(find(&categories, "categories", "green")["products"], 1);
    assert_eq!(find(&categories, "categories", "dark.puer")["parent"], "dark");
}

#[tokio::test]
async fn the_catalogue_has_filters_and_pages() {
    let service = Service::start().await;
    for n in 0..5 {
        service.product(&format!("green{n}")).await;
    }
    service.product_with("black", json!({ "category": "black", "market": "anxi" })).await;

    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("/v1/products?limit=2{after}")).await.ok();
        let products = page["products"].as_array().unwrap().iter();
        ids.extend(products.map(|product| product["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    ids.sort();
    assert_eq!(ids, ["black", "green0", "green1", "green2", "green3", "green4"]);
    for query in ["category=black", "market=anxi", "category=black&merchant=m1"] {
        let page = service.get(&format!("/v1/products?{query}")).await.ok();
        assert_eq!(page["products"].as_array().unwrap().len(), 1, "{query}");
        assert_eq!(page["products"][0]["id"], "black", "{query}");
    }
}
