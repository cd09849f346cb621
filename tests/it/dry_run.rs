use crate::harness::{Answer, Service};
use reqwest::Method;
use serde_json::{Value, json};

const TABLES: [&str; 8] = [
    "events",
    "products",
    "price_ticks",
    "stock_ticks",
    "clearances",
    "idempotency",
    "rooms",
    "log_head",
];

/// All there is to see of a service.
async fn all(service: &Service) -> (Value, Value, Vec<i64>) {
    let products = service.get("/v1/products").await.ok();
    let markets = service.get("/v1/markets/fangcun").await.ok();
    (json!([service.head().await, products]), markets, service.rows(&TABLES))
}

async fn send(service: &Service, method: &str, path: &str, key: &str, body: &str) -> Answer {
    let method: Method = method.parse().unwrap();
    let token = if path.contains("/markets/") { service.admin() } else { service.merchant("m1") };
    let request = service.request(method, path).bearer_auth(token);
    let kind = if path.contains("csv") { "text/csv" } else { "application/json" };
    let request = request.header("Content-Type", kind).header("Idempotency-Key", key);
    service.send(request.body(body.to_owned())).await
}

/// What every write there is may be asked to do.
const WRITES: [(&str, &str, &str); 12] = [
    (
        "POST",
        "/v1/products",
        r#"{"id":"new","name":"n","category":"green","market":"fangcun","unit":"jin","price":"1.00","stock":5}"#,
    ),
    (
        "PUT",
        "/v1/products/longjing",
        r#"{"name":"n","category":"green","market":"fangcun","unit":"jin","price":"101.00","stock":7}"#,
    ),
    ("PUT", "/v1/products/longjing/price", r#"{"price":"110.00"}"#),
    ("PUT", "/v1/products/longjing/price", r#"{"price":"111.00","correction":true}"#),
    ("PUT", "/v1/products/longjing/stock", r#"{"quantity":7}"#),
    ("POST", "/v1/products/longjing/stock", r#"{"delta":-3}"#),
    ("PUT", "/v1/products/longjing/clearance", r#"{"price":"80.00"}"#),
    ("DELETE", "/v1/products/longjing", ""),
    ("POST", "/v1/events", r#"{"topics":["room/new"],"type":"room.message","data":1}"#),
    ("POST", "/v1/markets/fangcun/updates", r#"{"title":"t"}"#),
    ("POST", "/v1/import/a.csv", "product,price,stock\nlongjing,120.00,3\n"),
    ("POST", "/v1/import/b.csv?mode=atomic", "product,price\nlongjing,130.00\n"),
];

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_what_would_be() {
    let service = Service::start().await;
    service.product_with("longjing", json!({ "stock": 40 })).await;
    let _follower = service.follow("product/longjing").await;
    let before = all(&service).await;

    for (n, (method, path, body)) in WRITES.iter().enumerate() {
        let dry = format!("{path}{}dry_run=true", if path.contains('?') { "&" } else { "?" });
        for _ in 0..2 {
            let answer = send(&service, method, &dry, &format!("key-{n}"), body).await;
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
            assert_eq!(answer.json["dry_run"], true, "{method} {path}");
            assert_eq!(answer.header("idempotency-replayed"), None, "{method} {path}");
        }
        assert_eq!(all(&service).await, before, "{method} {path}");
    }
    let path = "/v1/products/longjing/price?dry_run=true";
    let answer = send(&service, "PUT", path, "x", r#"{"price":"110.00"}"#).await.json;
    assert_eq!((&answer["from"], &answer["price"]), (&json!("100.00"), &json!("110.00")));
    assert_eq!((&answer["changed"], &answer["receipt"]["id"]), (&json!(true), &Value::Null));
    assert_eq!(answer["would_tell"][0]["type"], "price.changed");
    assert_eq!(answer["would_tell"][0]["subscribers"], 1);
    let topics = json!(["price/green", "market/fangcun", "product/longjing"]);
    assert_eq!(answer["would_tell"][0]["topics"], topics);
}

#[tokio::test]
async fn the_key_of_a_dry_run_is_still_a_new_one() {
    let service = Service::start().await;
    service.product_with("longjing", json!({ "stock": 40 })).await;
    for (n, (method, path, body)) in WRITES.iter().enumerate() {
        if *method == "DELETE" {
            continue;
        }
        let (key, separator) = (format!("key-{n}"), if path.contains('?') { "&" } else { "?" });
        let dry = format!("{path}{separator}dry_run=true");
        assert_eq!(send(&service, method, &dry, &key, body).await.status, 200);

        let real = send(&service, method, path, &key, body).await;
        assert!((200..300).contains(&real.status), "{method} {path}: {}", real.text);
        assert_eq!(real.header("idempotency-replayed"), None, "{method} {path}");
        assert_eq!(real.json["dry_run"], Value::Null);
        let again = send(&service, method, path, &key, body).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.text, real.text);
    }
}

#[tokio::test]
async fn a_dry_run_is_refused_as_the_real_one_would_be() {
    let service = Service::start().await;
    service.product_with("longjing", json!({ "stock": 40 })).await;
    let before = all(&service).await;
    let cases = [
        ("/v1/products/longjing/price", r#"{"price":"1.00"}"#, "confirm_needed"),
        ("/v1/products/longjing/price", r#"{"price":"0"}"#, "bad_price"),
        ("/v1/products/none/price", r#"{"price":"1.00"}"#, "unknown_product"),
        ("/v1/products/longjing/stock", r#"{"quantity":-1}"#, "out_of_range"),
        ("/v1/products/longjing/clearance", r#"{"price":"200.00"}"#, "not_a_clearance"),
        ("/v1/products/longjing/clearance", r#"{"price":"20.00"}"#, "confirm_needed"),
    ];
    for (n, (path, body, code)) in cases.into_iter().enumerate() {
        let (real, dry) = (format!("real-{n}"), format!("dry-{n}"));
        let real = send(&service, "PUT", path, &real, body).await;
        let dry = send(&service, "PUT", &format!("{path}?dry_run=true"), &dry, body).await;
        assert_eq!((dry.status, dry.code(), dry.code()), (real.status, real.code(), code));
    }
    let rows = all(&service).await;
    assert_eq!((rows.0, rows.1), (before.0, before.1));
    let odd = send(&service, "PUT", "/v1/products/longjing/price?dry_run=1", "c", "{}").await;
    assert_eq!((odd.code(), &odd.json["field"]), ("bad_value", &json!("dry_run")));
}

#[tokio::test]
async fn a_dry_run_does_not_spoil_what_others_write_beside_it() {
    let service = Service::start().await;
    service.product_with("longjing", json!({ "stock": 1000 })).await;
    let mut follower = service.follow("product/longjing").await;
    let jobs = (0..60).map(|n| {
        let api = (*service).clone();
        tokio::spawn(async move {
            let query = if n % 2 == 0 { "" } else { "?dry_run=true" };
            let path = format!("/v1/products/longjing/stock{query}");
            api.post(&api.merchant("m1"), &path, json!({ "delta": -1 })).await.ok();
        })
    });
    for job in jobs.collect::<Vec<_>>() {
        job.await.unwrap();
    }
    for n in 0..30 {
        assert_eq!(follower.next().await.data()["quantity"], 999 - n);
    }
    assert_eq!(service.shown("longjing").await["stock"], 970);
}

#[tokio::test]
async fn a_dry_import_reports_what_the_real_one_does() {
    let service = Service::start().await;
    service.product("longjing").await;
    let table = "product,name,category,market,unit,price\n\
        longjing,,,,,110.00\nnew,新茶,green,fangcun,jin,50.00\nnew,,,,,51.00\nnone,,,,,1.00\nlongjing,,,,,1.00\nlongjing,,,,,110.00\n";
    let before = all(&service).await;
    let dry = send(&service, "POST", "/v1/import/a.csv?dry_run=true", "k", table).await.json;
    let atomic = "/v1/import/a.csv?dry_run=true&mode=atomic";
    let refused = send(&service, "POST", atomic, "l", table).await;
    let same = all(&service).await;
    let real = send(&service, "POST", "/v1/import/a.csv", "k", table).await.json;

    assert_eq!(same, before);
    assert_eq!((refused.code(), &refused.json["failed"]), ("import_refused", &json!(2)));
    assert_eq!((&dry["dry_run"], &dry["exact"]), (&json!(true), &json!(true)));
    for name in ["rows", "applied", "unchanged", "failed", "errors"] {
        assert_eq!(dry[name], real[name], "{name}");
    }
    assert_eq!((&real["applied"], &real["unchanged"]), (&json!(3), &json!(1)));
}
