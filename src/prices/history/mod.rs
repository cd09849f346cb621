//! What a product cost before: in buckets, at a moment, over a span of days.
//!
//! Prices are written in the order they come (`price_ticks`), and copied
//! behind the writing to the order they are read in (`price_history`, by
//! product). Whoever reads, reads both; see [`Series`].

mod bucket;
mod change;
mod copy;
mod routes;
mod series;
mod span;
mod store;
mod thin;

pub use bucket::{Bucket, Folder, Width};
pub use change::{Change, Reference, changes};
pub use copy::Copy;
pub use routes::{Docs, get_product, routes};
pub(crate) use routes::{age, take_span};
pub use series::{Point, Series};
pub use span::{Span, span};
pub use store::{copied_to, last_uncopied as uncopied_to};
pub use thin::Thin;

use crate::clock::Millis;
use serde::Deserialize;

/// The kind of a tick that replaces the one before it.
const CORRECTION: &str = "correction";

/// `[prices]` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For how many days every price is kept.
    pub raw_days: i64,
    /// For how many days those of each hour are.
    pub hourly_days: i64,
}

/// One price that a product had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tick {
    pub observed_at: Millis,
    /// The position of the event that told of it.
    pub seq: i64,
    /// Fen a unit.
    pub price: i64,
    pub unit: String,
    pub grams_per_unit: i64,
    pub received_at: Millis,
    pub source: String,
    /// The price type; `correction` for one that nothing is known to be wrong before.
    pub kind: String,
    pub actor: String,
    /// How many prices it stands for.
    pub n: i64,
}

impl Tick {
    fn key(&self) -> (Millis, i64) {
        (self.observed_at, self.seq)
    }

    fn is_of(&self, kind: &str) -> bool {
        self.kind == kind || self.kind == CORRECTION
    }

    /// This correction as if it had been said instead of `wrong`.
    fn in_place_of(self, wrong: &Tick) -> Tick {
        Tick { observed_at: wrong.observed_at, kind: wrong.kind.clone(), n: wrong.n, ..self }
    }
}
