//! Rules that users state, and the monitor that fires them.
//!
//! A rule is looked at where its value is: the monitor reads the log from its
//! own checkpoint, finds by an index the instances that a tick changes, and
//! commits what came of it together with how far it has read. docs/alerts.md
//! tells the whole model.

mod amount;
mod answer;
mod bounds;
mod evaluate;
mod explain;
mod form;
mod instance;
mod manage;
mod monitor;
mod past;
mod play;
mod references;
mod routes;
mod rule;
mod series;
mod simulate;
mod store;
mod tell;
mod words;

pub use monitor::Monitor;
pub use routes::{Docs, routes};

use amount::{Amount, Ratio};
use instance::{Instance, State};
use rule::{Kind, Mode};
use serde::Deserialize;

/// `[alerts]` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many rules a user may have that are not over.
    pub rules_a_user: i64,
    /// How many products the filter of one rule may match.
    pub filter_series: i64,
}
