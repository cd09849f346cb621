//! Rules as their owners see them.

use crate::harness::{Api, Service};
use reqwest::Method;
use serde_json::{Value, json};

pub async fn make(api: &Api, user: &str, rule: Value) -> Value {
    let answer = api.post(&api.shopper(user), "/v1/alerts", rule).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json
}

pub async fn inbox(api: &Api, user: &str) -> Vec<Value> {
    let page = api.get_as(&api.shopper(user), "/v1/notifications?limit=200").await.ok();
    page["notifications"].as_array().unwrap().clone()
}

/// Waits until the inbox of `user` has `count`, newest first.
pub async fn inbox_of(api: &Api, user: &str, count: usize) -> Vec<Value> {
    let full = async || Some(inbox(api, user).await).filter(|it| it.len() >= count);
    let found = api.eventually(&format!("{count} notifications"), full).await;
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// Waits until the monitor has looked at everything that has happened.
pub async fn judged(service: &Api) {
    let user = "judged";
    let before = inbox(service, user).await.len();
    let product = format!("mark-{}", rand::random::<u32>());
    service.product(&product).await;
    let body = json!({ "product": product, "op": "any_change", "percent": "1" });
    make(service, user, body).await;
    assert_eq!(service.set_price(&product, "120.00").await, 200);
    inbox_of(service, user, before + 1).await;
}

#[tokio::test]
async fn a_price_that_was_waited_for_is_told_once_and_at_once() {
    let service = Service::start().await;
    service.product("longjing").await;
    let lin = service.shopper("lin");
    let mut follower = service.follow_as(&lin, "user/me").await;

    let made =
        make(&service, "lin", json!({"product":"longjing","op":"lte","price":"98.00"})).await;
    assert_eq!(made["now"]["would_fire"], false);
    assert_eq!(made["now"]["series"][0]["value"], 10_000);
    assert_eq!(made["now"]["series"][0]["distance"], 200);
    assert_eq!(made["now"]["lowest_90_days"], "100.00");
    assert!(made["now"]["sentence"]["zh"].as_str().unwrap().contains("98.00"));
    assert!(made["now"]["sentence"]["en"].as_str().unwrap().contains("98.00"));

    for price in ["99.00", "98.00", "97.00"] {
        assert_eq!(service.set_price("longjing", price).await, 200);
    }
    let told = follower.next().await;
    assert_eq!(told.json["type"], "notification.created");
    assert_eq!(told.data()["data"]["items"][0]["price"], "98.00");
    judged(&service).await;

    let inbox = inbox_of(&service, "lin", 1).await;
    assert_eq!(inbox[0], *told.data());
    assert_eq!(
        (&inbox[0]["type"], &inbox[0]["product"]),
        (&json!("price_alert"), &json!("longjing"))
    );
    let rule = service.get_as(&lin, &format!("/v1/alerts/{}", made["alert"]["id"])).await.ok();
    assert_eq!((&rule["status"], &rule["fires"]), (&json!("done"), &json!(1)));
}

#[tokio::test]
async fn what_is_true_already_is_told_when_the_rule_is_made() {
    let service = Service::start().await;
    service.product("longjing").await;

    let first = make(&service, "lin", json!({"product":"longjing","op":"lte","price":"100"})).await;
    let quiet = json!({"product":"longjing","op":"lte","price":"100","fire_if_true_now":false});
    let second = make(&service, "lin", quiet).await;

    assert_eq!(first["now"]["already_true"], true);
    assert_eq!(first["now"]["series"][0]["fired"], "already_true");
    assert_eq!(second["now"]["would_fire"], false);
    assert_eq!(second["now"]["series"][0]["state"], "fired");
    inbox_of(&service, "lin", 1).await;
}

#[tokio::test]
async fn a_rule_that_rearms_fires_again_only_after_the_value_came_back() {
    let service = Service::start().await;
    service.product_with("cake", json!({ "stock": 20 })).await;
    let rule = json!({"product":"cake","op":"stock_lte","quantity":10,"margin":"2","mode":"rearm","cooldown_s":60});
    let made = make(&service, "lin", rule).await;

    for quantity in [15, 10, 9, 11] {
        service.set_stock("cake", quantity).await.ok();
    }
    inbox_of(&service, "lin", 1).await;
    judged(&service).await;

    let path = format!("/v1/alerts/{}/explain", made["alert"]["id"]);
    let told = service.get_as(&service.shopper("lin"), &path).await.ok();
    let instance = &told["instances"][0];
    assert_eq!((&instance["state"], &instance["armed"]), (&json!("fired"), &json!(false)));
    assert_eq!((&instance["value"], &instance["threshold"]), (&json!(11), &json!(10)));
    assert_eq!(told["firings"][0]["value"], 10);
    assert_eq!(instance["evaluations"][0]["outcome"], "fired");
    assert!(instance["evaluations"][0]["why"]["en"].is_string());
}

#[tokio::test]
async fn only_its_owner_sees_a_rule() {
    let service = Service::start().await;
    service.product("longjing").await;
    let made = make(&service, "lin", json!({"product":"longjing","op":"lte","price":"98"})).await;
    let id = made["alert"]["id"].as_i64().unwrap();
    let mallory = service.shopper("mallory");

    for (method, verb) in [
        (Method::GET, ""),
        (Method::GET, "/explain"),
        (Method::POST, "/pause"),
        (Method::POST, "/resume"),
        (Method::POST, "/rearm"),
        (Method::DELETE, ""),
    ] {
        let path = format!("/v1/alerts/{id}{verb}");
        let other = format!("/v1/alerts/999999{verb}");
        let as_mallory = |path: &str| {
            service.request(method.clone(), path).bearer_auth(&mallory).json(&json!({}))
        };
        let (theirs, none) =
            (service.send(as_mallory(&path)).await, service.send(as_mallory(&other)).await);
        assert_eq!((theirs.status, theirs.code()), (404, "unknown_rule"), "{path}");
        let plain = |text: &str| {
            let mut json: Value = serde_json::from_str(text).unwrap();
            json["request_id"] = Value::Null;
            json.to_string()
        };
        assert_eq!(plain(&theirs.text), plain(&none.text).replace("999999", &id.to_string()));
    }
    assert_eq!(service.get("/v1/alerts").await.status, 401);
    let list = service.get_as(&mallory, "/v1/alerts").await.ok();
    assert_eq!(list, json!({ "alerts": [], "next": null }));
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_refused_by_its_field_and_changes_nothing() {
    let service = Service::start().await;
    service.product_with("cake", json!({ "stock": 7 })).await;
    service.product("gone").await;
    service.delete(&service.merchant("m1"), "/v1/products/gone").await.ok();
    let lin = service.shopper("lin");
    for (rule, field, code) in [
        (json!({"product":"cake","op":"lte","price":"0"}), "price", "bad_price"),
        (json!({"product":"cake","op":"lte","price":"98.001"}), "price", "bad_price"),
        (json!({"product":"cake","op":"lte","prise":"98"}), "prise", "unknown_field"),
        (json!({"product":"cake","op":"less","price":"98"}), "op", "bad_value"),
        (json!({"product":"kake","op":"lte","price":"98"}), "product", "unknown_product"),
        (json!({"product":"gone","op":"lte","price":"98"}), "product", "product_withdrawn"),
        (json!({"product":"cake","op":"back_in_stock"}), "op", "in_stock"),
        (json!({"product":"cake","op":"enter_range","lo":"9","hi":"8"}), "hi", "bad_rule"),
        (json!({"product":"cake","op":"cover_days_lte","days":3}), "window_days", "missing_field"),
        (json!({"market":"nowhere","op":"lte","price":"98"}), "market", "unknown_market"),
        (
            json!({"filter":{"category":"blue"},"op":"lte","price":"98"}),
            "filter.category",
            "unknown_category",
        ),
        (
            json!({"product":"cake","op":"lte","price":"98","expires_at":"2020-01-01T00:00:00Z"}),
            "expires_at",
            "bad_rule",
        ),
    ] {
        let answer = service.post(&lin, "/v1/alerts", rule.clone()).await;
        assert_eq!(answer.status, 422, "{rule}: {}", answer.text);
        assert_eq!((answer.code(), &answer.json["field"]), (code, &json!(field)), "{rule}");
        let simulated = service.post(&lin, "/v1/alerts/simulate", rule.clone()).await;
        assert!(simulated.status == 422 || code == "in_stock", "{rule}: {}", simulated.text);
    }
    let in_stock =
        service.post(&lin, "/v1/alerts", json!({"product":"cake","op":"back_in_stock"})).await;
    assert_eq!(in_stock.json["quantity"], 7);
    assert_eq!(service.get_as(&lin, "/v1/alerts").await.ok()["alerts"], json!([]));
}

#[tokio::test]
async fn there_are_only_so_many_rules_a_user() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_LIMITS__ENABLED", true);
        setup.env("TEAWIRE_ALERTS__RULES_A_USER", 2);
    })
    .await;
    service.product("longjing").await;
    let rule = json!({"product":"longjing","op":"lte","price":"98"});
    let first = make(&service, "lin", rule.clone()).await;
    make(&service, "lin", rule.clone()).await;

    let third = service.post(&service.shopper("lin"), "/v1/alerts", rule.clone()).await;
    assert_eq!((third.status, third.code()), (422, "too_many_rules"));
    make(&service, "wu", rule.clone()).await;
    let path = format!("/v1/alerts/{}", first["alert"]["id"]);
    service.delete(&service.shopper("lin"), &path).await.ok();
    make(&service, "lin", rule).await;
}

#[tokio::test]
async fn a_rule_is_made_once_under_its_key() {
    let service = Service::start().await;
    service.product("longjing").await;
    let send = async || {
        let request = service.request(Method::POST, "/v1/alerts");
        let request = request.bearer_auth(service.shopper("lin")).header("Idempotency-Key", "k1");
        service.send(request.json(&json!({"product":"longjing","op":"lte","price":"100"}))).await
    };
    let (one, two) = (send().await, send().await);
    assert_eq!((one.status, one.text), (201, two.text));
    assert_eq!(two.headers["idempotency-replayed"], "true");
    inbox_of(&service, "lin", 1).await;
}

#[tokio::test]
async fn a_filter_rule_follows_what_arrives_and_lets_go_of_what_leaves() {
    let service = Service::start().await;
    service.product("a").await;
    let rule = json!({"filter":{"category":"green","market":"fangcun"},"op":"lte","price":"80.00","mode":"rearm"});
    let made = make(&service, "lin", rule).await;
    assert_eq!(made["now"]["matches"], 1);

    service.product_with("b", json!({ "price": "70.00" })).await;
    service.product_with("c", json!({ "price": "70.00", "category": "white" })).await;
    service.product_with("d", json!({ "price": "70.00", "price_type": "retail" })).await;
    let told = inbox_of(&service, "lin", 1).await;
    assert_eq!(
        (&told[0]["product"], &told[0]["data"]["items"][0]["cause"]),
        (&json!("b"), &json!("new_arrival"))
    );

    service.delete(&service.merchant("m1"), "/v1/products/b").await.ok();
    judged(&service).await;
    let path = format!("/v1/alerts/{}", made["alert"]["id"]);
    let rule = service.get_as(&service.shopper("lin"), &path).await.ok();
    assert_eq!((&rule["status"], &rule["instances"]["gone"]), (&json!("active"), &json!(1)));
    assert_eq!(inbox(&service, "lin").await.len(), 1, "a filter rule gives no notice");
}

#[tokio::test]
async fn a_product_that_goes_ends_its_rule_with_one_notice() {
    let service = Service::start().await;
    service.product("longjing").await;
    let made = make(&service, "lin", json!({"product":"longjing","op":"lte","price":"50"})).await;
    service.delete(&service.merchant("m1"), "/v1/products/longjing").await.ok();

    let told = inbox_of(&service, "lin", 1).await;
    assert_eq!(
        (&told[0]["type"], &told[0]["data"]["reason"]),
        (&json!("alert_notice"), &json!("gone"))
    );
    let path = format!("/v1/alerts/{}", made["alert"]["id"]);
    let rule = service.get_as(&service.shopper("lin"), &path).await.ok();
    assert_eq!(rule["status"], "gone");
}

#[tokio::test]
async fn a_paused_rule_is_silent_and_goes_on_when_it_is_resumed() {
    let service = Service::start().await;
    service.product("longjing").await;
    let lin = service.shopper("lin");
    let rule = json!({"product":"longjing","op":"cross_down","price":"90.00","mode":"rearm","cooldown_s":60});
    let made = make(&service, "lin", rule).await;
    let path = format!("/v1/alerts/{}", made["alert"]["id"]);
    let post = async |verb: &str| service.post(&lin, &format!("{path}/{verb}"), json!({})).await;

    assert_eq!(post("pause").await.ok()["alert"]["status"], "paused");
    service.set_price("longjing", "80.00").await;
    judged(&service).await;
    assert_eq!(post("resume").await.ok()["alert"]["status"], "active");
    service.set_price("longjing", "100.00").await;
    service.set_price("longjing", "89.00").await;

    let told = inbox_of(&service, "lin", 1).await;
    assert_eq!(told[0]["data"]["items"][0]["price"], "89.00");
}

#[tokio::test]
async fn an_edit_begins_a_rule_anew_unless_it_only_changes_how_it_is_told() {
    let service = Service::start().await;
    service.product("longjing").await;
    let lin = service.shopper("lin");
    let rule = json!({"product":"longjing","op":"lte","price":"100","mode":"rearm"});
    let made = make(&service, "lin", rule).await;
    let path = format!("/v1/alerts/{}", made["alert"]["id"]);

    let noted = json!({"product":"longjing","op":"lte","price":"100","mode":"rearm","note":"送礼","cooldown_s":120});
    let noted = service.put(&lin, &path, noted).await.ok();
    assert_eq!((&noted["now"], &noted["alert"]["version"]), (&Value::Null, &json!(1)));
    let other = json!({"product":"longjing","op":"lte","price":"101","mode":"rearm"});
    let other = service.put(&lin, &path, other).await.ok();
    assert_eq!(
        (&other["now"]["would_fire"], &other["alert"]["version"]),
        (&json!(true), &json!(2))
    );
    inbox_of(&service, "lin", 2).await;
}

#[tokio::test]
async fn a_rule_that_fires_too_often_is_paused_with_a_notice() {
    let service = Service::start().await;
    let products: Vec<String> = (0..17).map(|n| format!("p{n}")).collect();
    for product in &products {
        service.product(product).await;
    }
    let rule = json!({"products":products,"op":"lte","price":"90","mode":"rearm"});
    let made = make(&service, "lin", rule).await;
    for product in &products {
        service.set_price(product, "85.00").await;
    }
    let told = inbox_of(&service, "lin", 17).await;
    assert_eq!(
        (&told[0]["type"], &told[0]["data"]["reason"]),
        (&json!("alert_notice"), &json!("storm"))
    );
    judged(&service).await;
    assert_eq!(inbox(&service, "lin").await.len(), 17, "16 firings and a notice");
    let path = format!("/v1/alerts/{}", made["alert"]["id"]);
    let rule = service.get_as(&service.shopper("lin"), &path).await.ok();
    assert_eq!((&rule["status"], &rule["fires"]), (&json!("paused"), &json!(16)));
}

#[tokio::test]
async fn many_that_are_true_already_are_one_notification() {
    let service = Service::start().await;
    for n in 0..25 {
        service.product(&format!("p{n}")).await;
    }
    let rule = json!({"filter":{"category":"green"},"op":"lte","price":"100","mode":"rearm"});
    let made = make(&service, "lin", rule).await;
    assert_eq!(made["now"]["fired"], 25);
    let told = inbox_of(&service, "lin", 1).await;
    assert_eq!(told[0]["data"]["total"], 25);
    assert_eq!(told[0]["data"]["items"].as_array().unwrap().len(), 20);
    assert_eq!(made["alert"]["status"], "active", "what was true at the start is no storm");
}

#[tokio::test]
async fn the_index_of_a_market_can_be_waited_for() {
    let service = Service::start().await;
    let rule = json!({"market":"fangcun","op":"cross_up","price":"55.00","mode":"rearm"});
    make(&service, "lin", rule).await;
    for index in ["54.93", "55.10"] {
        let body = json!({ "title": "行情", "index": index });
        service.post(&service.admin(), "/v1/markets/fangcun/updates", body).await.ok();
    }
    let told = inbox_of(&service, "lin", 1).await;
    assert_eq!(told[0]["data"]["items"][0]["price"], "55.10");
}

#[tokio::test]
async fn moves_are_measured_from_what_went_before() {
    let service = Service::start().await;
    service.product("a").await;
    let rule = |op: &str, more: Value| {
        let mut rule = json!({"product":"a","op":op,"mode":"rearm"});
        for (name, value) in more.as_object().unwrap() {
            rule[name] = value.clone();
        }
        rule
    };
    make(&service, "step", rule("drop_pct", json!({"percent":"5","ref":"prev_tick"}))).await;
    make(&service, "made", rule("drop_pct", json!({"percent":"12"}))).await;
    make(&service, "low", rule("new_low", json!({"days":7}))).await;
    make(&service, "mean", rule("rise_pct", json!({"percent":"100","ref":"avg(7d)"}))).await;
    for price in ["96.00", "92.00", "88.00", "83.00"] {
        assert_eq!(service.set_price("a", price).await, 200);
    }
    let step = inbox_of(&service, "step", 1).await;
    assert_eq!(step[0]["data"]["items"][0]["price"], "83.00");
    let made = inbox_of(&service, "made", 1).await;
    assert_eq!(made[0]["data"]["items"][0]["price"], "88.00");
    judged(&service).await;
    // All of it is minutes old: less than half of a week.
    assert_eq!(inbox(&service, "low").await.len() + inbox(&service, "mean").await.len(), 0);
    let list = service.get_as(&service.shopper("low"), "/v1/alerts").await.ok();
    assert_eq!(list["alerts"][0]["instances"]["no_data"], 1);
}

#[tokio::test]
async fn a_simulation_tells_when_a_rule_would_have_fired() {
    let service = Service::start().await;
    service.product("a").await;
    for price in ["95.00", "89.00", "92.00", "88.00"] {
        service.set_price("a", price).await;
    }
    let rule = json!({"product":"a","op":"cross_down","price":"90","mode":"rearm","cooldown_s":60});
    let lin = service.shopper("lin");
    let told = service.post(&lin, "/v1/alerts/simulate?days=1", rule).await.ok();
    assert_eq!((&told["fired"], &told["suppressed"]), (&json!(1), &json!(1)));
    assert_eq!(told["firings"][0]["value"], 8_900);
    assert!(inbox(&service, "lin").await.is_empty());
    assert_eq!(service.get_as(&lin, "/v1/alerts").await.ok()["alerts"], json!([]));
}
