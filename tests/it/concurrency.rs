use crate::harness::{Api, Service};
use serde_json::{Value, json};
use std::collections::HashMap;

const TASKS: usize = 16;
const WRITES: usize = 25;

/// Sets the prices of one product, as one of many; the ids of the receipts.
async fn set_prices(api: Api, product: String) -> Vec<Value> {
    let mut ids = Vec::new();
    for n in 1..=WRITES {
        let answer = api.price(&product, format!("100.{n:02}")).await.ok();
        ids.push(answer["receipt"]["id"].clone());
    }
    ids
}

#[tokio::test]
async fn prices_set_at_once_all_arrive_in_one_order() {
    let service = Service::start().await;
    let products: Vec<String> = (0..TASKS).map(|n| format!("p{n}")).collect();
    for product in &products {
        service.product(product).await;
    }
    let mut early = service.follow("price/green").await;
    let mut other = service.follow("market/fangcun,price/*").await;

    let tasks: Vec<_> = products
        .iter()
        .map(|product| tokio::spawn(set_prices((*service).clone(), product.clone())))
        .collect();
    let events = early.collect(TASKS * WRITES).await;
    let mut receipts = HashMap::new();
    for (product, task) in products.iter().zip(tasks) {
        receipts.insert(product.as_str(), task.await.unwrap());
    }

    // Everyone is told the same order, and history has it too.
    assert_eq!(other.collect(TASKS * WRITES).await, events);
    let mut late = service.follow_after("price/green", Some(events[0].id())).await;
    assert_eq!(late.collect(TASKS * WRITES - 1).await, events[1..]);

    // No product's events are out of order, missing or doubled.
    for product in &products {
        let own = events.iter().filter(|event| event.data()["product"] == **product);
        let mut price = json!("100.00");
        let mut ids = Vec::new();
        for event in own {
            assert_eq!(event.data()["from"], price, "{product}");
            price = event.data()["price"].clone();
            ids.push(json!(event.id()));
        }
        assert_eq!(ids, receipts[product.as_str()]);
        assert_eq!(service.shown(product).await["price"], price);
    }
}

#[tokio::test]
async fn stock_taken_at_once_is_never_taken_twice() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.set_stock("longjing", 10).await.ok();
    let token = service.merchant("m1");

    let sales = (0..25).map(|_| {
        let (api, token) = ((*service).clone(), token.clone());
        let path = "/v1/products/longjing/stock";
        tokio::spawn(async move { api.post(&token, path, json!({ "delta": -1 })).await.status })
    });
    let mut sold = 0;
    for sale in sales.collect::<Vec<_>>() {
        match sale.await.unwrap() {
            200 => sold += 1,
            status => assert!((400..500).contains(&status), "{status}"),
        }
    }

    assert_eq!(sold, 10);
    assert_eq!(service.shown("longjing").await["stock"], 0);
}

#[tokio::test]
async fn one_of_many_that_create_the_same_product_does() {
    let service = Service::start().await;
    let token = service.merchant("m1");
    let body = json!({
        "id": "longjing", "name": "龙井", "category": "green", "market": "fangcun", "unit": "jin",
    });

    let creations = (0..8).map(|_| {
        let (api, token, body) = ((*service).clone(), token.clone(), body.clone());
        tokio::spawn(async move { api.post(&token, "/v1/products", body).await.status })
    });
    let mut statuses = Vec::new();
    for creation in creations.collect::<Vec<_>>() {
        statuses.push(creation.await.unwrap());
    }

    statuses.sort();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(service.whole_history("arrivals").await.len(), 1);
}
