//! The index, its order and its counts against slow and obvious ones.

use super::find::{Page, find, is_within};
use super::index::{FACETS, Facet, Index, Past, score};
use super::moves::Moves;
use super::place::Place;
use super::query::{Basis, Order, Query, Sort};
use super::store::Listing;
use super::words::Words;
use super::{facets, sync};
use crate::events::{Event, Topic};
use crate::http::Params;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::cmp::Ordering;
use std::sync::Arc;

const TODAY: i32 = 20_000;

fn asked(text: &str) -> (Query, Order) {
    let mut params = Params::parse(text);
    let query = Query::take(&mut params).expect("a query");
    let order = Order::take(&mut params, &query).expect("an order");
    params.finish().expect("nothing else");
    (query, order)
}

fn listing(n: usize) -> impl Strategy<Value = (Listing, bool)> {
    let what = (
        select(&["大红袍", "武夷大红袍", "六安瓜片", "大益 7542", "铁观音"][..]),
        select(&["green", "dark", "dark.puer", "oolong"][..]),
        select(&["fangcun", "anxi"][..]),
        select(&[None, Some("福建"), Some("云南")][..]),
        select(&[None, Some(2003), Some(2024)][..]),
        select(&["m1", "m2"][..]),
    );
    let moves = (
        prop_oneof![
            Just(None),
            (1..6_i64).prop_map(Some),
            (1..=1_000_000_000_000_i64).prop_map(Some)
        ],
        select(&[1_i64, 50, 357, 500, 1000][..]),
        prop_oneof![Just(None), (0..4_i64).prop_map(Some)],
        any::<bool>(),
        any::<bool>(),
        0..3_i64,
    );
    (what, moves).prop_map(move |(what, moves)| {
        let (name, category, market, origin, vintage, merchant) = what;
        let (price, grams_per_unit, stock, listed, reduced, created) = moves;
        let listing = Listing {
            id: format!("t{n}"),
            merchant: merchant.to_owned(),
            market: market.to_owned(),
            category: category.to_owned(),
            name: name.to_owned(),
            name_en: Some("Tea cake".to_owned()).filter(|_| stock.is_some()),
            brand: None,
            variety: None,
            recipe: Some("7542".to_owned()).filter(|_| vintage == Some(2003)),
            origin: origin.map(str::to_owned),
            grade: Some("特级".to_owned()).filter(|_| listed),
            vintage,
            batch: None,
            form: Some("饼".to_owned()).filter(|_| grams_per_unit == 357),
            harvest: None,
            storage: None,
            grams_per_unit,
            price_type: "wholesale".to_owned(),
            price,
            stock,
            reserved: 0,
            status: if listed { "listed" } else { "withdrawn" }.to_owned(),
            created,
            updated: created,
        };
        (listing, reduced)
    })
}

type Listings = Vec<(Listing, bool)>;

fn listings(most: usize) -> impl Strategy<Value = Listings> {
    (0..most).prop_flat_map(|n| (0..n).map(listing).collect::<Vec<_>>())
}

fn queries() -> impl Strategy<Value = String> {
    let part = select(
        &[
            "",
            "q=dhp",
            "q=dahong",
            "q=7542",
            "q=%E5%A4%A7+te",
            "q=luan",
            "q=cake",
            "q=zzz",
            "category=dark",
            "category=green,dark.puer",
            "market=anxi",
            "origin=福建,无",
            "vintage=2003",
            "merchant=m1",
            "form=饼",
            "status=listed",
            "status=withdrawn",
            "in_stock=true",
            "in_stock=false",
            "on_clearance=true",
            "price_min=0.03",
            "price_max=100000",
            "basis=per_500g",
            "sort=price",
            "sort=price",
            "sort=change",
            "sort=newest",
            "sort=stock",
            "order=asc",
            "order=desc",
            "grade=特级",
        ][..],
    );
    proptest::collection::vec(part, 0..6).prop_map(|parts| {
        let mut kept: Vec<&str> = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let name = part.split('=').next();
            if kept.iter().all(|other| other.split('=').next() != name) {
                kept.push(part);
            }
        }
        kept.join("&")
    })
}

fn filled(listings: &Listings) -> Index {
    let mut index = Index::new(1);
    index.put(listings.iter().map(|(listing, reduced)| (1, listing, *reduced)));
    index
}

fn ids(page: &Page) -> Vec<String> {
    page.products.iter().map(|(id, _)| id.to_string()).collect()
}

/// How well all words are found in a listing, looked at by itself.
fn obvious_score(query: &Query, listing: &Listing) -> Option<i64> {
    let mut alone = Index::new(0);
    alone.put([(0, listing, false)]);
    let scores = query.words.iter().map(|word| score(word, alone.text(0)));
    scores.map(|score| Some(i64::from(score)).filter(|_| score != Words::NOT)).sum()
}

fn value_of(listing: &Listing, facet: Facet) -> Option<String> {
    match facet {
        Facet::Category => Some(listing.category.clone()),
        Facet::Market => Some(listing.market.clone()),
        Facet::Origin => listing.origin.clone(),
        Facet::Grade => listing.grade.clone(),
        Facet::Vintage => listing.vintage.map(|year| year.to_string()),
        Facet::Merchant => Some(listing.merchant.clone()),
        Facet::Form => listing.form.clone(),
        Facet::PriceType => Some(listing.price_type.clone()),
    }
}

/// Whether a listing passes all filters but `but`.
fn passes(query: &Query, (listing, reduced): &(Listing, bool), but: Option<&str>) -> bool {
    let facets = FACETS.iter().filter(|(_, name)| Some(*name) != but);
    let values = facets.into_iter().all(|(facet, _)| {
        let Some(wanted) = query.values_of(*facet) else { return true };
        let Some(value) = value_of(listing, *facet) else { return false };
        match facet {
            Facet::Category => wanted.iter().any(|class| is_within(&value, class)),
            _ => wanted.contains(&value),
        }
    });
    let is = |name: &str, wanted: Option<bool>, is| {
        but == Some(name) || wanted.is_none_or(|wanted| wanted == is)
    };
    let bound = |bound: Option<i64>, want: Ordering| {
        let (Some(bound), Some(price)) = (bound, listing.price) else {
            return bound.is_none();
        };
        let (price, bound) = match query.basis {
            Basis::Unit => (i128::from(price), i128::from(bound)),
            Basis::Weight => {
                (i128::from(price) * 500, i128::from(bound) * i128::from(listing.grams_per_unit))
            }
        };
        price.cmp(&bound) != want
    };
    let price = bound(query.price_min, Ordering::Less) && bound(query.price_max, Ordering::Greater);
    values
        && is("status", query.listed, listing.status == "listed")
        && is("in_stock", query.in_stock, listing.stock.is_some_and(|stock| stock > 0))
        && is("on_clearance", query.on_clearance, *reduced)
        && (but == Some("price") || price)
        && obvious_score(query, listing).is_some()
}

/// What is to be found, in its order.
fn obvious(listings: &Listings, (query, order): (&Query, Order)) -> Vec<String> {
    let mut found: Vec<&(Listing, bool)> =
        listings.iter().filter(|it| passes(query, it, None)).collect();
    found.sort_by(|(one, _), (two, _)| one.id.cmp(&two.id));
    if order.sort == Sort::Id {
        if order.descending {
            found.reverse();
        }
        return found.into_iter().map(|(listing, _)| listing.id.clone()).collect();
    }
    // A fraction, or nothing to go by. No price has changed today.
    let key = |listing: &Listing| match order.sort {
        Sort::Newest => Some((listing.created, 1)),
        Sort::Stock => listing.stock.map(|stock| (stock, 1)),
        Sort::Relevance => obvious_score(query, listing).map(|score| (-score, 1)),
        Sort::Change => listing.price.map(|_| (1, 1)),
        _ if query.basis == Basis::Unit => listing.price.map(|price| (price, 1)),
        _ => listing.price.map(|price| (price, listing.grams_per_unit)),
    };
    found.sort_by(|(one, _), (two, _)| match (key(one), key(two)) {
        (Some(one), Some(two)) => {
            let wide = |a: i64, b: i64| i128::from(a) * i128::from(b);
            let ordering = wide(one.0, two.1).cmp(&wide(two.0, one.1));
            if order.descending { ordering.reverse() } else { ordering }
        }
        (one, two) => one.is_none().cmp(&two.is_none()),
    });
    found.into_iter().map(|(listing, _)| listing.id.clone()).collect()
}

fn place(page: &Page, position: i64) -> Option<Place> {
    let (key, (id, _)) = page.next.zip(page.products.last())?;
    let query = "0123456789abcdef".to_owned();
    Some(Place { query, position, day: TODAY, key, id: id.to_string() })
}

/// Something that happens to a product while somebody reads page after page.
#[derive(Clone, Debug)]
enum Happening {
    Price(usize, i64),
    Stock(usize, i64),
    Anew(usize, Box<(Listing, bool)>),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        3 => (0..40_usize, 1..9_i64).prop_map(|(n, price)| Happening::Price(n, price)),
        2 => (0..40_usize, 0..4_i64).prop_map(|(n, stock)| Happening::Stock(n, stock)),
        1 => (0..40_usize).prop_flat_map(|n| {
            listing(n).prop_map(move |it| Happening::Anew(n, Box::new(it)))
        }),
    ];
    proptest::collection::vec(one, 0..12)
}

/// Lets it happen, to the index as the log tells it and to the listings.
fn happen(index: &mut Index, listings: &mut Listings, happening: &Happening) {
    let seq = index.position + 1;
    let known = |n: usize| format!("t{n}");
    let find = |listings: &Listings, n: usize| {
        listings.iter().position(|(listing, _)| listing.id == known(n))
    };
    let event = |n: usize, kind, data: serde_json::Value| {
        let topics = vec![Topic::product(&known(n))];
        let time = super::moves::begin_of(TODAY) + 1;
        Arc::new(Event::encode("k", seq, time, kind, topics, &data.to_string()))
    };
    match happening {
        Happening::Price(n, price) => {
            let Some(at) = find(listings, *n) else { return };
            let listing = &mut listings[at].0;
            let data = json!({
                "price_fen": price, "from_fen": listing.price, "grams_per_unit": listing.grams_per_unit,
            });
            listing.price = Some(*price);
            let events = vec![event(*n, "price.changed", data)];
            assert!(sync::are_plain(index, &events) && sync::apply(index, &events).is_empty());
        }
        Happening::Stock(n, quantity) => {
            let Some(at) = find(listings, *n) else { return };
            listings[at].0.stock = Some(*quantity);
            let events = vec![event(*n, "stock.changed", json!({ "available": quantity }))];
            assert!(sync::are_plain(index, &events) && sync::apply(index, &events).is_empty());
        }
        Happening::Anew(n, it) => {
            match find(listings, *n) {
                Some(at) => listings[at] = (**it).clone(),
                None => listings.push((**it).clone()),
            }
            let events = vec![event(*n, "product.updated", json!({}))];
            assert!(!sync::are_plain(index, &events));
            assert_eq!(
                sync::apply(index, &events).into_iter().collect::<Vec<_>>(),
                [(known(*n), seq)]
            );
            index.put([(seq, &it.0, it.1)]);
        }
    }
}

proptest! {
    #[test]
    fn what_is_found_is_what_an_obvious_search_finds(
        listings in listings(40),
        query in queries(),
        limit in 1..60_usize,
    ) {
        let index = filled(&listings);
        let (query, order) = asked(&query);
        let wanted = obvious(&listings, (&query, order));
        let page = find(&index, &Past::default(), (&query, order), TODAY, None, limit);
        prop_assert_eq!(ids(&page), &wanted[..wanted.len().min(limit)]);
        prop_assert_eq!(page.total, wanted.len());
        prop_assert_eq!(page.next.is_some(), wanted.len() > limit);
    }

    #[test]
    fn every_value_is_counted_as_if_it_were_chosen(
        listings in listings(40),
        query in queries(),
    ) {
        let index = filled(&listings);
        let (query, order) = asked(&query);
        let counts = facets::count(&index, &query);
        for (facet, name) in FACETS {
            for value in listings.iter().filter_map(|(listing, _)| value_of(listing, facet)) {
                let with = |it: &&(Listing, bool)| {
                    value_of(&it.0, facet).as_ref() == Some(&value) && passes(&query, it, Some(name))
                };
                let wanted = listings.iter().filter(with).count();
                prop_assert_eq!(counts.of(&index, facet, &value) as usize, wanted, "{} {}", name, value);
            }
        }
        let of = |name: &str, is: &dyn Fn(&(Listing, bool)) -> bool| {
            let all = listings.iter().filter(|it| passes(&query, it, Some(name)));
            let (yes, no): (Vec<_>, Vec<_>) = all.partition(|it| is(it));
            [no.len() as u32, yes.len() as u32]
        };
        prop_assert_eq!(counts.status, of("status", &|it| it.0.status == "listed"));
        prop_assert_eq!(counts.in_stock, of("in_stock", &|it| it.0.stock.is_some_and(|n| n > 0)));
        prop_assert_eq!(counts.on_clearance, of("on_clearance", &|it| it.1));
        prop_assert_eq!(counts.total as usize, obvious(&listings, (&query, order)).len());

        let priced = listings.iter().filter(|it| passes(&query, it, Some("price")) && it.0.price.is_some());
        let all = priced.count();
        prop_assert_eq!(counts.price().is_some(), all > 0);
        if let Some((min, max)) = counts.price() {
            // As bounds they leave nothing out.
            let bounded = Query { price_min: Some(min), price_max: Some(max), ..query.clone() };
            prop_assert_eq!(facets::count(&index, &bounded).total as usize, all);
        }
    }

    #[test]
    fn nothing_is_skipped_or_shown_twice_while_prices_and_stock_move(
        mut listings in listings(40),
        query in queries(),
        limit in 1..7_usize,
        before in happenings(),
        between in proptest::collection::vec(happenings(), 1..8),
    ) {
        let mut index = filled(&listings);
        for happening in &before {
            happen(&mut index, &mut listings, happening);
        }
        let (query, order) = asked(&query);
        let whole = find(&index, &Past::default(), (&query, order), TODAY, None, usize::MAX);
        let position = index.position;
        let page = find(&index, &Past::default(), (&query, order), TODAY, None, limit);
        let (mut shown, mut after) = (ids(&page), place(&page, position));
        let mut between = between.iter().cycle();
        // What a product is called and how it is described may change too; here it
        // does not, since then it need not match any more.
        while let Some(from) = after {
            for happening in between.next().into_iter().flatten() {
                if !matches!(happening, Happening::Anew(n, _) if listings.iter().any(|it| it.0.id == format!("t{n}"))) {
                    happen(&mut index, &mut listings, happening);
                }
            }
            let past = index.past(position).expect("not that long ago");
            let page = find(&index, &past, (&query, order), TODAY, Some(&from), limit);
            prop_assert_eq!(page.total, whole.total);
            prop_assert!(!page.products.is_empty());
            shown.extend(ids(&page));
            after = place(&page, position);
        }
        prop_assert_eq!(shown, ids(&whole));
    }

    #[test]
    fn what_the_log_tells_leads_to_what_the_database_has(
        mut listings in listings(40),
        query in queries(),
        happenings in happenings(),
    ) {
        let (query, order) = asked(&query);
        let order = if order.sort == Sort::Change { Order { sort: Sort::Price, ..order } } else { order };
        let mut index = filled(&listings);
        // So that its words are known, and have to be kept right.
        find(&index, &Past::default(), (&query, order), TODAY, None, 1);
        for happening in &happenings {
            happen(&mut index, &mut listings, happening);
        }
        let page = find(&index, &Past::default(), (&query, order), TODAY, None, usize::MAX);
        prop_assert_eq!(ids(&page), obvious(&listings, (&query, order)));
        for (listing, _) in &listings {
            let now = index.now(index.row(&listing.id).expect("there"));
            prop_assert_eq!((now.price(), now.grams), (listing.price, listing.grams_per_unit));
        }
    }
}

#[test]
fn a_change_is_since_yesterday_and_the_biggest_rise_comes_first() {
    let (query, order) = asked("sort=change");
    let mut index = Index::new(1);
    for (id, price) in [("t1", Some(100)), ("t2", Some(300)), ("t3", Some(100)), ("t4", None)] {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let tree = listing(0).new_tree(&mut runner).expect("a listing");
        let any = proptest::strategy::ValueTree::current(&tree).0;
        index.put([(1, &Listing { id: id.to_owned(), price, ..any }, false)]);
    }
    let mut change = |id: &str, price: i64| {
        let row = index.row(id).expect("there");
        let seq = index.position + 1;
        index.position = seq;
        index.change(seq, row, |moves: &mut Moves| {
            moves.note_change(TODAY, moves.price());
            moves.price = price;
        });
    };
    change("t1", 150);
    change("t1", 90);
    change("t2", 330);
    let page = find(&index, &Past::default(), (&query, order), TODAY, None, 10);
    let told: Vec<(&str, Option<i64>)> =
        page.products.iter().map(|(id, change)| (&**id, *change)).collect();
    assert_eq!(told, [("t2", Some(1_000)), ("t3", Some(0)), ("t1", Some(-1_000)), ("t4", None)]);
}

#[test]
fn what_happened_too_long_ago_is_not_made_up() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = listing(0).new_tree(&mut runner).expect("a listing");
    let any = proptest::strategy::ValueTree::current(&tree);
    let mut index = filled(&vec![any]);
    for n in 0..200_000_i64 {
        index.position += 1;
        let seq = index.position;
        index.change(seq, 0, |moves| moves.price = 1 + n % 2);
    }
    assert!(index.past(2).is_none() && index.past(100_000).is_some());
    assert!(index.past(index.position).is_some());
    assert!(index.bytes() < 20_000_000, "{}", index.bytes());
}
