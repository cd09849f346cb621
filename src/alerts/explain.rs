//! Why a rule fired, or why it does not.

use super::answer::{names, text};
use super::evaluate::{Input, evaluate};
use super::instance::{Evaluation, Instance};
use super::past::Book;
use super::references::distance;
use super::rule::{Condition, Kind, Rule};
use super::series::{Latest, Series, Subject, subject};
use super::{manage, store};
use crate::clock::{Millis, rfc3339};
use crate::db::{self, Conn};
use serde_json::{Value, json};

/// How many instances are told of.
const INSTANCES: i64 = 50;

/// How many firings.
const FIRINGS: i64 = 20;

/// What is to be known of `rule`: where it stands on each of its series, what
/// it would say of the present value, its last evaluations and firings.
pub(super) fn explain(conn: &mut Conn, rule: &Rule, now: Millis) -> db::Result<Value> {
    let mut instances = Vec::new();
    for row in store::instances(conn, rule.id, INSTANCES)? {
        if let Some(series) = Series::parse(&row.series) {
            instances.push(instance(conn, rule, &series, &row.instance()?, now)?);
        }
    }
    let firings: Vec<Value> = store::last_firings(conn, rule.id, FIRINGS)?
        .into_iter()
        .map(|it| {
            let series = Series::parse(&it.series);
            let (product, market) = series.as_ref().map_or((None, None), names);
            json!({
                "product": product,
                "market": market,
                "version": it.version,
                "cause": it.cause,
                "value": it.value,
                "threshold": it.threshold,
                "at": rfc3339(it.at),
                "told_at": rfc3339(it.told_at),
                "late": it.late,
            })
        })
        .collect();
    Ok(json!({ "instances": instances, "firings": firings }))
}

fn instance(
    conn: &mut Conn,
    rule: &Rule,
    series: &Series,
    it: &Instance,
    now: Millis,
) -> db::Result<Value> {
    let condition = &rule.spec.condition;
    let subject = subject(conn, series)?;
    let latest = match &subject {
        Some(subject) => subject.latest(series, 0, now),
        None => Latest { value: None, grams: 500, seq: 0, at: now, observed_at: now },
    };
    // The present value looked at once more, by the same evaluator; nothing is kept of it.
    let mut past = Book::new(series, i64::MAX).past(conn, condition, Some(&latest), now)?;
    past.last_tick = Some(latest.at);
    let value = latest.amount(condition);
    let again = evaluate(condition, it, &past, &Input::Timer { at: now, value });
    let away = again
        .threshold
        .zip(value)
        .map(|(line, value)| distance(value.ratio(), line, condition.op.is_downward()));
    let trace: Vec<Value> = it
        .memory
        .trace
        .iter()
        .rev()
        .map(|one| told(one, condition, series, subject.as_ref()))
        .collect();
    let (product, market) = names(series);
    let cooldown = it.cooldown_until(condition.cooldown_s).filter(|until| *until > now);
    Ok(json!({
        "product": product,
        "market": market,
        "name": subject.as_ref().map(Subject::name),
        "state": it.state.as_str(),
        "armed": manage::looks_out(it.state),
        "value": latest.value,
        "value_text": text(subject.as_ref(), series, latest.value),
        "threshold": again.threshold,
        "threshold_text": text(subject.as_ref(), series, again.threshold),
        "distance": away,
        "true_now": condition.op.is_level().then_some(again.holds).flatten(),
        "zone": it.memory.zone,
        "suppressed": it.memory.suppressed,
        "cooldown_until": cooldown.map(rfc3339),
        "due_at": it.due.map(rfc3339),
        "last_fired_at": it.memory.fired_at.map(rfc3339),
        "evaluations": trace,
    }))
}

/// One evaluation, newest first in its list. Only those that changed something
/// or were near it were made at all: the rest is what the indexes are for.
fn told(
    one: &Evaluation,
    condition: &Condition,
    series: &Series,
    subject: Option<&Subject>,
) -> Value {
    let listed =
        condition.basis == super::rule::Basis::Listed || condition.op.kind() == Kind::Stock;
    json!({
        "at": rfc3339(one.at),
        "value": one.value,
        "value_text": text(subject, series, one.value).filter(|_| listed),
        "threshold": one.threshold,
        "state": one.state,
        "outcome": one.outcome,
        "why": why(&one.outcome),
    })
}

/// What an outcome means.
fn why(outcome: &str) -> Value {
    let (zh, en) = match outcome {
        "fired" => ("已触发", "it fired"),
        "not_true" => ("条件未满足", "the condition is not met"),
        "still_true" => ("已触发过，需先恢复", "it has fired; the value has to come back first"),
        "within_margin" => ("未超出回差，未重新布防", "the value came back, but not by the margin"),
        "rearmed" => ("已恢复，重新布防", "the value came back; it looks out again"),
        "holding" => ("已满足，正在计时", "it is met, and has to last"),
        "did_not_hold" => ("未持续足够时间", "it did not last"),
        "cooldown" => ("冷却中", "it is in its cooldown"),
        "once_a_day" => ("今天已提醒", "it has fired today"),
        "correction" => ("更正不触发", "a correction never fires"),
        "was_unknown" => ("之前库存未知", "the stock was unknown before"),
        "unknown" => ("库存未知", "the stock is unknown"),
        "no_data" => ("历史数据不足", "there is too little history"),
        "no_value" => ("还没有数值", "there is no value yet"),
        "already_true" => {
            ("设定时已满足，需先恢复", "it was met at the start; the value has to come back first")
        }
        "waits" => ("等待事件发生", "it waits for the moment"),
        _ => ("无变化", "nothing changed"),
    };
    json!({ "zh": zh, "en": en })
}
