use super::{Filter, Topic};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Beyond so many groups whoever is in two of them is not looked for: the
/// count becomes an upper bound.
const EXACT: usize = 512;

/// How many readers of this node follow each topic.
///
/// Readers that follow the same topics are one group, so that whoever follows
/// two topics of an event can be counted once without a look at every reader.
/// A topic is kept only while somebody follows it: asking for a million leaves
/// nothing behind.
#[derive(Clone, Debug, Default)]
pub struct Interest(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// The groups, and how many readers each has.
    groups: HashMap<Arc<[Topic]>, u64>,
    readers: HashMap<u64, u64>,
    topics: HashMap<Topic, Followers>,
}

#[derive(Debug, Default)]
struct Followers {
    readers: u64,
    groups: HashSet<u64>,
}

impl Interest {
    pub(super) fn add(&self, filter: &Filter) {
        let key = key(filter);
        let mut state = self.lock();
        let known = state.groups.get(&key).copied();
        let group = known.unwrap_or_else(|| {
            state.next += 1;
            let group = state.next;
            state.groups.insert(key.clone(), group);
            group
        });
        *state.readers.entry(group).or_default() += 1;
        for topic in key.iter() {
            let followers = state.topics.entry(topic.clone()).or_default();
            followers.readers += 1;
            followers.groups.insert(group);
        }
    }

    pub(super) fn remove(&self, filter: &Filter) {
        let key = key(filter);
        let mut state = self.lock();
        let Some(group) = state.groups.get(&key).copied() else { return };
        let left = state.readers.get_mut(&group).map_or(0, |readers| {
            *readers -= 1;
            *readers
        });
        if left == 0 {
            state.readers.remove(&group);
            state.groups.remove(&key);
        }
        for topic in key.iter() {
            if let Some(followers) = state.topics.get_mut(topic) {
                followers.readers -= 1;
                if left == 0 {
                    followers.groups.remove(&group);
                }
                if followers.readers == 0 {
                    state.topics.remove(topic);
                }
            }
        }
    }

    /// How many readers follow any of `topics` now; where that would take
    /// long, at most how many.
    pub(super) fn count(&self, topics: &[Topic]) -> u64 {
        let state = self.lock();
        if state.topics.is_empty() {
            return 0;
        }
        let all = topics.iter().filter_map(Topic::wildcard).filter_map(|all| all.parse().ok());
        let all: HashSet<Topic> = all.collect();
        let told: Vec<&Followers> =
            topics.iter().chain(&all).filter_map(|topic| state.topics.get(topic)).collect();
        let groups = || told.iter().flat_map(|followers| &followers.groups);
        if told.len() < 2 || groups().take(EXACT + 1).count() > EXACT {
            return told.iter().map(|followers| followers.readers).sum();
        }
        let distinct: HashSet<u64> = groups().copied().collect();
        distinct.iter().filter_map(|group| state.readers.get(group)).sum()
    }

    /// How many topics are followed.
    pub fn topics(&self) -> usize {
        self.lock().topics.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(filter: &Filter) -> Arc<[Topic]> {
    filter.followed().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_follows_two_topics_of_an_event_is_counted_once() {
        let interest = Interest::default();
        let filter = |names: &[&str]| {
            Filter::topics(names.iter().map(|name| name.parse().expect("a topic")))
        };
        let both = filter(&["price/green", "product/a"]);
        let one = filter(&["product/a"]);
        let all = filter(&["price/*"]);
        for filter in [&both, &both, &one, &all] {
            interest.add(filter);
        }
        let event = [Topic::price("green"), Topic::product("a")];
        assert_eq!(interest.count(&event), 4);
        interest.remove(&both);
        assert_eq!(interest.count(&event), 3);
        assert_eq!(interest.count(&[Topic::product("a")]), 2);
        for filter in [&both, &one, &all] {
            interest.remove(filter);
        }
        assert_eq!(interest.count(&event), 0);
        assert_eq!(interest.topics(), 0, "nothing is left behind");
    }
}
