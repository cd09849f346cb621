//! Merchants who say how often they will be heard of, and who is silent for
//! longer: what they ask is then as old as it looks.
//!
//! Every write that is done counts, one that says what is so already too: a
//! shop system that sends the same prices again each hour is alive. Declared
//! feeds are few and kept in memory, so the writes of all others cost nothing.

mod facts;
mod store;
mod watch;

pub use store::{Feed, find};
pub use watch::Watch;

use crate::clock::{Clock, Millis, rfc3339};
use crate::events::{self, Tx};
use crate::refusal::Refusal;
use facts::FeedChanged;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest cadence, in minutes: a week.
pub const LONGEST: i64 = 10_080;

/// How many feeds may be declared: they are kept in memory.
const MOST: i64 = 10_000;

/// How exactly it is known when a merchant was heard of last.
const GRAIN: Millis = 1_000;

/// The feeds that were declared, as this node knows them. Cloning it gives the
/// same ones.
#[derive(Clone, Debug)]
pub struct Feeds {
    clock: Clock,
    known: Arc<Mutex<HashMap<String, Feed>>>,
}

impl Feeds {
    /// None yet; [`Watch`] finds them.
    pub fn new(clock: Clock) -> Feeds {
        Feeds { clock, known: Arc::default() }
    }

    /// Notes that `merchant` wrote something. Whoever was silent for too long
    /// and declared to be is told of as back.
    pub fn heard(&self, tx: &mut Tx<'_>, merchant: &str) -> events::Result<()> {
        let now = tx.now();
        {
            let mut known = self.lock();
            let Some(feed) = known.get_mut(merchant) else { return Ok(()) };
            if feed.due.is_some() && now - feed.last_write < GRAIN {
                return Ok(());
            }
            // Should this transaction come to nothing, the next look at the
            // database puts it right.
            feed.last_write = now;
        }
        let Some(feed) = store::find(tx.read(), merchant)? else { return Ok(()) };
        store::save(tx.write(), &Feed { last_write: now, ..feed.clone() }.awake())?;
        if feed.due.is_none() {
            let markets = store::markets(tx.read(), merchant)?;
            tx.append(&FeedChanged::fresh(&Feed { last_write: now, ..feed }, markets))?;
        }
        Ok(())
    }

    /// Says with a product how old what its merchant says of it may be.
    pub fn mark(&self, product: &mut Value) {
        let merchant = product["merchant"].as_str().unwrap_or_default();
        let known = self.lock();
        let feed = known.get(merchant);
        let stale = feed.map(|feed| self.clock.now() > feed.ends());
        let last_write = feed.map(|feed| rfc3339(feed.last_write));
        drop(known);
        if let Some(members) = product.as_object_mut() {
            members.insert("stale".to_owned(), json!(stale));
            members.insert("last_write_at".to_owned(), json!(last_write));
        }
    }

    fn replace(&self, feeds: Vec<Feed>) {
        let feeds = feeds.into_iter().map(|feed| (feed.merchant.clone(), feed));
        *self.lock() = feeds.collect();
    }

    /// What `merchant` declared, as it is answered.
    pub fn json(&self, merchant: &str, feed: Option<&Feed>) -> Value {
        json!({
            "merchant": merchant,
            "cadence_minutes": feed.map(|feed| feed.cadence_minutes),
            "last_write_at": feed.map(|feed| rfc3339(feed.last_write)),
            "stale": feed.map(|feed| self.clock.now() > feed.ends()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Feed>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that `merchant` means to be heard of every `cadence` minutes, or does
/// not say. To say so is to be heard of.
///
/// # Errors
/// `too_many_feeds`.
pub fn declare(
    tx: &mut Tx<'_>,
    merchant: &str,
    cadence: Option<i64>,
) -> events::Result<Option<Feed>> {
    let before = store::find(tx.read(), merchant)?;
    let silent = before.as_ref().is_some_and(|feed| feed.due.is_none());
    let Some(cadence_minutes) = cadence else {
        store::remove(tx.write(), merchant)?;
        return Ok(None);
    };
    if before.is_none() && store::count(tx.read())? >= MOST {
        return Err(Refusal::invalid(
            "cadence_minutes",
            "too_many_feeds",
            format!("no more than {MOST} merchants may declare how often they will be heard of"),
            format!("最多 {MOST} 个商家可以声明更新频率"),
        )
        .into());
    }
    let (merchant, last_write) = (merchant.to_owned(), tx.now());
    let feed = Feed { merchant, cadence_minutes, last_write, due: None }.awake();
    store::save(tx.write(), &feed)?;
    if silent {
        let markets = store::markets(tx.read(), &feed.merchant)?;
        tx.append(&FeedChanged::fresh(&feed, markets))?;
    }
    Ok(Some(feed))
}

impl Feed {
    /// When its merchant will have been silent for too long.
    fn ends(&self) -> Millis {
        self.last_write + self.cadence_minutes * 60_000
    }

    /// The same, of a merchant who is not silent.
    fn awake(self) -> Feed {
        Feed { due: Some(self.ends()), ..self }
    }
}
