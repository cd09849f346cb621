//! Keeps the index as the database is: it is loaded once, and then told by the
//! log what changed.

use super::index::{Index, set_close};
use super::moves::{begin_of, day_of};
use super::store::{self, Tick};
use crate::clock::{self, Millis};
use crate::db::{self, Conn};
use crate::events::{self, Event, Events};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How many products, events or ticks one statement reads.
const PAGE: i64 = 5_000;
const SOME: usize = 500;

/// How many events it may be behind before loading all anew costs less.
const FAR_BEHIND: i64 = 50_000;

/// How many ticks are read to find what yesterday closed at. What has no tick
/// among them has no change until its price changes again.
const MOST_TICKS: i64 = 1_000_000;

/// What there is to know of an envelope.
#[derive(Deserialize)]
struct Envelope<D> {
    time: String,
    data: D,
}

#[derive(Deserialize)]
struct Price {
    price_fen: i64,
    from_fen: Option<i64>,
    grams_per_unit: i64,
}

#[derive(Deserialize)]
struct Stock {
    available: i64,
}

/// Loads all products, as of one moment.
pub(super) fn load(conn: &mut Conn, now: Millis) -> db::Result<Index> {
    conn.snapshot(|conn| {
        let position = events::head(conn)?.seq;
        let mut index = Index::new(position);
        let reduced: HashSet<String> = store::reduced(conn)?.into_iter().collect();
        let begin = begin_of(day_of(now));
        let mut moved = HashMap::new();
        let mut after = String::new();
        loop {
            let page = store::listings(conn, &after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id.clone();
            let today = page.iter().filter(|listing| listing.updated >= begin);
            moved.extend(today.map(|listing| (listing.id.clone(), listing.created >= begin)));
            index.put(page.iter().map(|it| (position, it, reduced.contains(&it.id))));
        }
        if !moved.is_empty() {
            find_closes(conn, &mut index, moved, begin)?;
        }
        index.begin_undo();
        Ok(index)
    })
}

/// Finds what those products cost when the day began at `begin` that have
/// changed since; each with whether it came since.
fn find_closes(
    conn: &mut Conn,
    index: &mut Index,
    moved: HashMap<String, bool>,
    begin: Millis,
) -> db::Result<()> {
    let mut closes = Closes { begin, moved, wanted: HashSet::new() };
    let (mut before, mut read) = (i64::MAX, 0);
    while read < MOST_TICKS {
        let ticks = store::ticks_before(conn, before, PAGE)?;
        let Some(last) = ticks.last() else { break };
        before = last.seq;
        read += PAGE;
        if closes.take(index, &ticks) {
            break;
        }
    }
    Ok(())
}

/// What the day before closed at, found by going back through the ticks.
struct Closes {
    begin: Millis,
    /// The products that have changed since, each with whether it came since.
    moved: HashMap<String, bool>,
    /// Those whose price did, and that cost something before.
    wanted: HashSet<String>,
}

impl Closes {
    /// Takes the next older ticks, newest first; true when there is no more to find.
    fn take(&mut self, index: &mut Index, ticks: &[Tick]) -> bool {
        let today = day_of(self.begin);
        for tick in ticks {
            if tick.received_at >= self.begin {
                // What it was before stands further back.
                if let Some(new) = self.moved.get(&tick.product) {
                    set_close(index, &tick.product, today, 0);
                    if !new {
                        self.wanted.insert(tick.product.clone());
                    }
                }
            } else if self.wanted.remove(&tick.product) {
                let row = index.row(&tick.product);
                let same = row.is_some_and(|row| index.now(row).grams == tick.grams_per_unit);
                set_close(index, &tick.product, today, if same { tick.price } else { 0 });
            }
        }
        let through = ticks.last().is_some_and(|last| last.received_at < self.begin);
        through && self.wanted.is_empty()
    }
}

/// Brings `index` up to where the log is in the database, or loads it anew.
pub(super) fn catch_up(
    conn: &mut Conn,
    epoch: &str,
    index: &mut Index,
    now: Millis,
) -> db::Result<()> {
    let caught_up = conn.snapshot(|conn| {
        let head = events::head(conn)?;
        if head.pruned_to > index.position || head.seq - index.position > FAR_BEHIND {
            return Ok(false);
        }
        let (mut at, mut strange) = (index.position, BTreeMap::new());
        while at < head.seq {
            let page = events::all_after(conn, epoch, at, PAGE)?;
            let Some(last) = page.last() else { break };
            at = last.seq;
            for (id, seq) in apply(index, &page) {
                strange.entry(id).or_insert(seq);
            }
        }
        let ids: Vec<String> = strange.keys().cloned().collect();
        for ids in ids.chunks(SOME) {
            let listings = store::listings_of(conn, ids)?;
            let reduced: HashSet<String> = store::reduced_of(conn, ids)?.into_iter().collect();
            let since = |id: &str| strange.get(id).copied().unwrap_or(head.seq);
            index.put(listings.iter().map(|it| (since(&it.id), it, reduced.contains(&it.id))));
        }
        index.position = head.seq;
        Ok::<_, db::Error>(true)
    })?;
    if !caught_up {
        *index = load(conn, now)?;
    }
    Ok(())
}

/// Whether all that `events` tell of products can be taken from them alone.
pub(super) fn are_plain(index: &Index, events: &Events) -> bool {
    let plain = |event: &Event| match event.product() {
        None => true,
        Some(id) => is_move(event) && index.row(id).is_some(),
    };
    events.iter().all(|event| plain(event))
}

fn is_move(event: &Event) -> bool {
    matches!(event.kind, "price.changed" | "stock.changed")
}

/// Takes from `events` what they tell of prices and stock; answers the products
/// that have to be looked up, each with the position that first told so.
pub(super) fn apply(index: &mut Index, events: &Events) -> BTreeMap<String, i64> {
    let mut strange = BTreeMap::new();
    let from = index.position;
    for event in events.iter().filter(|event| event.seq > from) {
        let Some(id) = event.product() else { continue };
        let done = match index.row(id) {
            Some(row) if is_move(event) => apply_move(index, row, event),
            _ => false,
        };
        if !done {
            strange.entry(id.to_owned()).or_insert(event.seq);
        }
    }
    if let Some(last) = events.last() {
        index.position = index.position.max(last.seq);
    }
    strange
}

/// False if it does not say what such an event says.
fn apply_move(index: &mut Index, row: u32, event: &Event) -> bool {
    if event.kind == "stock.changed" {
        let told = serde_json::from_str::<Envelope<Stock>>(event.json());
        let Ok(Envelope { data, .. }) = told else { return false };
        index.change(event.seq, row, |moves| moves.stock = data.available);
        return true;
    }
    let Ok(told) = serde_json::from_str::<Envelope<Price>>(event.json()) else { return false };
    let Some(time) = clock::parse(&told.time) else { return false };
    index.change(event.seq, row, |moves| {
        moves.note_change(day_of(time), told.data.from_fen);
        moves.price = told.data.price_fen;
        moves.grams = told.data.grams_per_unit;
    });
    true
}

#[cfg(test)]
mod tests {
    use super::super::store::Listing;
    use super::*;

    fn listing(id: &str, price: i64, updated: Millis) -> Listing {
        Listing {
            id: id.to_owned(),
            merchant: "m1".to_owned(),
            market: "fangcun".to_owned(),
            category: "green".to_owned(),
            name: id.to_owned(),
            name_en: None,
            brand: None,
            variety: None,
            recipe: None,
            origin: None,
            grade: None,
            vintage: None,
            batch: None,
            form: None,
            harvest: None,
            storage: None,
            grams_per_unit: if id == "cake" { 357 } else { 500 },
            price_type: "wholesale".to_owned(),
            price: Some(price),
            stock: None,
            reserved: 0,
            status: "listed".to_owned(),
            created: 0,
            updated,
        }
    }

    #[test]
    fn what_yesterday_closed_at_is_read_from_the_ticks() {
        let begin = begin_of(20_000);
        let listings = ["moved", "still", "new", "cake"].map(|id| listing(id, 120, begin + 5));
        let mut index = Index::new(9);
        index.put(listings.iter().map(|listing| (9, listing, false)));
        let moved = listings.iter().map(|it| (it.id.clone(), it.id == "new")).collect();
        let mut closes = Closes { begin, moved, wanted: HashSet::new() };
        let tick = |seq, product: &str, price, received_at| Tick {
            seq,
            product: product.to_owned(),
            price,
            grams_per_unit: 500,
            received_at,
        };
        let today = [
            tick(9, "moved", 120, begin + 5),
            tick(8, "new", 120, begin + 4),
            tick(7, "cake", 120, begin + 3),
            tick(6, "moved", 110, begin),
        ];
        let before = [
            tick(5, "moved", 100, begin - 1),
            tick(4, "still", 120, begin - 2),
            tick(3, "cake", 100, begin - 3),
            tick(2, "moved", 90, begin - 4),
        ];
        assert!(!closes.take(&mut index, &today));
        assert!(closes.take(&mut index, &before));
        let change = |id| index.now(index.row(id).expect("there")).change_bp(20_000);
        assert_eq!((change("moved"), change("still")), (Some(2_000), Some(0)));
        // It came today; and a cake is not what a jin was.
        assert_eq!((change("new"), change("cake")), (None, None));
    }
}
