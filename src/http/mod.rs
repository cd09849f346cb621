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
    /// Threads that serve requests; 0 for one a core.
    pub workers: usize,
    /// Connections at once, for each worker.
    pub connections: usize,
}

impl Config {
    /// How long the body of a request may take.
    pub fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }
}
