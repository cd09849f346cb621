use super::change::Listing;
use crate::alerts::rule::Rule;
use crate::alerts::series::Latest;
use crate::alerts::store::{InstanceRow, RuleRow};
use crate::clock::Millis;
use crate::db::schema::{
    alert_instances, alert_monitors, alert_poison, alert_rules, alert_series, log_head,
};
use crate::db::{self, Conn};
use crate::on_either;
use diesel::prelude::*;

/// An instance with its rule, as they are stored.
pub(super) type Found = (InstanceRow, RuleRow);

/// Who judges.
#[derive(Clone, Debug, Queryable)]
pub(super) struct Holder {
    pub holder: String,
    pub token: i64,
    pub until: Millis,
    pub within_rule: i64,
}

pub(super) fn holder(conn: &mut Conn, name: &str) -> db::Result<Option<Holder>> {
    Ok(alert_monitors::table
        .find(name)
        .select((
            alert_monitors::holder,
            alert_monitors::token,
            alert_monitors::until,
            alert_monitors::within_rule,
        ))
        .first(conn)
        .optional()?)
}

pub(super) fn hold(conn: &mut Conn, name: &str, it: &Holder) -> db::Result<()> {
    let terms = (
        alert_monitors::holder.eq(it.holder.clone()),
        alert_monitors::token.eq(it.token),
        alert_monitors::until.eq(it.until),
        alert_monitors::within_rule.eq(it.within_rule),
    );
    let row = (alert_monitors::name.eq(name.to_owned()), terms.clone());
    on_either!(conn, |conn| diesel::insert_into(alert_monitors::table)
        .values(row)
        .on_conflict(alert_monitors::name)
        .do_update()
        .set(terms)
        .execute(conn))?;
    Ok(())
}

/// Instances of `series` that have to look at `value`, if they have not looked
/// at position `seq` yet; `limit` of those that wait below, and of those above.
pub(super) fn touched(
    conn: &mut Conn,
    series: &str,
    value: i64,
    seq: i64,
    limit: i64,
) -> db::Result<Vec<Found>> {
    let mut found: Vec<Found> = on_either!(conn, |conn| alert_instances::table
        .inner_join(alert_rules::table)
        .filter(alert_instances::series.eq(series.to_owned()))
        .filter(alert_instances::below.ge(value))
        .filter(alert_instances::last_seq.lt(seq))
        .select((InstanceRow::as_select(), RuleRow::as_select()))
        .limit(limit)
        .load(conn))?;
    let above: Vec<Found> = on_either!(conn, |conn| alert_instances::table
        .inner_join(alert_rules::table)
        .filter(alert_instances::series.eq(series.to_owned()))
        .filter(alert_instances::above.le(value))
        .filter(alert_instances::last_seq.lt(seq))
        .select((InstanceRow::as_select(), RuleRow::as_select()))
        .limit(limit)
        .load(conn))?;
    found.extend(above);
    Ok(found)
}

/// Instances of `series` that look at every tick, of rules after `rule`.
pub(super) fn moving(
    conn: &mut Conn,
    series: &str,
    rule: i64,
    seq: i64,
    limit: i64,
) -> db::Result<Vec<Found>> {
    Ok(on_either!(conn, |conn| alert_instances::table
        .inner_join(alert_rules::table)
        .filter(alert_instances::series.eq(series.to_owned()))
        .filter(alert_instances::every_tick.is_not_null())
        .filter(alert_instances::rule_id.gt(rule))
        .filter(alert_instances::last_seq.lt(seq))
        .select((InstanceRow::as_select(), RuleRow::as_select()))
        .order(alert_instances::rule_id)
        .limit(limit)
        .load(conn))?)
}

/// Instances of `series` whose bounds were made with the grams of the unit.
pub(super) fn weighed(
    conn: &mut Conn,
    series: &str,
    seq: i64,
    limit: i64,
) -> db::Result<Vec<Found>> {
    Ok(on_either!(conn, |conn| alert_instances::table
        .inner_join(alert_rules::table)
        .filter(alert_instances::series.eq(series.to_owned()))
        .filter(alert_instances::weighed.is_not_null())
        .filter(alert_instances::last_seq.lt(seq))
        .select((InstanceRow::as_select(), RuleRow::as_select()))
        .limit(limit)
        .load(conn))?)
}

/// Instances of `series` that wait for a time to pass.
pub(super) fn waiting(
    conn: &mut Conn,
    series: &str,
    seq: i64,
    limit: i64,
) -> db::Result<Vec<Found>> {
    Ok(on_either!(conn, |conn| alert_instances::table
        .inner_join(alert_rules::table)
        .filter(alert_instances::series.eq(series.to_owned()))
        .filter(alert_instances::run_at.is_not_null())
        .filter(alert_instances::last_seq.lt(seq))
        .select((InstanceRow::as_select(), RuleRow::as_select()))
        .limit(limit)
        .load(conn))?)
}

/// The next instances of `series` that are not gone, of rules after `rule`; what
/// was looked at for position `seq` or a later one is not meant.
pub(super) fn on_series(
    conn: &mut Conn,
    series: &str,
    rule: i64,
    seq: i64,
    filters_only: bool,
) -> db::Result<Vec<Found>> {
    let mut all = alert_instances::table
        .inner_join(alert_rules::table)
        .filter(alert_instances::series.eq(series.to_owned()))
        .filter(alert_instances::rule_id.gt(rule))
        .filter(alert_instances::state.ne("gone"))
        .filter(alert_instances::last_seq.lt(seq))
        .select((InstanceRow::as_select(), RuleRow::as_select()))
        .order(alert_instances::rule_id)
        .limit(super::round::INSTANCES as i64)
        .into_boxed();
    if filters_only {
        all = all.filter(alert_rules::f_category.is_not_null());
    }
    Ok(all.load(conn)?)
}

/// The state of a rule on a series.
pub(super) fn state(conn: &mut Conn, series: &str, rule: i64) -> db::Result<Option<String>> {
    Ok(alert_instances::table
        .find((series, rule))
        .select(alert_instances::state)
        .first(conn)
        .optional()?)
}

/// Active rules after `rule` whose filter takes `listing` in.
pub(super) fn takers(
    conn: &mut Conn,
    listing: &Listing,
    rule: i64,
    limit: i64,
) -> db::Result<Vec<RuleRow>> {
    let class = listing.category.split_once('.').map_or(&*listing.category, |(class, _)| class);
    Ok(alert_rules::table
        .filter(alert_rules::f_category.eq_any([listing.category.clone(), class.to_owned()]))
        .filter(alert_rules::id.gt(rule))
        .filter(alert_rules::status.eq("active"))
        .select(RuleRow::as_select())
        .order(alert_rules::id)
        .limit(limit)
        .load(conn)?)
}

/// Instances that are due by `at`, longest due first.
pub(super) fn due(conn: &mut Conn, at: Millis, limit: i64) -> db::Result<Vec<Found>> {
    Ok(alert_instances::table
        .inner_join(alert_rules::table)
        .filter(alert_instances::run_at.le(at))
        .select((InstanceRow::as_select(), RuleRow::as_select()))
        .order(alert_instances::run_at)
        .limit(limit)
        .load(conn)?)
}

/// When the next instance is due.
pub(super) fn next_due(conn: &mut Conn) -> db::Result<Option<Millis>> {
    let next: Option<Option<Millis>> = alert_instances::table
        .filter(alert_instances::run_at.is_not_null())
        .order(alert_instances::run_at)
        .select(alert_instances::run_at)
        .first(conn)
        .optional()?;
    Ok(next.flatten())
}

/// Rules whose time is over at `now`.
pub(super) fn expired(conn: &mut Conn, now: Millis, limit: i64) -> db::Result<Vec<RuleRow>> {
    Ok(alert_rules::table
        .filter(alert_rules::expires_at.le(now))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("status IN ('active', 'paused')"))
        .select(RuleRow::as_select())
        .order(alert_rules::expires_at)
        .limit(limit)
        .load(conn)?)
}

/// Which of `keys` are followed.
pub(super) fn followed(conn: &mut Conn, keys: &[String]) -> db::Result<Vec<String>> {
    let wanted = alert_series::table.filter(alert_series::series.eq_any(keys.to_vec()));
    Ok(wanted.select(alert_series::series).load(conn)?)
}

/// Whether there is any rule.
pub(super) fn any_rule(conn: &mut Conn) -> db::Result<bool> {
    let one: Option<i64> = alert_rules::table.select(alert_rules::id).first(conn).optional()?;
    Ok(one.is_some())
}

/// The last position of the log.
pub(super) fn head(conn: &mut Conn) -> db::Result<i64> {
    Ok(log_head::table.select(log_head::seq).first(conn).optional()?.unwrap_or(0))
}

/// Notes the last accepted tick of a series.
pub(super) fn accept(conn: &mut Conn, series: &str, latest: &Latest) -> db::Result<()> {
    let Latest { value, grams, seq, at, observed_at } = *latest;
    Accept { value, grams, seq, at, observed_at, series }.run(conn)?;
    Ok(())
}

crate::prepared! {
    Accept<'a> {
        "UPDATE alert_series SET value = " value: Option<i64> as Nullable<BigInt>,
        ", grams = " grams: i64 as BigInt,
        ", seq = " seq: i64 as BigInt,
        ", at = " at: Millis as BigInt,
        ", observed_at = " observed_at: Millis as BigInt,
        " WHERE series = " series: &'a str as Text,
    }
}

/// Sets aside what could not be judged.
pub(super) fn set_aside(
    conn: &mut Conn,
    seq: i64,
    rule: i64,
    error: &str,
    now: Millis,
) -> db::Result<()> {
    let row = (
        alert_poison::seq.eq(seq),
        alert_poison::rule_id.eq(rule),
        alert_poison::error.eq(error.to_owned()),
        alert_poison::at.eq(now),
    );
    on_either!(conn, |conn| diesel::insert_into(alert_poison::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

/// Ends a rule whose time is over, or that cannot be read.
pub(super) fn end_rule(conn: &mut Conn, rule: i64, status: &str, now: Millis) -> db::Result<()> {
    diesel::update(alert_rules::table.find(rule))
        .set((alert_rules::status.eq(status), alert_rules::updated.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// What is stored of the rule `id`.
pub(super) fn rule(conn: &mut Conn, id: i64) -> db::Result<Option<Rule>> {
    let row: Option<RuleRow> =
        alert_rules::table.find(id).select(RuleRow::as_select()).first(conn).optional()?;
    row.map(RuleRow::rule).transpose()
}
