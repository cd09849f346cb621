use super::bounds::Watch;
use super::instance::{Cause, Instance, Memory, State};
use super::rule::{Filter, Rule, Spec, Status, Target};
use super::series::{Latest, Series};
use crate::catalogue::Product;
use crate::clock::Millis;
use crate::db::schema::{alert_firings, alert_instances, alert_rules, alert_series, products};
use crate::db::{self, Conn};
use crate::on_either;
use diesel::prelude::*;

/// A rule as it is stored, without the columns it is found by.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = alert_rules)]
pub(super) struct RuleRow {
    pub id: i64,
    pub user_id: String,
    pub version: i64,
    pub status: String,
    pub spec: String,
    pub fires: i64,
    pub created: Millis,
    pub updated: Millis,
}

impl RuleRow {
    /// The rule in it.
    pub(super) fn rule(self) -> db::Result<Rule> {
        let spoilt = |what: String| db::Error::Corrupt(format!("rule {}: {what}", self.id));
        let spec: Spec = serde_json::from_str(&self.spec).map_err(|err| spoilt(err.to_string()))?;
        let status = Status::find(&self.status).ok_or_else(|| spoilt(self.status.clone()))?;
        Ok(Rule {
            id: self.id,
            user: self.user_id,
            version: self.version,
            status,
            spec,
            fires: self.fires,
            created: self.created,
            updated: self.updated,
        })
    }
}

/// An instance as it is stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = alert_instances)]
pub(super) struct InstanceRow {
    pub series: String,
    pub rule_id: i64,
    pub state: String,
    pub run_at: Option<Millis>,
    pub last_seq: i64,
    pub memory: String,
}

impl InstanceRow {
    /// The instance in it.
    pub(super) fn instance(&self) -> db::Result<Instance> {
        let spoilt = |what: String| {
            db::Error::Corrupt(format!("rule {} on {}: {what}", self.rule_id, self.series))
        };
        let memory: Memory =
            serde_json::from_str(&self.memory).map_err(|err| spoilt(err.to_string()))?;
        let state = State::find(&self.state).ok_or_else(|| spoilt(self.state.clone()))?;
        Ok(Instance { state, due: self.run_at, memory })
    }
}

fn json(value: &impl serde::Serialize) -> db::Result<String> {
    serde_json::to_string(value).map_err(|err| db::Error::Corrupt(err.to_string()))
}

/// Stores a new rule, whose number the database gives, and says which.
pub(super) fn add_rule(conn: &mut Conn, rule: &Rule) -> db::Result<i64> {
    let none = Filter::default();
    let filter = match &rule.spec.target {
        Target::Filter(filter) => filter,
        _ => &none,
    };
    let values = (
        (
            alert_rules::user_id.eq(rule.user.clone()),
            alert_rules::version.eq(rule.version),
            alert_rules::status.eq(rule.status.as_str()),
            alert_rules::spec.eq(json(&rule.spec)?),
            alert_rules::fires.eq(rule.fires),
            alert_rules::expires_at.eq(rule.spec.expires_at),
            alert_rules::created.eq(rule.created),
            alert_rules::updated.eq(rule.updated),
        ),
        (
            alert_rules::f_category
                .eq(Some(filter.category.clone()).filter(|category| !category.is_empty())),
            alert_rules::f_price_type.eq(rule.spec.price_type.clone()),
            alert_rules::f_market.eq(filter.market.clone()),
            alert_rules::f_merchant.eq(filter.merchant.clone()),
            alert_rules::f_origin.eq(filter.origin.clone()),
            alert_rules::f_grade.eq(filter.grade.clone()),
            alert_rules::f_form.eq(filter.form.clone()),
            alert_rules::f_vintage.eq(filter.vintage),
        ),
    );
    Ok(on_either!(conn, |conn| diesel::insert_into(alert_rules::table)
        .values(values)
        .returning(alert_rules::id)
        .get_result(conn))?)
}

/// Stores a rule as it now is. Its target stays what it is found by: another
/// target is another rule.
pub(super) fn save_rule(conn: &mut Conn, rule: &Rule) -> db::Result<()> {
    diesel::update(alert_rules::table.find(rule.id))
        .set((
            alert_rules::version.eq(rule.version),
            alert_rules::status.eq(rule.status.as_str()),
            alert_rules::spec.eq(json(&rule.spec)?),
            alert_rules::fires.eq(rule.fires),
            alert_rules::expires_at.eq(rule.spec.expires_at),
            alert_rules::updated.eq(rule.updated),
        ))
        .execute(conn)?;
    Ok(())
}

/// Stores by which columns the rule is found: for one that got another target.
pub(super) fn save_filter(conn: &mut Conn, rule: &Rule) -> db::Result<()> {
    let none = Filter::default();
    let filter = match &rule.spec.target {
        Target::Filter(filter) => filter,
        _ => &none,
    };
    diesel::update(alert_rules::table.find(rule.id))
        .set((
            alert_rules::f_category
                .eq(Some(filter.category.clone()).filter(|category| !category.is_empty())),
            alert_rules::f_price_type.eq(rule.spec.price_type.clone()),
            alert_rules::f_market.eq(filter.market.clone()),
            alert_rules::f_merchant.eq(filter.merchant.clone()),
            alert_rules::f_origin.eq(filter.origin.clone()),
            alert_rules::f_grade.eq(filter.grade.clone()),
            alert_rules::f_form.eq(filter.form.clone()),
            alert_rules::f_vintage.eq(filter.vintage),
        ))
        .execute(conn)?;
    Ok(())
}

/// The rule `id` of `user`: another's is as good as none.
pub(super) fn rule_of(conn: &mut Conn, user: &str, id: i64) -> db::Result<Option<Rule>> {
    let row: Option<RuleRow> = alert_rules::table
        .find(id)
        .filter(alert_rules::user_id.eq(user.to_owned()))
        .select(RuleRow::as_select())
        .first(conn)
        .optional()?;
    row.map(RuleRow::rule).transpose()
}

/// The rules of `user`, newest first.
pub(super) fn rules_of(
    conn: &mut Conn,
    user: &str,
    status: Option<Status>,
    after: Option<i64>,
    limit: i64,
) -> db::Result<Vec<Rule>> {
    let mut query = alert_rules::table
        .filter(alert_rules::user_id.eq(user.to_owned()))
        .select(RuleRow::as_select())
        .order(alert_rules::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(alert_rules::id.lt(after));
    }
    if let Some(status) = status {
        query = query.filter(alert_rules::status.eq(status.as_str()));
    }
    let rows: Vec<RuleRow> = query.load(conn)?;
    rows.into_iter().map(RuleRow::rule).collect()
}

/// How many rules `user` has that are not over.
pub(super) fn count_of(conn: &mut Conn, user: &str) -> db::Result<i64> {
    Ok(alert_rules::table
        .filter(alert_rules::user_id.eq(user.to_owned()))
        .filter(alert_rules::status.eq_any(["active", "paused"]))
        .count()
        .get_result(conn)?)
}

/// Forgets a rule and all that came of it; what its owner was told stays.
pub(super) fn remove_rule(conn: &mut Conn, id: i64) -> db::Result<()> {
    diesel::delete(alert_firings::table.filter(alert_firings::rule_id.eq(id))).execute(conn)?;
    remove_instances(conn, id)?;
    diesel::delete(alert_rules::table.find(id)).execute(conn)?;
    Ok(())
}

pub(super) fn remove_instances(conn: &mut Conn, id: i64) -> db::Result<()> {
    diesel::delete(alert_instances::table.filter(alert_instances::rule_id.eq(id))).execute(conn)?;
    Ok(())
}

/// Lets no tick and no timer find the instances of a rule.
pub(super) fn blind(conn: &mut Conn, rule: i64) -> db::Result<()> {
    diesel::update(alert_instances::table.filter(alert_instances::rule_id.eq(rule)))
        .set((
            alert_instances::below.eq(None::<i64>),
            alert_instances::above.eq(None::<i64>),
            alert_instances::every_tick.eq(None::<i64>),
            alert_instances::weighed.eq(None::<i64>),
            alert_instances::run_at.eq(None::<i64>),
        ))
        .execute(conn)?;
    Ok(())
}

/// The instances of a rule, by series.
pub(super) fn instances(conn: &mut Conn, rule: i64, limit: i64) -> db::Result<Vec<InstanceRow>> {
    Ok(alert_instances::table
        .filter(alert_instances::rule_id.eq(rule))
        .select(InstanceRow::as_select())
        .order(alert_instances::series)
        .limit(limit)
        .load(conn)?)
}

/// How many instances of a rule are in each state.
pub(super) fn states(conn: &mut Conn, rule: i64) -> db::Result<Vec<(String, i64)>> {
    Ok(alert_instances::table
        .filter(alert_instances::rule_id.eq(rule))
        .group_by(alert_instances::state)
        .select((alert_instances::state, diesel::dsl::count_star()))
        .load(conn)?)
}

/// Stores an instance, looked at for position `seq`.
pub(super) fn save_instance(
    conn: &mut Conn,
    rule: i64,
    series: &str,
    instance: &Instance,
    watch: Watch,
    seq: i64,
) -> db::Result<()> {
    let flag = |on: bool| on.then_some(1_i64);
    let values = (
        alert_instances::state.eq(instance.state.as_str()),
        alert_instances::below.eq(watch.below),
        alert_instances::above.eq(watch.above),
        alert_instances::every_tick.eq(flag(watch.always)),
        alert_instances::weighed.eq(flag(watch.weighed)),
        alert_instances::run_at.eq(instance.due),
        alert_instances::last_seq.eq(seq),
        alert_instances::memory.eq(json(&instance.memory)?),
    );
    let row = (
        alert_instances::series.eq(series.to_owned()),
        alert_instances::rule_id.eq(rule),
        values.clone(),
    );
    on_either!(conn, |conn| diesel::insert_into(alert_instances::table)
        .values(row)
        .on_conflict((alert_instances::series, alert_instances::rule_id))
        .do_update()
        .set(values)
        .execute(conn))?;
    Ok(())
}

/// The last accepted tick of a series, if a rule is on it.
pub(super) fn series(conn: &mut Conn, series: &str) -> db::Result<Option<Latest>> {
    let row: Option<(Option<i64>, i64, i64, Millis, Millis)> = on_either!(conn, |conn| {
        alert_series::table
            .find(series)
            .select((
                alert_series::value,
                alert_series::grams,
                alert_series::seq,
                alert_series::at,
                alert_series::observed_at,
            ))
            .get_result(conn)
            .optional()
    })?;
    Ok(row.map(|(value, grams, seq, at, observed_at)| Latest {
        value,
        grams,
        seq,
        at,
        observed_at,
    }))
}

/// Begins to follow a series, unless it is followed already.
pub(super) fn follow(conn: &mut Conn, series: &str, latest: &Latest) -> db::Result<()> {
    let row = (
        alert_series::series.eq(series.to_owned()),
        alert_series::value.eq(latest.value),
        alert_series::grams.eq(latest.grams),
        alert_series::seq.eq(latest.seq),
        alert_series::at.eq(latest.at),
        alert_series::observed_at.eq(latest.observed_at),
    );
    on_either!(conn, |conn| diesel::insert_into(alert_series::table)
        .values(row)
        .on_conflict(alert_series::series)
        .do_nothing()
        .execute(conn))?;
    Ok(())
}

/// One firing, to be stored.
#[derive(Clone, Debug)]
pub(super) struct FiringRow<'a> {
    pub rule: &'a Rule,
    pub series: &'a Series,
    pub cause_seq: i64,
    pub cause: Cause,
    pub value: Option<i64>,
    pub threshold: Option<i64>,
    pub at: Millis,
    pub told_at: Millis,
    pub late: bool,
}

/// Stores a firing; false if this cause has fired this rule already.
pub(super) fn add_firing(conn: &mut Conn, firing: &FiringRow<'_>) -> db::Result<bool> {
    let row = (
        alert_firings::rule_id.eq(firing.rule.id),
        alert_firings::version.eq(firing.rule.version),
        alert_firings::series.eq(firing.series.to_string()),
        alert_firings::cause_seq.eq(firing.cause_seq),
        alert_firings::cause.eq(firing.cause.as_str()),
        alert_firings::value.eq(firing.value),
        alert_firings::threshold.eq(firing.threshold),
        alert_firings::at.eq(firing.at),
        alert_firings::told_at.eq(firing.told_at),
        alert_firings::late.eq(firing.late),
    );
    let added = on_either!(conn, |conn| diesel::insert_into(alert_firings::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(added > 0)
}

/// How often a rule fired since `from`, not counting what was true at its start.
pub(super) fn firings_since(conn: &mut Conn, rule: i64, from: Millis) -> db::Result<i64> {
    Ok(alert_firings::table
        .filter(alert_firings::rule_id.eq(rule))
        .filter(alert_firings::at.gt(from))
        .filter(alert_firings::cause.ne(Cause::AlreadyTrue.as_str()))
        .count()
        .get_result(conn)?)
}

/// A firing as it is shown.
#[derive(Clone, Debug, Queryable)]
#[diesel(table_name = alert_firings)]
pub(super) struct Shown {
    pub version: i64,
    pub series: String,
    pub cause: String,
    pub value: Option<i64>,
    pub threshold: Option<i64>,
    pub at: Millis,
    pub told_at: Millis,
    pub late: bool,
}

/// The last firings of a rule, newest first.
pub(super) fn last_firings(conn: &mut Conn, rule: i64, limit: i64) -> db::Result<Vec<Shown>> {
    Ok(alert_firings::table
        .filter(alert_firings::rule_id.eq(rule))
        .order(alert_firings::at.desc())
        .select((
            alert_firings::version,
            alert_firings::series,
            alert_firings::cause,
            alert_firings::value,
            alert_firings::threshold,
            alert_firings::at,
            alert_firings::told_at,
            alert_firings::late,
        ))
        .limit(limit)
        .load(conn)?)
}

/// The listed products that match `filter`, by id.
pub(super) fn matching(
    conn: &mut Conn,
    filter: &Filter,
    price_type: Option<&str>,
    limit: i64,
) -> db::Result<Vec<Product>> {
    let within = format!("{}.%", filter.category);
    let mut query = products::table
        .filter(products::status.eq("listed"))
        .filter(products::category.eq(filter.category.clone()).or(products::category.like(within)))
        .order(products::id)
        .limit(limit)
        .into_boxed();
    if let Some(price_type) = price_type {
        query = query.filter(products::price_type.eq(price_type.to_owned()));
    }
    if let Some(market) = &filter.market {
        query = query.filter(products::market.eq(market.clone()));
    }
    if let Some(merchant) = &filter.merchant {
        query = query.filter(products::merchant.eq(merchant.clone()));
    }
    if let Some(origin) = &filter.origin {
        query = query.filter(products::origin.eq(origin.clone()));
    }
    if let Some(grade) = &filter.grade {
        query = query.filter(products::grade.eq(grade.clone()));
    }
    if let Some(form) = &filter.form {
        query = query.filter(products::form.eq(form.clone()));
    }
    if let Some(vintage) = filter.vintage {
        query = query.filter(products::vintage.eq(vintage));
    }
    Ok(query.load(conn)?)
}
