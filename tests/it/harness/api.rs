//! The HTTP interface, as a test speaks it.

use super::forge;
use super::sse::Follower;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of one node; cheap to clone, so that tasks can have one each.
#[derive(Clone)]
pub struct Api {
    url: String,
    http: Client,
    log: PathBuf,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `Null` if the answer is not JSON.
    pub json: Value,
}

impl Answer {
    /// The JSON of an answer that must be good.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The code of an answer that must be a well-formed refusal.
    #[track_caller]
    pub fn code(&self) -> &str {
        let kind = self.header("content-type").unwrap_or("none");
        assert!((400..500).contains(&self.status), "{} {}", self.status, self.text);
        assert!(kind.starts_with("application/problem+json"), "{kind}: {}", self.text);
        assert_eq!(self.json["status"], self.status, "{}", self.text);
        assert!(self.json["title"].is_string() && self.json["detail"].is_string(), "{}", self.text);
        assert!(self.json["request_id"].is_string(), "{}", self.text);
        let code = self.json["code"].as_str().unwrap();
        assert!(self.json["type"].as_str().unwrap().ends_with(code), "{}", self.text);
        code
    }
}

impl Api {
    pub fn new(url: String, log: PathBuf) -> Api {
        Api { url, http: Client::builder().no_proxy().build().unwrap(), log }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        if path.starts_with("http://") { path.to_owned() } else { format!("{}{path}", self.url) }
    }

    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// What the node has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits for `work`, but not for ever; whoever waits in vain sees the log.
    pub async fn within<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => done,
            Err(_) => panic!("no {what} within {PATIENCE:?}; the end of the log:\n{}", self.tail()),
        }
    }

    /// Asks again and again until there is something. For what tells nobody
    /// when it happens; an event is better waited for.
    pub async fn eventually<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let asking = async {
            loop {
                if let Some(found) = ask().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        self.within(what, asking).await
    }

    /// The end of the log.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// The answer, or why there is none.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = self.within("answer", request.send()).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = self.within("end of the answer", response.text()).await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, headers, text, json })
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = self.try_send(request).await;
        answer.unwrap_or_else(|error| panic!("{error:?}; the end of the log:\n{}", self.tail()))
    }

    /// As nobody in particular.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub async fn put(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).bearer_auth(token).json(&body)).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).bearer_auth(token).json(&body)).await
    }

    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path).bearer_auth(token)).await
    }

    /// The token of a merchant.
    pub fn merchant(&self, merchant: &str) -> String {
        forge::mint(&["--role", "merchant", "--merchant", merchant, "--sub", merchant])
    }

    pub fn shopper(&self, user: &str) -> String {
        forge::mint(&["--role", "shopper", "--sub", user])
    }

    pub fn admin(&self) -> String {
        forge::mint(&["--role", "admin", "--sub", "root"])
    }

    /// Lists a green tea of merchant `m1` in Fangcun for 100.00 a jin.
    pub async fn product(&self, id: &str) {
        self.product_with(id, json!({})).await;
    }

    /// The same, with other fields.
    pub async fn product_with(&self, id: &str, fields: Value) {
        let mut body = json!({
            "id": id, "name": id, "category": "green", "market": "fangcun",
            "unit": "jin", "price": "100.00",
        });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = self.post(&self.merchant("m1"), "/v1/products", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// What the catalogue says of a product, but for what the passing of time
    /// alone changes.
    pub async fn shown(&self, id: &str) -> Value {
        let mut shown = self.get(&format!("/v1/products/{id}")).await.ok();
        for name in ["change", "as_of", "age_seconds", "stale", "last_write_at"] {
            assert!(shown.as_object_mut().unwrap().remove(name).is_some(), "{name}");
        }
        shown
    }

    pub async fn price(&self, id: &str, price: impl Into<Value>) -> Answer {
        let path = format!("/v1/products/{id}/price");
        self.put(&self.merchant("m1"), &path, json!({ "price": price.into() })).await
    }

    pub async fn set_price(&self, id: &str, price: &str) -> u16 {
        self.price(id, price).await.status
    }

    pub async fn set_stock(&self, id: &str, quantity: i64) -> Answer {
        let path = format!("/v1/products/{id}/stock");
        self.put(&self.merchant("m1"), &path, json!({ "quantity": quantity })).await
    }

    /// Says something in a room.
    pub async fn say(&self, room: &str, data: Value) -> Answer {
        self.post(&self.merchant("m1"), "/v1/events", message(room, data)).await
    }

    pub async fn poll(&self, query: &str) -> Value {
        self.get(&format!("/v1/poll?{query}")).await.ok()
    }

    pub async fn history(&self, query: &str) -> Value {
        self.get(&format!("/v1/events?{query}")).await.ok()
    }

    /// Everything that is kept on `topic`, oldest first.
    pub async fn whole_history(&self, topic: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = String::new();
        loop {
            let query = format!("topic={topic}&order=asc&limit=200{after}");
            let mut page = self.history(&query).await;
            events.append(page["events"].as_array_mut().unwrap());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return events,
            }
        }
    }

    /// The end of the log, as a cursor.
    pub async fn head(&self) -> String {
        self.get("/v1/status").await.ok()["head"].as_str().unwrap().to_owned()
    }

    /// Follows topics, which may be several with commas between, from now on.
    pub async fn follow(&self, topics: &str) -> Follower {
        self.follow_after(topics, None).await
    }

    pub async fn follow_after(&self, topics: &str, last_event_id: Option<&str>) -> Follower {
        let mut request = self.stream(&format!("topic={topics}"));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        self.listen(request).await
    }

    pub async fn follow_as(&self, token: &str, topics: &str) -> Follower {
        self.listen(self.stream(&format!("topic={topics}")).bearer_auth(token)).await
    }

    /// A request for a stream, as a browser makes it.
    pub fn stream(&self, query: &str) -> RequestBuilder {
        self.request(Method::GET, &format!("/v1/stream?{query}"))
            .header("Accept", "text/event-stream")
    }

    /// Opens a stream that must begin with its `hello`.
    pub async fn listen(&self, request: RequestBuilder) -> Follower {
        let mut follower = self.open(request).await;
        follower.hello().await;
        follower
    }

    /// Opens a stream, whatever it begins with.
    pub async fn open(&self, request: RequestBuilder) -> Follower {
        let response = self.within("stream", request.send()).await.unwrap();
        let status = response.status().as_u16();
        if status != 200 {
            panic!("{status}: {}", response.text().await.unwrap_or_default());
        }
        Follower::new(self.clone(), response)
    }
}

/// The body of a `room.message`.
pub fn message(room: &str, data: Value) -> Value {
    json!({ "topics": [format!("room/{room}")], "type": "room.message", "data": data })
}

/// An array of `room.message`s, numbered and padded.
pub fn message_batch(room: &str, numbers: std::ops::Range<usize>, padding: &str) -> Value {
    let one = |n| message(room, json!({ "n": n, "padding": padding }));
    numbers.map(one).collect::<Vec<_>>().into()
}
