use super::fold::fold;
use super::index::{FACETS, Facet};
use super::matcher::{MOST_CHARS, Word};
use crate::catalogue::{CATEGORIES, clean, merchant_id};
use crate::http::Params;
use crate::money::yuan;
use crate::refusal::{Refusal, shorten};
use sha2::{Digest, Sha256};

/// The most words, and values of one filter, that a query may have.
const MOST_WORDS: usize = 6;
const MOST_VALUES: usize = 50;

/// What a price is compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// A unit, whatever that weighs.
    Unit,
    /// The same weight.
    Weight,
}

/// Which products are looked for.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub words: Vec<Word>,
    /// For each of [`FACETS`] the values that will do, if not all of them.
    pub values: [Option<Vec<String>>; FACETS.len()],
    pub listed: Option<bool>,
    pub in_stock: Option<bool>,
    pub on_clearance: Option<bool>,
    /// Fen, both included.
    pub price_min: Option<i64>,
    pub price_max: Option<i64>,
    pub basis: Basis,
    /// The same for queries that ask for the same.
    pub text: String,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum Sort {
    Id,
    Price,
    Change,
    Newest,
    Stock,
    Relevance,
}

const SORTS: [(&str, Sort); 6] = [
    ("price", Sort::Price),
    ("change", Sort::Change),
    ("newest", Sort::Newest),
    ("stock", Sort::Stock),
    ("relevance", Sort::Relevance),
    ("id", Sort::Id),
];

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub sort: Sort,
    pub descending: bool,
}

impl Query {
    /// Takes the filters from `params`.
    ///
    /// # Errors
    /// The first that is of no use.
    pub fn take(params: &mut Params) -> Result<Query, Refusal> {
        let (q, words) = take_words(params)?;
        let mut values: [Option<Vec<String>>; FACETS.len()] = Default::default();
        for ((facet, name), values) in FACETS.into_iter().zip(&mut values) {
            if let Some(given) = params.take_values(name, MOST_VALUES)? {
                let checked: Result<Vec<String>, Refusal> =
                    given.iter().map(|value| check(facet, name, value)).collect();
                let mut checked = checked?;
                checked.sort();
                checked.dedup();
                *values = Some(checked);
            }
        }
        let listed = params.take_one_of("status", &["listed", "withdrawn"])?;
        let in_stock = take_yes_no(params, "in_stock")?;
        let on_clearance = take_yes_no(params, "on_clearance")?;
        let price_min = take_yuan(params, "price_min")?;
        let price_max = take_yuan(params, "price_max")?;
        if let (Some(min), Some(max)) = (price_min, price_max)
            && min > max
        {
            return Err(Refusal::invalid(
                "price_min",
                "contradictory_parameters",
                "`price_min` is above `price_max`: nothing costs that",
                "“price_min”大于“price_max”，没有商品符合",
            ));
        }
        let basis = match params.take_one_of("basis", &["listing", "per_500g"])? {
            Some("per_500g") => Basis::Weight,
            _ => Basis::Unit,
        };
        let text = format!(
            "{q:?} {values:?} {listed:?} {in_stock:?} {on_clearance:?} {price_min:?} {price_max:?} {basis:?}"
        );
        let listed = listed.map(|status| status == "listed");
        Ok(Query {
            words,
            values,
            listed,
            in_stock,
            on_clearance,
            price_min,
            price_max,
            basis,
            text,
        })
    }

    /// The values of a property that will do, if not all of them.
    pub fn values_of(&self, facet: Facet) -> Option<&[String]> {
        self.values[facet as usize].as_deref()
    }

    /// Names this query, in this order, on the log `epoch`: a place in the answer
    /// to one is of no use in that to another.
    pub fn fingerprint(&self, order: Order, epoch: &str) -> String {
        let hash = Sha256::digest(format!("{epoch} {order:?} {}", self.text));
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Order {
    /// Takes the order from `params`: by relevance if words are looked for, by
    /// id if not, unless it is said.
    ///
    /// # Errors
    /// `bad_value`; `needs_q` for relevance to nothing.
    pub fn take(params: &mut Params, query: &Query) -> Result<Order, Refusal> {
        let names = SORTS.map(|(name, _)| name);
        let named = params.take_one_of("sort", &names)?;
        let sort = match named.and_then(|name| SORTS.iter().find(|(known, _)| *known == name)) {
            Some((_, sort)) => *sort,
            None if query.words.is_empty() => Sort::Id,
            None => Sort::Relevance,
        };
        if sort == Sort::Relevance && query.words.is_empty() {
            return Err(Refusal::invalid(
                "sort",
                "needs_q",
                "`sort=relevance` is relevance to the words in `q`; without them use price, change, newest, stock or id",
                "“sort=relevance”需要关键词“q”；没有关键词时请用 price、change、newest、stock 或 id",
            ));
        }
        let descending = match params.take_one_of("order", &["asc", "desc"])? {
            Some(order) => order == "desc",
            None => !matches!(sort, Sort::Id | Sort::Price),
        };
        Ok(Order { sort, descending })
    }
}

fn take_words(params: &mut Params) -> Result<(String, Vec<Word>), Refusal> {
    let Some(text) = params.take("q")? else { return Ok(Default::default()) };
    let bad = |en: String, zh: String| Refusal::invalid("q", "bad_query", en, zh);
    if text.chars().count() > MOST_CHARS {
        return Err(bad(
            format!("`q` may have {MOST_CHARS} characters"),
            format!("“q”最多 {MOST_CHARS} 个字符"),
        ));
    }
    let folded = fold(&text);
    if folded.is_empty() {
        return Err(bad(
            "`q` has no letter, digit or Chinese character to look for".to_owned(),
            "“q”中没有可搜索的文字、字母或数字".to_owned(),
        ));
    }
    let mut words = Vec::new();
    for part in folded.split(' ') {
        match Word::new(part) {
            Some(word) if !words.contains(&word) => words.push(word),
            Some(_) => {}
            // A character may become several, as in ㎏.
            None => {
                return Err(bad(
                    format!("a word in `q` may have {MOST_CHARS} characters"),
                    format!("“q”中的每个词最多 {MOST_CHARS} 个字符"),
                ));
            }
        }
    }
    if words.len() > MOST_WORDS {
        return Err(bad(
            format!("`q` may have {MOST_WORDS} words"),
            format!("“q”最多 {MOST_WORDS} 个词"),
        ));
    }
    Ok((folded, words))
}

fn take_yes_no(params: &mut Params, name: &'static str) -> Result<Option<bool>, Refusal> {
    Ok(params.take_one_of(name, &["true", "false"])?.map(|value| value == "true"))
}

fn take_yuan(params: &mut Params, name: &'static str) -> Result<Option<i64>, Refusal> {
    let Some(text) = params.take(name)? else { return Ok(None) };
    match yuan(&text) {
        Some(fen) => Ok(Some(fen)),
        None => Err(Refusal::invalid(
            name,
            "bad_price",
            format!(
                "`{name}` is `{}`; want yuan with at most two decimals, as in 128.00",
                shorten(&text)
            ),
            format!("“{name}”为“{}”；应为元，最多两位小数，例如 128.00", shorten(&text)),
        )),
    }
}

/// Looks at a value of a filter. What a merchant may write as they please may be
/// asked for as one pleases: there may be none of it.
fn check(facet: Facet, name: &'static str, value: &str) -> Result<String, Refusal> {
    match facet {
        Facet::Category => one_of(name, value, &CATEGORIES.map(|category| category.id)),
        Facet::PriceType => one_of(name, value, &["wholesale", "retail", "buy_in"]),
        Facet::Vintage => match value.parse::<i64>() {
            Ok(year) if (1800..=2200).contains(&year) => Ok(year.to_string()),
            _ => Err(Refusal::invalid(
                name,
                "out_of_range",
                format!("`{name}` is `{}`; want years from 1800 to 2200", shorten(value)),
                format!("“{name}”为“{}”；应为 1800 到 2200 的年份", shorten(value)),
            )),
        },
        Facet::Merchant => merchant_id(value),
        Facet::Market => crate::catalogue::parse_id(name, value),
        Facet::Origin | Facet::Grade | Facet::Form => clean(name, value, 64),
    }
}

fn one_of(name: &'static str, value: &str, allowed: &[&str]) -> Result<String, Refusal> {
    if allowed.contains(&value) {
        return Ok(value.to_owned());
    }
    Err(not_one_of(name, value, allowed))
}

/// The answer to a value that is none of `allowed`.
pub(super) fn not_one_of(name: &'static str, value: &str, allowed: &[&str]) -> Refusal {
    let value = shorten(value);
    Refusal::invalid(
        name,
        "bad_value",
        format!("`{name}` is `{value}`; want some of {}", allowed.join(", ")),
        format!("“{name}”为“{value}”；应为 {} 之中", allowed.join("、")),
    )
    .with("allowed", allowed.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(query: &str) -> Result<(Query, Order), Refusal> {
        let mut params = Params::parse(query);
        let query = Query::take(&mut params)?;
        let order = Order::take(&mut params, &query)?;
        params.finish()?;
        Ok((query, order))
    }

    #[test]
    fn what_is_of_no_use_is_named() {
        for (query, field, code) in [
            ("category=tea", "category", "bad_value"),
            ("category=", "category", "empty_parameter"),
            ("category=green,,dark", "category", "empty_parameter"),
            ("price_type=auction", "price_type", "bad_value"),
            ("vintage=1799", "vintage", "out_of_range"),
            ("vintage=new", "vintage", "out_of_range"),
            ("market=-x", "market", "bad_id"),
            ("status=gone", "status", "bad_value"),
            ("status=listed&status=listed", "status", "repeated_parameter"),
            ("in_stock=yes", "in_stock", "bad_value"),
            ("price_min=-1", "price_min", "bad_price"),
            ("price_max=1.234", "price_max", "bad_price"),
            ("price_min=2&price_max=1", "price_min", "contradictory_parameters"),
            ("basis=kg", "basis", "bad_value"),
            ("sort=name", "sort", "bad_value"),
            ("sort=relevance", "sort", "needs_q"),
            ("order=up", "order", "bad_value"),
            ("order=asc&order=desc", "order", "repeated_parameter"),
            ("q=a&q=b", "q", "repeated_parameter"),
            ("q=", "q", "bad_query"),
            ("q=%E3%80%82", "q", "bad_query"),
            ("q=a+b+c+d+e+f+g", "q", "bad_query"),
            (&format!("q={}", "a".repeat(61)), "q", "bad_query"),
            (&format!("origin={}", "a".repeat(65)), "origin", "too_long"),
            ("colour=red", "colour", "unknown_parameter"),
        ] {
            let refusal = take(query).expect_err(query);
            assert_eq!((refusal.field.as_deref(), &*refusal.code), (Some(field), code), "{query}");
        }
    }

    #[test]
    fn the_order_follows_from_what_is_asked() {
        let order = |query| take(query).expect(query).1;
        let is = |sort, descending| Order { sort, descending };
        assert_eq!(order(""), is(Sort::Id, false));
        assert_eq!(order("q=dhp"), is(Sort::Relevance, true));
        assert_eq!(order("q=dhp&sort=price"), is(Sort::Price, false));
        assert_eq!(order("sort=change&order=asc"), is(Sort::Change, false));
    }

    #[test]
    fn queries_that_ask_for_the_same_have_the_same_name() {
        let name = |query| {
            let (query, order) = take(query).expect(query);
            query.fingerprint(order, "k")
        };
        assert_eq!(name("category=green,dark"), name("category=dark&category=green"));
        assert_eq!(name("q=DHP"), name("q=dhp"));
        assert_ne!(name("q=dhp"), name("q=dhp&sort=price"));
        assert_ne!(name("origin=a"), name("grade=a"));
    }

    proptest! {
        #[test]
        fn no_query_makes_it_stumble(query in "(q|category|origin|vintage|price_min|sort|order)=\\PC{0,70}(&[a-z_]{1,9}=\\PC{0,9}){0,3}") {
            let _ = take(&query);
        }
    }
}
