use crate::harness::Service;
use reqwest::Method;
use serde_json::{Value, json};

/// Sets a price that was seen at `at`.
async fn seen(service: &Service, product: &str, at: &str, price: &str) {
    let path = format!("/v1/products/{product}/price?confirm=true");
    let body = json!({ "price": price, "observed_at": at });
    service.put(&service.merchant("m1"), &path, body).await.ok();
}

/// Lists a product without a price.
async fn unpriced(service: &Service, product: &str) {
    service.product_with(product, json!({ "price": null })).await;
}

async fn points(service: &Service, query: &str) -> Vec<Value> {
    let page = service.get(&format!("/v1/products/longjing/prices?{query}")).await.ok();
    page["points"].as_array().unwrap().clone()
}

/// Waits until so many prices are copied to where histories are read from.
async fn copied(service: &Service, prices: f64) {
    let copied =
        async || (service.metric("teawire_prices_copied_total").await >= prices).then_some(());
    service.eventually("copying", copied).await;
}

#[tokio::test]
async fn a_price_is_in_the_history_as_soon_as_it_is_answered() {
    let service = Service::start().await;
    service.product("longjing").await;
    for n in 1..=60 {
        assert_eq!(service.set_price("longjing", &format!("{}.00", 100 + n % 40)).await, 200);
        let page = service.get("/v1/products/longjing/prices?bucket=raw&limit=1000").await.ok();
        let points = page["points"].as_array().unwrap();
        assert_eq!(points.len(), n + 1, "after {n}");
        assert_eq!(points[n]["price"], format!("{}.00", 100 + n % 40));
    }
}

#[tokio::test]
async fn days_and_weeks_are_those_of_shanghai_and_gaps_are_gaps() {
    let service = Service::start().await;
    unpriced(&service, "longjing").await;
    // Sunday 23:30 and Monday 00:30 in Shanghai, and the Wednesday after.
    seen(&service, "longjing", "2026-03-01T23:30:00+08:00", "100.00").await;
    seen(&service, "longjing", "2026-03-02T00:30:00+08:00", "140.00").await;
    seen(&service, "longjing", "2026-03-02T12:00:00+08:00", "120.00").await;
    seen(&service, "longjing", "2026-03-04T00:00:00+08:00", "80.00").await;

    let days = points(&service, "bucket=1d").await;
    let starts: Vec<&Value> = days.iter().map(|day| &day["start"]).collect();
    assert_eq!(
        starts,
        ["2026-02-28T16:00:00.000Z", "2026-03-01T16:00:00.000Z", "2026-03-03T16:00:00.000Z"]
    );
    let monday = &days[1];
    assert_eq!((&monday["open"], &monday["high"]), (&json!("140.00"), &json!("140.00")));
    assert_eq!((&monday["low"], &monday["close"]), (&json!("120.00"), &json!("120.00")));
    // Half an hour at 100, eleven and a half hours at 140, twelve at 120.
    assert_eq!(monday["average_fen"], (10_000 + 23 * 14_000 + 24 * 12_000 + 24) / 48);
    assert_eq!((&monday["carried_fen"], &monday["n"]), (&json!(10_000), &json!(2)));
    assert_eq!(days[0]["carried_fen"], Value::Null);

    let weeks = points(&service, "bucket=1w").await;
    assert_eq!(weeks.len(), 2);
    assert_eq!(weeks[1]["start"], "2026-03-01T16:00:00.000Z");
    assert_eq!((&weeks[1]["n"], &weeks[1]["close"]), (&json!(3), &json!("80.00")));

    let some = points(&service, "bucket=1d&from=2026-03-02&to=2026-03-03").await;
    assert_eq!(some, days[1..2]);
    assert_eq!(points(&service, "bucket=1h").await.len(), 4);
}

#[tokio::test]
async fn pages_of_a_history_are_the_whole_history() {
    let service = Service::start().await;
    unpriced(&service, "longjing").await;
    for n in 0..25 {
        let at = format!("2026-05-{:02}T{:02}:00:00Z", 1 + n / 2, n % 24);
        seen(&service, "longjing", &at, &format!("{}.00", 100 + n)).await;
    }
    for bucket in ["raw", "1h", "1d", "1w"] {
        let whole = points(&service, &format!("bucket={bucket}&limit=1000")).await;
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/products/longjing/prices?bucket={bucket}&limit=3{after}");
            let page = service.get(&path).await.ok();
            let points = page["points"].as_array().unwrap();
            assert!((1..=3).contains(&points.len()));
            paged.extend(points.clone());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(paged, whole, "{bucket}");
    }
}

#[tokio::test]
async fn a_history_outlives_a_restart_wherever_copying_stood() {
    let mut service = Service::start().await;
    service.product("longjing").await;
    for round in 0..3 {
        for n in 0..20 {
            service.set_price("longjing", &format!("{}.00", 101 + n + round)).await;
        }
        let before = points(&service, "bucket=raw&limit=1000").await;
        assert_eq!(before.len(), 1 + 20 * (round + 1));
        service.kill().await;
        service.restart().await;
        assert_eq!(points(&service, "bucket=raw&limit=1000").await, before);
    }
}

#[tokio::test]
async fn a_product_says_how_far_its_price_is_from_what_it_was() {
    let service = Service::start().await;
    unpriced(&service, "longjing").await;
    let shown = service.get("/v1/products/longjing").await.ok();
    assert_eq!(shown["change"]["yesterday"], Value::Null);

    seen(&service, "longjing", "2020-01-01T00:00:00Z", "80.00").await;
    service.set_price("longjing", "100.00").await;

    for _ in 0..2 {
        let shown = service.get("/v1/products/longjing").await.ok();
        for reference in ["yesterday", "days_7", "days_30", "year"] {
            assert_eq!(
                shown["change"][reference],
                json!({
                    "price": "80.00", "price_fen": 8000, "at": "2020-01-01T00:00:00.000Z",
                    "diff_fen": 2000, "change_bp": 2500,
                }),
                "{reference}"
            );
        }
        assert!(shown["age_seconds"].as_i64().unwrap() < 60);
        copied(&service, 2.0).await;
    }
}

#[tokio::test]
async fn what_was_corrected_counts_nowhere() {
    let service = Service::start().await;
    unpriced(&service, "longjing").await;
    let correct = async |price: &str| {
        let body = json!({ "price": price, "correction": true });
        let path = "/v1/products/longjing/price?confirm=true";
        service.put(&service.merchant("m1"), path, body).await.ok();
    };
    seen(&service, "longjing", "2026-03-02T10:00:00+08:00", "120.00").await;
    // A slip, mended twice before it is copied, and once more after it.
    seen(&service, "longjing", "2026-03-02T12:00:00+08:00", "1290.00").await;
    correct("12.90").await;
    correct("128.00").await;
    let check = async |last: &str, average: i64| {
        let raw = points(&service, "bucket=raw").await;
        let told: Vec<&Value> = raw.iter().map(|point| &point["price"]).collect();
        assert_eq!(told, ["120.00", last]);
        assert_eq!(raw[1]["at"], "2026-03-02T04:00:00.000Z");
        let days = points(&service, "bucket=1d").await;
        assert_eq!(days.len(), 1);
        assert_eq!((&days[0]["high"], &days[0]["low"]), (&json!(last), &json!("120.00")));
        // Two hours at 120, then twelve.
        assert_eq!((&days[0]["n"], &days[0]["average_fen"]), (&json!(2), &json!(average)));
    };
    check("128.00", (2 * 12_000 + 12 * 12_800) / 14 + 1).await;
    copied(&service, 4.0).await;
    check("128.00", (2 * 12_000 + 12 * 12_800) / 14 + 1).await;
    correct("134.00").await;
    check("134.00", 13_200).await;
    copied(&service, 5.0).await;
    check("134.00", 13_200).await;
}

#[tokio::test]
async fn old_prices_are_thinned_and_longer_buckets_stay_what_they_were() {
    let mut service = Service::with(|setup| {
        setup.env("TEAWIRE_PRICES__RAW_DAYS", 36_500);
        setup.env("TEAWIRE_PRICES__HOURLY_DAYS", 36_500);
    })
    .await;
    unpriced(&service, "longjing").await;
    let mut rows = String::from("product,price,observed_at\n");
    for n in 0..600 {
        let (day, minute) = (1 + n / 200, n % 200);
        let price = 100 + (n * 37) % 90;
        rows += &format!(
            "longjing,{price}.00,2024-05-{day:02}T{:02}:{:02}:00Z\n",
            minute / 60,
            minute % 60
        );
    }
    let import = service.request(Method::POST, "/v1/import/prices.csv?confirm=true");
    service.send(import.bearer_auth(service.merchant("m1")).body(rows)).await.ok();
    let all = async |service: &Service| {
        let ohlc = |mut bucket: Value| {
            // How long each held is what thinning forgets.
            bucket.as_object_mut().unwrap().retain(|name, _| !name.starts_with("average"));
            bucket
        };
        let days = points(service, "bucket=1d").await.into_iter().map(ohlc).collect::<Vec<_>>();
        let weeks = points(service, "bucket=1w").await.into_iter().map(ohlc).collect::<Vec<_>>();
        (days, weeks)
    };
    let before = all(&service).await;
    assert_eq!(points(&service, "bucket=raw&limit=1000").await.len(), 600);

    copied(&service, 600.0).await;

    service.restart_with(&[("TEAWIRE_PRICES__RAW_DAYS", "1")]).await;
    let thinned = async || {
        let raw = points(&service, "bucket=raw&limit=1000").await;
        (raw.len() <= 3 * 4 * 4).then_some(())
    };
    service.eventually("thinning by the hour", thinned).await;
    assert_eq!(all(&service).await, before);

    let settings = [("TEAWIRE_PRICES__RAW_DAYS", "1"), ("TEAWIRE_PRICES__HOURLY_DAYS", "1")];
    service.restart_with(&settings).await;
    let thinned = async || {
        let raw = points(&service, "bucket=raw&limit=1000").await;
        (raw.len() <= 3 * 4).then_some(())
    };
    service.eventually("thinning by the day", thinned).await;
    assert_eq!(all(&service).await, before);
}

#[tokio::test]
async fn a_history_that_is_asked_for_wrongly_says_what_is_wrong() {
    let service = Service::start().await;
    service.product("longjing").await;
    for (query, field, code) in [
        ("bucket=2d", "bucket", "bad_value"),
        ("bucket=1d&bucket=1w", "bucket", "repeated_parameter"),
        ("limit=0", "limit", "out_of_range"),
        ("limit=1001", "limit", "out_of_range"),
        ("from=yesterday", "from", "bad_time"),
        ("to=2026-02-30", "to", "bad_time"),
        ("from=2026-05-02&to=2026-05-01", "from", "out_of_range"),
        ("from=2026-05-02&to=2026-05-02", "from", "out_of_range"),
        ("from=2100-01-01", "from", "out_of_range"),
        ("after=x", "after", "bad_value"),
        ("after=2026-05-01T00:00:00Z", "after", "bad_value"),
        ("bucket=raw&after=2026-05-01T00:00:00Z", "after", "bad_value"),
        ("buckets=1d", "buckets", "unknown_parameter"),
    ] {
        let answer = service.get(&format!("/v1/products/longjing/prices?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text);
        assert_eq!((&answer.json["field"], &answer.json["code"]), (&json!(field), &json!(code)));
    }
    let answer = service.get("/v1/products/longjin/prices").await;
    assert_eq!((answer.status, &answer.json["code"]), (404, &json!("unknown_product")));
}
