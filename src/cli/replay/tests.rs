use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::cli::client::toy::{Asked, Toy, json as answer};

/// A service in little: products, prices, stock, and a memory for keys.
#[derive(Default)]
struct Shop {
    stock: HashMap<String, i64>,
    prices: HashMap<String, String>,
    done: HashMap<String, (u16, String)>,
    events: u64,
}

impl Shop {
    fn answer(&mut self, asked: &Asked) -> (u16, String) {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let path: Vec<_> = asked.target.split(['/', '?']).collect();
        let receipt = |events: &mut u64| {
            *events += 1;
            json!({"id": format!("k-{events}")})
        };
        let (status, told) = match (asked.method.as_str(), path.as_slice()) {
            ("GET", _) => (200, json!({"markets": [{"id": "fangcun"}]})),
            ("POST", [.., "products"]) => {
                let id = body["id"].as_str().expect("an id").to_owned();
                match self.stock.entry(id) {
                    Entry::Occupied(_) => {
                        (409, json!({"code": "product_exists", "detail": "There is one."}))
                    }
                    Entry::Vacant(free) => {
                        free.insert(body["stock"].as_i64().unwrap_or_default());
                        (201, json!({"product": body, "receipt": receipt(&mut self.events)}))
                    }
                }
            }
            (_, [.., id, "stock"]) => {
                let left = self.stock[*id] + body["delta"].as_i64().expect("a delta");
                if left < 0 {
                    (422, json!({"code": "stock_below_zero", "detail": "Not so many."}))
                } else {
                    self.stock.insert((*id).to_owned(), left);
                    (
                        200,
                        json!({"quantity": left, "changed": true, "receipt": receipt(&mut self.events)}),
                    )
                }
            }
            (_, [.., id, "price", "confirm=true"]) => {
                let price = body["price"].as_str().expect("a price").to_owned();
                let changed = self.prices.insert((*id).to_owned(), price.clone()) != Some(price);
                let receipt = changed.then(|| receipt(&mut self.events));
                (200, json!({"changed": changed, "receipt": receipt}))
            }
            _ => (404, json!({})),
        };
        (status, told.to_string())
    }
}

/// A shop whose connection breaks after `survives` requests, once.
fn shop(survives: usize) -> Toy {
    let shop = Mutex::new(Shop::default());
    Toy::start(move |asked, number, stream| {
        let mut shop = shop.lock().expect("no panic before");
        let key = asked.headers.get("idempotency-key").cloned().unwrap_or_default();
        if let Some((status, body)) = shop.done.get(&key) {
            return answer(stream, *status, "idempotency-replayed: true\r\n", body);
        }
        let (status, body) = shop.answer(asked);
        if !key.is_empty() {
            shop.done.insert(key, (status, body.clone()));
        }
        if number == survives {
            return false; // done, but nobody hears of it
        }
        answer(stream, status, "", &body)
    })
}

fn args(toy: &Toy, dir: &Path, content: &str) -> ReplayArgs {
    let file = dir.join("input.csv");
    std::fs::write(&file, content).expect("written");
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }
    let words = ["replay".as_ref(), file.as_os_str()];
    let mut args = <Line as clap::Parser>::parse_from(words).args;
    args.remote = toy.remote.clone();
    args.report = Some(dir.join("report.ndjson"));
    args.print_expected = Some(dir.join("expected.ndjson"));
    args
}

fn lines(path: &Option<PathBuf>) -> Vec<Value> {
    let text = std::fs::read_to_string(path.as_ref().expect("named")).expect("written");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const SALES: &str = "\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice
1,84969,TEASPOONS,6,2010-12-01 08:34:00,4.25
2,84969,TEASPOONS,5,2010-12-01 08:35:00,0.0
3,84969,,-2,2010-12-01 08:36:00,4.955
4,22900,TEA TOWELS,1,2010-12-01 08:37:00,2.95
";

#[test]
fn sales_become_stock_and_prices_in_the_order_of_the_file() {
    let (toy, dir) = (shop(usize::MAX), tempfile::tempdir().expect("a folder"));
    let args = ReplayArgs { opening_stock: 10, ..args(&toy, dir.path(), SALES) };
    run(args.clone()).expect("dirty data is no error");

    let expected: Vec<_> = [
        json!({"type": "product.arrived", "product": "84969"}),
        json!({"type": "product.arrived", "product": "22900"}),
        json!({"type": "stock.changed", "product": "84969", "quantity": 4}),
        json!({"type": "price.changed", "product": "84969", "price": "4.25"}),
        json!({"type": "stock.changed", "product": "84969", "quantity": 6}),
        json!({"type": "price.changed", "product": "84969", "price": "4.96"}),
        json!({"type": "stock.changed", "product": "22900", "quantity": 9}),
        json!({"type": "price.changed", "product": "22900", "price": "2.95"}),
    ]
    .into();
    assert_eq!(lines(&args.print_expected), expected);
    let report = lines(&args.report);
    let reasons: Vec<_> = report.iter().map(|it| (&it["line"], &it["reason"])).collect();
    let reason = |line: u64, reason: &str| (json!(line), json!(reason));
    let wanted =
        [reason(3, "price_zero"), reason(3, "stock_below_zero"), reason(4, "no_description")];
    assert_eq!(reasons, wanted.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());

    let asked = toy.asked();
    let listing: Value = serde_json::from_str(&asked[1].body).expect("JSON");
    assert_eq!(
        listing,
        json!({"id": "84969", "name": "TEASPOONS", "category": "other", "market": "fangcun",
               "unit": "piece", "grams_per_unit": 100, "stock": 10})
    );
    let key = &asked[3].headers["idempotency-key"];
    assert!(key.starts_with("replay-") && key.ends_with("-2-4") && key.len() == 23, "{key}");

    // Again: nothing is doubled, and the same is expected. With --strict the
    // dirt is an error.
    let err = run(ReplayArgs { strict: true, ..args.clone() }).expect_err("not clean");
    assert!(matches!(err, Error::NotClean(3)) && err.exit_code() == 1);
    assert_eq!(lines(&args.print_expected), expected);
}

#[test]
fn a_lost_answer_is_asked_for_again_and_nothing_is_done_twice() {
    let (toy, dir) = (shop(4), tempfile::tempdir().expect("a folder"));
    let args = args(&toy, dir.path(), SALES);
    run(args.clone()).expect("it recovers");
    let quantities: Vec<_> =
        lines(&args.print_expected).iter().filter_map(|it| it["quantity"].as_i64()).collect();
    assert_eq!(quantities, [99_994, 99_989, 99_991, 99_999]);
}

#[test]
fn a_wide_file_sets_prices_by_the_kilogram() {
    let (toy, dir) = (shop(usize::MAX), tempfile::tempdir().expect("a folder"));
    let content = "month,colombo_usd,mombasa_usd\n1960-01,0.93,1.0312\n1960-02,0.93,0.0007\n";
    let mut args = args(&toy, dir.path(), content);
    args.factor = Some("7.1".parse().expect("a number"));
    args.speed = "100000000x".parse().expect("a speed");
    run(args.clone()).expect("all sent");
    let expected = lines(&args.print_expected);
    assert_eq!(
        expected[2..],
        [
            json!({"type": "price.changed", "product": "colombo-usd", "price": "6.60"}),
            json!({"type": "price.changed", "product": "mombasa-usd", "price": "7.32"}),
        ]
    );
    assert_eq!(lines(&args.report)[0]["reason"], "price_rounds_to_zero");
    let listing: Value = serde_json::from_str(&toy.asked()[1].body).expect("JSON");
    assert_eq!((&listing["unit"], &listing["stock"]), (&json!("kg"), &Value::Null));
}

#[test]
fn what_concerns_every_write_ends_the_run() {
    let dir = tempfile::tempdir().expect("a folder");
    for (status, code) in [(401, "token_expired"), (403, "merchants_only"), (422, "unknown_market")]
    {
        let toy = Toy::start(move |_, _, stream| {
            answer(stream, status, "", &json!({"code": code, "detail": "No."}).to_string())
        });
        let mut args = args(&toy, dir.path(), SALES);
        args.market = Some("fangcun".into());
        let err = run(args).expect_err("broken off");
        assert!(err.to_string().contains(code) && err.exit_code() == 2, "{err}");
        assert!(toy.asked().len() <= 2);
    }
    let toy = Toy::start(|_, _, stream| answer(stream, 503, "", ""));
    let mut args = args(&toy, dir.path(), SALES);
    args.patience = Duration::ZERO;
    assert!(matches!(run(args), Err(Error::Client(client::Error::Refused(_)))));
}

#[test]
fn a_run_is_known_by_its_file_and_by_what_changes_what_is_sent() {
    let (toy, dir) = (shop(0), tempfile::tempdir().expect("a folder"));
    let args = args(&toy, dir.path(), SALES);
    let run = fingerprint(b"a", &args);
    assert_eq!(run.len(), "replay-".len() + 12);
    let fast = ReplayArgs { speed: "2x".parse().expect("a speed"), ..args.clone() };
    assert_eq!(fingerprint(b"a", &fast), run);
    assert_ne!(fingerprint(b"b", &args), run);
    assert_ne!(fingerprint(b"a", &ReplayArgs { opening_stock: 1, ..args }), run);
}

#[test]
fn a_span_is_a_number_of_seconds_or_has_a_unit() {
    assert_eq!(span("60s"), Ok(Duration::from_secs(60)));
    assert_eq!(span("2m"), Ok(Duration::from_secs(120)));
    assert_eq!(span("5"), Ok(Duration::from_secs(5)));
    assert!(span("-1s").is_err() && span("soon").is_err());
}
