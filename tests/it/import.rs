use crate::harness::{Answer, Service};
use reqwest::Method;
use serde_json::{Value, json};

const CSV: &str = "text/csv";

async fn import(
    service: &Service,
    path: &str,
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let request = service.request(Method::POST, path).bearer_auth(service.merchant("m1"));
    service.send(request.header("Content-Type", kind).body(body)).await
}

async fn three_teas() -> Service {
    let service = Service::start().await;
    for id in ["longjing", "biluochun", "keemun"] {
        service.product(id).await;
    }
    service
}

async fn state(service: &Service) -> [(Value, Value); 3] {
    let mut state = Vec::new();
    for id in ["longjing", "biluochun", "keemun"] {
        let product = service.shown(id).await;
        state.push((product["price"].clone(), product["stock"].clone()));
    }
    state.try_into().unwrap()
}

fn done() -> [(Value, Value); 3] {
    [("128.00", 40), ("120.00", 0), ("100.00", 7)]
        .map(|(price, stock)| (json!(price), json!(stock)))
}

#[tokio::test]
async fn a_table_is_understood_as_it_comes_from_a_spreadsheet() {
    let english = "product,price,stock\nlongjing,128.00,40\nbiluochun,120,0\nkeemun,100.00,7\n";
    let chinese = english.replace("product,price,stock", "货号,价格,库存");
    let gbk = |text: &str| encoding_rs::GB18030.encode(text).0.into_owned();
    let tables: [(&str, Vec<u8>); 9] = [
        ("UTF-8", english.into()),
        ("a BOM", format!("\u{feff}{english}").into()),
        ("Chinese headers", chinese.clone().into()),
        ("Chinese headers and a BOM", format!("\u{feff}{chinese}").into()),
        ("GBK", gbk(&chinese)),
        ("tabs", english.replace(',', "\t").into()),
        ("semicolons", chinese.replace(',', ";").into()),
        ("CRLF", english.replace('\n', "\r\n").into()),
        ("quotes and no last line break", english.replace("128.00", "\"128.00\"").trim().into()),
    ];
    for (what, table) in tables {
        let service = three_teas().await;
        let answer = import(&service, "/v1/import", CSV, table).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text);
        assert_eq!(
            (&answer.json["rows"], &answer.json["failed"]),
            (&json!(3), &json!(0)),
            "{what}"
        );
        assert_eq!(state(&service).await, done(), "{what}");
    }
}

#[tokio::test]
async fn an_import_is_told_like_any_other_change_and_repeats_nothing() {
    let service = three_teas().await;
    let mut follower = service.follow("price/green").await;
    let table = "product,price\nlongjing,128.00\nbiluochun,100.00\nkeemun,120.00\n";

    let first = import(&service, "/v1/import", CSV, table).await.ok();
    let again = import(&service, "/v1/import", CSV, table).await.ok();

    assert_eq!((&first["applied"], &first["unchanged"]), (&json!(2), &json!(1)));
    assert_eq!((&again["applied"], &again["unchanged"]), (&json!(0), &json!(3)));
    let products = [follower.next().await, follower.next().await];
    assert_eq!(
        products.map(|event| event.data()["product"].clone()),
        [json!("longjing"), json!("keemun")]
    );
}

const HALF_GOOD: &str = "product,price\nlongjing,128.00\nnone,120.00\nkeemun,\"12,8x\"\n\
                         biluochun,120.00\n";

#[tokio::test]
async fn a_partial_import_does_what_it_can_and_reports_the_rest() {
    let service = three_teas().await;

    let answer = import(&service, "/v1/import?mode=partial", CSV, HALF_GOOD).await;

    assert_eq!(answer.status, 207, "{}", answer.text);
    let report = &answer.json;
    assert_eq!((&report["applied"], &report["failed"]), (&json!(2), &json!(2)));
    assert_eq!((&report["rows"], &report["mode"]), (&json!(4), &json!("partial")));
    let errors = report["errors"].as_array().unwrap();
    assert_eq!((&errors[0]["line"], &errors[1]["line"]), (&json!(3), &json!(4)));
    assert_eq!(errors[1]["field"], "price");
    assert_eq!((&errors[1]["code"], &errors[1]["value"]), (&json!("bad_price"), &json!("12,8x")));
    assert!(errors[1]["detail"].is_string());
    let prices = state(&service).await.map(|(price, _)| price);
    assert_eq!(prices, ["128.00", "120.00", "100.00"].map(Value::from));
}

#[tokio::test]
async fn an_atomic_import_does_all_or_nothing() {
    let service = three_teas().await;
    let before = (state(&service).await, service.head().await);

    let answer = import(&service, "/v1/import?mode=atomic", CSV, HALF_GOOD).await;

    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("bad_price"), "{}", answer.text);
    assert_eq!((state(&service).await, service.head().await), before);
}

#[tokio::test]
async fn a_merchant_imports_nothing_into_the_products_of_another() {
    let service = three_teas().await;
    let before = service.head().await;

    let request = service.request(Method::POST, "/v1/import").bearer_auth(service.merchant("m2"));
    let table = "product,price\nlongjing,128.00\nkeemun,120.00\n";
    let answer = service.send(request.header("Content-Type", CSV).body(table)).await;

    assert!([207, 422].contains(&answer.status), "{}", answer.text);
    assert_eq!(service.head().await, before);
}

#[tokio::test]
async fn curl_that_has_eaten_the_line_breaks_is_told_so() {
    let service = three_teas().await;
    let before = service.head().await;
    // `curl -d @prices.csv` sends the file without its line breaks, as a form.
    let eaten = "product,pricelongjing,128.00biluochun,120.00keemun,110.00";
    for kind in ["application/x-www-form-urlencoded", CSV] {
        let answer = import(&service, "/v1/import/prices.csv", kind, eaten).await;
        answer.code();
        assert!(answer.text.contains("--data-binary"), "{kind}: {}", answer.text);
    }
    assert_eq!(service.head().await, before);
}

#[tokio::test]
async fn the_name_of_the_file_tells_what_it_is() {
    let service = three_teas().await;
    let json = "{\"product\":\"longjing\",\"price\":\"128.00\",\"stock\":40}\n\
                {\"product\":\"biluochun\",\"price\":\"120.00\",\"stock\":0}\n\
                {\"product\":\"keemun\",\"stock\":7}\n";
    // `curl -T file` is a PUT without a content type.
    let request = service.request(Method::PUT, "/v1/import/prices.ndjson");
    let answer = service.send(request.bearer_auth(service.merchant("m1")).body(json)).await;

    assert_eq!((answer.status, &answer.json["format"]), (200, &json!("ndjson")), "{}", answer.text);
    assert_eq!(state(&service).await, done());
}

#[tokio::test]
async fn a_bad_line_of_json_is_reported_with_its_number() {
    let service = three_teas().await;
    let lines = "{\"product\":\"longjing\",\"price\":\"128.00\"}\n{\"product\":\n\
                 {\"product\":\"keemun\",\"price\":\"120.00\"}\n";

    let answer = import(&service, "/v1/import", "application/x-ndjson", lines).await;

    assert_eq!(answer.status, 207, "{}", answer.text);
    assert_eq!(
        (&answer.json["applied"], &answer.json["errors"][0]["line"]),
        (&json!(2), &json!(2))
    );
}

#[tokio::test]
async fn what_is_no_table_is_refused() {
    let service = three_teas().await;
    let before = service.head().await;
    let tables: [(&str, &[u8]); 5] = [
        ("nothing", b""),
        ("a header alone", b"product,price\n"),
        ("no column that is known", b"a,b\n1,2\n"),
        ("bytes", b"\xff\xfe\0\0\x80\x81\n\0\0"),
        ("a column twice", b"product,price,price\nlongjing,128.00,129.00\n"),
    ];
    for (what, table) in tables {
        let answer = import(&service, "/v1/import", CSV, table.to_vec()).await;
        assert!((200..500).contains(&answer.status), "{what}: {}", answer.text);
        if answer.status >= 400 {
            answer.code();
        }
        assert_eq!(service.head().await, before, "{what}");
    }
}

#[tokio::test]
async fn a_row_that_is_refused_leaves_nothing_of_itself_among_many_that_are_good() {
    let service = three_teas().await;
    let mut follower = service.follow("product/longjing,product/biluochun,product/keemun").await;
    // A price alone, a price and a stock that cannot be, a price of no product.
    let before = service.shown("biluochun").await;
    let table = "product,price,stock,delta\nlongjing,128.00,,\nbiluochun,120.00,,-5\n\
                 nowhere,1.00,,\nkeemun,101.00,7,\n";

    let answer = import(&service, "/v1/import", CSV, table).await;

    assert_eq!((answer.status, &answer.json["applied"]), (207, &json!(2)), "{}", answer.text);
    let lines: Vec<_> = answer.json["errors"].as_array().unwrap().iter().collect();
    assert_eq!([&lines[0]["line"], &lines[1]["line"]], [&json!(3), &json!(4)]);
    let told = ["longjing", "keemun", "keemun"];
    for product in told {
        assert_eq!(follower.next().await.data()["product"], product);
    }
    assert_eq!(service.shown("biluochun").await, before);
}

#[tokio::test]
async fn a_large_file_with_many_bad_rows_is_counted_exactly_and_listed_in_part() {
    let service = three_teas().await;
    let bad = |line: usize| line.is_multiple_of(5);
    let mut table = String::from("product,stock\n");
    for line in 2..=6_001 {
        let stock = if bad(line) { "-1".to_owned() } else { line.to_string() };
        table.push_str(&format!("longjing,{stock}\n"));
    }
    let wanted: Vec<usize> = (2..=6_001).filter(|line| bad(*line)).collect();

    let answer = import(&service, "/v1/import?mode=atomic", CSV, table.clone()).await;
    assert_eq!((answer.status, answer.code()), (422, "import_refused"));
    assert_eq!(service.shown("longjing").await["stock"], Value::Null);
    let dry = import(&service, "/v1/import?dry_run=true", CSV, table.clone()).await;
    assert_eq!(service.shown("longjing").await["stock"], Value::Null);
    let real = import(&service, "/v1/import", CSV, table).await;
    assert_eq!(service.shown("longjing").await["stock"], 6_001);

    assert_eq!((dry.status, real.status), (207, 207));
    for report in [&answer.json, &dry.json, &real.json] {
        assert_eq!((&report["rows"], &report["failed"]), (&json!(6_000), &json!(wanted.len())));
        let listed: Vec<usize> = report["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["line"].as_u64().unwrap() as usize)
            .collect();
        assert_eq!(listed, wanted[..1_000]);
        assert_eq!(report["errors_omitted"], wanted.len() - 1_000);
    }
    assert_eq!(real.json["applied"], 6_000 - wanted.len());
}
