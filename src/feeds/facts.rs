use super::Feed;
use crate::clock::rfc3339;
use crate::events::{Fact, Topic};
use serde::Serialize;

/// A merchant has been silent for longer than they said they would be, or is
/// heard of again.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FeedChanged {
    merchant: String,
    cadence_minutes: i64,
    last_write_at: String,
    #[serde(skip)]
    stale: bool,
    #[serde(skip)]
    markets: Vec<String>,
}

impl FeedChanged {
    /// Silent for too long. `markets` are where the merchant sells.
    pub fn stale(feed: &Feed, markets: Vec<String>) -> FeedChanged {
        FeedChanged { stale: true, ..FeedChanged::fresh(feed, markets) }
    }

    /// Heard of again.
    pub fn fresh(feed: &Feed, markets: Vec<String>) -> FeedChanged {
        FeedChanged {
            merchant: feed.merchant.clone(),
            cadence_minutes: feed.cadence_minutes,
            last_write_at: rfc3339(feed.last_write),
            stale: false,
            markets,
        }
    }
}

impl Fact for FeedChanged {
    fn kind(&self) -> &'static str {
        if self.stale { "merchant.stale" } else { "merchant.fresh" }
    }

    fn topics(&self) -> Vec<Topic> {
        let markets = self.markets.iter().map(|market| Topic::market(market));
        std::iter::once(Topic::merchant(&self.merchant)).chain(markets).collect()
    }
}
