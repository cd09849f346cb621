use super::toy::{Toy, json};
use super::*;
use serde_json::Value;
use std::time::Instant;

fn patience(say: &mut dyn FnMut(&str)) -> Patience<'_> {
    Patience { limit: Duration::from_secs(5), say }
}

#[test]
fn an_address_and_a_token_are_looked_at_before_they_are_used() {
    let with = |url: &str, token: Option<&str>| {
        Client::new(&Remote { url: url.into(), token: token.map(str::to_owned) })
    };
    assert_eq!(
        with("http://tea.example/base/", None).expect("fine").base,
        "http://tea.example/base"
    );
    for url in ["tea.example", "ftp://tea.example", "http://", "", "http://a b", "http://a/?x=1"] {
        assert!(matches!(with(url, None), Err(Error::BadUrl(_))), "{url}");
    }
    assert!(matches!(with("http://a", Some("twk_\u{1}")), Err(Error::BadToken)));
    let shown =
        format!("{:?}", Remote { url: "http://a".into(), token: Some("twk_secret".into()) });
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_write_is_repeated_with_its_key_until_the_service_has_time() {
    let toy = Toy::start(|_, number, stream| match number {
        0 => false, // hangs up without a word
        1 => json(stream, 503, "", ""),
        2 => json(
            stream,
            429,
            "retry-after: 9\r\n",
            r#"{"code":"rate_limited","retry_after_ms":20}"#,
        ),
        _ => json(stream, 200, "idempotency-replayed: true\r\n", r#"{"changed":true}"#),
    });
    let client = Client::new(&toy.remote).expect("a good address");
    let started = Instant::now();
    let mut silent = |_: &str| {};
    let content = ("application/json", br#"{"price":"1.00"}"#.as_slice());
    let answer = client
        .write(&Method::PUT, "/v1/products/a/price", content, "k-1", &mut patience(&mut silent))
        .expect("it comes back");
    assert!(answer.is_good() && answer.replayed);
    assert!(started.elapsed() < Duration::from_secs(4), "the problem knows better than the header");
    let asked = toy.asked();
    assert_eq!(asked.len(), 4);
    for request in asked {
        assert_eq!(request.headers["idempotency-key"], "k-1");
        assert_eq!(request.headers["authorization"], "Bearer twk_test");
        assert_eq!(request.body, r#"{"price":"1.00"}"#);
    }
}

#[test]
fn a_refusal_is_told_in_the_service_s_words_and_not_repeated() {
    let toy = Toy::start(|_, _, stream| {
        json(
            stream,
            403,
            "",
            r#"{"code":"not_yours","detail":"Not your product\u001b[2J.","field":"id"}"#,
        )
    });
    let client = Client::new(&toy.remote).expect("a good address");
    let answer = client.get("/v1/me", &mut patience(&mut |_| {})).expect("an answer");
    assert_eq!(toy.asked().len(), 1);
    assert_eq!(answer.refusal().to_string(), "Not your product [2J. (403, not_yours, id)");
}

#[test]
fn patience_ends() {
    let toy = Toy::start(|_, _, stream| json(stream, 429, "retry-after: 3600\r\n", ""));
    let client = Client::new(&toy.remote).expect("a good address");
    let answer = client.get("/v1/me", &mut patience(&mut |_| {})).expect("an answer");
    assert_eq!((answer.status, toy.asked().len()), (429, 1));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let url = format!("http://{}", nobody.expect("a port"));
    let client = Client::new(&Remote { url, token: None }).expect("a good address");
    let mut short = |_: &str| {};
    let err = client
        .get("/v1/me", &mut Patience { limit: Duration::from_millis(300), say: &mut short })
        .expect_err("nobody listens");
    assert!(err.to_string().ends_with("nobody listens there (connection refused)"), "{err}");
}

#[test]
fn what_is_not_teawire_is_named() {
    let toy = Toy::start(|_, _, stream| {
        json(stream, 301, "location: https://tea.example/\r\n", "<html>")
    });
    let client = Client::new(&toy.remote).expect("a good address");
    let err = client
        .get("/v1/me", &mut patience(&mut |_| {}))
        .and_then(|answer| answer.good::<Value>())
        .expect_err("a redirect");
    assert!(err.to_string().contains("points to https://tea.example/"), "{err}");
}

#[test]
fn waits_double_up_to_a_bound_and_honour_the_server() {
    let mut backoff = Backoff::new(Duration::from_secs(2));
    for tries in 0..40_u32 {
        let bound = Duration::from_secs(2_u64.saturating_pow(tries + 1).min(30));
        assert!(backoff.wait(None) <= bound);
    }
    let asked = Duration::from_secs(7);
    let wait = backoff.wait(Some(asked));
    assert!(wait >= asked && wait <= Duration::from_millis(7700));
    backoff.reset(Duration::from_millis(10));
    assert!(backoff.wait(None) <= Duration::from_millis(10));
}

#[test]
fn text_for_the_address_and_for_the_eye() {
    assert_eq!(encoded("春茶 1.csv"), "%E6%98%A5%E8%8C%B6%201.csv");
    assert_eq!(encoded("price/dark.puer"), "price%2Fdark.puer");
    assert_eq!(printable("龙井\r\n\u{202e}x\u{9b}m"), "龙井   x m");
}
