//! The same events in other forms: in ASCII, as lines of JSON, as lines for eyes.

use crate::harness::{Api, Service, Setup};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// Lines as they come.
struct Lines {
    api: Api,
    response: Response,
    unread: String,
}

impl Lines {
    async fn open(api: &Api, request: RequestBuilder) -> Lines {
        let response = api.within("stream", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        Lines { api: api.clone(), response, unread: String::new() }
    }

    fn kind(&self) -> &str {
        self.response.headers()["content-type"].to_str().unwrap()
    }

    async fn next(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.unread.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.unread = rest;
                return line;
            }
            let chunk = self.api.within("line", self.response.chunk()).await.unwrap();
            self.unread += std::str::from_utf8(&chunk.expect("more")).unwrap();
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.next().await).unwrap()
    }

    /// The next line of this type, whatever comes before.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let told = self.json().await;
            if told["type"] == kind {
                return told;
            }
        }
    }
}

fn stream(api: &Api, query: &str) -> RequestBuilder {
    api.request(Method::GET, &format!("/v1/stream?{query}"))
}

async fn tea(change: impl FnOnce(&mut Setup)) -> Service {
    let service = Service::with(change).await;
    service.product_with("7542", json!({ "name": "大益 7542 青饼🍵" })).await;
    service
}

#[tokio::test]
async fn in_ascii_every_transport_says_the_same() {
    let service = tea(|_| ()).await;
    let query = "topic=price/green,product/7542&cursor=earliest";
    let mut plain = service.listen(service.stream(query)).await;
    let mut ascii = service.listen(service.stream(&format!("{query}&ascii=true"))).await;
    let mut both = async || {
        let (one, other) = (plain.next().await, ascii.next().await);
        assert!(other.raw.is_ascii() && !one.raw.is_ascii(), "{}", other.raw);
        assert_eq!((one.json, one.id), (other.json, other.id));
    };
    // What is there already, and what comes to a reader that waits.
    both().await;
    for n in 0..3 {
        service.set_price("7542", &format!("10{n}.50")).await;
        both().await;
    }
    for path in [
        "/v1/poll?topic=price/green&cursor=earliest",
        "/v1/poll?topic=price/green&snapshot=true",
        "/v1/events?topic=price/green",
        "/v1/snapshot?topic=price/green",
    ] {
        let one = service.get(path).await;
        let other = service.get(&format!("{path}&ascii=true")).await;
        assert!(other.text.is_ascii() && other.text.contains("\\u5927\\u76ca"), "{}", other.text);
        assert!(!one.text.is_ascii());
        let without_time = |mut json: Value| {
            json.as_object_mut().unwrap().remove("server_time");
            for products in ["/products", "/snapshot/products"] {
                for product in
                    json.pointer_mut(products).and_then(Value::as_array_mut).into_iter().flatten()
                {
                    for name in ["change", "as_of", "age_seconds"] {
                        product.as_object_mut().unwrap().remove(name);
                    }
                }
            }
            json
        };
        assert_eq!(without_time(one.ok()), without_time(other.ok()), "{path}");
    }
}

#[tokio::test]
async fn as_lines_of_json_a_stream_tells_all_that_it_tells_in_frames() {
    let mut service = tea(|setup| {
        setup.env("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", 1);
    })
    .await;
    let query = "topic=price/green&snapshot=true&format=ndjson";
    let mut lines = Lines::open(&service, stream(&service, query)).await;
    assert_eq!(lines.kind(), "application/x-ndjson");
    let hello = lines.json().await;
    assert_eq!((&hello["type"], &hello["topics"]), (&json!("hello"), &json!(["price/green"])));
    let state = lines.until("snapshot").await;
    assert_eq!(state["products"][0]["id"], "7542");
    service.set_price("7542", "101.00").await;
    let told = lines.until("price.changed").await;
    let past = service.history("topic=price/green&limit=1").await;
    assert_eq!(told, past["events"][0]);
    assert!(lines.until("heartbeat").await["server_time"].is_string());

    let by_accept = stream(&service, "topic=price/green&ascii=true&cursor=zzz-1")
        .header("Accept", "application/x-ndjson");
    let mut ascii = Lines::open(&service, by_accept).await;
    assert_eq!(ascii.until("reset").await["reason"], "epoch_changed");
    service.set_price("7542", "102.00").await;
    let mut line = ascii.next().await;
    while !line.contains("price.changed") {
        line = ascii.next().await;
    }
    assert!(line.is_ascii() && line.contains("\\ud83c\\udf75"), "{line}");

    service.terminate().await;
    assert_eq!(lines.until("bye").await["code"], "shutdown");
}

#[tokio::test]
async fn for_eyes_there_is_a_line_for_each_event() {
    let service = tea(|_| ()).await;
    let query = "topic=price/green&format=text&max_age=2";
    let mut lines = Lines::open(&service, stream(&service, query)).await;
    assert_eq!(lines.kind(), "text/plain; charset=utf-8");
    assert!(lines.next().await.starts_with("# hello  price/green  "));
    service.set_price("7542", "102.40").await;
    let line = lines.next().await;
    assert!(line.ends_with("  7542  大益 7542 青饼🍵  ¥102.40/斤  ▲2.40%"), "{line}");
    assert!(lines.next().await.starts_with("# bye  max_age  "));
}

#[tokio::test]
async fn history_is_given_in_other_forms_and_since_so_long_ago() {
    let service = tea(|_| ()).await;
    service.set_price("7542", "102.40").await;
    service.set_stock("7542", 3).await;
    let query = "/v1/events?topic=product/7542&type=price.changed,stock.changed";
    let recent = service.get(&format!("{query}&since=1h")).await.ok();
    let all = service.get(&format!("{query}&order=asc")).await.ok();
    assert_eq!(recent["events"], all["events"]);
    let csv = service.get(&format!("{query}&since=1h&format=csv")).await;
    let rows: Vec<&str> = csv.text.lines().collect();
    assert_eq!(rows[0], "time,type,product,price,stock");
    assert!(rows.iter().any(|row| row.ends_with(",price.changed,7542,102.40,")), "{rows:?}");
    assert!(rows.last().unwrap().ends_with(",stock.changed,7542,,3"), "{rows:?}");
    let lines = service.get(&format!("{query}&since=1h&format=ndjson&limit=1")).await;
    assert_eq!(serde_json::from_str::<Value>(&lines.text).unwrap(), all["events"][0]);
    assert!(lines.header("x-next").is_some());
    let text = service.get(&format!("{query}&format=text")).await.text;
    assert!(text.contains("▲2.40%"), "{text}");
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let none = service.get(&format!("{query}&since=1s")).await.ok();
    assert_eq!(none["events"], json!([]));
}

#[tokio::test]
async fn forms_change_nothing_about_who_may_read_and_what_is_refused() {
    let service = Service::start().await;
    for (path, status, field) in [
        ("/v1/stream?topic=merchant/m1&format=ndjson", 401, Value::Null),
        ("/v1/stream?topic=merchant/m1&format=text&ticket=guessed", 401, Value::Null),
        ("/v1/stream?topic=price/*&format=xml", 422, json!("format")),
        ("/v1/stream?topic=price/*&format=text&format=text", 422, json!("format")),
        ("/v1/stream?topic=price/*&format=text&ascii=true", 422, json!("ascii")),
        ("/v1/stream?topic=price/*&ascii=yes", 422, json!("ascii")),
        ("/v1/poll?topic=price/*&ascii=true&ascii=true", 422, json!("ascii")),
        ("/v1/poll?topic=price/*&format=ndjson", 422, json!("format")),
        ("/v1/events?topic=price/*&format=csv&ascii=true", 422, json!("ascii")),
        ("/v1/events?topic=price/*&format=sse", 422, json!("format")),
        ("/v1/events?topic=price/*&since=10", 422, json!("since")),
        ("/v1/events?topic=price/*&since=10m&after=earliest", 422, json!("since")),
    ] {
        let answer = service.get(path).await;
        answer.code();
        assert_eq!((answer.status, &answer.json["field"]), (status, &field), "{path}");
    }
    let refused = service.get("/v1/stream?topic=price/*&format=xml").await;
    assert_eq!(refused.json["allowed"], json!(["sse", "ndjson", "text"]));
    let stranger = service.merchant("m2");
    let other = service.get_as(&stranger, "/v1/stream?topic=merchant/m1&format=text");
    assert_eq!(other.await.status, 403);
    let body = json!({ "topics": ["merchant/m1"] });
    let ticket = service.post(&service.merchant("m1"), "/v1/tickets", body).await.ok();
    let ticket = ticket["ticket"].as_str().unwrap();
    let query = format!("topic=merchant/m1&format=ndjson&ticket={ticket}");
    let mut lines = Lines::open(&service, stream(&service, &query)).await;
    assert_eq!(lines.json().await["type"], "hello");
    assert_eq!(service.get(&format!("/v1/stream?{query}")).await.status, 401, "it was used");
}
