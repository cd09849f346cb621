//! What a user follows on every device, kept here.
//!
//! A change is an event on the user's own topic, so every node hears of it as
//! it hears of everything else, and whoever follows the set goes on with the
//! new one from where it stands.

mod store;

use super::event::SUBSCRIPTIONS_CHANGED;
use super::hub::Readers;
use super::{Event, Fact, Filter, Result, Topic, Tx, known_kind, may_read};
use crate::auth::Caller;
use crate::db;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a user follows, as it is kept, answered and told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// How many times it was changed.
    pub version: i64,
    /// Sorted, each once.
    pub topics: Vec<String>,
    /// Only events of these types; none for all.
    pub types: Vec<String>,
    /// Only events about products of these merchants; none for any.
    pub merchants: Vec<String>,
    /// No changes of a price by less, in hundredths of a percent; 0 for any.
    pub min_change_bp: u32,
}

/// Who follows the saved set of whom, and what of it they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follows {
    /// Whose it is.
    pub user: String,
    /// Which version.
    pub version: i64,
    /// What is in it and not theirs to read (any more).
    pub refused: Vec<String>,
}

impl Follows {
    /// As a reader is told.
    pub fn json(&self) -> [(String, Value); 2] {
        let refused = self.refused.clone().into();
        [("version".to_owned(), self.version.into()), ("refused".to_owned(), refused)]
    }
}

impl Saved {
    /// Whether it asks for the same as `other`.
    pub fn is_same(&self, other: &Saved) -> bool {
        *self == Saved { version: self.version, ..other.clone() }
    }

    /// What of it `caller`, whose it is, may read.
    pub fn readable(&self, user: &str, caller: &Caller) -> (Filter, Follows) {
        let mut refused = Vec::new();
        let mut topics = Vec::with_capacity(self.topics.len());
        for name in &self.topics {
            match name.parse::<Topic>() {
                Ok(topic) if may_read(caller, &topic).is_ok() => topics.push(topic),
                _ => refused.push(name.clone()),
            }
        }
        let kinds = self.types.iter().filter_map(|kind| known_kind(kind)).collect();
        let filter = Filter::topics(topics)
            .kinds(kinds)
            .merchants(self.merchants.clone())
            .min_change(self.min_change_bp);
        (filter, Follows { user: user.to_owned(), version: self.version, refused })
    }

    /// The set that `event` tells of, and whose it is.
    pub(super) fn told(event: &Event) -> Option<(String, Saved)> {
        if event.kind != SUBSCRIPTIONS_CHANGED {
            return None;
        }
        let user = event.topics.iter().find(|topic| topic.kind() == "user")?.name()?;
        Some((user.to_owned(), serde_json::from_str(event.data()).ok()?))
    }
}

/// A set was changed.
struct Changed<'a> {
    user: &'a str,
    saved: &'a Saved,
}

impl Serialize for Changed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.saved.serialize(serializer)
    }
}

impl Fact for Changed<'_> {
    fn kind(&self) -> &'static str {
        SUBSCRIPTIONS_CHANGED
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::user(self.user)]
    }
}

impl Readers {
    /// What `user` follows.
    pub async fn saved(&self, user: &str) -> db::Result<Saved> {
        let user = user.to_owned();
        self.db.read(move |conn| store::find(conn, &user)).await
    }
}

impl Tx<'_> {
    /// What `user` follows.
    pub fn saved(&mut self, user: &str) -> Result<Saved> {
        Ok(store::find(self.read(), user)?)
    }

    /// Keeps what `user` follows, and tells of it; as it was kept. Nothing
    /// happens if it asks for what is kept already.
    pub fn save(&mut self, user: &str, kept: &Saved, mut saved: Saved) -> Result<Saved> {
        if saved.is_same(kept) {
            return Ok(kept.clone());
        }
        saved.version = kept.version + 1;
        let now = self.now();
        store::save(self.write(), user, &saved, now)?;
        self.append(&Changed { user, saved: &saved })?;
        Ok(saved)
    }
}
