use crate::harness::{Answer, Service};
use reqwest::Method;
use serde_json::{Value, json};

async fn export(service: &Service, path: &str) -> Answer {
    service.get_as(&service.merchant("m1"), &format!("/v1/export/{path}")).await
}

async fn import(service: &Service, text: String) -> Value {
    let request = service.request(Method::POST, "/v1/import").bearer_auth(service.merchant("m1"));
    service.send(request.header("Content-Type", "text/csv").body(text)).await.ok()
}

/// A shop with everything that is hard to write down.
async fn shop() -> Service {
    let service = Service::start().await;
    let odd = json!({
        "name": "=cmd|' /C calc'!A1", "name_en": "+1, \"two\"", "brand": "'=1", "note": "-1;@a b",
        "origin": "＝全角", "form": "饼", "category": "dark.puer", "unit": "piece",
        "grams_per_unit": 357, "stock": 40, "vintage": 2003, "grade": "a|b",
    });
    service.product_with("cake", odd).await;
    service.product("longjing").await;
    service.product_with("bare", json!({ "price": null })).await;
    let token = service.merchant("m1");
    let body = json!({ "price": "80.00", "ends_at": "2099-01-01T00:00:00Z" });
    service.put(&token, "/v1/products/longjing/clearance", body).await.ok();
    let later = json!({ "price": "80.00", "starts_at": "2098-01-01T00:00:00Z" });
    service.put(&token, "/v1/products/cake/clearance", later).await.ok();
    let theirs = json!({
        "id": "theirs", "name": "n", "category": "green", "market": "fangcun", "unit": "jin",
        "price": "1.00",
    });
    service.post(&service.merchant("m2"), "/v1/products", theirs).await.ok();
    service
}

#[tokio::test]
async fn what_is_exported_and_imported_again_changes_nothing() {
    let service = shop().await;
    let before = service.get("/v1/products").await.ok();
    let head = service.head().await;
    for query in ["", "?headers=zh", "?headers=zh&bom=true", "?bom=true&headers=en"] {
        for file in ["products.csv", "stock.csv"] {
            let answer = export(&service, &format!("{file}{query}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_eq!(answer.text.starts_with('\u{feff}'), query.contains("bom"));
            let report = import(&service, answer.text.clone()).await;
            assert_eq!(
                (&report["rows"], &report["unchanged"]),
                (&json!(3), &json!(3)),
                "{file}{query}: {report}\n{}",
                answer.text
            );
        }
    }
    assert_eq!(service.get("/v1/products").await.ok(), before);
    assert_eq!(service.head().await, head);
}

#[tokio::test]
async fn what_is_exported_makes_the_same_shop_elsewhere() {
    let (one, two) = (shop().await, Service::start().await);
    let report = import(&two, export(&one, "products.csv?headers=zh").await.text).await;
    assert_eq!(report["applied"], 3, "{report}");
    for name in ["name", "name_en", "brand", "note", "origin", "grade", "price", "stock", "unit"] {
        assert_eq!(two.shown("cake").await[name], one.shown("cake").await[name], "{name}");
    }
}

#[tokio::test]
async fn no_cell_is_taken_for_a_formula() {
    let text = export(&shop().await, "products.csv").await.text;
    for cell in ["=cmd", "+1,", "-1;", "＝"] {
        for begin in [",", ",\"", "\n"] {
            assert!(!text.contains(&format!("{begin}{cell}")), "{cell}: {text}");
        }
    }
}

#[tokio::test]
async fn prices_are_exported_with_their_corrections_and_by_time() {
    let service = shop().await;
    service.price("longjing", "120.00").await.ok();
    let right = json!({ "price": "112.00", "correction": true, "note": "=slip" });
    service.put(&service.merchant("m1"), "/v1/products/longjing/price", right).await.ok();
    for n in 0..20 {
        service.price("longjing", format!("113.{n:02}")).await.ok();
    }
    let text = export(&service, "prices.csv").await.text;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("product,price,observed_at,"), "{text}");
    assert_eq!(lines.len(), 1 + 2 + 22, "{text}");
    assert!(!text.contains("theirs"));
    let correction = lines.iter().find(|line| line.contains("'=slip")).unwrap();
    assert!(correction.starts_with("longjing,112.00,"));

    let early = export(&service, "prices.csv?to=2020-01-01T00:00:00Z").await.text;
    let late = export(&service, "prices.csv?from=2099-01-01T00:00:00Z").await.text;
    assert_eq!((early.lines().count(), late.lines().count()), (1, 1));
    let middle = lines[10].split(',').nth(3).unwrap();
    let rest = export(&service, &format!("prices.csv?from={middle}")).await.text;
    let told: Vec<&str> = rest.lines().skip(1).collect();
    assert!(lines.ends_with(&told) && told.contains(&lines[10]), "{rest}");
}

#[tokio::test]
async fn a_merchant_gets_their_own_and_an_admin_anybodys() {
    let service = shop().await;
    let own = export(&service, "products.csv").await.text;
    let path = "/v1/export/products.csv?merchant=m1";
    assert_eq!(service.get_as(&service.admin(), path).await.text, own);
    assert_eq!(service.get_as(&service.merchant("m2"), path).await.code(), "not_yours");
    assert_eq!(service.get_as(&service.shopper("u"), path).await.code(), "not_a_merchant");
    assert_eq!(service.get(path).await.code(), "unauthorized");
    for (path, code, field) in [
        ("products.csv?headers=fr", "bad_value", "headers"),
        ("products.csv?bom=1", "bad_value", "bom"),
        ("products.csv?from=1", "unknown_parameter", "from"),
        ("prices.csv?from=yesterday", "bad_time", "from"),
        ("prices.csv?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "bad_time", "to"),
    ] {
        let answer = export(&service, path).await;
        assert_eq!((answer.code(), &answer.json["field"]), (code, &json!(field)), "{path}");
    }
    let nobodys = service.get_as(&service.admin(), "/v1/export/stock.csv").await;
    assert_eq!((nobodys.code(), &nobodys.json["field"]), ("missing_parameter", &json!("merchant")));
}
