//! Manners every endpoint shares: how a problem is told, how a body is read,
//! who may ask how often.

mod address;
mod body;
mod middleware;
mod negotiate;
mod problem;
mod query;
mod rate_limit;
mod resource;

pub use address::{Address, TrustedProxies};
pub use body::{read_body, read_form_or_json};
pub use middleware::finish;
pub use middleware::root_span::RequestSpan;
pub use negotiate::{accepts, wants_events};
pub use problem::{Problem, prefers_chinese};
pub use query::{Params, time};
pub use rate_limit::{Quota, RateLimiter, Standing};
pub use resource::resource;

use serde::Deserialize;
use std::time::Duration;

/// `[http]` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Origins whose pages may use the interface.
    pub allowed_origins: Vec<String>,
    /// Addresses or networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// The largest body of a request, in bytes.
    pub body_bytes: usize,
    /// The largest body of an import, in bytes.
    pub import_bytes: usize,
    /// How long the head of a request may take.
    pub head_seconds: u64,
    /// How long the body of a request may take.
    pub body_seconds: u64,
    /// How long the body of an import may take.
    pub import_seconds: u64,
    /// Threads that serve requests; 0 for one a core.
    pub workers: usize,
    /// Connections at once, for each worker.
    pub connections: usize,
}

impl Config {
    /// How large a body may be, and how long it may take.
    pub fn body(&self) -> Allowance {
        Allowance { bytes: self.body_bytes, time: Duration::from_secs(self.body_seconds) }
    }

    /// The same for an import.
    pub fn import(&self) -> Allowance {
        Allowance { bytes: self.import_bytes, time: Duration::from_secs(self.import_seconds) }
    }
}

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Its bytes.
    pub bytes: usize,
    /// The time it takes to come.
    pub time: Duration,
}
