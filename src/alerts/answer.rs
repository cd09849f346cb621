//! Rules as they are answered.

use super::instance::State;
use super::manage::Begun;
use super::references::distance;
use super::rule::{Condition, Kind, Margin, Op, Reference, Rule, Spec, Target};
use super::series::{Series, Subject};
use super::words;
use crate::clock::rfc3339;
use crate::money::yuan_text;
use crate::notifications::Said;
use serde_json::{Map, Value, json};

/// A sentence in both languages.
pub(super) fn both(said: &Said) -> Value {
    json!({ "zh": said.zh, "en": said.en })
}

/// A rule, in the same words that it may be sent in.
pub(super) fn rule_json(rule: &Rule, states: &[(String, i64)]) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    put("id", json!(rule.id));
    put("version", json!(rule.version));
    put("status", json!(rule.status.as_str()));
    for (name, value) in spec_json(&rule.spec) {
        put(&name, value);
    }
    put("fires", json!(rule.fires));
    let states: Map<String, Value> =
        states.iter().map(|(state, count)| (state.clone(), json!(count))).collect();
    put("instances", Value::Object(states));
    put("condition", both(&words::condition(&rule.spec.condition)));
    put("created_at", json!(rfc3339(rule.created)));
    put("updated_at", json!(rfc3339(rule.updated)));
    Value::Object(all)
}

fn spec_json(spec: &Spec) -> Map<String, Value> {
    let condition = &spec.condition;
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    let stock = condition.op.kind() == Kind::Stock;
    put("kind", json!(if stock { "stock" } else { "price" }));
    match &spec.target {
        Target::Product(product) => put("product", json!(product)),
        Target::Products(products) => put("products", json!(products)),
        Target::Filter(filter) => put("filter", json!(filter)),
        Target::Market(market) => put("market", json!(market)),
    }
    put("price_type", json!(spec.price_type));
    put("basis", json!(condition.basis));
    put("op", json!(condition.op));
    put("threshold", json!(condition.threshold));
    let yuan = |fen: Option<i64>| fen.filter(|_| !stock).map(yuan_text);
    let moves = matches!(condition.op, Op::DropAbs | Op::RiseAbs);
    let (price, amount) = match moves {
        true => (None, yuan(condition.threshold)),
        false => (yuan(condition.threshold), None),
    };
    put("price", json!(price));
    put("amount", json!(amount));
    put("quantity", json!(condition.threshold.filter(|_| stock)));
    put("lo", json!(yuan(condition.lo)));
    put("hi", json!(yuan(condition.hi)));
    put("percent", json!(condition.pct_bp.map(yuan_text)));
    put("pct_bp", json!(condition.pct_bp));
    put("ref", json!(condition.reference.map(reference_text)));
    let fixed = match condition.reference {
        Some(Reference::Fixed(fen)) => Some(yuan_text(fen)),
        _ => None,
    };
    put("ref_price", json!(fixed));
    put("days", json!(condition.days));
    put("window_days", json!(condition.window_days));
    put("hours", json!(condition.hours));
    put("mode", json!(condition.mode));
    let (fen, bp) = match condition.margin {
        Margin::Fen(fen) => (Some(fen), None),
        Margin::Bp(bp) => (None, Some(bp)),
        Margin::Tenth => (None, Some(1_000)),
    };
    put("margin_fen", json!(fen));
    put("margin_bp", json!(bp));
    put("hold_s", json!(condition.hold_s));
    put("cooldown_s", json!(condition.cooldown_s));
    put("fire_if_true_now", json!(condition.op.is_level().then_some(condition.fire_if_true_now)));
    put("max_fires", json!(spec.max_fires));
    put("expires_at", json!(rfc3339(spec.expires_at)));
    let channels: Vec<&str> =
        std::iter::once("inapp").chain(spec.channels.iter().map(String::as_str)).collect();
    put("channels", json!(channels));
    put("note", json!(spec.note));
    all
}

/// `avg(7d)`, as it may be sent.
pub(super) fn reference_text(reference: Reference) -> String {
    match reference {
        Reference::Created => "created".to_owned(),
        Reference::LastFired => "last_fired".to_owned(),
        Reference::PrevTick => "prev_tick".to_owned(),
        Reference::PrevClose => "prev_close".to_owned(),
        Reference::Avg(days) => format!("avg({days}d)"),
        Reference::Median(days) => format!("median({days}d)"),
        Reference::Low(days) => format!("low({days}d)"),
        Reference::High(days) => format!("high({days}d)"),
        Reference::Window(seconds) => format!("window({seconds}s)"),
        Reference::SimilarMedian => "similar_median".to_owned(),
        Reference::Fixed(_) => "fixed".to_owned(),
    }
}

/// Where a rule begins on one series: what it would do now.
pub(super) fn begun_json(condition: &Condition, begun: &Begun) -> Value {
    let (product, market) = names(&begun.series);
    let shown = |value: Option<i64>| {
        value.map(|value| words::value_text(&begun.subject, &begun.series, value))
    };
    json!({
        "product": product,
        "market": market,
        "name": begun.subject.name(),
        "value": begun.latest.value,
        "value_text": shown(begun.latest.value),
        "threshold": begun.verdict.threshold,
        "distance": away(condition, begun),
        "already_true": condition.op.is_level().then_some(begun.verdict.holds).flatten(),
        "fired": begun.verdict.fired.map(super::instance::Cause::as_str),
        "state": begun.verdict.instance.state.as_str(),
    })
}

fn away(condition: &Condition, begun: &Begun) -> Option<i64> {
    let line = begun.verdict.threshold.or(match condition.op {
        Op::CrossDown | Op::CrossUp | Op::Cross => condition.threshold,
        _ => None,
    })?;
    let value = begun.latest.amount(condition)?.ratio();
    let downward = condition.op.is_downward() || condition.op == Op::CrossDown;
    if condition.op == Op::Cross {
        return Some((value.floor() - line).abs());
    }
    Some(distance(value, line, downward))
}

/// What a new rule would do now, of all its series together; `extremes` are the
/// lowest and highest price of a single product in 90 days.
pub(super) fn now_json(
    spec: &Spec,
    begun: &[Begun],
    extremes: (Option<i64>, Option<i64>),
) -> Value {
    let fired = begun.iter().filter(|it| it.verdict.fired.is_some()).count();
    let met = begun.iter().filter(|it| it.verdict.holds == Some(true)).count();
    let names: Vec<&str> = begun.iter().map(|it| it.subject.name()).collect();
    let series: Vec<Value> =
        begun.iter().take(20).map(|it| begun_json(&spec.condition, it)).collect();
    let blind = begun.iter().filter(|it| it.verdict.instance.state == State::NoData).count();
    json!({
        "would_fire": fired > 0,
        "fired": fired,
        "already_true": met > 0,
        "true_now": met,
        "without_data": blind,
        "matches": begun.len(),
        "series": series,
        "lowest_90_days": extremes.0.map(yuan_text),
        "highest_90_days": extremes.1.map(yuan_text),
        "sentence": both(&sentence(spec, begun, &names)),
    })
}

fn sentence(spec: &Spec, begun: &[Begun], names: &[&str]) -> Said {
    let rule = words::rule(spec, names);
    let state = match begun {
        [one] => {
            let now = one.latest.value.map(|it| words::value_text(&one.subject, &one.series, it));
            let now = now.unwrap_or_else(|| "—".to_owned());
            match (one.verdict.fired, one.verdict.holds) {
                (Some(_), _) => Said::new(
                    format!("现在是 {now}，已满足，已提醒。"),
                    format!(" It is at {now} now, so you have been told."),
                ),
                (None, Some(true)) if spec.condition.op.is_level() => Said::new(
                    format!("现在是 {now}，已满足；恢复后再次满足时提醒。"),
                    format!(" It is at {now} now, which is so already; it has to recover first."),
                ),
                _ => Said::new(format!("现在是 {now}。"), format!(" It is at {now} now.")),
            }
        }
        _ => Said::default(),
    };
    Said::new(format!("{}{}", rule.zh, state.zh), format!("{}{}", rule.en, state.en))
}

/// The product or the market of a series.
pub(super) fn names(series: &Series) -> (Option<&str>, Option<&str>) {
    match series {
        Series::Market(market) => (None, Some(market)),
        Series::Price(product) | Series::Stock(product) => (Some(product), None),
    }
}

/// A value of a series for people.
pub(super) fn text(
    subject: Option<&Subject>,
    series: &Series,
    value: Option<i64>,
) -> Option<String> {
    Some(words::value_text(subject?, series, value?))
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::condition;
    use super::super::rule::{Basis, Mode};
    use super::*;

    #[test]
    fn a_rule_is_answered_in_words_that_it_may_be_sent_in() {
        let mut fall = condition(Op::DropPct);
        (fall.pct_bp, fall.reference) = (Some(250), Some(Reference::Avg(7)));
        fall.basis = Basis::Weight;
        fall.mode = Mode::Daily;
        let spec = Spec {
            target: Target::Product("a".into()),
            price_type: None,
            condition: fall,
            max_fires: None,
            expires_at: 0,
            channels: vec!["webhook".into()],
            note: None,
        };
        let json = Value::Object(spec_json(&spec));
        assert_eq!(json["percent"], "2.50");
        assert_eq!((&json["ref"], &json["basis"]), (&json!("avg(7d)"), &json!("per_500g")));
        assert_eq!(
            (&json["mode"], &json["channels"]),
            (&json!("daily"), &json!(["inapp", "webhook"]))
        );
    }
}
