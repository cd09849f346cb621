//! How much of the house one caller may take.

mod guard;

pub use guard::guard_reads;

use crate::http::{Address, Problem, Quota, RateLimiter};
use crate::tasks::Task;
use crate::telemetry::Metrics;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many imports go on at once: each may hold 16 MiB.
const IMPORTS: usize = 8;

/// `[limits]` in the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// False lifts every cap by rate and by count.
    pub enabled: bool,
    /// Reads an address may make a second.
    pub reads_per_second: u32,
    /// Reads an address may make at once.
    pub reads_burst: u32,
    /// Writes a merchant may make a second.
    pub writes_per_second: u32,
    /// Writes a merchant may make at once.
    pub writes_burst: u32,
    /// Streams an address may open a second.
    pub opens_per_second: u32,
    /// Streams an address may open at once.
    pub opens_burst: u32,
    /// Streams and polls a user may have open.
    pub streams_a_user: u32,
    /// Streams and polls an address may have open.
    pub streams_an_address: u32,
    /// Streams and polls the node may have open.
    pub streams: u32,
    /// Topics of one subscription.
    pub topics: usize,
    /// Rooms there may be.
    pub rooms: i64,
    /// Rooms one merchant may make.
    pub rooms_a_merchant: i64,
}

/// The limits at work.
#[derive(Clone)]
pub struct Limits {
    /// As they are set.
    pub config: Config,
    /// Reads, by address.
    pub reads: RateLimiter<u128>,
    /// Writes, by actor.
    pub writes: RateLimiter<String>,
    /// Opened streams, by address.
    pub opens: RateLimiter<u128>,
    seats: Arc<Mutex<Seats>>,
    imports: Arc<Semaphore>,
    metrics: Metrics,
}

#[derive(Default)]
struct Seats {
    addresses: HashMap<u128, u32>,
    users: HashMap<String, u32>,
    all: u32,
}

/// What a stream or poll is while it is open. Dropping it gives the seat back,
/// however the request ends.
pub struct Seat {
    seats: Arc<Mutex<Seats>>,
    address: u128,
    user: Option<String>,
}

impl Limits {
    /// The limits of `config`.
    pub fn new(config: Config, metrics: &Metrics) -> Limits {
        let quota = |per_second, burst| Quota { per_second, burst };
        let on = config.enabled;
        Limits {
            reads: RateLimiter::new(
                "reads",
                quota(config.reads_per_second, config.reads_burst),
                on,
                metrics,
            ),
            writes: RateLimiter::new(
                "writes",
                quota(config.writes_per_second, config.writes_burst),
                on,
                metrics,
            ),
            opens: RateLimiter::new(
                "opens",
                quota(config.opens_per_second, config.opens_burst),
                on,
                metrics,
            ),
            seats: Arc::default(),
            imports: Arc::new(Semaphore::new(IMPORTS)),
            metrics: metrics.clone(),
            config,
        }
    }

    /// A place among the imports that go on at once.
    ///
    /// # Errors
    /// 429 if there are as many as there may be.
    pub fn import_slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.imports.clone().try_acquire_owned().map_err(|_| {
            self.metrics.limited.with_label_values(&["imports"]).inc();
            Problem::new(
                429,
                "too_many_imports",
                "as many imports go on as there may be at once",
                "同时进行的导入过多",
            )
            .retry_after(Duration::from_secs(5))
        })
    }

    /// A seat for a stream or poll.
    ///
    /// # Errors
    /// 429 if the address, the user or the node has as many as it may.
    pub fn seat(&self, address: Address, user: Option<&str>) -> Result<Seat, Problem> {
        let address = address.key();
        let mut seats = self.seats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_address = seats.addresses.get(&address).copied().unwrap_or(0);
        let of_user = user.and_then(|user| seats.users.get(user)).copied().unwrap_or(0);
        if self.config.enabled {
            let full = if seats.all >= self.config.streams {
                Some(("the node has as many streams as it may", "服务器连接数已满"))
            } else if of_address >= self.config.streams_an_address {
                Some((
                    "this address has as many streams and polls open as it may",
                    "该地址打开的连接过多",
                ))
            } else if of_user >= self.config.streams_a_user {
                Some((
                    "this user has as many streams and polls open as they may",
                    "该用户打开的连接过多",
                ))
            } else {
                None
            };
            if let Some((en, zh)) = full {
                self.metrics.limited.with_label_values(&["seats"]).inc();
                return Err(Problem::new(429, "too_many_streams", en, zh)
                    .retry_after(Duration::from_secs(5)));
            }
        }
        seats.all += 1;
        *seats.addresses.entry(address).or_default() += 1;
        if let Some(user) = user {
            *seats.users.entry(user.to_owned()).or_default() += 1;
        }
        Ok(Seat { seats: self.seats.clone(), address, user: user.map(str::to_owned) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seats.all -= 1;
        give_back(&mut seats.addresses, &self.address);
        if let Some(user) = &self.user {
            give_back(&mut seats.users, user);
        }
    }
}

fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Forgets callers who have not been seen for a while.
pub struct Tidy(pub Limits);

impl Task for Tidy {
    const NAME: &'static str = "tidy-limits";

    type Error = Infallible;

    async fn run(&self) -> Result<(), Infallible> {
        let limits = self.0.clone();
        let tidy = move || limits.reads.tidy() + limits.writes.tidy() + limits.opens.tidy();
        let left = tokio::task::spawn_blocking(tidy).await.unwrap_or(0);
        self.0.metrics.limiter_keys.set(left as i64);
        Ok(())
    }
}
