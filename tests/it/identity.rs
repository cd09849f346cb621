use crate::harness::{Service, forge};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn everybody_reads_what_is_public_and_nobody_writes_without_a_name() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.follow("price/green,market/fangcun,product/longjing,room/x,arrivals").await;
    for path in ["/v1/products", "/v1/products/longjing", "/v1/poll?topic=arrivals&wait=0"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
    let head = service.head().await;
    for (method, path) in [
        (Method::POST, "/v1/products"),
        (Method::PUT, "/v1/products/longjing"),
        (Method::DELETE, "/v1/products/longjing"),
        (Method::PUT, "/v1/products/longjing/price"),
        (Method::PUT, "/v1/products/longjing/stock"),
        (Method::POST, "/v1/products/longjing/stock"),
        (Method::PUT, "/v1/products/longjing/clearance"),
        (Method::DELETE, "/v1/products/longjing/clearance"),
        (Method::POST, "/v1/markets/fangcun/updates"),
        (Method::POST, "/v1/events"),
        (Method::POST, "/v1/import"),
        (Method::POST, "/v1/tickets"),
    ] {
        let answer = service.send(service.request(method.clone(), path).json(&json!({}))).await;
        answer.code();
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
        assert!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")));
    }
    assert_eq!(service.head().await, head);
}

#[tokio::test]
async fn a_merchant_writes_on_no_product_of_another() {
    let service = Service::start().await;
    service.product("longjing").await;
    let before = (service.shown("longjing").await, service.head().await);
    let product = json!({ "name": "x", "category": "green", "market": "fangcun", "unit": "jin" });
    let writes = [
        (Method::PUT, "/v1/products/longjing", product.clone()),
        (Method::DELETE, "/v1/products/longjing", json!({})),
        (Method::PUT, "/v1/products/longjing/price", json!({ "price": "101.00" })),
        (Method::PUT, "/v1/products/longjing/stock", json!({ "quantity": 1 })),
        (Method::POST, "/v1/products/longjing/stock", json!({ "delta": 1 })),
        (Method::PUT, "/v1/products/longjing/clearance", json!({ "price": "80.00" })),
        (Method::DELETE, "/v1/products/longjing/clearance", json!({})),
        (Method::POST, "/v1/markets/fangcun/updates", json!({ "title": "x" })),
    ];
    for token in [service.merchant("m2"), service.shopper("u1")] {
        for (method, path, body) in &writes {
            let request = service.request(method.clone(), path).bearer_auth(&token);
            let answer = service.send(request.json(body)).await;
            answer.code();
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
        }
    }
    let mut stolen = product;
    stolen["id"] = json!("new");
    stolen["merchant"] = json!("m1");
    let answer = service.post(&service.merchant("m2"), "/v1/products", stolen.clone()).await;
    assert!([403, 422].contains(&answer.status), "{}", answer.text);
    assert_eq!((service.shown("longjing").await, service.head().await), before);

    let answer = service.post(&service.admin(), "/v1/products", stolen).await;
    assert_eq!((answer.status, &answer.json["product"]["merchant"]), (201, &json!("m1")));
    let price = json!({ "price": "101.00" });
    let answer = service.put(&service.admin(), "/v1/products/longjing/price", price).await;
    assert_eq!(answer.status, 200, "an admin writes everywhere");
}

/// A good token's claims, with one of them changed.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = forge::claims();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_token_that_is_not_ours_opens_nothing() {
    let service = Service::start().await;
    let hs256 = json!({ "alg": "HS256", "typ": "JWT" });
    let good = forge::signed(&forge::claims());
    assert_eq!(service.get_as(&good, "/v1/me").await.status, 200);
    let none = forge::forge(json!({ "alg": "none" }), &forge::claims(), "");
    let unsigned = format!("{}.", none.rsplit_once('.').unwrap().0);
    let cut = good.rsplit_once('.').unwrap().0;
    let mut without_exp = forge::claims();
    without_exp.as_object_mut().unwrap().remove("exp");
    let mut without_aud = forge::claims();
    without_aud.as_object_mut().unwrap().remove("aud");
    let bad = [
        ("expired", forge::signed(&claims_with("exp", json!(forge::unix(-120))))),
        ("no exp", forge::signed(&without_exp)),
        ("exp as text", forge::signed(&claims_with("exp", json!(forge::unix(600).to_string())))),
        ("another aud", forge::signed(&claims_with("aud", json!("coffeewire")))),
        ("no aud", forge::signed(&without_aud)),
        ("another role", forge::signed(&claims_with("role", json!("emperor")))),
        ("not yet", forge::signed(&claims_with("nbf", json!(forge::unix(600))))),
        (
            "another secret",
            forge::forge(hs256, &forge::claims(), "another-secret-0123456789-0123456789"),
        ),
        ("alg none", none),
        ("no signature", unsigned),
        ("alg None", forge::forge(json!({ "alg": "nOnE" }), &forge::claims(), "")),
        (
            "HS512 claimed",
            forge::forge(json!({ "alg": "HS512" }), &forge::claims(), crate::harness::SECRET),
        ),
        ("cut off", cut.to_owned()),
        ("one more character", format!("{good}A")),
        ("an unknown key", "twk_0123456789abcdef0123456789abcdef".to_owned()),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        ("too long", "x".repeat(9000)),
    ];
    for (what, token) in bad {
        let answer = service.get_as(&token, "/v1/me").await;
        answer.code();
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        // Nobody is taken for an anonymous reader who wanted to be someone.
        let answer = service.get_as(&token, "/v1/poll?topic=arrivals&wait=0").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_merchant_hears_only_of_its_own_stock() {
    let service = Service::start().await;
    service.product("longjing").await;
    service.follow_as(&service.merchant("m1"), "merchant/m1").await;
    service.follow_as(&service.admin(), "merchant/m1").await;

    for token in [service.merchant("m2"), service.shopper("u1")] {
        for path in ["/v1/stream", "/v1/poll", "/v1/events"] {
            let there = service.get_as(&token, &format!("{path}?topic=merchant/m1")).await;
            let nowhere = service.get_as(&token, &format!("{path}?topic=merchant/m9")).await;
            assert!([403, 404].contains(&there.status), "{path}: {}", there.text);
            assert_eq!((there.status, there.code()), (nowhere.status, nowhere.code()), "{path}");
            let mixed = format!("{path}?topic=price/green,merchant/m1");
            assert_eq!(service.get_as(&token, &mixed).await.status, there.status, "{path}");
        }
    }
    let anonymous = service.get("/v1/stream?topic=merchant/m1").await;
    assert!([401, 403, 404].contains(&anonymous.status), "{}", anonymous.text);
}

#[tokio::test]
async fn a_user_hears_only_what_is_its_own() {
    let service = Service::start().await;
    let (u1, u2) = (service.shopper("u1"), service.shopper("u2"));
    service.follow_as(&u1, "user/me").await;
    service.follow_as(&u1, "user/u1").await;
    for topic in ["user/u1", "user/nobody", "user/%75%31"] {
        for path in ["/v1/stream", "/v1/poll", "/v1/events"] {
            let answer = service.get_as(&u2, &format!("{path}?topic={topic}")).await;
            answer.code();
            assert!([403, 404].contains(&answer.status), "{path} {topic}: {}", answer.text);
        }
    }
    let anonymous = service.get("/v1/stream?topic=user/me").await;
    assert_eq!(anonymous.status, 401, "{}", anonymous.text);
}

#[tokio::test]
async fn a_token_for_some_topics_reads_only_these() {
    let service = Service::start().await;
    let args = ["--role", "shopper", "--sub", "u1", "--topic", "price/green"];
    let token = forge::mint(&args);

    service.follow_as(&token, "price/green").await;
    for topics in ["price/black", "price/*", "price/green,arrivals"] {
        let answer = service.get_as(&token, &format!("/v1/stream?topic={topics}")).await;
        answer.code();
        assert!([403, 404].contains(&answer.status), "{topics}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_ticket_opens_one_stream_once() {
    let service = Service::start().await;
    service.product("longjing").await;
    let body = json!({ "topics": ["merchant/m1"] });
    let ticket = async || {
        let answer = service.post(&service.merchant("m1"), "/v1/tickets", body.clone()).await.ok();
        assert!(answer["expires_at"].is_string());
        answer["ticket"].as_str().unwrap().to_owned()
    };
    let refused = async |query: &str| {
        let answer = service.get(&format!("/v1/stream?{query}")).await;
        answer.code();
        assert!([401, 403, 404].contains(&answer.status), "{query}: {}", answer.text);
    };

    let query = format!("topic=merchant/m1&ticket={}", ticket().await);
    let mut follower = service.listen(service.stream(&query)).await;
    service.set_stock("longjing", 7).await.ok();
    assert_eq!(follower.next().await.data()["quantity"], 7);
    refused(&query).await;

    refused(&format!("topic=merchant/m2&ticket={}", ticket().await)).await;
    refused(&format!("topic=merchant/m1,user/me&ticket={}", ticket().await)).await;
    refused("topic=merchant/m1&ticket=guessed").await;

    let foreign = service.post(&service.merchant("m2"), "/v1/tickets", body.clone()).await;
    foreign.code();
    assert!([403, 404].contains(&foreign.status), "{}", foreign.text);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_does() {
    let service = Service::start().await;
    let token = forge::signed(&claims_with("exp", json!(forge::unix(3))));

    let follower = service.follow_as(&token, "merchant/m1").await;
    let bye = follower.bye("token_expired").await;
    assert!(bye.json["cursor"].is_string());

    // A browser comes back with the same token. Told 401, it would never come
    // again; told `bye`, its script fetches another token.
    let request = service.stream("topic=merchant/m1").bearer_auth(&token);
    service.open(request).await.bye("token_expired").await;
    let poll = service.get_as(&token, "/v1/poll?topic=merchant/m1&wait=0").await;
    assert_eq!(poll.status, 401, "{}", poll.text);
}
