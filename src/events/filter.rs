use super::{Event, Topic};
use std::collections::HashSet;

/// What a reader wants to be told of.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    topics: HashSet<Topic>,
    kinds: Option<HashSet<&'static str>>,
    products: Option<HashSet<String>>,
}

impl Filter {
    /// All events of any of `topics`.
    pub fn topics(topics: impl IntoIterator<Item = Topic>) -> Filter {
        Filter { topics: topics.into_iter().collect(), kinds: None, products: None }
    }

    /// Only events of these types; none given: of all.
    #[must_use]
    pub fn kinds(mut self, kinds: Vec<&'static str>) -> Filter {
        self.kinds = (!kinds.is_empty()).then(|| kinds.into_iter().collect());
        self
    }

    /// Only events about these products; none given: about any or none.
    #[must_use]
    pub fn products(mut self, products: Vec<String>) -> Filter {
        self.products = (!products.is_empty()).then(|| products.into_iter().collect());
        self
    }

    /// The topics, in no order.
    pub fn followed(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter()
    }

    /// Whether the reader is to be told of `event`.
    pub fn matches(&self, event: &Event) -> bool {
        self.wants(event) && event.topics.iter().any(|topic| self.follows(topic))
    }

    /// Whether `event` passes, its topics aside.
    pub fn wants(&self, event: &Event) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(event.kind))
            && self.products.as_ref().is_none_or(|products| {
                event.product().is_some_and(|product| products.contains(product))
            })
    }

    fn follows(&self, topic: &Topic) -> bool {
        self.topics.contains(topic)
            || topic.wildcard().is_some_and(|all| {
                self.topics
                    .iter()
                    .any(|followed| followed.is_wildcard() && followed.as_str() == all)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(topics: &[&str]) -> Filter {
        Filter::topics(topics.iter().map(|topic| topic.parse().expect("a topic")))
    }

    #[test]
    fn a_filter_passes_its_topics_and_of_these_what_is_wanted() {
        let topics = vec![Topic::price("green"), Topic::product("a")];
        let event = Event::encode("k", 1, 0, "price.changed", topics, "{}");
        assert!(filter(&["price/green"]).matches(&event));
        assert!(filter(&["price/*", "arrivals"]).matches(&event));
        assert!(!filter(&["price/white", "market/*"]).matches(&event));
        assert!(!filter(&["price/*"]).kinds(vec!["stock.changed"]).matches(&event));
        assert!(filter(&["price/*"]).products(vec!["a".into()]).matches(&event));
        assert!(!filter(&["price/*"]).products(vec!["b".into()]).matches(&event));
    }
}
