use super::find::{CLEARANCE, PRICE, STATUS, STOCK, Test, is_within};
use super::index::{FACETS, Facet, Index, Past};
use super::query::{Basis, Query};
use crate::catalogue::{CATEGORIES, Market};
use crate::money::yuan_text;
use serde_json::{Map, Value, json};

/// The most values of one property that are answered.
const MOST: usize = 500;

/// How many products each value of each filter would leave, if that filter
/// were set to it and the others stayed as they are.
#[derive(Debug)]
pub(super) struct Counts {
    /// For each of [`FACETS`], by the number of the value; 0 for no value.
    values: [Vec<u32>; FACETS.len()],
    /// For each, how many pass every filter but this one.
    pub status: [u32; 2],
    pub in_stock: [u32; 2],
    pub on_clearance: [u32; 2],
    /// The lowest and the highest price, as fractions: fen, and of how many grams.
    price: Option<((i64, i64), (i64, i64))>,
    /// How many pass all filters.
    pub total: u32,
}

/// Counts what `query` leaves.
pub(super) fn count(index: &Index, query: &Query) -> Counts {
    let test = Test::new(index, query);
    let mut counts = Counts {
        values: FACETS.map(|(facet, _)| vec![0; index.values[facet as usize].len()]),
        status: [0; 2],
        in_stock: [0; 2],
        on_clearance: [0; 2],
        price: None,
        total: 0,
    };
    for (row, facts, now) in index.all(&Past::default()) {
        if test.score(row).is_none() {
            continue;
        }
        let failed = test.failed(facts, now);
        // One that fails two filters stays out whichever of them is changed.
        if !failed.is_power_of_two() && failed != 0 {
            continue;
        }
        let counts_for = |filter: usize| failed & !(1 << filter) == 0;
        for (at, values) in counts.values.iter_mut().enumerate() {
            if counts_for(at) {
                values[facts.codes[at] as usize] += 1;
            }
        }
        if counts_for(STATUS) {
            counts.status[usize::from(now.listed)] += 1;
        }
        if counts_for(STOCK) {
            counts.in_stock[usize::from(now.stock > 0)] += 1;
        }
        if counts_for(CLEARANCE) {
            counts.on_clearance[usize::from(now.reduced)] += 1;
        }
        if counts_for(PRICE)
            && let Some(price) = now.price()
        {
            let of = if query.basis == Basis::Unit { 500 } else { now.grams };
            counts.widen((price, of));
        }
        counts.total += u32::from(failed == 0);
    }
    counts
}

impl Counts {
    fn widen(&mut self, price: (i64, i64)) {
        let less = |one: (i64, i64), two: (i64, i64)| {
            i128::from(one.0) * i128::from(two.1) < i128::from(two.0) * i128::from(one.1)
        };
        self.price = Some(match self.price {
            None => (price, price),
            Some((low, high)) => (
                if less(price, low) { price } else { low },
                if less(high, price) { price } else { high },
            ),
        });
    }

    /// The lowest and the highest price in fen, rounded outwards: as bounds they
    /// leave nothing out.
    pub fn price(&self) -> Option<(i64, i64)> {
        let ((low, low_of), (high, high_of)) = self.price?;
        let fen = |price: i64, of: i64, up: i128| {
            let of = i128::from(of.max(1));
            i64::try_from((i128::from(price) * 500 + (of - 1) * up).div_euclid(of))
                .unwrap_or(i64::MAX)
        };
        Some((fen(low, low_of, 0), fen(high, high_of, 1)))
    }

    /// How many products have `value`.
    pub fn of(&self, index: &Index, facet: Facet, value: &str) -> u32 {
        let code = index.values[facet as usize].code(value);
        code.map_or(0, |code| self.values[facet as usize][code as usize])
    }

    /// The same for a category and its sub-classes.
    fn within(&self, index: &Index, class: &str) -> u32 {
        let within = CATEGORIES.iter().filter(|category| is_within(category.id, class));
        within.map(|category| self.of(index, Facet::Category, category.id)).sum()
    }

    /// All of it, as it is answered.
    pub fn json(&self, index: &Index, query: &Query, markets: &[Market]) -> Value {
        let mut filters = Map::new();
        let mut left_out = Map::new();
        for (facet, name) in FACETS {
            let (options, more) = match facet {
                Facet::Category => (self.categories(index, query), 0),
                Facet::Market => (self.markets(index, query, markets), 0),
                _ => self.options(index, query, facet),
            };
            filters.insert(name.to_owned(), options.into());
            if more > 0 {
                left_out.insert(name.to_owned(), more.into());
            }
        }
        let two = |names: [&str; 2], counts: [u32; 2], chosen: Option<bool>| {
            let option = |at: usize| {
                let selected = chosen == Some(at == 1);
                json!({ "value": names[at], "count": counts[at], "selected": selected })
            };
            json!([option(1), option(0)])
        };
        let yes_no = ["false", "true"];
        filters
            .insert("status".to_owned(), two(["withdrawn", "listed"], self.status, query.listed));
        filters.insert("in_stock".to_owned(), two(yes_no, self.in_stock, query.in_stock));
        filters
            .insert("on_clearance".to_owned(), two(yes_no, self.on_clearance, query.on_clearance));
        let price = self.price().map(|(min, max)| {
            json!({
                "basis": if query.basis == Basis::Unit { "listing" } else { "per_500g" },
                "min": yuan_text(min), "min_fen": min,
                "max": yuan_text(max), "max_fen": max,
            })
        });
        json!({
            "total": self.total,
            "total_is": "exact",
            "products": index.len(),
            "price": price,
            "filters": filters,
            "left_out": left_out,
        })
    }

    fn categories(&self, index: &Index, query: &Query) -> Vec<Value> {
        let option = |category: &crate::catalogue::Category| {
            json!({
                "value": category.id,
                "name": category.name,
                "name_en": category.name_en,
                "parent": category.parent,
                "count": self.within(index, category.id),
                "selected": is_selected(query, Facet::Category, category.id),
            })
        };
        CATEGORIES.iter().map(option).collect()
    }

    fn markets(&self, index: &Index, query: &Query, markets: &[Market]) -> Vec<Value> {
        let option = |market: &Market| {
            json!({
                "value": market.id,
                "name": market.name,
                "name_en": market.name_en,
                "count": self.of(index, Facet::Market, &market.id),
                "selected": is_selected(query, Facet::Market, &market.id),
            })
        };
        markets.iter().map(option).collect()
    }

    /// The values of one property that there are and those that were chosen,
    /// those of most products first (years newest first), and how many more.
    fn options(&self, index: &Index, query: &Query, facet: Facet) -> (Vec<Value>, usize) {
        let dictionary = &index.values[facet as usize];
        let counts = self.values[facet as usize].iter().enumerate();
        let named = counts.filter_map(|(code, count)| Some((&**dictionary.value(code)?, *count)));
        let mut options: Vec<(&str, u32)> =
            named.filter(|(value, count)| *count > 0 || is_selected(query, facet, value)).collect();
        for value in query.values_of(facet).unwrap_or_default() {
            if dictionary.code(value).is_none() {
                options.push((value, 0));
            }
        }
        match facet {
            Facet::Vintage => options.sort_unstable_by(|one, two| two.0.cmp(one.0)),
            _ => options.sort_unstable_by(|one, two| two.1.cmp(&one.1).then(one.0.cmp(two.0))),
        }
        let more = options.len().saturating_sub(MOST);
        let (shown, rest) = options.split_at(options.len().min(MOST));
        // What was chosen has to be there, to be taken back.
        let chosen = rest.iter().filter(|(value, _)| is_selected(query, facet, value));
        let all = shown.iter().chain(chosen).map(|(value, count)| {
            let selected = is_selected(query, facet, value);
            json!({ "value": value, "count": count, "selected": selected })
        });
        (all.collect(), more)
    }
}

fn is_selected(query: &Query, facet: Facet, value: &str) -> bool {
    query.values_of(facet).is_some_and(|values| values.iter().any(|chosen| chosen == value))
}
