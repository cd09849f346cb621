//! The present state of what a reader follows, a page at a time.

use super::store::{self, Shelf};
use super::{Category, Clearance, Product};
use crate::db::{self, Conn, Db};
use crate::events::{self, Filter, Told};
use crate::transports::{Asked, Page, Paged, Place, Present, SnapshotError};
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

/// How many events are looked through for what has changed since the page
/// before: as many more are left to the next page.
const SCAN: usize = 2_000;

/// The types of events that tell of a product.
const TOLD_OF_PRODUCTS: [&str; 7] = [
    "price.changed",
    "stock.changed",
    "product.arrived",
    "product.updated",
    "product.withdrawn",
    "clearance.started",
    "clearance.ended",
];

/// What there is in the catalogue, and as of which position of the log.
pub struct State {
    db: Db,
}

impl State {
    /// What there is in `db`.
    pub fn new(db: Db) -> State {
        State { db }
    }
}

impl Present for State {
    fn page(&self, asked: Arc<Asked>) -> Paged<'_> {
        Box::pin(
            async move { self.db.read(move |conn| conn.snapshot(|conn| page(conn, &asked))).await },
        )
    }
}

/// Reads a page on a connection that sees one state of the database.
fn page(conn: &mut Conn, asked: &Asked) -> Result<Page, SnapshotError> {
    let head = events::head(conn)?;
    let scope = Scope::of(&asked.filter);
    let mut draft = Draft::new(asked);
    let Some(place) = &asked.from else {
        draft.markets(conn, &scope)?;
        return go_on(conn, &scope, draft, head.seq, "");
    };
    if !(head.pruned_to..=head.seq).contains(&place.position) {
        return Err(SnapshotError::Expired);
    }
    let told = events::told_between(conn, (place.position, head.seq), SCAN as i64)?;
    let looked_to = if told.len() < SCAN { head.seq } else { told[SCAN - 1].seq };
    let changes = Changes::of(&told, &place.last);
    if changes.markets {
        draft.markets(conn, &scope)?;
    }
    let ids: Vec<&str> =
        changes.products.iter().take(asked.products).map(|change| change.product).collect();
    let mut known = store::named(conn, &ids)?;
    for (at, change) in changes.products.iter().enumerate() {
        let whole = ids.len() > at && !draft.is_full();
        if !whole {
            // What happened before this was taken in; the rest comes with the next page.
            let position = change.seq - 1;
            let next = Place { position, last: place.last.clone() };
            return Ok(draft.end(position, Some(next)));
        }
        let found = known.iter().position(|(product, _)| product.id == *change.product);
        let found = found.map(|at| known.swap_remove(at));
        match found {
            Some((product, clearance)) if scope.covers(&product, clearance.as_ref()) => {
                draft.product(&product, clearance.as_ref());
            }
            _ if change.may_leave => draft.removed(change.product),
            _ => {}
        }
    }
    if looked_to < head.seq {
        let next = Place { position: looked_to, last: place.last.clone() };
        return Ok(draft.end(looked_to, Some(next)));
    }
    go_on(conn, &scope, draft, head.seq, &place.last)
}

/// Fills the page with what comes after `last`.
fn go_on(
    conn: &mut Conn,
    scope: &Scope<'_>,
    mut draft: Draft,
    position: i64,
    last: &str,
) -> Result<Page, SnapshotError> {
    let room = draft.room();
    let found = scope.after(conn, last, room + 1)?;
    let found = store::with_clearances(conn, found)?;
    let mut last = last;
    for (product, clearance) in &found {
        if draft.is_full() {
            let next = Place { position, last: last.into() };
            return Ok(draft.end(position, Some(next)));
        }
        draft.product(product, clearance.as_ref());
        last = &product.id;
    }
    Ok(draft.end(position, None))
}

/// What has happened to what a reader was given already.
struct Changes<'a> {
    /// In the order of their first change.
    products: Vec<Change<'a>>,
    markets: bool,
}

struct Change<'a> {
    /// The position of its first change.
    seq: i64,
    product: &'a str,
    /// It may be no longer where it was.
    may_leave: bool,
}

impl Changes<'_> {
    fn of<'a>(told: &'a [Told], last: &str) -> Changes<'a> {
        let mut seen = HashSet::new();
        let leaves = |told: &&Told| {
            matches!(&*told.kind, "product.updated" | "product.withdrawn" | "clearance.ended")
        };
        let leaving: HashSet<&str> =
            told.iter().filter(leaves).filter_map(|told| product(&told.topics)).collect();
        let changed = |told: &'a Told| {
            let product = product(&told.topics)?;
            (product <= last && seen.insert(product)).then(|| Change {
                seq: told.seq,
                product,
                may_leave: leaving.contains(product),
            })
        };
        let products = told.iter().filter_map(changed).collect();
        Changes { products, markets: told.iter().any(|told| told.kind.starts_with("market.")) }
    }
}

fn product(topics: &str) -> Option<&str> {
    topics.split(' ').find_map(|topic| topic.strip_prefix("product/"))
}

/// What of the catalogue a filter is about.
struct Scope<'a> {
    filter: &'a Filter,
    /// Whether any event about a product passes it.
    products: bool,
}

impl Scope<'_> {
    fn of(filter: &Filter) -> Scope<'_> {
        let products = TOLD_OF_PRODUCTS.iter().any(|kind| filter.wants_kind(kind));
        Scope { filter, products }
    }

    fn names(&self, kind: &str) -> Vec<String> {
        let of_kind = self.filter.followed().iter().filter(|topic| topic.kind() == kind);
        of_kind.filter_map(|topic| topic.name()).map(str::to_owned).collect()
    }

    fn covers(&self, product: &Product, clearance: Option<&Clearance>) -> bool {
        let (ids, merchants) = (self.filter.only_products(), self.filter.only_merchants());
        let narrowed = |names: &[Box<str>], name: &str| {
            names.is_empty() || names.iter().any(|known| **known == *name)
        };
        let category = &*product.category;
        let follows = self.filter.followed().iter().any(|topic| {
            let name = topic.name().unwrap_or_default();
            match topic.kind() {
                "product" => name == product.id,
                _ if !product.is_listed() => false,
                "price" => name == "*" || Category::within(name).any(|known| known == category),
                "market" => name == "*" || name == product.market,
                "merchant" => name == product.merchant,
                "clearance" => clearance.is_some_and(|clearance| clearance.active),
                _ => false,
            }
        });
        self.products
            && follows
            && narrowed(ids, &product.id)
            && narrowed(merchants, &product.merchant)
    }

    /// The first `limit` products after `after` that are in it, by id.
    fn after(&self, conn: &mut Conn, after: &str, limit: usize) -> db::Result<Vec<Product>> {
        if !self.products {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut ids = self.names("product");
        let narrowed = !self.filter.only_products().is_empty();
        if narrowed {
            ids = self.filter.only_products().iter().map(|id| String::from(&**id)).collect();
        }
        ids.retain(|id| &**id > after);
        ids.sort_unstable();
        for some in ids.chunks(limit.max(1)) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            let named = store::named(conn, &some)?;
            let covered =
                named.into_iter().filter(|(it, clearance)| self.covers(it, clearance.as_ref()));
            found.extend(covered.map(|(product, _)| product));
        }
        if !narrowed {
            for shelf in self.shelves() {
                found.extend(store::shelf(conn, &shelf, after, limit as i64)?);
            }
        }
        found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        found.dedup_by(|one, other| one.id == other.id);
        found.truncate(limit);
        Ok(found)
    }

    fn shelves(&self) -> Vec<Shelf> {
        let only: Vec<String> =
            self.filter.only_merchants().iter().map(|id| String::from(&**id)).collect();
        let of = |shelf: Shelf| Shelf { only: only.clone(), ..shelf };
        let (prices, markets) = (self.names("price"), self.names("market"));
        if prices.iter().chain(&markets).any(|name| name == "*") {
            return vec![of(Shelf::default())];
        }
        let mut shelves = Vec::new();
        let categories: Vec<String> =
            prices.iter().flat_map(|name| Category::within(name)).map(str::to_owned).collect();
        if !categories.is_empty() {
            shelves.push(of(Shelf { categories, ..Shelf::default() }));
        }
        if !markets.is_empty() {
            shelves.push(of(Shelf { markets, ..Shelf::default() }));
        }
        let merchants = self.names("merchant");
        if !merchants.is_empty() {
            shelves.push(of(Shelf { merchants, ..Shelf::default() }));
        }
        if self.filter.followed().iter().any(|topic| topic.kind() == "clearance") {
            shelves.push(of(Shelf { reduced: true, ..Shelf::default() }));
        }
        shelves
    }

    fn market(&self, id: &str) -> bool {
        let tells = ["market.updated", "market.summary"];
        let about_products =
            !self.filter.only_products().is_empty() || !self.filter.only_merchants().is_empty();
        tells.iter().any(|kind| self.filter.wants_kind(kind))
            && !about_products
            && self.names("market").iter().any(|name| name == "*" || name == id)
    }
}

/// A page that is being written.
struct Draft {
    most: usize,
    bytes: usize,
    count: usize,
    products: String,
    removed: String,
    markets: String,
}

impl Draft {
    fn new(asked: &Asked) -> Draft {
        let (products, removed, markets) = Default::default();
        Draft { most: asked.products, bytes: asked.bytes, count: 0, products, removed, markets }
    }

    /// One product is taken however large it is.
    fn is_full(&self) -> bool {
        let bytes = self.products.len() + self.removed.len() + self.markets.len();
        self.count >= self.most || (self.count > 0 && bytes >= self.bytes)
    }

    fn room(&self) -> usize {
        self.most - self.count.min(self.most)
    }

    fn product(&mut self, product: &Product, clearance: Option<&Clearance>) {
        self.count += 1;
        push(&mut self.products, &product.json(clearance));
    }

    fn removed(&mut self, product: &str) {
        push(&mut self.removed, &format_args!("\"{product}\""));
    }

    /// What the markets have told last.
    fn markets(&mut self, conn: &mut Conn, scope: &Scope<'_>) -> db::Result<()> {
        if scope.names("market").is_empty() {
            return Ok(());
        }
        for market in store::markets(conn)? {
            if let Some(latest) = market.latest.filter(|_| scope.market(&market.id)) {
                push(&mut self.markets, &latest);
            }
        }
        Ok(())
    }

    fn end(self, position: i64, next: Option<Place>) -> Page {
        let Draft { products, removed, markets, .. } = self;
        let fields = format!(
            "\"products\":[{products}],\"removed\":[{removed}],\"markets\":[{markets}],\"unread\":null"
        );
        Page { fields, position, next }
    }
}

fn push(list: &mut String, item: &impl std::fmt::Display) {
    let comma = if list.is_empty() { "" } else { "," };
    let _ = write!(list, "{comma}{item}");
}
