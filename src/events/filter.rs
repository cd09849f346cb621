use super::event::KINDS;
use super::{Event, Topic};

/// What a reader wants to be told of. Readers with equal filters are served as
/// one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Sorted, each once.
    topics: Box<[Topic]>,
    /// A bit for each of [`KINDS`]; none for all.
    kinds: u16,
    /// Sorted, each once; none for any.
    products: Box<[Box<str>]>,
}

const _: () = assert!(KINDS.len() <= 16, "a kind has a bit of sixteen");

impl Filter {
    /// All events of any of `topics`.
    pub fn topics(topics: impl IntoIterator<Item = Topic>) -> Filter {
        let mut topics: Vec<Topic> = topics.into_iter().collect();
        topics.sort_unstable();
        topics.dedup();
        Filter { topics: topics.into(), ..Filter::default() }
    }

    /// Only events of these types; none given: of all.
    #[must_use]
    pub fn kinds(mut self, kinds: Vec<&'static str>) -> Filter {
        self.kinds = kinds.into_iter().fold(0, |bits, kind| bits | bit(kind));
        self
    }

    /// Only events about these products; none given: about any or none.
    #[must_use]
    pub fn products(mut self, products: Vec<String>) -> Filter {
        let mut products: Vec<Box<str>> = products.into_iter().map(Into::into).collect();
        products.sort_unstable();
        products.dedup();
        self.products = products.into();
        self
    }

    /// The topics, in their order.
    pub fn followed(&self) -> &[Topic] {
        &self.topics
    }

    /// Whether the reader is to be told of `event`.
    pub fn matches(&self, event: &Event) -> bool {
        self.wants(event) && event.topics.iter().any(|topic| self.follows(topic))
    }

    /// Whether `event` passes, its topics aside.
    pub fn wants(&self, event: &Event) -> bool {
        let product = || event.product().is_some_and(|product| self.has_product(product));
        (self.kinds == 0 || self.kinds & bit(event.kind) != 0)
            && (self.products.is_empty() || product())
    }

    fn has_product(&self, product: &str) -> bool {
        self.products.binary_search_by(|known| (**known).cmp(product)).is_ok()
    }

    fn follows(&self, topic: &Topic) -> bool {
        let has = |name: &str| self.topics.binary_search_by(|known| known.as_str().cmp(name));
        has(topic.as_str()).is_ok() || topic.wildcard().is_some_and(|all| has(all).is_ok())
    }
}

fn bit(kind: &str) -> u16 {
    KINDS.iter().position(|known| *known == kind).map_or(0, |at| 1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::hash::{BuildHasher, RandomState};

    type Names = Vec<&'static str>;

    fn some(names: &'static [&'static str]) -> impl Strategy<Value = Names> {
        proptest::collection::vec(proptest::sample::select(names), 0..5)
    }

    /// Topics, types, products, as somebody may have written them.
    fn asked() -> impl Strategy<Value = (Names, Names, Names)> {
        let topics = ["price/green", "price/*", "market/*", "product/a", "room/x"].as_slice();
        (some(topics), some(&KINDS), some(["a", "b", "c"].as_slice()))
    }

    fn made((topics, kinds, products): &(Names, Names, Names)) -> Filter {
        let products = products.iter().map(|product| (*product).to_owned()).collect();
        filter(topics).kinds(kinds.clone()).products(products)
    }

    fn sets((topics, kinds, products): &(Names, Names, Names)) -> [BTreeSet<&'static str>; 3] {
        [topics, kinds, products].map(|names| names.iter().copied().collect())
    }

    proptest! {
        #[test]
        fn filters_are_equal_if_and_only_if_they_ask_for_the_same(one in asked(), other in asked()) {
            let (left, right) = (made(&one), made(&other));
            prop_assert_eq!(left == right, sets(&one) == sets(&other));
        }

        #[test]
        fn neither_order_nor_repeats_make_another_filter(
            (one, other) in asked().prop_flat_map(|one| {
                let twice = |names: &Names| [&names[..], &names[..names.len() / 2]].concat();
                let repeated = |names: &Names| Just(twice(names)).prop_shuffle();
                let other = (repeated(&one.0), repeated(&one.1), repeated(&one.2));
                (Just(one), other)
            })
        ) {
            let (left, right) = (made(&one), made(&other));
            let hashes = RandomState::new();
            prop_assert_eq!(hashes.hash_one(&left), hashes.hash_one(&right));
            prop_assert_eq!(left, right);
        }
    }

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
