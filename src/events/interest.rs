use super::{Filter, Topic};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Beyond so many groups a count is not worth its time: it becomes an upper
/// bound.
const EXACT: usize = 512;

/// How many readers of this node follow each topic.
///
/// Readers that follow the same topics are one group, so that whoever follows
/// two topics of an event can be counted once without a look at every reader.
/// A topic is kept only while somebody follows it: asking for a million leaves
/// nothing behind.
#[derive(Clone, Default)]
pub struct Interest(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: u64,
    groups: HashMap<Arc<[Topic]>, u64>,
    readers: HashMap<u64, u32>,
    topics: HashMap<Topic, Vec<u64>>,
}

impl Interest {
    pub(super) fn add(&self, filter: &Filter) {
        let key = key(filter);
        let mut state = self.lock();
        if let Some(group) = state.groups.get(&key).copied() {
            *state.readers.entry(group).or_default() += 1;
            return;
        }
        state.next += 1;
        let group = state.next;
        for topic in key.iter() {
            state.topics.entry(topic.clone()).or_default().push(group);
        }
        state.groups.insert(key, group);
        state.readers.insert(group, 1);
    }

    pub(super) fn remove(&self, filter: &Filter) {
        let key = key(filter);
        let mut state = self.lock();
        let Some(group) = state.groups.get(&key).copied() else { return };
        if let Some(readers) = state.readers.get_mut(&group) {
            *readers -= 1;
            if *readers > 0 {
                return;
            }
        }
        state.readers.remove(&group);
        state.groups.remove(&key);
        for topic in key.iter() {
            if let Some(groups) = state.topics.get_mut(topic) {
                groups.retain(|other| *other != group);
                if groups.is_empty() {
                    state.topics.remove(topic);
                }
            }
        }
    }

    /// How many readers follow any of `topics` now.
    pub(super) fn count(&self, topics: &[Topic]) -> u64 {
        let state = self.lock();
        if state.topics.is_empty() {
            return 0;
        }
        let all = topics.iter().filter_map(Topic::wildcard).filter_map(|all| all.parse().ok());
        let all: Vec<Topic> = all.collect();
        let lists: Vec<&Vec<u64>> =
            topics.iter().chain(&all).filter_map(|topic| state.topics.get(topic)).collect();
        let readers = |group: &u64| u64::from(state.readers.get(group).copied().unwrap_or(0));
        let groups = lists.iter().flat_map(|list| list.iter());
        if lists.len() < 2 || lists.iter().map(|list| list.len()).sum::<usize>() > EXACT {
            return groups.map(readers).sum();
        }
        let distinct: HashSet<u64> = groups.copied().collect();
        distinct.iter().map(readers).sum()
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
    let mut topics: Vec<Topic> = filter.followed().cloned().collect();
    topics.sort();
    topics.into()
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
        assert_eq!((interest.count(&event), interest.topics()), (0, 0));
    }
}
