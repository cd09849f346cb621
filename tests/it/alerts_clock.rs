//! What happens to rules by the clock, and after downtime: the service runs in
//! the test's own process, on a clock that the test sets.

use crate::alerts::{inbox, inbox_of, judged, make};
use crate::harness::{Api, SECRET, fresh_database, on_postgres};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use teawire::app;
use teawire::auth::{Gate, Secret, Writer};
use teawire::clock::{Clock, Millis};
use teawire::config::Config;
use teawire::events::{Log, Publisher, Setting};
use teawire::limits::Limits;
use teawire::money::Price;
use teawire::prices::{self, Terms};
use teawire::tasks::Tasks;
use teawire::telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// A database and a clock that outlive the services that run on them.
struct Lab {
    directory: TempDir,
    clock: Arc<AtomicI64>,
    database: String,
}

/// A service in this process; it ends with `stop`.
struct Running {
    api: Api,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Lab {
    fn new() -> Lab {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = || format!("sqlite:{}", directory.path().join("teawire.db").display());
        let database = if on_postgres() { fresh_database() } else { sqlite() };
        // Tokens end an hour after the real time; no test goes on for so long.
        let now = Clock::System.now() - 60 * DAY;
        Lab { directory, clock: Arc::new(AtomicI64::new(now)), database }
    }

    fn clock(&self) -> Clock {
        Clock::Set(self.clock.clone())
    }

    fn pass(&self, time: Millis) {
        self.clock.fetch_add(time, Ordering::Relaxed);
    }

    fn config(&self) -> Config {
        let settings = [
            ("TEAWIRE_LISTEN", "127.0.0.1:0"),
            ("TEAWIRE_OPS_LISTEN", "127.0.0.1:0"),
            ("TEAWIRE_AUTH__JWT_SECRET", SECRET),
            ("TEAWIRE_LIMITS__ENABLED", "false"),
            ("TEAWIRE_DATABASE_URL", &self.database),
            ("TEAWIRE_EVENTS__KEEP_DAYS", "400"),
            ("TEAWIRE_SHUTDOWN_SECONDS", "2"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Config::load(None, settings.map(own).into_iter(), &[]).unwrap()
    }

    async fn start(&self) -> Running {
        let config = self.config();
        let db = app::open_database(&config, true).unwrap();
        let service = app::start(&config, db, self.clock()).unwrap();
        let log = self.directory.path().join("none.log");
        std::fs::write(&log, "").unwrap();
        let api = Api::new(format!("http://{}", service.address), log);
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(service.run_until(async {
            let _ = stopped.await;
        }));
        Running { api, stop, done }
    }

    /// Writes to the log while nobody judges it.
    async fn offstage<T>(&self, work: impl AsyncFnOnce(Publisher) -> T) -> T {
        let config = self.config();
        let db = app::open_database(&config, true).unwrap();
        let (metrics, tasks) = (Metrics::default(), Tasks::default());
        let secret = Secret::load(&config.auth, db.url()).unwrap();
        let gate = Gate::new(config.auth.clone(), secret, db.clone(), self.clock());
        let limits = Limits::new(config.limits.clone(), &metrics);
        let setting = Setting {
            db,
            config: config.events.clone(),
            streams: config.streams.clone(),
            gate,
            limits,
            clock: self.clock(),
            metrics,
            stopping: watch::Sender::new(false).subscribe(),
        };
        let Log { publisher, readers, writer } = Log::open(setting, &tasks).unwrap();
        let done = work(publisher).await;
        tasks.stop().await;
        drop(readers);
        tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
        done
    }
}

impl Running {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.done.await.unwrap();
    }
}

async fn price(publisher: &Publisher, product: &str, fen: i64) {
    let product = product.to_owned();
    let set = move |tx: &mut teawire::events::Tx<'_>| {
        let writer = Writer { actor: "merchant:m1".into(), merchant: Some("m1".into()) };
        let terms = Terms { confirmed: true, source: "merchant", ..Terms::default() };
        prices::set(tx, &writer, &product, Price::from_fen(fen).unwrap(), &terms)?;
        Ok(())
    };
    publisher.commit(set).await.unwrap();
}

fn items(told: &[serde_json::Value]) -> Vec<(i64, bool, &str)> {
    let one = |it: &serde_json::Value| {
        let item = &it["data"]["items"][0];
        (
            item["value"].as_i64().unwrap(),
            it["late"].as_bool().unwrap(),
            match item["cause"].as_str() {
                Some("tick") => "tick",
                Some("after_cooldown") => "after_cooldown",
                Some("held") => "held",
                Some("silence") => "silence",
                _ => "other",
            },
        )
    };
    told.iter().rev().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_last_fires_by_the_clock() {
    let lab = Lab::new();
    let service = lab.start().await;
    service.api.product("a").await;
    let rule = |price: &str, hold: i64| json!({"product":"a","op":"lte","price":price,"mode":"rearm","hold_s":hold,"cooldown_s":60,"margin":"0.01"});
    make(&service.api, "lin", rule("98.00", 600)).await;
    make(&service.api, "wu", rule("98.00", 1800)).await;

    service.api.set_price("a", "97.00").await;
    lab.pass(600_000);
    let told = inbox_of(&service.api, "lin", 1).await;
    assert_eq!(items(&told), [(9_700, false, "held")]);
    // The other one's time is not over, and is broken.
    service.api.set_price("a", "98.01").await;
    service.api.set_price("a", "97.50").await;
    lab.pass(1_300_000);
    inbox_of(&service.api, "lin", 2).await;
    assert!(inbox(&service.api, "wu").await.is_empty());
    lab.pass(500_000);
    inbox_of(&service.api, "wu", 1).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooldown_ends_by_the_clock_even_if_the_service_was_down() {
    let lab = Lab::new();
    let service = lab.start().await;
    service.api.product("a").await;
    let rule = json!({"product":"a","op":"lte","price":"98.00","mode":"rearm","cooldown_s":3600,"margin":"0"});
    make(&service.api, "lin", rule).await;
    for price in ["97.00", "99.00", "96.00"] {
        service.api.set_price("a", price).await;
    }
    inbox_of(&service.api, "lin", 1).await;
    service.stop().await;
    lab.pass(2 * HOUR);
    let service = lab.start().await;
    let told = inbox_of(&service.api, "lin", 2).await;
    assert_eq!(items(&told), [(9_700, false, "tick"), (9_600, true, "after_cooldown")]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_the_end_of_a_rule_come_by_the_clock() {
    let lab = Lab::new();
    let service = lab.start().await;
    service.api.product("a").await;
    make(&service.api, "lin", json!({"product":"a","op":"stale","hours":2,"mode":"rearm"})).await;
    let rule = json!({"product":"a","op":"lte","price":"50","expires_at": teawire::clock::rfc3339(lab.clock().now() + HOUR)});
    make(&service.api, "wu", rule).await;

    lab.pass(HOUR + 1_000);
    let told = inbox_of(&service.api, "wu", 1).await;
    assert_eq!(told[0]["data"]["reason"], "expired");
    service.api.set_price("a", "101.00").await;
    lab.pass(HOUR + 1_000);
    judged(&service.api).await;
    assert!(inbox(&service.api, "lin").await.is_empty(), "something was heard in between");
    lab.pass(HOUR);
    let told = inbox_of(&service.api, "lin", 1).await;
    assert_eq!(items(&told), [(10_100, false, "silence")]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_doubles_nothing_and_loses_nothing() {
    let lab = Lab::new();
    let service = lab.start().await;
    for product in ["a", "b", "c"] {
        service.api.product(product).await;
        let rule = json!({"product":product,"op":"lte","price":"98.00","mode":"rearm","cooldown_s":60,"margin":"1.00"});
        make(&service.api, product, rule).await;
    }
    service.api.set_price("a", "97.00").await;
    inbox_of(&service.api, "a", 1).await;
    lab.pass(-HOUR);
    service.api.set_price("b", "97.00").await;
    inbox_of(&service.api, "b", 1).await;
    lab.pass(2 * HOUR);
    service.api.set_price("c", "97.00").await;
    inbox_of(&service.api, "c", 1).await;
    for price in ["99.50", "97.00"] {
        service.api.set_price("a", price).await;
    }
    inbox_of(&service.api, "a", 2).await;
    for user in ["b", "c"] {
        inbox_of(&service.api, user, 1).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_downtime_is_judged_in_order_and_said_to_be_late() {
    let lab = Lab::new();
    let service = lab.start().await;
    service.api.product("a").await;
    service.api.product("b").await;
    let rule = json!({"product":"a","op":"lte","price":"90.00","mode":"rearm","cooldown_s":3600,"channels":["webhook"]});
    make(&service.api, "lin", rule).await;
    let rule = json!({"product":"b","op":"lte","price":"90.00","mode":"rearm","hold_s":7200});
    make(&service.api, "wu", rule).await;
    service.stop().await;

    // Every day the price dips and comes back; every other day it stays low for long.
    lab.offstage(async |publisher| {
        for day in 0..7 {
            lab.pass(DAY);
            price(&publisher, "a", 8_000 + day).await;
            price(&publisher, "b", 8_000 + day).await;
            lab.pass(if day % 2 == 0 { HOUR } else { 3 * HOUR });
            price(&publisher, "a", 9_500).await;
            price(&publisher, "b", 9_500).await;
        }
    })
    .await;
    lab.pass(HOUR);
    let service = lab.start().await;
    let told = inbox_of(&service.api, "lin", 7).await;
    let dips = (0..7).map(|day| (8_000 + day, true, "tick"));
    assert_eq!(items(&told), dips.collect::<Vec<_>>());
    let lasted = inbox_of(&service.api, "wu", 3).await;
    let long = [1, 3, 5].map(|day| (8_000 + day, true, "held"));
    assert_eq!(items(&lasted), long);
    judged(&service.api).await;
    inbox_of(&service.api, "lin", 7).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_is_measured_against_what_is_left() {
    let lab = Lab::new();
    let service = lab.start().await;
    service.api.product_with("a", json!({ "stock": 1000 })).await;
    let rule =
        json!({"product":"a","op":"cover_days_lte","days":5,"window_days":10,"mode":"rearm"});
    make(&service.api, "lin", rule).await;
    // 100 a day: with 400 left 600 have gone, with 300 left 700.
    for left in [900, 800, 700, 600, 500, 400, 300] {
        assert!(inbox(&service.api, "lin").await.is_empty(), "{left}");
        lab.pass(DAY);
        service.api.set_stock("a", left).await.ok();
        judged(&service.api).await;
    }
    let told = inbox_of(&service.api, "lin", 1).await;
    // available × 10 ≤ 5 × outflow
    assert_eq!(told[0]["data"]["items"][0]["value"], 300);
    service.stop().await;
}
