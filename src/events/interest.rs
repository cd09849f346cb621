use super::{Filter, Topic};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// How many readers of this node follow each topic. A topic is kept only
/// while somebody follows it, so asking for a million leaves nothing behind.
#[derive(Clone, Default)]
pub struct Interest(Arc<Mutex<HashMap<Topic, u32>>>);

impl Interest {
    pub(super) fn add(&self, filter: &Filter) {
        let Ok(mut counts) = self.0.lock() else { return };
        for topic in filter.followed() {
            *counts.entry(topic.clone()).or_default() += 1;
        }
    }

    pub(super) fn remove(&self, filter: &Filter) {
        let Ok(mut counts) = self.0.lock() else { return };
        for topic in filter.followed() {
            if let Some(count) = counts.get_mut(topic) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(topic);
                }
            }
        }
    }

    /// How many subscriptions `topics` have now. Who follows two of them
    /// counts twice.
    pub(super) fn count(&self, topics: &[Topic]) -> u64 {
        let Ok(counts) = self.0.lock() else { return 0 };
        if counts.is_empty() {
            return 0;
        }
        let all = topics.iter().filter_map(Topic::wildcard).map(|all| all.parse::<Topic>());
        let mut all: Vec<Topic> = all.flatten().collect();
        all.dedup();
        let count = |topic: &Topic| u64::from(counts.get(topic).copied().unwrap_or(0));
        topics.iter().chain(&all).map(count).sum()
    }

    /// How many topics are followed.
    pub fn topics(&self) -> usize {
        self.0.lock().map_or(0, |counts| counts.len())
    }
}
