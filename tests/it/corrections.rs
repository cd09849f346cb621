use crate::harness::{Answer, Service};
use serde_json::{Value, json};

async fn put(service: &Service, query: &str, body: Value) -> Answer {
    let path = format!("/v1/products/longjing/price{query}");
    service.put(&service.merchant("m1"), &path, body).await
}

async fn correct(service: &Service, price: &str) -> Answer {
    put(service, "", json!({ "price": price, "correction": true })).await
}

#[tokio::test]
async fn a_correction_says_which_price_was_wrong() {
    let service = Service::start().await;
    service.product("longjing").await;
    let mut follower = service.follow("product/longjing").await;

    service.price("longjing", "120.00").await.ok();
    let body = json!({ "price": "112.00", "correction": true, "note": "手误" });
    let answer = put(&service, "", body).await.ok();
    service.price("longjing", "113.00").await.ok();

    let (wrong, right, next) =
        (follower.next().await, follower.next().await, follower.next().await);
    assert_eq!(wrong.data()["kind"], "tick");
    let data = right.data();
    assert_eq!((&data["kind"], &data["note"]), (&json!("correction"), &json!("手误")));
    assert_eq!((&data["corrects"], &data["from"]), (&json!(wrong.id()), &json!("120.00")));
    assert_eq!((&answer["kind"], &answer["from"]), (&json!("correction"), &json!("120.00")));
    assert_eq!(answer["receipt"]["id"], right.id());
    assert_eq!(next.data()["kind"], "tick");
    assert_eq!((&next.data()["corrects"], &next.data()["note"]), (&Value::Null, &Value::Null));
    assert_eq!(service.shown("longjing").await["price"], "113.00");
}

#[tokio::test]
async fn a_correction_is_measured_against_the_price_before_the_wrong_one() {
    let service = Service::start().await;
    service.product("longjing").await;
    put(&service, "?confirm=true", json!({ "price": "10.00" })).await.ok();

    // Back from a tenth is no move; twice what it was before is one.
    let refused = correct(&service, "200.00").await;
    assert_eq!(refused.code(), "confirm_needed");
    assert_eq!((&refused.json["from"], &refused.json["to"]), (&json!("100.00"), &json!("200.00")));
    correct(&service, "101.00").await.ok();
    // A correction of a correction is measured against the same.
    assert_eq!(correct(&service, "20.00").await.code(), "confirm_needed");
    correct(&service, "102.00").await.ok();

    assert_eq!(service.shown("longjing").await["price"], "102.00");
}

#[tokio::test]
async fn the_first_price_may_be_corrected_to_any_other_and_none_not_at_all() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.product_with("keemun", json!({ "price": null })).await;

    let answer = correct(&service, "1000.00").await.ok();
    assert_eq!(answer["changed"], true);
    let same = correct(&service, "1000.00").await.ok();
    assert_eq!((&same["changed"], &same["receipt"]), (&json!(false), &Value::Null));

    let body = json!({ "price": "1.00", "correction": true });
    let none = service.put(&service.merchant("m1"), "/v1/products/keemun/price", body).await;
    assert_eq!((none.status, none.code()), (422, "nothing_to_correct"));
    let note = put(&service, "", json!({ "price": "1001.00", "note": "why" })).await;
    assert_eq!((note.code(), &note.json["field"]), ("note_without_correction", &json!("note")));
}

#[tokio::test]
async fn a_price_for_another_unit_is_judged_by_weight() {
    let service = Service::start().await;
    service.product("longjing").await;
    let tea = |unit: &str, price: &str| {
        json!({
            "name": "longjing", "category": "green", "market": "fangcun", "unit": unit, "price": price,
        })
    };
    let token = service.merchant("m1");
    let path = "/v1/products/longjing";

    let half = service.put(&token, path, tea("kg", "100.00")).await;
    service.put(&token, path, tea("kg", "140.00")).await.ok();
    let dear = service.put(&token, path, tea("liang", "140.00")).await;
    service.put(&token, &format!("{path}?confirm=true"), tea("liang", "140.00")).await.ok();

    // 100.00 for a kilogram is half of 100.00 for a jin: no more than half.
    assert_eq!(half.status, 200, "{}", half.text);
    assert_eq!(dear.code(), "confirm_needed");
    assert_eq!(dear.json["from_per_500g"], "70.00");
    assert_eq!(dear.json["to_per_500g"], "1400.00");
    assert_eq!((&dear.json["from"], &dear.json["to"]), (&json!("140.00"), &json!("140.00")));
}
