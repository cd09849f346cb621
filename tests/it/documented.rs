//! What is written down is what is there: every route, and every event.

use crate::floors::rust_files;
use crate::harness::Service;
use crate::market_days::{in_seconds, until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `(type, example)` of docs/events.md.
fn examples() -> BTreeMap<String, Value> {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/events.md")).unwrap();
    let mut found = BTreeMap::new();
    for section in page.split("\n## `").skip(1) {
        let (kind, rest) = section.split_once('`').unwrap();
        let (_, block) =
            rest.split_once("```json\n").unwrap_or_else(|| panic!("{kind}: no example"));
        let (example, _) = block.split_once("\n```").unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        assert_eq!(example["type"], kind);
        found.insert(kind.to_owned(), example);
    }
    found
}

/// Where two values are not of one shape. What is null in one of them says
/// nothing of the other.
fn differences(at: &str, told: &Value, written: &Value, found: &mut Vec<String>) {
    match (told, written) {
        (Value::Object(told), Value::Object(written)) => {
            let names: BTreeSet<&String> = told.keys().chain(written.keys()).collect();
            for name in names {
                match (told.get(name), written.get(name)) {
                    (Some(told), Some(written)) => {
                        differences(&format!("{at}.{name}"), told, written, found);
                    }
                    (Some(_), None) => found.push(format!("{at}.{name} is not written down")),
                    (None, _) => found.push(format!("{at}.{name} is not told")),
                }
            }
        }
        (Value::Array(told), Value::Array(written)) => {
            if let (Some(told), Some(written)) = (told.first(), written.first()) {
                differences(&format!("{at}[]"), told, written, found);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (told, written) => {
            if std::mem::discriminant(told) != std::mem::discriminant(written) {
                found.push(format!("{at}: told {told}, written {written}"));
            }
        }
    }
}

#[test]
fn a_field_too_many_or_too_few_or_of_another_type_is_found() {
    let found = |told: Value, written: Value| {
        let mut found = Vec::new();
        differences("", &told, &written, &mut found);
        found.len()
    };
    assert_eq!(found(json!({"a": 1, "b": [{"c": "x"}]}), json!({"a": 2, "b": [{"c": "y"}]})), 0);
    assert_eq!(found(json!({"a": null}), json!({"a": 2})), 0);
    assert_eq!(found(json!({"a": 1}), json!({"a": "1"})), 1);
    assert_eq!(found(json!({"a": 1}), json!({})), 1);
    assert_eq!(found(json!({}), json!({"a": 1})), 1);
    assert_eq!(found(json!({"b": [{"c": 1}]}), json!({"b": [{"d": 1}]})), 2);
}

/// `METHOD /path` of every route of the public listener, as the code has them.
fn routes() -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(&Path::new(ROOT).join("src"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for call in text.split("resource(").skip(1) {
            let Some((_, rest)) = call.split_once('"') else { continue };
            let Some((path, rest)) = rest.split_once('"') else { continue };
            if !path.starts_with("/v1/") {
                continue;
            }
            let path = path.replace(":.+}", "}");
            let list = rest.split_once(']').map_or("", |(list, _)| list);
            for method in list.split("Method::").skip(1) {
                let end = method.find(|c: char| !c.is_ascii_uppercase()).unwrap();
                found.insert(format!("{} {path}", &method[..end]));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_of_a_route() {
    let service = Service::start().await;

    let document = service.get("/openapi.json").await.ok();

    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operation["responses"]["default"].is_object(), "{method} {path} never fails");
            if path.starts_with("/v1/") {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let known = routes();
    assert!(known.len() > 20, "the routes are found: {known:?}");
    assert_eq!(described, known, "what is described, and what is there");
}

#[tokio::test]
async fn the_page_to_read_them_needs_nothing_from_elsewhere() {
    let service = Service::start().await;
    let page = service.get("/docs/").await;
    assert_eq!(page.status, 200);
    for file in page.text.split("src=\"").chain(page.text.split("href=\"")).skip(1) {
        let name = file.split('"').next().unwrap();
        if name.starts_with('<') {
            continue;
        }
        let path = format!("/docs/{}", name.trim_start_matches("./"));
        assert!(!name.contains("//"), "{name} is from elsewhere");
        assert_eq!(service.get(&path).await.status, 200, "{path}");
    }
    assert_eq!(service.get("/docs/events").await.status, 200);
}

/// Does everything that is told of, once.
async fn a_busy_day(service: &Service) {
    let tea = json!({ "stock": 40, "brand": "大益", "vintage": 2003, "name_en": "cake", "grade": "一级",
        "variety": "大叶种", "recipe": "7542", "origin": "云南", "batch": "301", "form": "饼",
        "harvest": "春", "storage": "干仓", "note": "整件", "unit": "piece", "grams_per_unit": 357,
        "pieces_per_tong": 7, "tongs_per_case": 12, "grams_per_piece": 357 });
    service.product_with("cake", tea).await;
    let (merchant, admin) = (service.merchant("m1"), service.admin());
    service.price("cake", "110.00").await.ok();
    let sale = json!({ "delta": -2, "note": "order-981" });
    service.post(&merchant, "/v1/products/cake/stock", sale).await.ok();
    let clearance = json!({ "price": "90.00", "ends_at": "2099-01-01T00:00:00Z" });
    service.put(&merchant, "/v1/products/cake/clearance", clearance).await.ok();
    let again = json!({ "name": "cake", "category": "green", "market": "fangcun", "unit": "piece",
        "grams_per_unit": 357 });
    service.put(&merchant, "/v1/products/cake", again).await.ok();
    service.delete(&merchant, "/v1/products/cake/clearance").await.ok();
    service.delete(&merchant, "/v1/products/cake").await.ok();
    service.put(&merchant, "/v1/me/feed", json!({ "cadence_minutes": 60 })).await.ok();
    service.product("fresh").await;
    let mut market = service.follow("market/fangcun").await;
    service.sql("UPDATE feeds SET last_write = last_write - 7200000, due = due - 7200000");
    assert_eq!(market.next().await.kind, "merchant.stale");
    service.price("fresh", "101.00").await.ok();
    service.say("tea", json!({ "text": "hi" })).await.ok();
    let news =
        json!({ "topics": ["announcements"], "type": "announcement", "data": { "text": "hi" } });
    service.post(&admin, "/v1/events", news).await.ok();
    let figures = json!({ "title": "t", "body": "b", "period": "2026-12", "volume_kg": 1,
        "turnover": "2.00", "average": "3.00", "index": "4.00" });
    service.post(&admin, "/v1/markets/fangcun/updates", figures).await.ok();
    service.product("longjing").await;
    let set = json!({ "topics": ["price/green"], "types": ["price.changed"], "merchants": ["m1"],
        "min_change": "2.5" });
    let request = service.request(reqwest::Method::PUT, "/v1/me/subscriptions");
    let request = request.bearer_auth(service.shopper("lin")).header("If-Match", "*").json(&set);
    service.send(request).await.ok();
    // It is so already, and fires at once.
    let rule = json!({ "product": "longjing", "op": "gte", "price": "1.00" });
    service.post(&service.shopper("lin"), "/v1/alerts", rule).await.ok();
}

#[tokio::test]
async fn every_event_is_told_as_its_example_is_written() {
    let mut service = Service::start().await;
    let end = in_seconds(2);
    a_busy_day(&service).await;
    until(&service, &end).await;
    service.restart_with(&[("TEAWIRE_MARKETS__SUMMARY_AT", &end)]).await;
    let summary = async || {
        let market = service.get("/v1/markets/fangcun").await.ok();
        (!market["summary"].is_null()).then_some(())
    };
    service.eventually("summary", summary).await;
    let topics = "arrivals,clearance,announcements,price/*,market/*,room/tea,product/cake";
    let written = examples();

    let mut told = BTreeSet::new();
    let own = "topic=user/me&order=asc";
    let own = service.get_as(&service.shopper("lin"), &format!("/v1/events?{own}")).await.ok();
    let own = own["events"].as_array().unwrap().clone();
    for event in service.whole_history(topics).await.into_iter().chain(own) {
        let kind = event["type"].as_str().unwrap().to_owned();
        let example =
            written.get(&kind).unwrap_or_else(|| panic!("{kind} is not in docs/events.md"));
        let mut found = Vec::new();
        differences(&kind, &event, example, &mut found);
        assert!(found.is_empty(), "{found:#?}\ntold: {event}");
        told.insert(kind);
    }
    let written: BTreeSet<String> = written.into_keys().collect();
    assert_eq!(told, written, "what the day told, and what is written down");
}
