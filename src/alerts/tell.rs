use super::instance::{Cause, End, STORM_MS, after_firing};
use super::rule::{Kind, Rule, Status, Target};
use super::series::{Series, Subject};
use super::store::{self, FiringRow};
use super::words;
use crate::clock::{Millis, rfc3339};
use crate::events::{self, Tx};
use crate::money::yuan_text;
use crate::notifications::{self, Channel, New, Said};
use serde_json::{Value, json};

/// A firing is late when what it tells of is older than this …
const LATE: Millis = 300_000;

/// … and leaves the house no more when it is older than this.
const STALE: Millis = 86_400_000;

/// How many firings one notification lists.
const ITEMS: usize = 20;

/// A rule has fired on a series.
#[derive(Clone, Debug)]
pub(super) struct Firing {
    pub series: Series,
    pub subject: Option<Subject>,
    pub cause: Cause,
    /// The position of the tick, or when the timer was due.
    pub cause_seq: i64,
    pub at: Millis,
    pub observed_at: Millis,
    pub value: Option<i64>,
    pub threshold: Option<i64>,
}

/// Stores what `rule` fired, once for each cause, tells its owner of it in one
/// notification, and ends or pauses the rule if that was too often. Answers how
/// many firings there were.
pub(super) fn fire(tx: &mut Tx<'_>, rule: &mut Rule, firings: &[Firing]) -> events::Result<usize> {
    let now = tx.now();
    let late = |firing: &Firing| now - firing.observed_at > LATE;
    let mut new = Vec::new();
    for firing in firings {
        let row = FiringRow {
            rule,
            series: &firing.series,
            cause_seq: firing.cause_seq,
            cause: firing.cause,
            value: firing.value,
            threshold: firing.threshold,
            at: firing.at,
            told_at: now,
            late: late(firing),
        };
        if store::add_firing(tx.write(), &row)? {
            new.push(firing);
        }
    }
    let Some(first) = new.first() else { return Ok(0) };
    rule.fires += new.len() as i64;
    let newest = new.iter().map(|it| it.observed_at).max().unwrap_or(now);
    let channels = match now - newest > STALE {
        true => Vec::new(),
        false => rule.spec.channels.iter().filter_map(|name| Channel::find(name)).collect(),
    };
    let is_late = new.iter().all(|firing| late(firing));
    let (title, body, speech) = said(rule, first, new.len(), is_late);
    let product = first.series.product().filter(|_| new.len() == 1);
    let links = match product {
        Some(product) => vec![
            ("product", format!("/v1/products/{product}")),
            ("rule", format!("/v1/alerts/{}", rule.id)),
        ],
        None => vec![("rule", format!("/v1/alerts/{}", rule.id))],
    };
    let items: Vec<Value> =
        new.iter().take(ITEMS).map(|firing| item(firing, late(firing))).collect();
    let kind = match rule.spec.condition.op.kind() {
        Kind::Price => "price_alert",
        Kind::Stock => "stock_alert",
    };
    notifications::notify(
        tx,
        &New {
            user: rule.user.clone(),
            kind,
            title,
            body,
            speech,
            data: json!({
                "rule": rule.id,
                "rule_version": rule.version,
                "op": rule.spec.condition.op,
                "note": rule.spec.note,
                "total": new.len(),
                "items": items,
            }),
            links,
            product: product.map(str::to_owned),
            rule: Some(rule.id),
            observed_at: Some(newest),
            late: is_late,
            channels,
        },
    )?;
    let fired = new.len();
    let last = new.iter().map(|it| it.at).max().unwrap_or(now);
    settle(tx, rule, last)?;
    Ok(fired)
}

/// Ends or pauses a rule that has fired often enough, or too often.
fn settle(tx: &mut Tx<'_>, rule: &mut Rule, last: Millis) -> events::Result<()> {
    rule.updated = tx.now();
    let recent = store::firings_since(tx.read(), rule.id, last - STORM_MS)?;
    match after_firing(rule, rule.fires, usize::try_from(recent).unwrap_or(usize::MAX)) {
        Some(End::Done) => rule.status = Status::Done,
        Some(End::Storm) => {
            rule.status = Status::Paused;
            let why = Said::new(
                "3 分钟内触发超过 15 次，已暂停；可调整条件后恢复",
                "it fired more than 15 times in 3 minutes and was paused; change it or resume it",
            );
            notice(tx, rule, "storm", why)?;
        }
        None => {}
    }
    if rule.status != Status::Active {
        store::blind(tx.write(), rule.id)?;
    }
    store::save_rule(tx.write(), rule)?;
    Ok(())
}

/// Whether nothing is left that could fire, and the rule is done.
pub(super) fn finish_if_over(tx: &mut Tx<'_>, rule: &mut Rule) -> events::Result<()> {
    // A filter may be matched by something new.
    if rule.status != Status::Active || matches!(rule.spec.target, Target::Filter(_)) {
        return Ok(());
    }
    let states = store::states(tx.read(), rule.id)?;
    if states.iter().all(|(state, _)| state == "done" || state == "gone") {
        let done = states.iter().any(|(state, _)| state == "done");
        rule.status = if done { Status::Done } else { Status::Gone };
        store::save_rule(tx.write(), rule)?;
    }
    Ok(())
}

/// Tells the owner of a rule of what became of the rule itself.
pub(super) fn notice(tx: &mut Tx<'_>, rule: &Rule, reason: &str, why: Said) -> events::Result<()> {
    let what = words::condition(&rule.spec.condition);
    let note = rule.spec.note.clone().unwrap_or_default();
    let title = Said::new(
        format!("提醒 {} {note}", rule.id).trim_end().to_owned(),
        format!("Alert {} {note}", rule.id).trim_end().to_owned(),
    );
    let body = Said::new(
        format!("提醒“{}”：{}。", what.zh, why.zh),
        format!("The alert \"{}\": {}.", what.en, why.en),
    );
    let product = match &rule.spec.target {
        Target::Product(product) => Some(product.clone()),
        _ => None,
    };
    notifications::notify(
        tx,
        &New {
            user: rule.user.clone(),
            kind: "alert_notice",
            title,
            speech: body.clone(),
            body,
            data: json!({ "rule": rule.id, "reason": reason, "status": rule.status.as_str() }),
            links: vec![("rule", format!("/v1/alerts/{}", rule.id))],
            product,
            rule: Some(rule.id),
            observed_at: None,
            late: false,
            channels: Vec::new(),
        },
    )?;
    Ok(())
}

fn said(rule: &Rule, first: &Firing, total: usize, late: bool) -> (Said, Said, Said) {
    let condition = &rule.spec.condition;
    match &first.subject {
        Some(subject) if total == 1 => {
            let fired = words::Fired {
                subject,
                series: &first.series,
                value: first.value,
                cause: first.cause,
            };
            words::fired(condition, &fired, late)
        }
        subject => {
            let series = first.series.to_string();
            words::fired_many(condition, subject.as_ref().map_or(&series, Subject::name), total)
        }
    }
}

fn item(firing: &Firing, late: bool) -> Value {
    let priced = !matches!(firing.series, Series::Stock(_));
    let yuan = |fen: Option<i64>| fen.filter(|_| priced).map(yuan_text);
    let (product, market) = match &firing.series {
        Series::Market(market) => (None, Some(market)),
        Series::Price(product) | Series::Stock(product) => (Some(product), None),
    };
    json!({
        "product": product,
        "market": market,
        "name": firing.subject.as_ref().map(Subject::name),
        "cause": firing.cause.as_str(),
        "price": yuan(firing.value),
        "value": firing.value,
        "threshold": firing.threshold,
        "at": rfc3339(firing.at),
        "observed_at": rfc3339(firing.observed_at),
        "late": late,
    })
}
