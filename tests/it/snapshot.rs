//! The present state and what follows it are the database, exactly.

use crate::harness::{Api, Service, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What is compared of a product: price, stock, and its running clearance.
type Shown = (Value, Value, Value);

/// Products as a reader sees them: put together from a state and events.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shelf(BTreeMap<String, Shown>);

impl Shelf {
    fn put(&mut self, product: &Value) {
        let running = product["clearance"]["active"] == json!(true);
        let reduced = if running { product["clearance"]["price"].clone() } else { Value::Null };
        let shown = (product["price"].clone(), product["stock"].clone(), reduced);
        self.0.insert(product["id"].as_str().unwrap().to_owned(), shown);
    }

    fn page(&mut self, page: &Value) {
        page["products"].as_array().unwrap().iter().for_each(|product| self.put(product));
        for gone in page["removed"].as_array().unwrap() {
            self.0.remove(gone.as_str().unwrap());
        }
    }

    fn event(&mut self, event: &Value) {
        let data = &event["data"];
        let id = data["product"].as_str().or(data["id"].as_str()).unwrap_or_default();
        let known = self.0.get_mut(id);
        match (event["type"].as_str().unwrap(), known) {
            ("product.arrived" | "product.updated", _) => self.put(data),
            ("product.withdrawn", _) => drop(self.0.remove(id)),
            ("price.changed", Some(shown)) => shown.0 = data["price"].clone(),
            ("stock.changed", Some(shown)) => shown.1 = data["quantity"].clone(),
            ("clearance.started", Some(shown)) => shown.2 = data["price"].clone(),
            ("clearance.ended", Some(shown)) => shown.2 = Value::Null,
            _ => {}
        }
    }
}

const TEAS: usize = 12;
const JOINS: usize = 30;

/// Everything about all of them.
fn everything() -> String {
    let products: Vec<String> = (0..TEAS).map(|n| format!("product/tea-{n:02}")).collect();
    format!("price/*,arrivals,clearance,{}", products.join(","))
}

async fn teas(change: impl FnOnce(&mut Setup)) -> Service {
    let service = Service::with(change).await;
    for n in 0..TEAS {
        let category = if n % 3 == 0 { "black" } else { "green" };
        service.product_with(&format!("tea-{n:02}"), json!({ "category": category })).await;
    }
    service
}

/// Changes something, over and over, as often as `pace` lets it, until that is
/// closed: prices, stocks, clearances, what is listed. Without a pace, pages of
/// one product would never catch up with a database that is slower to read than
/// to write.
async fn write(api: Api, first: usize, pace: Arc<Semaphore>) {
    let merchant = api.merchant("m1");
    for n in first.. {
        let Ok(permit) = pace.acquire().await else { return };
        permit.forget();
        let id = format!("tea-{:02}", n * 7 % TEAS);
        let path = format!("/v1/products/{id}");
        match n % 6 {
            0 | 1 => drop(api.price(&id, format!("{}.{:02}", 90 + n % 20, n % 100)).await),
            2 => drop(api.set_stock(&id, n as i64).await),
            3 => {
                let price = json!({ "price": format!("{}.00", 20 + n % 30) });
                api.put(&merchant, &format!("{path}/clearance"), price).await;
            }
            4 => drop(api.delete(&merchant, &format!("{path}/clearance")).await),
            _ if n % 5 == 0 => drop(api.delete(&merchant, &path).await),
            _ => {
                let category = if n % 4 == 0 { "black" } else { "green" };
                let tea = json!({
                    "name": id, "category": category, "market": "fangcun", "unit": "jin",
                });
                api.put(&merchant, &path, tea).await;
            }
        }
    }
}

fn position(cursor: &Value) -> i64 {
    let (_, position) = cursor.as_str().unwrap().split_once('-').unwrap();
    i64::from_str_radix(position, 36).unwrap()
}

/// What a reader had at which position.
type Seen = Vec<(i64, Shelf)>;

async fn by_stream(api: &Api, seen: &mut Seen, events: usize) {
    let query = format!("topic={}&snapshot=true", everything());
    let mut follower = api.listen(api.stream(&query)).await;
    let mut shelf = Shelf::default();
    loop {
        let frame = follower.next().await;
        assert_eq!(frame.kind, "snapshot");
        shelf.page(&frame.json);
        assert_eq!(frame.id.is_some(), frame.json["more"] == json!(false));
        if let Some(id) = &frame.id {
            assert_eq!(frame.json["cursor"], json!(id));
            seen.push((position(&json!(id)), shelf.clone()));
            break;
        }
    }
    for _ in 0..events {
        let frame = follower.next().await;
        shelf.event(&frame.json);
        seen.push((position(&json!(frame.id())), shelf.clone()));
    }
}

/// Pages of the state as they are asked for, and then polls.
async fn by_pages(api: &Api, seen: &mut Seen, limit: usize, events: usize, pace: &Semaphore) {
    let (mut shelf, mut after) = (Shelf::default(), String::new());
    let mut cursor = loop {
        let path = format!("/v1/snapshot?topic={}&limit={limit}{after}", everything());
        let page = api.get(&path).await.ok();
        pace.add_permits(2);
        assert!(page["products"].as_array().unwrap().len() <= limit, "{page}");
        shelf.page(&page);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break page["cursor"].clone(),
        }
    };
    seen.push((position(&cursor), shelf.clone()));
    let mut given = 0;
    while given < events {
        pace.add_permits(10);
        let text = cursor.as_str().unwrap();
        let poll = api.poll(&format!("topic={}&cursor={text}&wait=5", everything())).await;
        let told = poll["events"].as_array().unwrap();
        told.iter().for_each(|event| shelf.event(event));
        given += told.len().max(1);
        cursor = poll["cursor"].clone();
        seen.push((position(&cursor), shelf.clone()));
    }
}

async fn by_poll(api: &Api, seen: &mut Seen) {
    let poll = api.poll(&format!("topic={}&snapshot=true", everything())).await;
    let mut shelf = Shelf::default();
    assert_eq!(poll["snapshot"]["next"], Value::Null);
    shelf.page(&poll["snapshot"]);
    seen.push((position(&poll["cursor"]), shelf));
}

/// The state at every position, put together from the whole log.
async fn replayed(api: &Api) -> BTreeMap<i64, Shelf> {
    let (mut shelf, mut all) = (Shelf::default(), BTreeMap::from([(0, Shelf::default())]));
    let mut after = "earliest".to_owned();
    loop {
        let past = api.history(&format!("topic={}&after={after}&limit=200", everything())).await;
        for event in past["events"].as_array().unwrap() {
            shelf.event(event);
            all.insert(position(&event["id"]), shelf.clone());
        }
        match past["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return all,
        }
    }
}

async fn join_at_random(service: Service) {
    let pace = Arc::new(Semaphore::new(0));
    let writer = |n: usize| tokio::spawn(write((*service).clone(), n * 1_000, pace.clone()));
    let writers: Vec<_> = (0..3).map(writer).collect();
    let mut seen = Seen::new();
    for join in 0..JOINS {
        let events = join % 7;
        pace.add_permits(60);
        match join % 3 {
            0 => by_stream(&service, &mut seen, events).await,
            1 => by_pages(&service, &mut seen, 1 + join % 5, events, &pace).await,
            _ => by_poll(&service, &mut seen).await,
        }
    }
    pace.close();
    for writer in writers {
        writer.await.unwrap();
    }
    by_stream(&service, &mut seen, 0).await;

    let truth = replayed(&service).await;
    for (at, shelf) in &seen {
        // What was withdrawn is still shown to whoever follows the product itself.
        let (_, right) = truth.range(..=at).next_back().unwrap();
        let listed = |id: &&String| right.0.contains_key(*id);
        let ids: Vec<&String> = shelf.0.keys().filter(listed).collect();
        assert_eq!(ids.len(), right.0.len(), "at {at}: {shelf:?} {right:?}");
        for id in ids {
            assert_eq!(shelf.0[id], right.0[id], "{id} at {at}");
        }
    }
    let (_, last) = truth.last_key_value().unwrap();
    let mut shown = Shelf::default();
    for product in
        service.get("/v1/products?status=listed").await.ok()["products"].as_array().unwrap()
    {
        shown.put(product);
    }
    assert_eq!(&shown, last, "the log tells what the database has");
    assert!(seen.len() > JOINS);
}

#[tokio::test]
async fn whenever_a_reader_joins_its_state_and_what_follows_are_the_database() {
    join_at_random(teas(|_| ()).await).await;
}

#[tokio::test]
async fn they_are_where_memory_holds_next_to_nothing() {
    let little = |setup: &mut Setup| {
        setup.env("TEAWIRE_EVENTS__RECENT_EVENTS", 4);
    };
    join_at_random(teas(little).await).await;
}

async fn ids(service: &Service, query: &str) -> Vec<String> {
    let page = service.get(&format!("/v1/snapshot?{query}")).await.ok();
    let products = page["products"].as_array().unwrap().iter();
    products.map(|product| product["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_state_is_of_what_its_topics_and_filters_are_about() {
    let service = Service::start().await;
    let list = async |id: &str, category: &str, market: &str, merchant: &str| {
        let tea = json!({
            "id": id, "name": id, "category": category, "market": market, "unit": "jin",
            "merchant": merchant, "price": "100.00",
        });
        assert_eq!(service.post(&service.admin(), "/v1/products", tea).await.status, 201);
    };
    list("a", "dark.puer", "fangcun", "m1").await;
    list("b", "dark", "anxi", "m1").await;
    list("c", "green", "fangcun", "m2").await;
    list("d", "green", "anxi", "m2").await;
    let reduced = json!({ "price": "60.00" });
    service.put(&service.admin(), "/v1/products/c/clearance", reduced).await.ok();
    service.delete(&service.admin(), "/v1/products/d").await.ok();
    let news = json!({ "title": "Spring harvest" });
    service.post(&service.admin(), "/v1/markets/anxi/updates", news).await.ok();

    for (query, want) in [
        ("topic=price/dark", vec!["a", "b"]),
        ("topic=price/dark.puer", vec!["a"]),
        ("topic=price/*", vec!["a", "b", "c"]),
        ("topic=market/fangcun", vec!["a", "c"]),
        ("topic=market/fangcun,price/dark", vec!["a", "b", "c"]),
        ("topic=clearance", vec!["c"]),
        ("topic=product/d,clearance", vec!["c", "d"]),
        ("topic=room/x,announcements,arrivals", vec![]),
        ("topic=price/*&merchant=m1", vec!["a", "b"]),
        ("topic=price/*&product=c,a,d", vec!["a", "c"]),
        ("topic=price/*&product=c,a&merchant=m2", vec!["c"]),
        ("topic=price/*&type=room.message", vec![]),
        ("topic=price/*&type=price.changed&min_change=50", vec!["a", "b", "c"]),
    ] {
        assert_eq!(ids(&service, query).await, want, "{query}");
    }
    let titles = async |query: &str| {
        let page = service.get(&format!("/v1/snapshot?{query}")).await.ok();
        let markets = page["markets"].as_array().unwrap().iter();
        markets.map(|market| market["title"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(titles("topic=market/anxi").await, [json!("Spring harvest")]);
    assert_eq!(titles("topic=market/*").await, [json!("Spring harvest")]);
    assert!(titles("topic=market/fangcun").await.is_empty());
    let own = "/v1/snapshot?topic=merchant/m2";
    assert_eq!(service.get(own).await.status, 401);
    assert_eq!(service.get_as(&service.merchant("m1"), own).await.status, 403);
    let page = service.get_as(&service.merchant("m2"), own).await.ok();
    assert_eq!(page["products"][0]["id"], "c");
}

#[tokio::test]
async fn a_cursor_that_is_of_no_use_is_answered_with_the_state() {
    let service = Service::start().await;
    service.product("longjing").await;
    let query = "topic=price/green&snapshot=true&cursor=zzz-1";

    let poll = service.poll(query).await;
    assert_eq!(poll["reset"]["reason"], "epoch_changed");
    assert_eq!(poll["snapshot"]["products"][0]["id"], "longjing");
    let mut follower = service.listen(service.stream(query)).await;
    let reset = follower.next().await;
    assert_eq!((reset.kind.as_str(), reset.id), ("reset", None));
    let state = follower.next().await;
    assert_eq!(state.kind, "snapshot");
    assert_eq!(state.json["products"][0]["id"], "longjing");
    service.set_price("longjing", "101.00").await;
    assert_eq!(follower.next().await.data()["price"], "101.00");

    // A cursor that is good goes on without.
    let good = state.json["cursor"].as_str().unwrap();
    let query = format!("topic=price/green&snapshot=true&cursor={good}");
    let poll = service.poll(&query).await;
    assert_eq!(
        (poll["snapshot"].clone(), poll["events"][0]["data"]["price"].clone()),
        (Value::Null, json!("101.00"))
    );
    let mut follower = service.listen(service.stream(&query)).await;
    assert_eq!(follower.next().await.kind, "price.changed");
}

#[tokio::test]
async fn whoever_is_cut_off_before_the_state_is_whole_begins_anew() {
    let service = Service::start().await;
    for n in 0..250 {
        service.product(&format!("tea-{n:03}")).await;
    }
    let mut follower = service.stream("topic=price/green&snapshot=true").send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\"more\":false") {
        let chunk = service.within("a part", follower.chunk()).await.unwrap().unwrap();
        text += std::str::from_utf8(&chunk).unwrap_or_default();
    }
    let before = text.split("id: ").next().unwrap();
    assert!(before.contains("event: hello") && before.contains("\"cursor\":null"));
    assert!(before.contains("\"part\":1,\"more\":true"), "no id comes before the last part");

    let mut products = 0;
    let mut after = String::new();
    loop {
        let page = service.get(&format!("/v1/snapshot?topic=price/green{after}")).await.ok();
        products += page["products"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(products, 250);
}

#[tokio::test]
async fn a_state_that_cannot_be_asked_for_is_refused_by_name() {
    let service = Service::start().await;
    for (path, status, field) in [
        ("/v1/snapshot", 422, "topic"),
        ("/v1/snapshot?topic=price/*&limit=0", 422, "limit"),
        ("/v1/snapshot?topic=price/*&after=x", 422, "after"),
        ("/v1/snapshot?topic=price/*&after=zzz-1~a", 409, "after"),
        ("/v1/snapshot?topic=price/*&wait=1", 422, "wait"),
        ("/v1/poll?topic=price/*&snapshot=yes", 422, "snapshot"),
        ("/v1/poll?topic=price/*&snapshot=true&snapshot=true", 422, "snapshot"),
        ("/v1/poll?topic=price/*&snapshot=true&cursor=earliest", 422, "snapshot"),
        ("/v1/stream?topic=price/*&snapshot=true&cursor=earliest", 422, "snapshot"),
    ] {
        let answer = service.get(path).await;
        answer.code();
        assert_eq!((answer.status, &answer.json["field"]), (status, &json!(field)), "{path}");
    }
}
