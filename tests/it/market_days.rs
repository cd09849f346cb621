use crate::harness::{Service, on_postgres};
use serde_json::{Value, json};

/// The time of day in Shanghai, so many seconds from now.
pub fn in_seconds(seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let of_day = (now.as_secs() as i64 + 8 * 3600 + seconds).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Waits until the service's clock shows so late a time of day in Shanghai.
pub async fn until(service: &Service, time_of_day: &str) {
    let later = async || {
        let status = service.get("/v1/status").await.ok();
        let utc = status["time"].as_str().unwrap()[11..19].to_owned();
        let seconds = |text: &str| {
            let parts: Vec<i64> = text.split(':').map(|part| part.parse().unwrap()).collect();
            parts[0] * 3600 + parts[1] * 60 + parts[2]
        };
        let behind = (seconds(&utc) + 8 * 3600 - seconds(time_of_day)).rem_euclid(86_400);
        (behind < 43_200).then_some(())
    };
    service.eventually("the time", later).await;
}

/// Five products of three merchants in Fangcun that cost 100.00 since long ago
/// and then: 90, 100, 110, 120, 130.
async fn a_day(service: &Service) {
    for n in 0..5 {
        let (id, merchant) = (format!("p{n}"), format!("m{}", n % 3));
        let body = json!({
            "id": id, "name": id, "category": "green", "market": "fangcun", "unit": "jin",
        });
        service.post(&service.merchant(&merchant), "/v1/products", body).await;
        let path = format!("/v1/products/{id}/price");
        let old = json!({ "price": "100.00", "observed_at": "2020-01-01T00:00:00Z" });
        service.put(&service.merchant(&merchant), &path, old).await.ok();
        let new = json!({ "price": format!("{}.00", 90 + 10 * n) });
        service.put(&service.merchant(&merchant), &path, new).await.ok();
    }
}

fn assert_summary(data: &Value) {
    assert_eq!((&data["up"], &data["down"], &data["unchanged"]), (&json!(3), &json!(1), &json!(1)));
    assert_eq!((&data["index"], &data["index_products"]), (&json!("1100.00"), &json!(5)));
    assert_eq!(
        (&data["risers"][0]["product"], &data["risers"][0]["change_bp"]),
        (&json!("p4"), &json!(3000))
    );
    assert_eq!((&data["fallers"][0]["product"], &data["late"]), (&json!("p0"), &json!(false)));
    assert_eq!((&data["turnover_fen"], &data["volume_kg"]), (&json!(960_000_000), &json!(120_000)));
}

/// A service without summaries on which a day went by, and the time at its end.
async fn after_a_day() -> (Service, String) {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_MARKETS__SUMMARY_AT", "");
    })
    .await;
    // Later than the first start, before which nothing is made up for, and than all
    // that is written until then, on a busy machine too.
    let at = in_seconds(6);
    a_day(&service).await;
    let told = json!({ "title": "日报", "turnover": "9600000.00", "volume_kg": 120_000 });
    service.post(&service.admin(), "/v1/markets/fangcun/updates", told).await;
    until(&service, &at).await;
    assert_eq!(service.get("/v1/markets/fangcun").await.ok()["summary"], Value::Null);
    (service, at)
}

async fn summaries(node: &Service) -> usize {
    let all = node.whole_history("market/*").await;
    all.iter().filter(|event| event["type"] == "market.summary").count()
}

#[tokio::test]
async fn a_market_is_summed_up_once_a_day_though_nobody_was_there_when_it_was_due() {
    let (mut service, at) = after_a_day().await;
    let cursor = service.head().await;

    service.restart_with(&[("TEAWIRE_MARKETS__SUMMARY_AT", &at)]).await;
    let mut follower = service.follow_after("market/fangcun", Some(&cursor)).await;

    let summary = follower.next().await;
    assert_eq!(summary.kind, "market.summary");
    assert_summary(summary.data());
    assert_eq!(service.get("/v1/markets/fangcun").await.ok()["summary"], *summary.data());
    let trend = service.get("/v1/markets/fangcun/trend").await.ok();
    let point = &trend["points"][0];
    assert_eq!((&point["index"], &point["up"]), (&json!("1100.00"), &json!(3)));
    // The same again finds that it was told.
    service.restart_with(&[("TEAWIRE_MARKETS__SUMMARY_AT", &at)]).await;
    until(&service, &in_seconds(3)).await;
    assert_eq!(summaries(&service).await, 1);
}

#[tokio::test]
async fn two_nodes_tell_a_summary_once() {
    if !on_postgres() {
        return; // SQLite serves one node.
    }
    let (service, at) = after_a_day().await;
    let cursor = service.head().await;
    let settings = [("TEAWIRE_MARKETS__SUMMARY_AT", &*at)];
    let (one, two) = tokio::join!(service.another_node(&settings), service.another_node(&settings));
    let mut follower = service.follow_after("market/fangcun", Some(&cursor)).await;
    assert_summary(follower.next().await.data());
    until(&service, &in_seconds(3)).await;
    assert_eq!((summaries(&one).await, summaries(&two).await), (1, 1));
}

#[tokio::test]
async fn what_a_market_tells_of_a_period_is_compared_with_the_year_before() {
    let service = Service::start().await;
    for (period, average, volume) in
        [("2025-09", "160.00", 100_000), ("2026-09", "1.00", 1), ("2026-09", "172.82", 90_000)]
    {
        let body = json!({
            "title": period, "period": period, "average": average, "index": "54.93", "volume_kg": volume,
        });
        let answer = service.post(&service.admin(), "/v1/markets/xinchang/updates", body).await;
        assert_eq!(answer.status, 201);
    }
    let trend = service.get("/v1/markets/xinchang/trend?from=2026-01-01&bucket=1m").await.ok();
    let records = trend["records"].as_array().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0]["average"], &records[0]["index"]), (&json!("172.82"), &json!("54.93")));
    assert_eq!(records[0]["year_on_year"]["average_bp"], 801);
    assert_eq!(records[0]["year_on_year"]["volume_bp"], -1_000);
    assert_eq!(trend["points"], json!([]));
}

#[tokio::test]
async fn a_trend_that_is_asked_for_wrongly_says_what_is_wrong() {
    let service = Service::start().await;
    for (query, field, code) in [
        ("bucket=1h", "bucket", "bad_value"),
        ("from=2010-01-01&to=2026-01-01", "from", "out_of_range"),
        ("from=2026-01-02&to=2026-01-01", "from", "out_of_range"),
        ("limit=1001", "limit", "out_of_range"),
        ("after=2026-01-01T00:00:00Z", "after", "bad_value"),
        ("market=fangcun", "market", "unknown_parameter"),
    ] {
        let answer = service.get(&format!("/v1/markets/fangcun/trend?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text);
        assert_eq!((&answer.json["field"], &answer.json["code"]), (&json!(field), &json!(code)));
    }
    assert_eq!(service.get("/v1/markets/fangcum/trend").await.status, 404);
}
