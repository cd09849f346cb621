use super::event::{KINDS, PRICE_CHANGED};
use super::{Event, Topic};
use std::sync::Arc;

/// What a reader wants to be told of. Readers with equal filters are served as
/// one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Sorted, each once.
    topics: Box<[Topic]>,
    /// A bit for each of [`KINDS`]; none for all.
    kinds: u32,
    /// Changes of a price by less than this are passed over, in hundredths of a
    /// percent.
    min_change: u32,
    /// Sorted, each once; none for any.
    products: Box<[Box<str>]>,
    /// Sorted, each once; none for any.
    merchants: Box<[Box<str>]>,
    /// What passes is told in ASCII: those who want that share its bytes.
    ascii: bool,
}

const _: () = assert!(KINDS.len() <= 32, "a kind has a bit of thirty-two");

impl Filter {
    /// All events of any of `topics`.
    pub fn topics(topics: impl IntoIterator<Item = Topic>) -> Filter {
        let mut topics: Vec<Topic> = topics.into_iter().collect();
        topics.sort_unstable();
        topics.dedup();
        Filter { topics: topics.into(), ..Filter::default() }
    }

    /// The same of other topics.
    #[must_use]
    pub fn with_topics(&self, topics: impl IntoIterator<Item = Topic>) -> Filter {
        Filter { topics: Filter::topics(topics).topics, ..self.clone() }
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
        self.products = names(products);
        self
    }

    /// Only events about products of these merchants; none given: of any, and
    /// about none.
    #[must_use]
    pub fn merchants(mut self, merchants: Vec<String>) -> Filter {
        self.merchants = names(merchants);
        self
    }

    /// No changes of a price by less than `bp` hundredths of a percent. A first
    /// price passes, and so does whatever is no change of a price.
    #[must_use]
    pub fn min_change(mut self, bp: u32) -> Filter {
        self.min_change = bp;
        self
    }

    /// What passes is told in ASCII.
    #[must_use]
    pub fn ascii(mut self, ascii: bool) -> Filter {
        self.ascii = ascii;
        self
    }

    /// Whether it is.
    pub fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// `event` as it is told.
    pub(super) fn told(&self, event: Arc<Event>) -> Arc<Event> {
        if self.ascii { event.in_ascii() } else { event }
    }

    /// The topics, in their order.
    pub fn followed(&self) -> &[Topic] {
        &self.topics
    }

    /// The same as far as it matters to what there is, whatever happens to it.
    #[must_use]
    pub fn of_state(&self) -> Filter {
        self.clone().min_change(0)
    }

    /// The products it is narrowed to; none: it is not.
    pub fn only_products(&self) -> &[Box<str>] {
        &self.products
    }

    /// The merchants it is narrowed to; none: it is not.
    pub fn only_merchants(&self) -> &[Box<str>] {
        &self.merchants
    }

    /// Whether events of type `kind` pass.
    pub fn wants_kind(&self, kind: &str) -> bool {
        self.kinds == 0 || self.kinds & bit(kind) != 0
    }

    /// Whether the reader is to be told of `event`.
    pub fn matches(&self, event: &Event) -> bool {
        self.wants(event) && event.topics.iter().any(|topic| self.follows(topic))
    }

    /// Whether `event` passes, its topics aside.
    pub fn wants(&self, event: &Event) -> bool {
        self.wants_kind(event.kind)
            && (self.products.is_empty() || has(&self.products, event.product()))
            && (self.merchants.is_empty() || has(&self.merchants, event.merchant()))
            && (self.min_change == 0
                || event.kind != PRICE_CHANGED
                || event.change().is_none_or(|change| change >= self.min_change))
    }

    fn follows(&self, topic: &Topic) -> bool {
        let has = |name: &str| self.topics.binary_search_by(|known| known.as_str().cmp(name));
        has(topic.as_str()).is_ok() || topic.wildcard().is_some_and(|all| has(all).is_ok())
    }
}

fn names(names: Vec<String>) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
    names.sort_unstable();
    names.dedup();
    names.into()
}

fn has(names: &[Box<str>], name: Option<&str>) -> bool {
    name.is_some_and(|name| names.binary_search_by(|known| (**known).cmp(name)).is_ok())
}

fn bit(kind: &str) -> u32 {
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

    /// What somebody may have written: topics, types, products, merchants, and
    /// the least change.
    #[derive(Clone, Debug)]
    struct Asked {
        names: [Names; 4],
        min_change: u32,
    }

    fn asked() -> impl Strategy<Value = Asked> {
        let topics = ["price/green", "price/*", "market/*", "product/a", "room/x"].as_slice();
        let ids = ["a", "b", "c"].as_slice();
        let names = [some(topics), some(&KINDS), some(ids), some(ids)];
        (names, 0..3_u32).prop_map(|(names, min_change)| Asked { names, min_change })
    }

    fn made(Asked { names: [topics, kinds, products, merchants], min_change }: &Asked) -> Filter {
        let owned = |names: &Names| names.iter().map(|name| (*name).to_owned()).collect();
        filter(topics)
            .kinds(kinds.clone())
            .products(owned(products))
            .merchants(owned(merchants))
            .min_change(*min_change)
    }

    fn sets(asked: &Asked) -> ([BTreeSet<&'static str>; 4], u32) {
        (asked.names.clone().map(|names| names.into_iter().collect()), asked.min_change)
    }

    /// What may be told: on which topics, of which type, of whose product, by
    /// how much.
    type Told = (Names, &'static str, &'static str, Option<i64>);

    fn told() -> impl Strategy<Value = Told> {
        let topics = ["price/green", "market/anxi", "product/a", "product/b", "room/x"].as_slice();
        let kinds = proptest::sample::select(KINDS.as_slice());
        let merchants = proptest::sample::select(["a", "b", "c", "d"].as_slice());
        (some(topics), kinds, merchants, proptest::option::of(-4..4_i64))
    }

    /// Whether it is wanted, found out in the plainest way.
    fn is_wanted(asked: &Asked, (topics, kind, merchant, change): &Told) -> bool {
        let Asked { names: [followed, kinds, products, merchants], min_change } = asked;
        let follows = |told: &&str| {
            followed.iter().any(|topic| match topic.strip_suffix('*') {
                Some(beginning) => told.starts_with(beginning),
                None => topic == told,
            })
        };
        let product = topics.iter().find_map(|topic| topic.strip_prefix("product/"));
        let is_small = *kind == "price.changed"
            && change.is_some_and(|change| change.unsigned_abs() < u64::from(*min_change));
        topics.iter().any(follows)
            && (kinds.is_empty() || kinds.contains(kind))
            && (products.is_empty() || product.is_some_and(|product| products.contains(&product)))
            && (merchants.is_empty() || (product.is_some() && merchants.contains(merchant)))
            && !is_small
    }

    proptest! {
        #[test]
        fn what_passes_is_what_was_asked_for(asked in asked(), told in told()) {
            let (topics, kind, merchant, change) = &told;
            let topics = topics.iter().map(|topic| Topic::known(topic)).collect();
            let data = serde_json::json!({ "merchant": merchant, "change_bp": change });
            let event = Event::encode("k", 1, 0, kind, topics, &data.to_string());
            prop_assert_eq!(made(&asked).matches(&event), is_wanted(&asked, &told));
        }

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
                let min_change = one.min_change;
                let names = [&one.names[0], &one.names[1], &one.names[2], &one.names[3]];
                let other = names.map(repeated).prop_map(move |names| Asked { names, min_change });
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
