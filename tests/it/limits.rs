use crate::harness::{Answer, Service, Setup};
use reqwest::Method;
use serde_json::json;

/// The caps are on, and these are low.
fn low(caps: &[(&'static str, u32)]) -> impl FnOnce(&mut Setup) {
    let caps = caps.to_vec();
    move |setup| {
        setup.env("TEAWIRE_LIMITS__ENABLED", true);
        for (name, cap) in caps {
            setup.env(&format!("TEAWIRE_LIMITS__{name}"), cap);
        }
    }
}

#[track_caller]
fn assert_told_when_to_come_back(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (429, "rate_limited"), "{}", answer.text);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(answer.json["retry_after_ms"].is_u64(), "{}", answer.text);
    let names = answer.headers.keys().any(|name| name.as_str().starts_with("ratelimit"));
    assert!(names, "{:?}", answer.headers);
}

#[tokio::test]
async fn a_merchant_who_writes_too_much_is_told_when_to_come_back() {
    let service = Service::with(low(&[("WRITES_PER_SECOND", 1), ("WRITES_BURST", 3)])).await;
    service.product("longjing").await;

    let mut answers = Vec::new();
    for n in 1..=8 {
        answers.push(service.price("longjing", format!("10{n}.00")).await);
    }

    assert_eq!(answers[0].status, 200);
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_told_when_to_come_back(refused);
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    let kept = service.whole_history("price/green").await;
    let prices = kept.iter().filter(|event| !event["data"]["from"].is_null());
    assert_eq!(prices.count(), done, "what was refused was not done");

    let other = json!({
        "id": "keemun", "name": "祁门", "category": "black", "market": "anxi", "unit": "jin",
    });
    let answer = service.post(&service.merchant("m2"), "/v1/products", other).await;
    assert_eq!(answer.status, 201, "another merchant has a budget of its own");
}

#[tokio::test]
async fn an_address_that_reads_too_much_is_told_when_to_come_back() {
    let service = Service::with(low(&[("READS_PER_SECOND", 1), ("READS_BURST", 3)])).await;
    let mut refused = None;
    for _ in 0..8 {
        let answer = service.get("/v1/products").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    assert_told_when_to_come_back(&refused.expect("a refusal"));
    let ready = service.get(&format!("{}/readyz", service.ops())).await;
    assert_eq!(ready.status, 200, "health is not counted");
}

#[tokio::test]
async fn a_browser_that_opens_too_many_streams_is_asked_to_wait() {
    let service = Service::with(low(&[("OPENS_PER_SECOND", 1), ("OPENS_BURST", 2)])).await;
    for _ in 0..2 {
        service.follow("price/green").await;
    }

    let follower = service.open(service.stream("topic=price/green")).await;
    let bye = follower.bye("rate_limited").await;

    assert!(bye.json["retry_after_ms"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_user_has_ten_streams_and_an_address_fifty() {
    let caps = low(&[("OPENS_BURST", 500), ("READS_BURST", 500)]);
    let service = Service::with(|setup| {
        caps(setup);
        setup.env("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", 1);
    })
    .await;
    let token = service.shopper("u1");
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(service.follow_as(&token, "price/green").await);
    }
    let eleventh = service.stream("topic=price/green").bearer_auth(&token);
    service.open(eleventh).await.bye("too_many_streams").await;

    for _ in 0..40 {
        open.push(service.follow("price/green").await);
    }
    let one_more = service.open(service.stream("topic=price/green")).await;
    one_more.bye("too_many_streams").await;
    let poll = service.get("/v1/poll?topic=price/green&cursor=earliest&wait=1").await;
    assert_eq!(poll.status, 429, "{}", poll.text);

    // A stream that has ended counts no longer.
    open.clear();
    let fewer = async || {
        let mut follower = service.open(service.stream("topic=price/green")).await;
        (follower.next_frame().await?.kind == "hello").then_some(())
    };
    service.eventually("free place", fewer).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let service = Service::start().await;
    service.product("longjing").await;
    let before = service.head().await;
    let token = service.merchant("m1");
    let head = format!(
        "PUT /v1/products/longjing/price HTTP/1.1\r\nHost: tea\r\nConnection: close\r\n\
         Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
    );

    // One is told before it has sent anything, the other cannot be.
    let announced = format!("{head}Content-Length: 262145\r\n\r\n");
    let body = " ".repeat(262_145);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n40001\r\n{body}");
    for request in [announced, chunked] {
        let mut raw = service.raw().await;
        raw.write(&request).await;
        assert!(raw.read_until("\r\n\r\n").await);
        let answer = String::from_utf8_lossy(&raw.read);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    assert_eq!(service.head().await, before);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let service = Service::start().await;
    let long = "a".repeat(20 * 1024);
    for request in [
        format!(
            "GET /v1/status HTTP/1.1\r\nHost: tea\r\nX-Long: {long}\r\nConnection: close\r\n\r\n"
        ),
        format!("GET /v1/status?{long} HTTP/1.1\r\nHost: tea\r\nConnection: close\r\n\r\n"),
    ] {
        let mut raw = service.raw().await;
        raw.write(&request).await;
        assert!(raw.read_until("\r\n").await);
        let answer = String::from_utf8_lossy(&raw.read);
        assert!(
            answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_limits_are_told() {
    let service = Service::with(low(&[("WRITES_BURST", 77)])).await;
    let answer = service.send(service.request(Method::GET, "/v1/limits")).await;
    assert!(answer.text.contains("77"), "{}", answer.text);
    assert!(answer.ok().is_object());
}

#[tokio::test]
async fn a_room_that_came_to_nothing_is_not_thought_to_be_there() {
    let service = Service::with(low(&[("ROOMS", 1)])).await;
    let token = service.merchant("m1");
    let say = |room: &str| json!({"topics": [room], "type": "room.message", "data": 1});

    let both = json!([say("room/tea"), say("room/pots")]);
    let answer = service.post(&token, "/v1/events", both).await;
    assert_eq!((answer.status, answer.code()), (422, "too_many_rooms"), "{}", answer.text);

    for _ in 0..2 {
        assert_eq!(service.post(&token, "/v1/events", say("room/pots")).await.status, 201);
    }
    let answer = service.post(&token, "/v1/events", say("room/tea")).await;
    assert_eq!((answer.status, answer.code()), (422, "too_many_rooms"), "{}", answer.text);
}
