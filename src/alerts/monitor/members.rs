//! Products that come and go: who begins to be looked at, and who ends.

use super::change::Listing;
use super::judge::Judge;
use super::round::{INSTANCES, Step};
use super::store;
use crate::alerts::bounds::Watch;
use crate::alerts::evaluate::{Input, Tick, evaluate};
use crate::alerts::instance::{Instance, State};
use crate::alerts::past::Book;
use crate::alerts::rule::{Kind, Rule, Status, Target};
use crate::alerts::series::{Latest, Series};
use crate::alerts::store as rules;
use crate::alerts::tell;
use crate::events::{self, Recorded, Tx};
use crate::notifications::Said;

/// A product was listed or described anew: it may match filters that it did
/// not match, and no longer match others.
pub(super) fn listed(
    tx: &mut Tx<'_>,
    judge: &mut Judge,
    event: &Recorded,
    listing: &Listing,
) -> events::Result<Step> {
    if judge.within() == 0 && event.kind == "product.updated" {
        for kind in [Kind::Price, Kind::Stock] {
            drop_out(tx, judge, event, listing, kind)?;
        }
    }
    let takers = store::takers(tx.read(), listing, judge.within(), INSTANCES as i64)?;
    let part = takers.len() >= INSTANCES;
    for row in takers {
        judge.count_look();
        judge.set_within(row.id);
        if let Ok(rule) = row.rule()
            && let Target::Filter(filter) = &rule.spec.target
            && listing.matches(filter, rule.spec.price_type.as_deref())
        {
            arrive(tx, judge, event, listing, rule)?;
        }
    }
    Ok(if part { Step::Part } else { Step::Whole })
}

/// A product begins to match the filter of `rule`, unless it did already.
fn arrive(
    tx: &mut Tx<'_>,
    judge: &mut Judge,
    event: &Recorded,
    listing: &Listing,
    mut rule: Rule,
) -> events::Result<()> {
    let kind = rule.spec.condition.op.kind();
    let series = Series::of_product(kind, &listing.id);
    let key = series.to_string();
    match store::state(tx.read(), &key, rule.id)?.as_deref() {
        None | Some("gone") => {}
        Some(_) => return Ok(()),
    }
    let latest = Latest {
        value: listing.value(kind),
        grams: listing.grams_per_unit,
        seq: event.seq,
        at: event.time,
        observed_at: event.time,
    };
    rules::follow(tx.write(), &key, &latest)?;
    let condition = rule.spec.condition.clone();
    let past =
        Book::new(&series, event.seq).past(tx.read(), &condition, Some(&latest), event.time)?;
    let tick = Tick {
        seq: event.seq,
        at: event.time,
        value: latest.amount(&condition),
        prev: None,
        correction: false,
    };
    let before = Instance::new();
    let verdict = evaluate(&condition, &before, &past, &Input::Arrival(tick));
    judge.settle(tx, &mut rule, &series, &before, verdict, event.seq, &latest)
}

/// Filter rules that the product no longer matches let go of it.
fn drop_out(
    tx: &mut Tx<'_>,
    judge: &mut Judge,
    event: &Recorded,
    listing: &Listing,
    kind: Kind,
) -> events::Result<()> {
    let series = Series::of_product(kind, &listing.id).to_string();
    let mut after = 0;
    loop {
        let found = store::on_series(tx.read(), &series, after, event.seq, true)?;
        let Some((last, _)) = found.last() else { return Ok(()) };
        after = last.rule_id;
        for (row, rule) in found {
            judge.count_look();
            let Ok(rule) = rule.rule() else { continue };
            let Target::Filter(filter) = &rule.spec.target else { continue };
            if !listing.matches(filter, rule.spec.price_type.as_deref()) {
                let mut instance = row.instance().unwrap_or_default();
                (instance.state, instance.due) = (State::Gone, None);
                let none = Watch::default();
                rules::save_instance(tx.write(), rule.id, &series, &instance, none, event.seq)?;
            }
        }
    }
}

/// A product is gone, and with it what was looked at. Whoever named it alone is
/// told once; a filter goes on with the others.
pub(super) fn withdrawn(
    tx: &mut Tx<'_>,
    judge: &mut Judge,
    event: &Recorded,
    product: &str,
) -> events::Result<Step> {
    for kind in [Kind::Price, Kind::Stock] {
        let series = Series::of_product(kind, product).to_string();
        let found = store::on_series(tx.read(), &series, 0, event.seq, false)?;
        let part = found.len() >= INSTANCES;
        for (row, rule) in found {
            judge.count_look();
            let mut instance = row.instance().unwrap_or_default();
            (instance.state, instance.due) = (State::Gone, None);
            let (id, none) = (rule.id, Watch::default());
            rules::save_instance(tx.write(), id, &series, &instance, none, event.seq)?;
            let Some(mut rule) = store::rule(tx.read(), id)? else { continue };
            if rule.status != Status::Active && rule.status != Status::Paused {
                continue;
            }
            tell::finish_if_over(tx, &mut rule)?;
            if matches!(rule.spec.target, Target::Product(_)) {
                let why = Said::new("商品已下架", "the product was withdrawn");
                tell::notice(tx, &rule, "gone", why)?;
            }
        }
        if part {
            return Ok(Step::Part);
        }
    }
    Ok(Step::Whole)
}
