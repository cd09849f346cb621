//! What a reader is spared that is far behind: changes of a price or a stock
//! that a newer one of the same product has made pointless.
//!
//! Every event that is kept stays at its own position, so a cursor means what
//! it always means: whatever was folded, something newer of the same product
//! comes after it, and is still to come for whoever goes on from before that.

use super::event::{PRICE_CHANGED, STOCK_CHANGED};
use super::{Cursor, Event, Events, Room, Tail, log};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

/// How many events of one reader are folded together.
const WINDOW: Room = Room { events: 4_096, bytes: usize::MAX, at_least_one: true };

/// How much may wait for a reader that does not keep up before some of it is
/// folded.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// So many events.
    pub events: usize,
    /// Or so many bytes of them.
    pub bytes: usize,
}

impl Bound {
    fn is_passed(&self, events: &[Arc<Event>]) -> bool {
        let bytes = || events.iter().map(|event| event.json_bytes()).sum::<usize>();
        events.len() > self.events || bytes() > self.bytes
    }
}

/// How many events were folded, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// So many.
    pub events: usize,
    /// After this one.
    pub from: Cursor,
    /// And before this one, or at it.
    pub to: Cursor,
}

impl Folded {
    /// As a stream is told, before what is left. It has no id: it is not yet
    /// where it speaks of.
    pub fn frame(&self) -> String {
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let data = json!({ "folded": self.events, "from": from, "to": to });
        format!("event: folded\ndata: {data}\n\n")
    }
}

/// As [`Tail::find`] in as much as fits into `room`, but folded if more than
/// `bound` waits; and how many events that spared.
pub(super) fn find(
    tail: &Tail,
    filter: &super::Filter,
    (after, to): (i64, i64),
    room: Room,
    bound: Bound,
) -> Option<(log::Page, usize)> {
    let mut page = tail.find(filter, (after, to), WINDOW)?;
    let mut spared = 0;
    if bound.is_passed(&page.events) {
        spared = fold(&mut page, room);
    } else {
        cut(&mut page, room);
    }
    Some((page, spared))
}

/// Folds `page`, and leaves of it what fits into `room`; returns how many
/// events that spared.
pub(super) fn fold(page: &mut log::Page, room: Room) -> usize {
    let keep = newest(&page.events);
    let all = std::mem::take(&mut page.events);
    let mut spared = Vec::new();
    for (event, keep) in all.into_iter().zip(keep) {
        if keep {
            page.events.push(event);
        } else {
            spared.push(event.seq);
        }
    }
    cut(page, room);
    spared.partition_point(|seq| *seq <= page.reached)
}

fn cut(page: &mut log::Page, room: Room) {
    let fits = room.fitting(&page.events);
    if fits < page.events.len() {
        page.events.truncate(fits);
        page.reached = page.events.last().map_or(page.reached, |event| event.seq);
    }
}

/// Which of `events` are to be kept.
fn newest(events: &Events) -> Vec<bool> {
    let mut seen = HashSet::new();
    let is_newest = |event: &Event| match event.product() {
        Some(product) if [PRICE_CHANGED, STOCK_CHANGED].contains(&event.kind) => {
            // Of one kind and product the last in the log, which is met first.
            seen.insert((event.kind, product.to_owned()))
        }
        _ => true,
    };
    let backwards: Vec<bool> = events.iter().rev().map(|event| &**event).map(is_newest).collect();
    backwards.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, Topic};
    use super::*;
    use crate::telemetry::Metrics;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const KINDS: [&str; 4] =
        ["price.changed", "stock.changed", "clearance.started", "room.message"];

    fn told() -> impl Strategy<Value = (usize, usize, usize)> {
        (0..KINDS.len(), 0..4_usize, 0..200_usize)
    }

    fn event(seq: i64, (kind, product, size): (usize, usize, usize)) -> Arc<Event> {
        let mut topics = vec![Topic::known("room/x")];
        if KINDS[kind] != "room.message" {
            topics.push(Topic::product(&format!("p{product}")));
        }
        let data = format!("\"{}\"", "x".repeat(size));
        Arc::new(Event::encode("k", seq, 0, KINDS[kind], topics, &data))
    }

    proptest! {
        #[test]
        fn what_is_folded_is_told_newer_and_nothing_else_is_lost(
            log in proptest::collection::vec(told(), 0..80),
            room in (1..9_usize, 200..2_000_usize),
            bound in (0..30_usize, 0..9_000_usize),
        ) {
            let head = log::Head { seq: 0, epoch: "k".into(), pruned_to: 0 };
            let tail = Tail::new(&head, 100, usize::MAX, &Metrics::default());
            let log: Events =
                log.into_iter().enumerate().map(|(at, it)| event(at as i64 + 1, it)).collect();
            tail.offer(log.iter().cloned());
            let filter = Filter::topics([Topic::known("room/x")]);
            let room = Room { events: room.0, bytes: room.1, at_least_one: true };
            let bound = Bound { events: bound.0, bytes: bound.1 };
            let (mut at, mut told, mut folded) = (0, Events::new(), 0);
            while at < tail.head() {
                let (page, spared) =
                    find(&tail, &filter, (at, tail.head()), room, bound).expect("in memory");
                prop_assert!(page.reached > at);
                prop_assert!(room.fitting(&page.events) == page.events.len());
                folded += spared;
                // Whoever comes back with the cursor of any of these has missed none but
                // what is told again, newer, after it.
                let heard = |seq: i64| page.events.iter().any(|event| event.seq == seq);
                for passed in log.iter().filter(|it| it.seq > at && it.seq <= page.reached) {
                    let newer = log.iter().any(|it| it.seq > passed.seq
                        && (it.kind, it.product()) == (passed.kind, passed.product()));
                    let folds = [PRICE_CHANGED, STOCK_CHANGED].contains(&passed.kind);
                    prop_assert!(heard(passed.seq) || (folds && newer));
                }
                at = page.reached;
                told.extend(page.events);
            }
            prop_assert!(told.is_sorted_by(|one, next| one.seq < next.seq));
            prop_assert_eq!(told.len() + folded, log.len());
            let last = |events: &Events| -> HashMap<(&str, Option<String>), i64> {
                let key = |it: &Arc<Event>| (it.kind, it.product().map(str::to_owned));
                events.iter().map(|event| (key(event), event.seq)).collect()
            };
            prop_assert_eq!(last(&told), last(&log));
        }
    }
}
