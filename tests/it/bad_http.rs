use crate::harness::Service;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_topic_that_is_none_is_not_found_and_the_nearest_is_suggested() {
    let service = Service::start().await;
    service.product("longjing").await;
    for (topic, suggested) in [
        ("prise/green", Some("price/green")),
        ("price/gren", Some("price/green")),
        ("market/fangchun", Some("market/fangcun")),
        ("product/longjin", Some("product/longjing")),
        ("arrival", Some("arrivals")),
        ("nonsense/of/every/kind", None),
        ("price/", None),
        ("product/*", None),
        ("room/*", None),
        ("*", None),
        ("%00", None),
        ("price/green%0d%0aid:%201", None),
    ] {
        for path in ["/v1/stream", "/v1/poll", "/v1/events"] {
            let request = service.request(Method::GET, &format!("{path}?topic={topic}"));
            let request = request.header("Accept", "text/event-stream, application/json");
            let answer = service.send(request).await;
            answer.code();
            assert_eq!(answer.json["field"], "topic", "{path} {topic}: {}", answer.text);
            assert!([404, 422].contains(&answer.status), "{path} {topic}: {}", answer.text);
            if let Some(suggested) = suggested {
                let suggestions = answer.json["suggestions"].as_array().unwrap();
                // The topic itself, or the part of it that was meant.
                let mut names = suggestions.iter().filter_map(|name| name.as_str());
                let found = names.any(|name| suggested.contains(name));
                assert!(answer.status == 404 && found, "{path} {topic}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn one_bad_topic_spoils_the_whole_subscription() {
    let service = Service::start().await;

    let answer = service.get("/v1/stream?topic=price/green,price/gren").await;

    assert_eq!(answer.status, 404, "{}", answer.text);
}

#[tokio::test]
async fn who_accepts_nothing_that_there_is_gets_nothing() {
    let service = Service::start().await;
    for path in ["/v1/stream?topic=price/green", "/v1/poll?topic=price/green&wait=0"] {
        let request = service.request(Method::GET, path).header("Accept", "image/png");
        let answer = service.send(request).await;
        assert_eq!((answer.status, answer.code()), (406, "not_acceptable"), "{path}");
    }
    for accept in ["*/*", "text/*", "text/event-stream;q=0.5", "application/json, */*;q=0.1"] {
        let request = service.request(Method::GET, "/v1/stream?topic=price/green");
        service.listen(request.header("Accept", accept)).await;
    }
    service.listen(service.request(Method::GET, "/v1/stream?topic=price/green")).await;
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let service = Service::start().await;
    service.product("longjing").await;
    for kind in ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"] {
        let request = service.request(Method::PUT, "/v1/products/longjing/price");
        let request = request.bearer_auth(service.merchant("m1")).header("Content-Type", kind);
        let answer = service.send(request.body("{\"price\":\"128.00\"}")).await;
        assert_eq!((answer.status, answer.code()), (415, "bad_content_type"), "{kind}");
    }
    let request = service.request(Method::PUT, "/v1/products/longjing/price");
    let request = request.bearer_auth(service.merchant("m1"));
    let request = request.header("Content-Type", "application/json; charset=utf-8");
    assert_eq!(service.send(request.body("{\"price\":\"128.00\"}")).await.status, 200);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_which_are() {
    let service = Service::start().await;
    service.product("longjing").await;
    for (method, path, allowed) in [
        (Method::PATCH, "/v1/products/longjing/price", "PUT"),
        (Method::GET, "/v1/products/longjing/price", "PUT"),
        (Method::DELETE, "/v1/poll", "GET"),
        (Method::POST, "/v1/stream", "GET"),
        (Method::PUT, "/v1/events", "POST"),
        (Method::PATCH, "/v1/products/longjing", "DELETE"),
    ] {
        let request = service.request(method.clone(), path).bearer_auth(service.merchant("m1"));
        let answer = service.send(request).await;
        assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"), "{method} {path}");
        let allow = answer.header("allow").unwrap();
        assert!(allow.split(", ").any(|method| method == allowed), "{path}: {allow}");
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_problem_like_any_other() {
    let service = Service::start().await;
    for path in ["/v1/nothing", "/v1/products/a/b/c", "/nothing", "/v1/../v1x", "/v1//products"] {
        let answer = service.get(path).await;
        assert_eq!((answer.status, answer.code()), (404, "no_such_path"), "{path}");
    }
}

#[tokio::test]
async fn head_works_wherever_get_does() {
    let service = Service::start().await;
    service.product("longjing").await;
    for path in [
        "/v1/products/longjing",
        "/v1/products",
        "/v1/markets",
        "/v1/categories",
        "/v1/status",
        "/v1/limits",
        "/v1/events?topic=arrivals",
        "/v1/poll?topic=arrivals&wait=0",
        "/v1/stream?topic=arrivals",
    ] {
        let answer = service.send(service.request(Method::HEAD, path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
        let kind = answer.header("content-type").unwrap_or_default();
        let stream = path.starts_with("/v1/stream");
        let expected = if stream { "text/event-stream" } else { "application/json" };
        assert!(kind.starts_with(expected), "{path}: {kind}");
    }
    let answer = service.send(service.request(Method::HEAD, "/v1/products/none")).await;
    assert_eq!((answer.status, answer.text.as_str()), (404, ""));
}

#[tokio::test]
async fn json_is_one_line_that_ends() {
    let service = Service::start().await;
    for path in ["/v1/markets", "/v1/status", "/v1/poll?topic=arrivals&wait=0", "/v1/products/none"]
    {
        let text = service.get(path).await.text;
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{path}: {text:?}");
    }
}

#[tokio::test]
async fn an_old_proxy_gets_a_stream_it_understands() {
    let service = Service::start().await;
    let mut raw = service.raw().await;
    raw.write("GET /v1/stream?topic=room/x HTTP/1.0\r\nHost: tea\r\n\r\n").await;
    assert!(raw.read_until("event: hello").await);

    service.say("x", json!({ "n": 1 })).await.ok();

    assert!(raw.read_until("\"n\":1").await);
    let answer = String::from_utf8(raw.read).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
}

#[tokio::test]
async fn garbage_is_hung_up_on_and_hurts_nobody_else() {
    let service = Service::start().await;
    service.product("longjing").await;
    let get = "GET /v1/status HTTP/1.1\r\nHost: tea\r\n";
    let post = "POST /v1/events HTTP/1.1\r\nHost: tea\r\n";
    for request in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /v1/status HTTP/9.9\r\n\r\n".to_owned(),
        "GET /v1/st\0atus HTTP/1.1\r\nHost: tea\r\n\r\n".to_owned(),
        format!("{get}Bad Header\r\n\r\n"),
        format!("{get}A: b\0c\r\n\r\n"),
        format!("{post}Content-Length: x\r\n\r\n"),
        format!("{post}Content-Length: -1\r\n\r\n"),
        format!("{post}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ] {
        let answer = service.talk(&request).await;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{request:?}: {answer}");
    }
    assert_eq!(service.set_price("longjing", "128.00").await, 200);
}
