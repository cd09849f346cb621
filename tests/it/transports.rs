//! One reader, every transport, cut off at any byte: nothing lost, nothing twice.

use crate::harness::{Api, Frames, Service, Setup, body_of};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;

const TOPICS: &str = "price/green,product/b,room/x";

/// A seed that a failure prints and `TEAWIRE_TEST_SEED` repeats.
fn seeded() -> StdRng {
    let given = std::env::var("TEAWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("TEAWIRE_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// What the reader was told, in order.
#[derive(Default)]
struct Reader {
    cursor: String,
    ids: Vec<String>,
    /// How many ids it had whenever it was told that something is missing.
    resets: Vec<usize>,
}

impl Reader {
    /// Reads a stream up to any byte and is cut off there. What was cut in the
    /// middle of a frame is not seen; the next connection must repeat it.
    async fn read_stream(&mut self, api: &Api, rng: &mut StdRng) {
        let mut raw = api.raw().await;
        let version = if rng.random_bool(0.3) { "1.0" } else { "1.1" };
        let head = format!("GET /v1/stream?topic={TOPICS} HTTP/{version}\r\nHost: tea\r\n");
        let accept = "Accept: text/event-stream";
        raw.write(format!("{head}{accept}\r\nLast-Event-ID: {}\r\n\r\n", self.cursor)).await;
        raw.read_until("event: hello").await;
        for _ in 0..rng.random_range(0..4) {
            let _ = tokio::time::timeout(Duration::from_millis(20), raw.read_some(65_536)).await;
        }
        let body = body_of(&raw.read);
        let mut frames = Frames::default();
        frames.push(&body[..rng.random_range(0..=body.len())]);
        while let Some(frame) = frames.next() {
            match frame.kind.as_str() {
                "reset" => {
                    self.resets.push(self.ids.len());
                    self.cursor = frame.json["cursor"].as_str().unwrap().to_owned();
                }
                "hello" | "heartbeat" => {}
                _ => {
                    self.cursor = frame.id().to_owned();
                    self.ids.push(self.cursor.clone());
                }
            }
        }
    }

    async fn read_poll(&mut self, api: &Api, rng: &mut StdRng) {
        let limit = rng.random_range(1..20);
        let query = format!("topic={TOPICS}&cursor={}&limit={limit}&wait=0", self.cursor);
        let poll = api.poll(&query).await;
        if !poll["reset"].is_null() {
            self.resets.push(self.ids.len());
        }
        let events = poll["events"].as_array().unwrap().iter();
        self.ids.extend(events.map(|event| event["id"].as_str().unwrap().to_owned()));
        self.cursor = poll["cursor"].as_str().unwrap().to_owned();
    }

    /// Reads by turns until it has seen `last`.
    async fn read_until(&mut self, api: &Api, rng: &mut StdRng, last: impl Fn() -> Option<String>) {
        loop {
            if rng.random_bool(0.5) {
                self.read_stream(api, rng).await;
            } else {
                self.read_poll(api, rng).await;
            }
            if last().is_some_and(|last| self.ids.last() == Some(&last)) {
                return;
            }
        }
    }
}

/// Writes on three products and in a room: half of it is what the reader
/// follows. Returns the id of the last event, which it does follow.
async fn write(api: Api, mut rng: StdRng, rounds: usize) -> String {
    for n in 0..rounds {
        let fen = format!("1{n:02}.{:02}", rng.random_range(0..100));
        let status = match rng.random_range(0..5) {
            0 => api.set_price("a", &fen).await,
            1 => api.set_price("b", &fen).await,
            2 => api.set_price("c", &fen).await,
            3 => api.set_stock("b", n as i64).await.status,
            _ => api.say("x", json!({ "n": n, "text": "龙井 🍵".repeat(n % 40) })).await.status,
        };
        assert!(status < 300, "{status}");
    }
    let last = api.say("x", json!("the end")).await.ok();
    last["receipt"]["id"].as_str().unwrap().to_owned()
}

async fn three_teas(change: impl FnOnce(&mut Setup)) -> Service {
    let service = Service::with(change).await;
    for (id, category) in [("a", "green"), ("b", "black"), ("c", "black")] {
        service.product_with(id, json!({ "category": category })).await;
    }
    service
}

/// A reader that reads while three write.
async fn read_while_others_write(service: &Service, rounds: usize) -> Reader {
    let mut rng = seeded();
    let mut reader = Reader { cursor: service.head().await, ..Reader::default() };
    let mut writers: VecDeque<_> = (0..2)
        .map(|_| tokio::spawn(write((**service).clone(), StdRng::from_rng(&mut rng), rounds)))
        .collect();
    let (send, last) = tokio::sync::watch::channel(None);
    let first: Api = (**service).clone();
    let seed = StdRng::from_rng(&mut rng);
    let ending = tokio::spawn(async move {
        while let Some(writer) = writers.pop_front() {
            writer.await.unwrap();
        }
        send.send_replace(Some(write(first, seed, rounds / 2).await));
        send
    });
    let reading = reader.read_until(service, &mut rng, || last.borrow().clone());
    service.within("end of reading", reading).await;
    ending.await.unwrap();
    reader
}

#[tokio::test]
async fn a_reader_cut_off_at_any_byte_misses_nothing_and_sees_nothing_twice() {
    nothing_is_lost_on(three_teas(|_| ()).await).await;
}

/// Memory holds next to nothing here: the reader lags behind its queue with
/// every second event, and finds in the database what it missed.
#[tokio::test]
async fn a_reader_that_always_lags_misses_nothing_and_sees_nothing_twice() {
    let little = |setup: &mut Setup| {
        setup.env("TEAWIRE_EVENTS__RECENT_EVENTS", 4);
    };
    nothing_is_lost_on(three_teas(little).await).await;
}

async fn nothing_is_lost_on(service: Service) {
    let start = service.head().await;

    let reader = read_while_others_write(&service, 45).await;

    let mut expected = Vec::new();
    let mut after = start;
    loop {
        let page = service.history(&format!("topic={TOPICS}&after={after}&limit=200")).await;
        let events = page["events"].as_array().unwrap();
        expected.extend(events.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(reader.resets, [0; 0]);
    assert_eq!(reader.ids, expected);
}

#[tokio::test]
async fn a_reader_is_told_of_every_hole_that_pruning_makes() {
    // A second reader that is never behind knows what there was.
    let little = |setup: &mut Setup| {
        setup.env("TEAWIRE_EVENTS__KEEP_COUNT", 20);
    };
    let service = three_teas(little).await;
    let mut witness = service.follow(TOPICS).await;

    let mut reader = read_while_others_write(&service, 45).await;
    // Away until what comes next for it is gone.
    let last = write((*service).clone(), seeded(), 45).await;
    let gone = async || {
        let query = format!("topic={TOPICS}&cursor={}&wait=0", reader.cursor);
        (!service.poll(&query).await["reset"].is_null()).then_some(())
    };
    service.eventually("pruning", gone).await;
    let mut rng = seeded();
    for _ in 0..3 {
        reader.read_stream(&service, &mut rng).await;
    }
    let reading = reader.read_until(&service, &mut rng, || Some(last.clone()));
    service.within("end of reading", reading).await;

    assert!(!reader.resets.is_empty());
    let mut all = Vec::new();
    while all.last() != Some(&last) {
        let event = witness.next().await;
        assert_ne!(event.kind, "reset", "the witness was never behind");
        all.push(event.id().to_owned());
    }
    let place = |id: &String| all.iter().position(|known| known == id).unwrap();
    for (n, pair) in reader.ids.windows(2).enumerate() {
        let (from, to) = (place(&pair[0]), place(&pair[1]));
        let told = reader.resets.contains(&(n + 1));
        assert!(to == from + 1 || told, "a hole from {from} to {to} and not a word of it");
        assert!(to > from || told, "{to} again after {from}");
    }
}
