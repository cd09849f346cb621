use crate::harness::Service;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn count(poll: &Value) -> usize {
    poll["events"].as_array().unwrap().len()
}

fn cursor(poll: &Value) -> &str {
    poll["cursor"].as_str().unwrap()
}

#[tokio::test]
async fn a_poll_waits_for_news_and_says_where_to_go_on() {
    let service = Service::start().await;
    service.product("longjing").await;
    let now = service.poll("topic=product/longjing").await;
    let query = format!("topic=product/longjing&wait=30&cursor={}", cursor(&now));

    let (poll, status) =
        tokio::join!(service.poll(&query), service.set_price("longjing", "128.00"));

    assert_eq!(status, 200);
    assert_eq!(poll["events"][0]["data"]["price"], "128.00");
    assert_eq!((&poll["more"], &poll["reset"]), (&json!(false), &Value::Null));
    assert!(poll["retry_after_ms"].is_u64() && poll["server_time"].is_string());
    assert_eq!(cursor(&poll), poll["events"][0]["id"]);
    let later =
        service.poll(&format!("topic=product/longjing&cursor={}&wait=0", cursor(&poll))).await;
    assert_eq!((count(&later), cursor(&later)), (0, cursor(&poll)));
}

#[tokio::test]
async fn a_poll_without_a_cursor_answers_at_once_with_the_present_one() {
    let service = Service::start().await;
    service.product("longjing").await;

    let poll = service.poll("topic=product/longjing").await;

    assert_eq!(count(&poll), 0);
    assert_eq!(cursor(&poll), service.head().await);
}

#[tokio::test]
async fn a_poll_in_vain_is_an_empty_answer_and_not_an_error() {
    let service = Service::start().await;
    service.product("longjing").await;
    let head = service.head().await;
    let begun = Instant::now();

    let poll = service.poll(&format!("topic=price/black&cursor={head}&wait=1")).await;

    assert!(begun.elapsed() >= Duration::from_millis(900), "it did not wait");
    assert_eq!((count(&poll), &poll["more"], &poll["reset"]), (0, &json!(false), &Value::Null));
}

#[tokio::test]
async fn what_does_not_concern_a_poll_does_not_end_its_waiting() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.product_with("keemun", json!({ "category": "black" })).await;
    let query = format!("topic=price/black&wait=30&cursor={}", service.head().await);

    let writing = async {
        for price in ["101.00", "102.00", "103.00"] {
            service.set_price("longjing", price).await;
        }
        service.set_price("keemun", "120.00").await;
    };
    let (poll, ()) = tokio::join!(service.poll(&query), writing);

    assert_eq!(count(&poll), 1);
    assert_eq!(poll["events"][0]["data"]["product"], "keemun");
}

#[tokio::test]
async fn what_happens_together_is_told_together() {
    let service = Service::start().await;
    let query = format!("topic=room/x&wait=30&cursor={}", service.head().await);
    let batch: Vec<Value> =
        (0..5).map(|n| json!({"topics":["room/x"],"type":"room.message","data":{"n":n}})).collect();

    let token = service.merchant("m1");
    let (poll, answer) =
        tokio::join!(service.poll(&query), service.post(&token, "/v1/events", json!(batch)));

    assert_eq!(answer.status, 201);
    assert_eq!(count(&poll), 5);
}

#[tokio::test]
async fn a_poll_says_that_there_is_more_and_the_same_cursor_gives_the_same() {
    let service = Service::start().await;
    let start = service.head().await;
    for n in 0..7 {
        service.say("x", json!({ "n": n })).await;
    }
    let ask = async |cursor: &str| {
        service.poll(&format!("topic=room/x&cursor={cursor}&limit=3&wait=0")).await
    };

    let first = ask(&start).await;
    assert_eq!((count(&first), &first["more"]), (3, &json!(true)));
    let again = ask(&start).await;
    assert_eq!((&again["events"], &again["cursor"]), (&first["events"], &first["cursor"]));
    let second = ask(cursor(&first)).await;
    assert_eq!((count(&second), &second["more"]), (3, &json!(true)));
    let third = ask(cursor(&second)).await;
    assert_eq!((count(&third), &third["more"]), (1, &json!(false)));
    assert_eq!(third["events"][0]["data"]["n"], 6);
}

#[tokio::test]
async fn an_answer_is_never_more_than_a_phone_can_swallow() {
    let service = Service::start().await;
    let start = service.head().await;
    for n in 0..12 {
        let said = service.say("x", json!({ "n": n, "text": "茶".repeat(3000) })).await;
        assert_eq!(said.status, 201);
    }

    let (mut at, mut seen, mut answers) = (start, Vec::new(), 0);
    loop {
        let answer = service.get(&format!("/v1/poll?topic=room/x&cursor={at}&wait=0")).await;
        assert!(answer.text.len() < 49 * 1024, "{} bytes", answer.text.len());
        let poll = answer.ok();
        let numbers = poll["events"].as_array().unwrap().iter();
        seen.extend(numbers.map(|event| event["data"]["n"].as_u64().unwrap()));
        at = cursor(&poll).to_owned();
        answers += 1;
        if poll["more"] == false {
            break;
        }
    }

    assert_eq!(seen, (0..12).collect::<Vec<u64>>());
    assert!(answers >= 3, "{answers} answers");
}

#[tokio::test]
async fn an_event_that_is_too_big_for_an_answer_is_refused_or_told_alone() {
    let service = Service::start().await;
    let start = service.head().await;

    let big = service.say("x", json!({ "text": "x".repeat(60 * 1024) })).await;
    service.say("x", json!({ "n": 2 })).await;

    if big.status == 201 {
        let poll = service.poll(&format!("topic=room/x&cursor={start}&wait=0")).await;
        assert_eq!((count(&poll), &poll["more"]), (1, &json!(true)));
        assert_eq!(poll["cursor"], big.json["receipt"]["id"]);
    } else {
        big.code();
        let poll = service.poll(&format!("topic=room/x&cursor={start}&wait=0")).await;
        assert_eq!(poll["events"][0]["data"]["n"], 2);
    }
}

#[tokio::test]
async fn a_poll_out_of_range_is_refused() {
    let service = Service::start().await;
    for (query, field) in [
        ("topic=arrivals&wait=51", "wait"),
        ("topic=arrivals&wait=-1", "wait"),
        ("topic=arrivals&limit=0", "limit"),
        ("topic=arrivals&limit=101", "limit"),
        ("topic=arrivals&limit=many", "limit"),
        ("topic=arrivals&colour=red", "colour"),
        ("wait=1", "topic"),
    ] {
        let answer = service.get(&format!("/v1/poll?{query}")).await;
        answer.code();
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!(field)), "{query}");
    }
}

#[tokio::test]
async fn a_compact_poll_has_the_newest_of_each_product_and_everything_else() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.product_with("keemun", json!({ "category": "black" })).await;
    let cursor = service.head().await;
    for n in 0..150 {
        service.set_price("longjing", &format!("101.{:02}", n % 100)).await;
        if n % 50 == 0 {
            service.set_stock("longjing", n).await;
            service.say("x", json!({ "n": n })).await;
        }
    }
    service.set_price("keemun", "99.00").await;
    let head = service.head().await;

    let topics = "topic=product/longjing,product/keemun,room/x";
    let query = format!("{topics}&mode=compact&wait=0");
    let poll = service.poll(&format!("{query}&cursor={cursor}")).await;
    let told: Vec<String> = poll["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| format!("{} {}", event["type"].as_str().unwrap(), event["data"]))
        .collect();
    let kinds: Vec<&str> = told.iter().map(|told| told.split(' ').next().unwrap()).collect();
    let message = "room.message";
    let last = ["stock.changed", message, "price.changed", "price.changed"];
    assert_eq!(kinds, [&[message, message][..], &last].concat(), "{told:?}");
    assert!(told[4].contains("\"price\":\"101.49\"") && told[2].contains("\"quantity\":100"));
    assert_eq!((&poll["folded"], &poll["unread"]), (&json!(151), &json!(null)));
    assert_eq!((&poll["cursor"], &poll["more"]), (&json!(head), &json!(false)));

    // Who has it all waits, and is told as soon as there is more.
    let query = format!("{topics}&mode=compact&wait=10&cursor={head}");
    let waiting = service.poll(&query);
    let (poll, _) = tokio::join!(waiting, service.set_price("longjing", "150.00"));
    assert_eq!(poll["events"][0]["data"]["price"], "150.00");
    let answer = service.get(&format!("/v1/poll?{topics}&mode=short")).await;
    assert_eq!((answer.code(), &answer.json["field"]), ("bad_value", &json!("mode")));
}
