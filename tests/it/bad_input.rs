//! What is wrong is refused, the reason has a name, and nothing has changed.

use crate::harness::{Answer, Service};
use reqwest::Method;
use serde_json::{Value, json};

/// A service with one product, as it was before anything was refused.
struct Untouched {
    service: Service,
    product: Value,
    head: String,
}

impl Untouched {
    async fn start() -> Untouched {
        let service = Service::start().await;
        service.product("longjing").await;
        service.set_stock("longjing", 10).await.ok();
        let (product, head) = (service.shown("longjing").await, service.head().await);
        Untouched { service, product, head }
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.service.request(method, path).bearer_auth(self.service.merchant("m1"));
        let json = request.header("Content-Type", "application/json");
        self.service.send(json.body(body)).await
    }

    /// Refused for `field`, and nothing has changed.
    async fn refuses(&self, method: Method, path: &str, body: Value, field: &str) -> Answer {
        let text = body.to_string();
        let answer = self.send(method, path, text.clone()).await;
        answer.code();
        let shown = &text[..text.floor_char_boundary(200)];
        assert_eq!(answer.json["field"], field, "{path} {shown}: {}", answer.text);
        self.assert_unchanged(&format!("{path} {shown}")).await;
        answer
    }

    async fn assert_unchanged(&self, after: &str) {
        assert_eq!(self.service.shown("longjing").await, self.product, "{after}");
        assert_eq!(self.service.head().await, self.head, "{after}");
    }
}

const PRICE: &str = "/v1/products/longjing/price";
const STOCK: &str = "/v1/products/longjing/stock";
const CLEARANCE: &str = "/v1/products/longjing/clearance";

#[tokio::test]
async fn a_price_that_is_none_is_refused() {
    let untouched = Untouched::start().await;
    for price in [
        "128.005",
        "0",
        "0.00",
        "-1",
        "-0.01",
        "1e3",
        "1E3",
        "",
        " ",
        "abc",
        "NaN",
        "inf",
        "0x10",
        "1,280.00",
        "１２８",
        "٣",
        "128.",
        ".5",
        "+5",
        "--5",
        "1 28",
        "128.00元",
        "¥128.00",
        "10000000000.01",
        "99999999999999999999999999",
        "9223372036854775808",
        "128.00\u{0}",
        "128\n",
        "１２８.００",
    ] {
        let body = json!({ "price": price });
        let answer = untouched.refuses(Method::PUT, PRICE, body, "price").await;
        assert_eq!((answer.status, answer.code()), (422, "bad_price"), "{price}");
    }
    for price in [json!(null), json!(true), json!([]), json!({ "fen": 1 }), json!(["1.00"])] {
        untouched.refuses(Method::PUT, PRICE, json!({ "price": price }), "price").await;
    }
    untouched.refuses(Method::PUT, PRICE, json!({}), "price").await;
}

#[tokio::test]
async fn a_stock_that_cannot_be_is_refused() {
    let untouched = Untouched::start().await;
    for quantity in [json!(-1), json!(1.5), json!("many"), json!(null), json!(1e30)] {
        untouched.refuses(Method::PUT, STOCK, json!({ "quantity": quantity }), "quantity").await;
    }
    for delta in [json!(-11), json!(i64::MIN), json!(i64::MAX), json!("x"), json!(0.1)] {
        untouched.refuses(Method::POST, STOCK, json!({ "delta": delta }), "delta").await;
    }
}

#[tokio::test]
async fn a_clearance_that_cannot_be_is_refused() {
    let untouched = Untouched::start().await;
    let (early, late) = ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z");
    for (body, field) in [
        (json!({ "price": "80.00", "starts_at": late, "ends_at": early }), "ends_at"),
        (json!({ "price": "80.00", "starts_at": late, "ends_at": late }), "ends_at"),
        (json!({ "price": "80.00", "ends_at": "2001-01-01T00:00:00Z" }), "ends_at"),
        (json!({ "price": "80.00", "ends_at": "tomorrow" }), "ends_at"),
        (json!({ "price": "80.00", "starts_at": "2099-02-30T00:00:00Z" }), "starts_at"),
        (json!({ "price": "80.001" }), "price"),
        (json!({ "ends_at": late }), "price"),
    ] {
        untouched.refuses(Method::PUT, CLEARANCE, body, field).await;
    }
}

/// A good product with one field spoiled.
fn product_with(field: &str, value: Value) -> Value {
    let mut body = json!({
        "id": "new", "name": "新茶", "category": "green", "market": "fangcun", "unit": "jin",
    });
    body[field] = value;
    body
}

#[tokio::test]
async fn a_product_with_a_bad_field_is_refused() {
    let untouched = Untouched::start().await;
    for (field, value) in [
        ("category", json!("gren")),
        ("category", json!("dark.")),
        ("market", json!("fangchun")),
        ("unit", json!("pound")),
        ("id", json!("")),
        ("id", json!("a/b")),
        ("id", json!("龙井")),
        ("id", json!("..")),
        ("id", json!("a\nb")),
        ("id", json!("*")),
        ("id", json!("x".repeat(300))),
        ("name", json!("")),
        ("name", json!("   ")),
        ("name", json!("a\u{0}b")),
        ("name", json!("x".repeat(10_000))),
        ("name", json!(7)),
        ("price", json!("1.005")),
        ("stock", json!(-1)),
        ("vintage", json!("old")),
        ("grams_per_unit", json!(0)),
        ("grams_per_unit", json!(-357)),
        ("colour", json!("green")),
        ("version", json!(7)),
    ] {
        let body = product_with(field, value);
        untouched.refuses(Method::POST, "/v1/products", body, field).await;
    }
    for unit in ["piece", "tong", "case", "box"] {
        let body = product_with("unit", json!(unit));
        untouched.refuses(Method::POST, "/v1/products", body, "grams_per_unit").await;
    }
    for field in ["id", "name", "category", "market", "unit"] {
        let mut body = product_with("note", json!("x"));
        body.as_object_mut().unwrap().remove(field);
        untouched.refuses(Method::POST, "/v1/products", body, field).await;
    }
}

#[tokio::test]
async fn a_name_that_is_nearly_right_gets_the_right_one_suggested() {
    let untouched = Untouched::start().await;
    for (field, wrong, right) in
        [("category", "gren", "green"), ("market", "fangchun", "fangcun"), ("unit", "jn", "jin")]
    {
        let body = product_with(field, json!(wrong));
        let answer = untouched.refuses(Method::POST, "/v1/products", body, field).await;
        let suggestions = answer.json["suggestions"].as_array();
        assert!(suggestions.is_some_and(|all| all.contains(&json!(right))), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_product_id_is_taken_once() {
    let untouched = Untouched::start().await;
    let body = product_with("id", json!("longjing"));

    let answer = untouched.send(Method::POST, "/v1/products", body.to_string()).await;

    assert_eq!((answer.status, answer.code()), (409, "product_exists"));
    untouched.assert_unchanged("a second longjing").await;
}

#[tokio::test]
async fn a_product_that_is_not_there_is_not_found() {
    let untouched = Untouched::start().await;
    for (method, path, body) in [
        (Method::PUT, "/v1/products/longjin/price", json!({ "price": "128.00" })),
        (Method::PUT, "/v1/products/longjin/stock", json!({ "quantity": 1 })),
        (Method::POST, "/v1/products/longjin/stock", json!({ "delta": 1 })),
        (Method::PUT, "/v1/products/longjin/clearance", json!({ "price": "80.00" })),
        (Method::DELETE, "/v1/products/longjin/clearance", json!({})),
        (Method::DELETE, "/v1/products/longjin", json!({})),
        (Method::GET, "/v1/products/longjin", json!({})),
        (Method::GET, "/v1/markets/fangchun", json!({})),
        (Method::PUT, "/v1/products/%00/price", json!({ "price": "128.00" })),
        (Method::PUT, "/v1/products/%ff/price", json!({ "price": "128.00" })),
        (Method::PUT, "/v1/products/..%2Flongjing/price", json!({ "price": "128.00" })),
        (Method::PUT, "/v1/products/LONGJING/price", json!({ "price": "128.00" })),
    ] {
        let answer = untouched.send(method, path, body.to_string()).await;
        answer.code();
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        untouched.assert_unchanged(path).await;
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let untouched = Untouched::start().await;
    let deep = format!("{{\"price\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let bodies: [(&str, &[u8]); 14] = [
        ("nothing", b""),
        ("half", b"{\"price\":"),
        ("no object", b"\"128.00\""),
        ("an array", b"[\"128.00\"]"),
        ("null", b"null"),
        ("not UTF-8", b"{\"price\":\"\xff\xfe\"}"),
        ("a surrogate", b"{\"price\":\"\\ud800\"}"),
        ("a NUL", b"{\"price\":\"128.00\"}\0"),
        ("two values", b"{\"price\":\"128.00\"}{\"price\":\"1.00\"}"),
        ("a key twice", b"{\"price\":\"128.00\",\"price\":\"129.00\"}"),
        ("an unknown key", b"{\"price\":\"128.00\",\"owner\":\"m2\"}"),
        ("a huge number", b"{\"price\":1e400}"),
        ("a comment", b"{\"price\":\"128.00\"/* */}"),
        ("too deep", deep.as_bytes()),
    ];
    for (what, body) in bodies {
        let answer = untouched.send(Method::PUT, PRICE, body.to_vec()).await;
        answer.code();
        assert!([400, 422].contains(&answer.status), "{what}: {}", answer.text);
        untouched.assert_unchanged(what).await;
    }
}

#[tokio::test]
async fn a_name_of_a_megabyte_is_refused() {
    let untouched = Untouched::start().await;
    let body = product_with("name", json!("茶".repeat(350_000)));

    let answer = untouched.send(Method::POST, "/v1/products", body.to_string()).await;

    answer.code();
    assert!([413, 422].contains(&answer.status), "{}", answer.text);
    untouched.assert_unchanged("a megabyte").await;
}

#[tokio::test]
async fn an_unknown_parameter_is_refused() {
    let untouched = Untouched::start().await;
    let body = json!({ "price": "128.00" });
    let path = format!("{PRICE}?confirmed=true");
    untouched.refuses(Method::PUT, &path, body.clone(), "confirmed").await;
    untouched.refuses(Method::PUT, &format!("{PRICE}?confirm=maybe"), body, "confirm").await;
    for path in ["/v1/products?colour=red", "/v1/events?topic=arrivals&colour=red"] {
        let answer = untouched.service.get(path).await;
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!("colour")), "{path}");
    }
}

#[tokio::test]
async fn a_refusal_speaks_the_language_of_its_reader() {
    let untouched = Untouched::start().await;
    let detail = async |language: &str| {
        let request = untouched.service.request(Method::PUT, PRICE);
        let request = request.bearer_auth(untouched.service.merchant("m1"));
        let request = request.header("Accept-Language", language).json(&json!({ "price": "x" }));
        untouched.service.send(request).await.json["detail"].as_str().unwrap().to_owned()
    };

    let chinese = detail("zh-CN,zh;q=0.9,en;q=0.8").await;
    let english = detail("en-GB,en;q=0.9,zh;q=0.5").await;

    assert!(!chinese.is_ascii() && english.is_ascii(), "{chinese} / {english}");
}
