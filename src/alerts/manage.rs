//! What the owner of a rule does with it.

use super::bounds::Watch;
use super::evaluate::{Input, Verdict, evaluate};
use super::instance::{Instance, State};
use super::past::Book;
use super::rule::{Kind, Op, Rule, Spec, Status, Target};
use super::series::{Latest, Series, Subject, subject};
use super::tell::{self, Firing};
use super::{Config, store};
use crate::catalogue;
use crate::db::{self, Conn};
use crate::events::{self, Tx};
use crate::refusal::{Class, Refusal};

/// A rule on one series, as it begins.
pub(super) struct Begun {
    pub series: Series,
    pub subject: Subject,
    pub latest: Latest,
    pub verdict: Verdict,
}

/// Why a rule begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It was made or edited.
    Made,
    /// It goes on after a pause.
    Resumed,
}

/// The series that `spec` is about, with what they are of.
///
/// # Errors
/// 422 for what is not there or gone, and for a filter that matches too much.
pub(super) fn members(
    conn: &mut Conn,
    spec: &Spec,
    config: &Config,
) -> events::Result<Vec<(Series, Subject)>> {
    let kind = spec.condition.op.kind();
    match &spec.target {
        Target::Product(id) => Ok(vec![member(conn, kind, "product", id)?]),
        Target::Products(ids) => {
            let named = ids.iter().enumerate();
            named.map(|(at, id)| member(conn, kind, &format!("products[{at}]"), id)).collect()
        }
        Target::Market(id) => {
            let series = Series::Market(id.clone());
            if let Some(subject) = subject(conn, &series)? {
                return Ok(vec![(series, subject)]);
            }
            let known = catalogue::store::markets(conn)?;
            let refusal = catalogue::unknown_market("market", id, &known);
            Err(Refusal { class: Class::Invalid, ..refusal }.into())
        }
        Target::Filter(filter) => {
            let most = config.filter_series;
            let found = store::matching(conn, filter, spec.price_type.as_deref(), most + 1)?;
            if found.len() as i64 > most {
                return Err(Refusal::invalid(
                    "filter",
                    "filter_too_wide",
                    format!("the filter matches more than {most} products; narrow it"),
                    format!("筛选条件匹配超过 {most} 件商品；请缩小范围"),
                )
                .into());
            }
            let member = |product: catalogue::Product| {
                (Series::of_product(kind, &product.id), Subject::Product(Box::new(product)))
            };
            Ok(found.into_iter().map(member).collect())
        }
    }
}

fn member(conn: &mut Conn, kind: Kind, field: &str, id: &str) -> events::Result<(Series, Subject)> {
    let series = Series::of_product(kind, id);
    match subject(conn, &series)? {
        Some(Subject::Product(product)) if !product.is_listed() => Err(Refusal::invalid(
            field,
            "product_withdrawn",
            format!("`{id}` was withdrawn; choose a product that is listed"),
            format!("商品“{id}”已下架；请选择在售商品"),
        )
        .into()),
        Some(subject) => Ok((series, subject)),
        None => {
            let refusal = catalogue::unknown_product(conn, field, id)?;
            Err(Refusal { class: Class::Invalid, ..refusal }.into())
        }
    }
}

/// Refuses to wait for something to come back that is there.
fn check_stock(spec: &Spec, members: &[(Series, Subject)]) -> Result<(), Refusal> {
    let (Target::Product(id), Op::BackInStock) = (&spec.target, spec.condition.op) else {
        return Ok(());
    };
    let stock = members.first().and_then(|(_, subject)| match subject {
        Subject::Product(product) => super::series::available(product),
        Subject::Market(..) => None,
    });
    match stock {
        Some(quantity) if quantity > 0 => Err(Refusal::invalid(
            "op",
            "in_stock",
            format!("`{id}` is in stock: {quantity}"),
            format!("商品“{id}”有货：{quantity}"),
        )
        .with("quantity", quantity)),
        _ => Ok(()),
    }
}

/// Makes a rule, and begins it: what is true already fires at once.
///
/// # Errors
/// As [`members`]; `too_many_rules`; `in_stock`.
pub(super) fn create(
    tx: &mut Tx<'_>,
    user: &str,
    spec: &Spec,
    config: &Config,
) -> events::Result<(Rule, Vec<Begun>)> {
    let most = config.rules_a_user;
    if store::count_of(tx.read(), user)? >= most {
        return Err(Refusal::invalid(
            "",
            "too_many_rules",
            format!("a user has {most} rules at most; delete one that is not needed"),
            format!("每个用户最多 {most} 条提醒；请先删除不需要的"),
        )
        .into());
    }
    let members = members(tx.read(), spec, config)?;
    check_stock(spec, &members)?;
    let now = tx.now();
    let mut rule = Rule {
        id: 0,
        user: user.to_owned(),
        version: 1,
        status: Status::Active,
        spec: spec.clone(),
        fires: 0,
        created: now,
        updated: now,
    };
    rule.id = store::add_rule(tx.write(), &rule)?;
    let begun = begin(tx, &mut rule, members, Why::Made)?;
    Ok((rule, begun))
}

/// Replaces what a rule is. An edit of its note, channels or cooldown alone
/// leaves its instances where they are; any other begins it anew.
///
/// # Errors
/// As [`create`]; 404 if `user` has no such rule.
pub(super) fn edit(
    tx: &mut Tx<'_>,
    user: &str,
    id: i64,
    spec: &Spec,
    config: &Config,
) -> events::Result<(Rule, Option<Vec<Begun>>)> {
    let mut rule = owned(tx, user, id)?;
    let mut same = spec.clone();
    same.note.clone_from(&rule.spec.note);
    same.channels.clone_from(&rule.spec.channels);
    same.condition.cooldown_s = rule.spec.condition.cooldown_s;
    let alike = same == rule.spec;
    let members = members(tx.read(), spec, config)?;
    if !alike {
        check_stock(spec, &members)?;
    }
    rule.spec = spec.clone();
    rule.updated = tx.now();
    if alike {
        store::save_rule(tx.write(), &rule)?;
        return Ok((rule, None));
    }
    rule.version += 1;
    rule.status = Status::Active;
    store::save_filter(tx.write(), &rule)?;
    store::remove_instances(tx.write(), rule.id)?;
    let begun = begin(tx, &mut rule, members, Why::Made)?;
    Ok((rule, Some(begun)))
}

/// Stops a rule from looking out.
pub(super) fn pause(tx: &mut Tx<'_>, user: &str, id: i64) -> events::Result<Rule> {
    let mut rule = owned(tx, user, id)?;
    if rule.status == Status::Paused {
        return Ok(rule);
    }
    if rule.status != Status::Active {
        return Err(over(&rule, "pause").into());
    }
    rule.status = Status::Paused;
    rule.updated = tx.now();
    store::blind(tx.write(), rule.id)?;
    store::save_rule(tx.write(), &rule)?;
    Ok(rule)
}

/// Lets a paused rule go on: as it began, but that the next tick is only seen.
pub(super) fn resume(
    tx: &mut Tx<'_>,
    user: &str,
    id: i64,
    config: &Config,
) -> events::Result<(Rule, Vec<Begun>)> {
    let mut rule = owned(tx, user, id)?;
    match rule.status {
        Status::Active => return Ok((rule, Vec::new())),
        Status::Paused => {}
        _ => return Err(over(&rule, "resume").into()),
    }
    rule.status = Status::Active;
    let members = members(tx.read(), &rule.spec, config)?;
    let begun = begin(tx, &mut rule, members, Why::Resumed)?;
    Ok((rule, begun))
}

/// Lets a rule that has fired look out again without the value coming back.
/// What is true now counts as seen: it does not fire again by this.
pub(super) fn rearm(tx: &mut Tx<'_>, user: &str, id: i64, config: &Config) -> events::Result<Rule> {
    let mut rule = owned(tx, user, id)?;
    if !matches!(rule.status, Status::Active | Status::Done) {
        return Err(over(&rule, "rearm").into());
    }
    rule.status = Status::Active;
    rule.updated = tx.now();
    rule.version += 1;
    let members = members(tx.read(), &rule.spec, config)?;
    let mut quiet = rule.clone();
    quiet.spec.condition.fire_if_true_now = false;
    begin(tx, &mut quiet, members, Why::Made)?;
    store::save_rule(tx.write(), &rule)?;
    Ok(rule)
}

/// Forgets a rule.
pub(super) fn delete(tx: &mut Tx<'_>, user: &str, id: i64) -> events::Result<()> {
    let rule = owned(tx, user, id)?;
    store::remove_rule(tx.write(), rule.id)?;
    Ok(())
}

/// The rule `id` of `user`.
///
/// # Errors
/// `unknown_rule` for one that is not there and for one that is another's:
/// nobody learns which.
pub(super) fn owned(tx: &mut Tx<'_>, user: &str, id: i64) -> events::Result<Rule> {
    store::rule_of(tx.read(), user, id)?.ok_or_else(|| unknown_rule(id).into())
}

/// The answer to whoever asks for a rule that they do not have.
pub(super) fn unknown_rule(id: i64) -> Refusal {
    Refusal::new(
        Class::NotFound,
        "unknown_rule",
        format!("you have no alert {id}"),
        format!("您没有提醒 {id}"),
    )
}

fn over(rule: &Rule, what: &str) -> Refusal {
    let status = rule.status.as_str();
    Refusal::new(
        Class::Conflict,
        "rule_over",
        format!("the alert is {status}, which {what} does not change; PUT it to begin anew"),
        format!("提醒状态为 {status}，无法执行 {what}；可用 PUT 重新设定"),
    )
    .with("rule_status", status)
}

/// Begins `rule` on each of `members`.
fn begin(
    tx: &mut Tx<'_>,
    rule: &mut Rule,
    members: Vec<(Series, Subject)>,
    why: Why,
) -> events::Result<Vec<Begun>> {
    // What the log has told so far is in the values; the monitor may still be behind.
    let (now, seq) = (tx.now(), tx.next_seq() - 1);
    let mut begun = Vec::with_capacity(members.len());
    for (series, subject) in members {
        let latest = subject.latest(&series, seq, now);
        let verdict = start(tx.read(), rule, &series, &latest, seq, now, why)?;
        let key = series.to_string();
        store::follow(tx.write(), &key, &latest)?;
        let watch = Watch::of(&rule.spec.condition, &verdict.instance, latest.grams);
        store::save_instance(tx.write(), rule.id, &key, &verdict.instance, watch, seq)?;
        begun.push(Begun { series, subject, latest, verdict });
    }
    rule.updated = now;
    store::save_rule(tx.write(), rule)?;
    let firings: Vec<Firing> = begun.iter().filter_map(|it| firing(it, seq)).collect();
    if tell::fire(tx, rule, &firings)? > 0 {
        tell::finish_if_over(tx, rule)?;
    }
    Ok(begun)
}

fn firing(begun: &Begun, seq: i64) -> Option<Firing> {
    Some(Firing {
        series: begun.series.clone(),
        subject: Some(begun.subject.clone()),
        cause: begun.verdict.fired?,
        cause_seq: seq,
        at: begun.verdict.instance.memory.fired_at.unwrap_or(begun.latest.at),
        // What is true now is no old news, however long it has been so.
        observed_at: begun.verdict.instance.memory.fired_at.unwrap_or(begun.latest.at),
        value: begun.latest.value,
        threshold: begun.verdict.threshold,
    })
}

/// What beginning `rule` on a series comes to, without doing it.
fn start(
    conn: &mut Conn,
    rule: &Rule,
    series: &Series,
    latest: &Latest,
    seq: i64,
    now: i64,
    why: Why,
) -> db::Result<Verdict> {
    let condition = &rule.spec.condition;
    let past = Book::new(series, i64::MAX).past(conn, condition, Some(latest), now)?;
    let value = latest.amount(condition);
    let blind = why == Why::Resumed;
    let input = Input::Start { value, at: now, seq, blind };
    Ok(evaluate(condition, &Instance::new(), &past, &input))
}

/// Whether an instance in `state` looks out.
pub(super) fn looks_out(state: State) -> bool {
    matches!(state, State::Armed | State::Pending | State::Held)
}
