use crate::harness::{Service, Setup};
use serde_json::json;

#[tokio::test]
async fn health_is_told_on_both_listeners_and_metrics_on_one() {
    let service = Service::start().await;
    for path in ["/healthz", "/readyz"] {
        let ops = service.get(&format!("{}{path}", service.ops())).await;
        assert_eq!(ops.status, 200, "{path}: {}", ops.text);
    }
    assert_eq!(service.get("/readyz").await.status, 200);

    let metrics = service.get(&format!("{}/metrics", service.ops())).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    assert!(metrics.text.contains("# TYPE teawire_"), "{}", metrics.text);
    assert_eq!(service.get("/metrics").await.status, 404, "the public listener has none");
}

#[tokio::test]
async fn metrics_name_no_product_no_room_and_no_user() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.follow_as(&service.shopper("secretive"), "user/me,room/hidden").await;
    service.set_price("longjing", "101.00").await;
    service.get("/v1/no/such/path/unheard-of").await;

    let metrics = service.get(&format!("{}/metrics", service.ops())).await;

    assert_eq!(metrics.status, 200);
    for name in ["longjing", "hidden", "secretive", "unheard-of"] {
        assert!(!metrics.text.contains(name), "{name} in {}", metrics.text);
    }
}

#[tokio::test]
async fn the_log_keeps_every_secret() {
    let loud = |setup: &mut Setup| {
        setup.env("RUST_LOG", "info,teawire=debug,tracing_actix_web=debug");
    };
    let service = Service::with(loud).await;
    service.product("longjing").await;
    let token = service.merchant("m1");
    let body = json!({ "topics": ["merchant/m1"] });
    let ticket = service.post(&token, "/v1/tickets", body).await.ok()["ticket"].clone();
    let ticket = ticket.as_str().unwrap().to_owned();
    let query = format!("topic=merchant/m1&ticket={ticket}");
    service.listen(service.stream(&query)).await;
    service.get(&format!("/v1/stream?{query}")).await;
    service.get(&format!("/v1/no-such-path?ticket={ticket}")).await;
    service.get_as("wrong-token-that-is-secret", "/v1/me").await;
    service.talk(format!("GET /v1/stream?{query} HTTP/9.9\r\n\r\n")).await;

    let log = service.log();

    let signature = token.rsplit_once('.').unwrap().1;
    for secret in [&ticket, signature, "wrong-token-that-is-secret", crate::harness::SECRET] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
    assert!(log.lines().all(|line| line.starts_with('{')), "a line that is not JSON:\n{log}");
}

#[tokio::test]
async fn an_answer_and_its_log_line_have_the_same_request_id() {
    let service = Service::start().await;

    let answer = service.get("/v1/products/none").await;

    let id = answer.json["request_id"].as_str().unwrap().to_owned();
    let logged = async || service.log().contains(&id).then_some(());
    service.eventually("log line of the request", logged).await;
}

#[tokio::test]
async fn the_status_says_where_the_log_is() {
    let service = Service::start().await;
    let before = service.get("/v1/status").await.ok();
    service.product("longjing").await;
    let _follower = service.follow("price/green").await;

    let after = service.get("/v1/status").await.ok();

    assert_eq!((&after["name"], &after["streams"]), (&json!("teawire"), &json!(1)));
    assert_eq!((&after["products"], &before["products"]), (&json!(1), &json!(0)));
    assert_eq!(after["epoch"], before["epoch"]);
    assert_ne!(after["head"], before["head"]);
}
