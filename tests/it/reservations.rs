use crate::harness::{Answer, Service};
use serde_json::{Value, json};

const PATH: &str = "/v1/products/longjing/reservations";

async fn shop(stock: i64) -> Service {
    let service = Service::start().await;
    service.product_with("longjing", json!({ "stock": stock })).await;
    service
}

async fn reserve(service: &Service, quantity: i64, seconds: i64) -> Answer {
    let body = json!({ "quantity": quantity, "expires_in": seconds, "reference": "order-981" });
    service.post(&service.merchant("m1"), PATH, body).await
}

fn id(answer: &Value) -> &str {
    answer["reservation"]["id"].as_str().unwrap()
}

async fn figures(service: &Service) -> [Value; 3] {
    let shown = service.shown("longjing").await;
    ["stock", "reserved", "available"].map(|name| shown[name].clone())
}

#[tokio::test]
async fn what_is_reserved_is_on_hand_and_not_available() {
    let service = shop(40).await;
    let token = service.merchant("m1");
    let mut follower = service.follow("product/longjing").await;

    let first = reserve(&service, 3, 900).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let second = reserve(&service, 5, 900).await.ok();
    assert_eq!(figures(&service).await, [json!(40), json!(8), json!(32)]);
    let sold = format!("{PATH}/{}/commit", id(&first.json));
    assert_eq!(service.post(&token, &sold, json!({})).await.ok()["status"], "sold");
    assert_eq!(figures(&service).await, [json!(37), json!(5), json!(32)]);
    let released = format!("{PATH}/{}", id(&second));
    service.delete(&token, &released).await.ok();
    assert_eq!(figures(&service).await, [json!(37), json!(0), json!(37)]);

    for gone in [released.clone(), format!("{PATH}/r0"), format!("{PATH}/%00")] {
        let answer = service.delete(&token, &gone).await;
        assert_eq!((answer.status, answer.code()), (404, "unknown_reservation"));
    }
    let told: Vec<Value> = follower.collect(4).await.iter().map(|it| it.data().clone()).collect();
    let said: Vec<Value> = told
        .iter()
        .map(|it| {
            json!([
                it["reason"],
                it["delta"],
                it["reserved"],
                it["available_from"],
                it["available"]
            ])
        })
        .collect();
    let wanted = json!([
        ["reserved", 0, 3, 40, 37],
        ["reserved", 0, 8, 37, 32],
        ["sold", -3, 5, 32, 32],
        ["released", 0, 0, 32, 37],
    ]);
    assert_eq!(json!(said), wanted);
    assert!(!json!(told).to_string().contains("order-981"), "a reference is the merchant's own");
}

#[tokio::test]
async fn many_who_reserve_at_once_are_promised_no_more_than_there_is() {
    let service = shop(50).await;
    let orders = (0..120).map(|_| {
        let api = (*service).clone();
        tokio::spawn(async move {
            let answer = api.post(&api.merchant("m1"), PATH, json!({ "quantity": 1 })).await;
            answer.status
        })
    });
    let mut promised = 0;
    for order in orders.collect::<Vec<_>>() {
        match order.await.unwrap() {
            201 => promised += 1,
            status => assert_eq!(status, 409),
        }
    }
    assert_eq!(promised, 50);
    assert_eq!(figures(&service).await, [json!(50), json!(50), json!(0)]);
    let refused = reserve(&service, 1, 900).await;
    assert_eq!((refused.code(), &refused.json["available"]), ("not_enough_stock", &json!(0)));
}

#[tokio::test]
async fn a_reservation_expires_by_itself_even_after_a_kill() {
    let mut service = shop(40).await;
    reserve(&service, 3, 1).await.ok();
    reserve(&service, 4, 900).await.ok();
    service.kill().await;
    service.restart().await;

    let given_back = async || (service.shown("longjing").await["reserved"] == 4).then_some(());
    service.eventually("expiry", given_back).await;

    assert_eq!(figures(&service).await, [json!(40), json!(4), json!(36)]);
    let history = service.whole_history("product/longjing").await;
    let expired = history.iter().filter(|event| event["data"]["reason"] == "expired").count();
    assert_eq!(expired, 1);
}

#[tokio::test]
async fn a_clearance_ends_when_the_last_is_promised() {
    let service = shop(4).await;
    let token = service.merchant("m1");
    let body = json!({ "price": "80.00" });
    service.put(&token, "/v1/products/longjing/clearance", body).await.ok();
    let mut follower = service.follow("clearance").await;

    reserve(&service, 4, 900).await.ok();

    let event = follower.next().await;
    assert_eq!(
        (event.kind.as_str(), &event.data()["reason"]),
        ("clearance.ended", &json!("sold_out"))
    );
}

#[tokio::test]
async fn a_stock_is_not_set_below_what_is_promised_unless_that_is_meant() {
    let service = shop(10).await;
    let token = service.merchant("m1");
    let first = reserve(&service, 6, 900).await.ok();

    let refused = service.set_stock("longjing", 5).await;
    assert_eq!((refused.status, refused.code()), (409, "stock_below_reserved"));
    assert_eq!((&refused.json["reserved"], &refused.json["quantity"]), (&json!(6), &json!(5)));
    let path = "/v1/products/longjing/stock";
    let sale = service.post(&token, path, json!({ "delta": -5 })).await;
    assert_eq!(sale.code(), "stock_below_reserved");
    let forced = format!("{path}?force=true");
    service.put(&token, &forced, json!({ "quantity": 5 })).await.ok();
    assert_eq!(figures(&service).await, [json!(5), json!(6), json!(0)]);
    let commit = format!("{PATH}/{}/commit", id(&first));
    assert_eq!(service.post(&token, &commit, json!({})).await.code(), "stock_below_reserved");
    // Towards what was promised it may rise, and then the promise is kept.
    service.post(&token, path, json!({ "delta": 1 })).await.ok();
    service.post(&token, &commit, json!({})).await.ok();
    assert_eq!(figures(&service).await, [json!(0), json!(0), json!(0)]);
}

#[tokio::test]
async fn reservations_are_their_merchants_own_and_come_a_page_at_a_time() {
    let service = shop(40).await;
    for _ in 0..5 {
        reserve(&service, 1, 900).await.ok();
    }
    let token = service.merchant("m1");
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = service.get_as(&token, &format!("{PATH}?limit=2{after}")).await.ok();
        let found = page["reservations"].as_array().unwrap().clone();
        assert!(found.iter().all(|it| it["reference"] == "order-981"));
        ids.extend(found.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    ids.dedup();
    assert_eq!(ids.len(), 5);

    let other = service.merchant("m2");
    assert_eq!(service.get_as(&other, PATH).await.code(), "not_yours");
    assert_eq!(service.get(PATH).await.code(), "unauthorized");
    assert_eq!(service.post(&other, PATH, json!({ "quantity": 1 })).await.code(), "not_yours");
    let theirs = format!("{PATH}/{}", ids[0]);
    assert_eq!(service.delete(&other, &theirs).await.code(), "not_yours");
}

#[tokio::test]
async fn what_cannot_be_reserved_is_named() {
    let service = shop(40).await;
    service.product("keemun").await;
    let token = service.merchant("m1");
    for (body, field, code) in [
        (json!({ "quantity": 0 }), "quantity", "out_of_range"),
        (json!({ "quantity": -1 }), "quantity", "out_of_range"),
        (json!({ "quantity": 1, "expires_in": 0 }), "expires_in", "out_of_range"),
        (json!({ "quantity": 1, "expires_in": 2_592_001 }), "expires_in", "out_of_range"),
        (json!({ "quantity": 1, "reference": "x".repeat(65) }), "reference", "too_long"),
        (json!({ "quantity": 1, "until": 1 }), "until", "unknown_field"),
        (json!({}), "quantity", "missing_field"),
    ] {
        let answer = service.post(&token, PATH, body).await;
        assert_eq!((answer.status, answer.code()), (422, code));
        assert_eq!(answer.json["field"], field);
    }
    let unknown =
        service.post(&token, "/v1/products/keemun/reservations", json!({ "quantity": 1 })).await;
    assert_eq!(unknown.code(), "stock_unknown");
    assert_eq!(figures(&service).await, [json!(40), json!(0), json!(40)]);
}
