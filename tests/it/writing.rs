use crate::harness::{Frame, Service, forge};
use serde_json::{Value, json};

fn tea(name: &str) -> Value {
    json!({ "name": name, "category": "green", "market": "fangcun", "unit": "jin" })
}

#[tokio::test]
async fn a_new_product_is_shown_and_told() {
    let service = Service::start().await;
    let mut arrivals = service.follow("arrivals").await;
    let mut body = tea("明前龙井");
    body["id"] = json!("longjing");

    let answer = service.post(&service.merchant("m1"), "/v1/products", body).await;

    assert_eq!(answer.status, 201);
    let created = answer.ok();
    let event = arrivals.next().await;
    assert_eq!((event.kind.as_str(), event.data()), ("product.arrived", &created["product"]));
    assert_eq!(created["receipt"]["id"], event.id());
    let shown = service.get("/v1/products/longjing").await;
    let version = created["product"]["version"].as_i64().unwrap();
    assert_eq!(shown.header("etag"), Some(format!("\"{version}\"").as_str()));
    assert_eq!(service.shown("longjing").await, created["product"]);
    for (field, value) in
        [("merchant", json!("m1")), ("price", Value::Null), ("stock", Value::Null)]
    {
        assert_eq!(shown.json[field], value, "{field}");
    }
    assert_eq!((&shown.json["status"], &shown.json["clearance"]), (&json!("listed"), &Value::Null));
}

#[tokio::test]
async fn a_product_is_made_replaced_and_withdrawn() {
    let service = Service::start().await;
    let token = service.merchant("m1");
    let path = "/v1/products/longjing";
    assert_eq!(service.put(&token, path, tea("龙井")).await.status, 201);
    let mut follower = service.follow("product/longjing").await;

    let replaced = service.put(&token, path, tea("西湖龙井")).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(follower.next().await.kind, "product.updated");
    assert_eq!(service.shown("longjing").await["name"], "西湖龙井");

    assert_eq!(service.delete(&token, path).await.status, 200);
    let event = follower.next().await;
    assert_eq!(
        (event.kind.as_str(), &event.data()["product"]),
        ("product.withdrawn", &json!("longjing"))
    );
    assert_eq!(service.shown("longjing").await["status"], "withdrawn");
    let listed = service.get("/v1/products?status=listed").await.ok();
    assert_eq!(listed["products"], json!([]));
}

#[tokio::test]
async fn stock_is_set_and_counted_down_and_told_to_its_merchant() {
    let service = Service::start().await;
    service.product("longjing").await;
    let token = service.merchant("m1");
    let mut merchant = service.follow_as(&token, "merchant/m1").await;
    let path = "/v1/products/longjing/stock";

    service.put(&token, path, json!({ "quantity": 40, "note": "counted" })).await.ok();
    let sold = service.post(&token, path, json!({ "delta": -3 })).await.ok();
    let same = service.set_stock("longjing", 37).await.ok();

    assert_eq!((&sold["quantity"], &sold["changed"]), (&json!(37), &json!(true)));
    assert_eq!((&same["changed"], &same["receipt"]), (&json!(false), &Value::Null));
    let (counted, sold) = (merchant.next().await, merchant.next().await);
    assert_eq!(counted.kind, "stock.changed");
    assert_eq!(counted.data()["quantity"], 40);
    assert_eq!(counted.data()["note"], "counted");
    assert_eq!(counted.data()["stock_unit"], "gram");
    assert_eq!(counted.json["topics"], json!(["product/longjing", "merchant/m1"]));
    let data = sold.data();
    assert_eq!(
        (&data["from"], &data["quantity"], &data["delta"]),
        (&json!(40), &json!(37), &json!(-3))
    );
}

async fn clear(service: &Service, body: Value) -> crate::harness::Answer {
    service.put(&service.merchant("m1"), "/v1/products/longjing/clearance", body).await
}

fn started(event: &Frame) -> bool {
    event.kind == "clearance.started" && event.data()["product"] == "longjing"
}

#[tokio::test]
async fn a_clearance_starts_and_is_cancelled() {
    let service = Service::start().await;
    service.product("longjing").await;
    let mut follower = service.follow("clearance").await;

    let answer = clear(&service, json!({ "price": "80.00" })).await.ok();
    let event = follower.next().await;
    assert!(started(&event), "{event:?}");
    assert_eq!((&event.data()["price"], &event.data()["was"]), (&json!("80.00"), &json!("100.00")));
    assert_eq!(answer["clearance"]["active"], true);
    assert_eq!(service.shown("longjing").await["clearance"], answer["clearance"]);

    let path = "/v1/products/longjing/clearance";
    assert_eq!(service.delete(&service.merchant("m1"), path).await.status, 200);
    let event = follower.next().await;
    assert_eq!(
        (event.kind.as_str(), &event.data()["reason"]),
        ("clearance.ended", &json!("cancelled"))
    );
    assert_eq!(service.shown("longjing").await["clearance"], Value::Null);
}

#[tokio::test]
async fn a_clearance_starts_and_ends_by_the_clock() {
    let service = Service::start().await;
    service.product("longjing").await;
    let mut follower = service.follow("clearance").await;
    let time = |seconds| jiff::Timestamp::from_second(forge::unix(seconds)).unwrap().to_string();

    let body = json!({ "price": "80.00", "starts_at": time(2), "ends_at": time(3) });
    let answer = clear(&service, body).await.ok();

    assert_eq!(answer["clearance"]["active"], false);
    let event = follower.next().await;
    assert!(started(&event), "{event:?}");
    let event = follower.next().await;
    assert_eq!((event.kind.as_str(), &event.data()["reason"]), ("clearance.ended", &json!("due")));
}

#[tokio::test]
async fn a_clearance_starts_and_ends_though_the_service_was_killed_in_between() {
    let mut service = Service::start().await;
    service.product("longjing").await;
    let time = |seconds| jiff::Timestamp::from_second(forge::unix(seconds)).unwrap().to_string();
    let body = json!({ "price": "80.00", "starts_at": time(1), "ends_at": time(4) });
    clear(&service, body).await.ok();

    service.kill().await;
    service.restart().await;
    let told = async |count: usize| {
        let has = async || (service.whole_history("clearance").await.len() == count).then_some(());
        service.eventually("clearance event", has).await;
    };
    told(1).await;
    assert_eq!(service.shown("longjing").await["clearance"]["active"], true);
    told(2).await;

    let history = service.whole_history("clearance").await;
    let kinds: Vec<&Value> = history.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["clearance.started", "clearance.ended"]);
    assert_eq!(history[1]["data"]["reason"], "due");
}

#[tokio::test]
async fn a_clearance_below_half_of_the_price_has_to_be_confirmed() {
    let service = Service::start().await;
    service.product("longjing").await;
    let refused = clear(&service, json!({ "price": "49.99" })).await;
    assert_eq!(refused.code(), "confirm_needed");
    assert_eq!((&refused.json["from"], &refused.json["to"]), (&json!("100.00"), &json!("49.99")));
    let path = "/v1/products/longjing/clearance?confirm=true";
    service.put(&service.merchant("m1"), path, json!({ "price": "49.99" })).await.ok();
    // To prolong it is no new price.
    let longer = json!({ "price": "49.99", "ends_at": "2099-01-01T00:00:00Z" });
    clear(&service, longer).await.ok();

    let request = service.request(reqwest::Method::POST, "/v1/import");
    let request = request.bearer_auth(service.merchant("m1")).header("Content-Type", "text/csv");
    let table = "product,clearance_price\nlongjing,40.00\n";
    let report = service.send(request.body(table)).await.json;
    assert_eq!(report["errors"][0]["code"], "confirm_needed");
    assert_eq!(report["errors"][0]["field"], "clearance_price");
    let request = service.request(reqwest::Method::PUT, "/v1/products/longjing/price");
    let form = request.bearer_auth(service.merchant("m1")).body("price=10.00");
    let form = form.header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(service.send(form).await.code(), "confirm_needed");
}

#[tokio::test]
async fn a_clearance_that_began_in_the_past_is_on_and_ends_when_all_is_sold() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.set_stock("longjing", 500).await.ok();
    let mut follower = service.follow("clearance").await;

    clear(&service, json!({ "price": "80.00", "starts_at": "2026-01-01T00:00:00Z" })).await.ok();
    service.set_stock("longjing", 0).await.ok();

    assert!(started(&follower.next().await));
    let event = follower.next().await;
    assert_eq!(
        (event.kind.as_str(), &event.data()["reason"]),
        ("clearance.ended", &json!("sold_out"))
    );
}

#[tokio::test]
async fn a_clearance_ends_with_its_product() {
    let service = Service::start().await;
    service.product("longjing").await;
    clear(&service, json!({ "price": "80.00" })).await.ok();
    let mut follower = service.follow("product/longjing").await;

    service.delete(&service.merchant("m1"), "/v1/products/longjing").await.ok();

    let mut kinds: Vec<String> = follower.collect(2).await.into_iter().map(|e| e.kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["clearance.ended", "product.withdrawn"]);
}

#[tokio::test]
async fn an_announcement_reaches_who_listens() {
    let service = Service::start().await;
    let mut everyone = service.follow("announcements").await;
    let mut room = service.follow("room/spring").await;
    let announce = |topic: &str| json!({ "topics": [topic], "type": "announcement", "data": { "text": "明天闭市" } });

    for topic in ["announcements", "room/spring"] {
        let answer = service.post(&service.admin(), "/v1/events", announce(topic)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    for follower in [&mut everyone, &mut room] {
        let event = follower.next().await;
        assert_eq!(
            (event.kind.as_str(), event.data()),
            ("announcement", &json!({ "text": "明天闭市" }))
        );
    }
}

#[tokio::test]
async fn a_batch_is_done_in_order_and_altogether_or_not_at_all() {
    let service = Service::start().await;
    let mut follower = service.follow("room/x").await;
    let message = |n: usize| json!({ "topics": ["room/x"], "type": "room.message", "data": n });
    let send = async |batch: Vec<Value>| {
        service.post(&service.merchant("m1"), "/v1/events", json!(batch)).await
    };

    let mut bad: Vec<Value> = (0..5).map(message).collect();
    bad[4]["topics"] = json!(["price/green"]);
    let before = service.head().await;
    send(bad).await.code();
    send((0..1001).map(message).collect()).await.code();
    assert_eq!(service.head().await, before);

    let receipts = send((0..1000).map(message).collect()).await.ok()["receipts"].clone();
    let events = follower.collect(1000).await;
    for (n, event) in events.iter().enumerate() {
        assert_eq!((event.data(), &receipts[n]["id"]), (&json!(n), &json!(event.id())));
    }
}

#[tokio::test]
async fn nobody_forges_what_only_the_service_says() {
    let service = Service::start().await;
    let before = service.head().await;
    let forged = [
        ("room/x", "hello"),
        ("room/x", "reset"),
        ("room/x", "bye"),
        ("room/x", "heartbeat"),
        ("room/x", "price.changed"),
        ("room/x", "no.such.type"),
        ("price/green", "price.changed"),
        ("price/green", "room.message"),
        ("merchant/m2", "stock.changed"),
        ("room/*", "room.message"),
    ];
    for (topic, kind) in forged {
        let body = json!({ "topics": [topic], "type": kind, "data": {} });
        let answer = service.post(&service.merchant("m1"), "/v1/events", body).await;
        answer.code();
    }
    let body = json!({ "topics": ["announcements"], "type": "announcement", "data": {} });
    let answer = service.post(&service.merchant("m1"), "/v1/events", body).await;
    assert_eq!(answer.status, 403, "operator broadcasts are the operator's");
    assert_eq!(service.head().await, before);
}
