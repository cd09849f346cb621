//! A rule as it is sent, and all that can be wrong with it.

use super::rule::{Basis, Condition, Filter, Kind, Margin, Mode, Op, Reference, Spec, Target};
use crate::auth::Role;
use crate::catalogue::{Category, clean_opt, parse_id, within};
use crate::clock::Millis;
use crate::http::time;
use crate::money::{Price, yuan};
use crate::notifications::Channel;
use crate::refusal::{Refusal, shorten};
use serde::Deserialize;
use utoipa::ToSchema;

const DAY: Millis = 86_400_000;

/// The most products that one rule names.
const PRODUCTS: usize = 50;

/// Money in yuan as text, or in fen as a number; or a count.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Money {
    /// Fen, or how many.
    Whole(i64),
    /// Yuan.
    Yuan(String),
}

/// A rule as it is sent. What is left out has the default of docs/alerts.md.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct NewRule {
    pub kind: Option<String>,
    pub product: Option<String>,
    pub products: Option<Vec<String>>,
    pub filter: Option<NewFilter>,
    pub market: Option<String>,
    pub price_type: Option<String>,
    pub basis: Option<String>,
    pub op: Option<String>,
    /// Yuan; `threshold` says the same in fen.
    pub price: Option<String>,
    pub threshold: Option<Money>,
    /// How many, for stock.
    pub quantity: Option<i64>,
    /// The size of a move in yuan, for `drop_abs` and `rise_abs`.
    pub amount: Option<String>,
    pub lo: Option<Money>,
    pub hi: Option<Money>,
    /// `"5"` or `"2.5"`; `pct_bp` says the same in hundredths of a percent.
    pub percent: Option<String>,
    pub pct_bp: Option<i64>,
    /// `created`, `last_fired`, `prev_tick`, `prev_close`, `avg(7d)`, `median(7d)`, `low(7d)`,
    /// `high(7d)`, `window(2h)`, `similar_median`, `fixed` (with `ref_price`).
    pub r#ref: Option<String>,
    pub ref_price: Option<String>,
    pub days: Option<i64>,
    pub window_days: Option<i64>,
    pub hours: Option<i64>,
    pub mode: Option<String>,
    pub margin: Option<String>,
    pub margin_fen: Option<i64>,
    pub margin_bp: Option<i64>,
    pub hold_s: Option<i64>,
    pub cooldown_s: Option<i64>,
    pub fire_if_true_now: Option<bool>,
    pub max_fires: Option<i64>,
    pub expires_at: Option<String>,
    pub channels: Option<Vec<String>>,
    pub note: Option<String>,
}

/// Which products a rule is to be about.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct NewFilter {
    pub category: String,
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i64>,
    pub form: Option<String>,
    pub market: Option<String>,
    pub merchant: Option<String>,
}

fn invalid(field: &str, en: impl Into<String>, zh: impl Into<String>) -> Refusal {
    Refusal::invalid(field, "bad_rule", en, zh)
}

fn missing(field: &str, op: Op) -> Refusal {
    let op = op.as_str();
    Refusal::invalid(
        field,
        "missing_field",
        format!("`{op}` needs `{field}`"),
        format!("“{op}”需要“{field}”"),
    )
}

fn one_of<T: Copy>(field: &str, text: &str, allowed: &[(&'static str, T)]) -> Result<T, Refusal> {
    if let Some((_, value)) = allowed.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
    let (text, known) = (shorten(text), names.join(", "));
    Err(Refusal::invalid(
        field,
        "bad_value",
        format!("`{field}` is `{text}`; want one of {known}"),
        format!("“{field}”为“{text}”；应为 {known} 之一"),
    )
    .with("allowed", names))
}

impl NewRule {
    /// The rule, for a user of `role` at `now`. `before` is the rule that it is
    /// to replace: what ends when it did, ends then.
    ///
    /// # Errors
    /// 422 with the first field that is of no use, and what to do about it.
    pub fn check(&self, role: Role, now: Millis, before: Option<&Spec>) -> Result<Spec, Refusal> {
        let op = self.op()?;
        let target = self.target(op)?;
        let condition = self.condition(op, role)?;
        check_margin(&condition)?;
        if matches!(target, Target::Market(_)) {
            for_market(&condition)?;
        }
        let price_type = self.price_type(&target, op)?;
        let channels = self.channels()?;
        Ok(Spec {
            target,
            price_type,
            condition,
            max_fires: within("max_fires", self.max_fires, 1, 1_000_000)?,
            expires_at: self.expires_at(now, before)?,
            channels,
            note: clean_opt("note", self.note.as_deref(), 200)?,
        })
    }

    fn op(&self) -> Result<Op, Refusal> {
        let Some(text) = &self.op else {
            return Err(Refusal::invalid(
                "op",
                "missing_field",
                "the field `op` is needed",
                "缺少字段“op”",
            ));
        };
        let allowed = Op::ALL.map(|op| (op.as_str(), op));
        let op = one_of("op", text, &allowed)?;
        let kinds = [("price", Kind::Price), ("stock", Kind::Stock)];
        if let Some(kind) = &self.kind
            && one_of("kind", kind, &kinds)? != op.kind()
        {
            return Err(invalid(
                "kind",
                format!("`{text}` is not of kind `{kind}`; leave `kind` out, the op says it"),
                format!("“{text}”不属于“{kind}”；可不填 kind"),
            ));
        }
        Ok(op)
    }

    fn target(&self, op: Op) -> Result<Target, Refusal> {
        let targets = [
            ("product", self.product.is_some()),
            ("products", self.products.is_some()),
            ("filter", self.filter.is_some()),
            ("market", self.market.is_some()),
        ];
        let given: Vec<&str> =
            targets.iter().filter(|(_, it)| *it).map(|(name, _)| *name).collect();
        if given.len() != 1 {
            return Err(invalid(
                given.get(1).copied().unwrap_or("product"),
                "a rule is about exactly one of product, products, filter, market",
                "提醒只能针对 product、products、filter、market 中的一个",
            ));
        }
        if let Some(product) = &self.product {
            return Ok(Target::Product(parse_id("product", product)?));
        }
        if let Some(products) = &self.products {
            let ids: Result<Vec<String>, Refusal> = products
                .iter()
                .enumerate()
                .map(|(at, id)| parse_id(&format!("products[{at}]"), id))
                .collect();
            let mut ids = ids?;
            ids.sort();
            ids.dedup();
            if ids.is_empty() || ids.len() > PRODUCTS || ids.len() < products.len() {
                return Err(invalid(
                    "products",
                    format!("`products` has 1 to {PRODUCTS} ids, each once"),
                    format!("products 应有 1 到 {PRODUCTS} 个不重复的编号"),
                ));
            }
            return Ok(Target::Products(ids));
        }
        if let Some(market) = &self.market {
            if op.kind() == Kind::Stock {
                return Err(invalid(
                    "market",
                    "a market has an index and no stock",
                    "市场只有指数，没有库存",
                ));
            }
            return Ok(Target::Market(parse_id("market", market)?));
        }
        let filter = self.filter.clone().unwrap_or_default();
        let text = |field, text: &Option<String>| clean_opt(field, text.as_deref(), 60);
        Ok(Target::Filter(Filter {
            category: Category::find(&filter.category)
                .map_err(|refusal| Refusal {
                    field: Some("filter.category".to_owned()),
                    class: crate::refusal::Class::Invalid,
                    ..refusal
                })?
                .id
                .to_owned(),
            origin: text("filter.origin", &filter.origin)?,
            grade: text("filter.grade", &filter.grade)?,
            vintage: within("filter.vintage", filter.vintage, 1900, 2200)?,
            form: text("filter.form", &filter.form)?,
            market: filter.market.map(|id| parse_id("filter.market", &id)).transpose()?,
            merchant: text("filter.merchant", &filter.merchant)?,
        }))
    }

    fn condition(&self, op: Op, role: Role) -> Result<Condition, Refusal> {
        let threshold = self.threshold(op)?;
        let (lo, hi) = self.range(op)?;
        let pct_bp = self.pct_bp(op)?;
        let reference = self.reference(op)?;
        let days = self.days(op)?;
        let window_days =
            only("window_days", self.window_days, op == Op::CoverDaysLte, op, 1, 365)?;
        let hours = only("hours", self.hours, op == Op::Stale, op, 1, 8_760)?;
        if self.hold_s.is_some_and(|hold| hold > 0) && !op.can_hold() {
            return Err(invalid(
                "hold_s",
                format!("what `{}` fires on cannot last; leave hold_s out", op.as_str()),
                format!("“{}”是瞬间事件，不能设置 hold_s", op.as_str()),
            ));
        }
        if self.fire_if_true_now.is_some() && !op.is_level() {
            return Err(invalid(
                "fire_if_true_now",
                format!(
                    "`{}` waits for a moment, which cannot be true already; leave it out",
                    op.as_str()
                ),
                format!("“{}”是事件条件，不能设置 fire_if_true_now", op.as_str()),
            ));
        }
        let modes = [("once", Mode::Once), ("rearm", Mode::Rearm), ("daily", Mode::Daily)];
        let default = if role == Role::Shopper { Mode::Once } else { Mode::Rearm };
        let mode = self.mode.as_deref().map(|mode| one_of("mode", mode, &modes)).transpose()?;
        let bases = [("listed", Basis::Listed), ("per_500g", Basis::Weight)];
        let basis = self.basis.as_deref().map(|it| one_of("basis", it, &bases)).transpose()?;
        if basis == Some(Basis::Weight) && (op.kind() == Kind::Stock || self.market.is_some()) {
            return Err(invalid(
                "basis",
                "only prices of products are compared by weight",
                "只有商品价格可以按重量比较",
            ));
        }
        Ok(Condition {
            op,
            basis: basis.unwrap_or(Basis::Listed),
            threshold,
            lo,
            hi,
            pct_bp,
            reference,
            days,
            window_days,
            hours,
            margin: self.margin(op)?,
            hold_s: within("hold_s", self.hold_s, 0, 2_592_000)?.unwrap_or(0),
            cooldown_s: within("cooldown_s", self.cooldown_s, 60, 2_592_000)?.unwrap_or(3_600),
            mode: mode.unwrap_or(default),
            fire_if_true_now: self.fire_if_true_now.unwrap_or(true),
        })
    }

    fn threshold(&self, op: Op) -> Result<Option<i64>, Refusal> {
        let fen = |field: &str, text: &str| Price::parse(field, text).map(Price::fen);
        let given = match (&self.price, &self.amount, self.quantity, &self.threshold) {
            (Some(price), None, None, None) => Some(("price", fen("price", price)?)),
            (None, Some(amount), None, None) => Some(("amount", fen("amount", amount)?)),
            (None, None, Some(quantity), None) => Some(("quantity", quantity)),
            (None, None, None, Some(Money::Whole(fen))) => Some(("threshold", *fen)),
            (None, None, None, Some(Money::Yuan(text))) => Some((
                "threshold",
                if op.kind() == Kind::Stock {
                    count("threshold", text)?
                } else {
                    fen("threshold", text)?
                },
            )),
            (None, None, None, None) => None,
            _ => {
                return Err(invalid(
                    "threshold",
                    "say it once: price, amount, quantity or threshold",
                    "price、amount、quantity、threshold 只能填一个",
                ));
            }
        };
        let (wanted, also) = match op {
            Op::Lte | Op::Gte | Op::CrossDown | Op::CrossUp | Op::Cross => ("price", true),
            Op::DropAbs | Op::RiseAbs => ("amount", true),
            Op::StockLte | Op::StockGte => ("quantity", true),
            _ => ("", false),
        };
        match given {
            None if also => Err(missing(wanted, op)),
            None => Ok(None),
            Some((field, _)) if !also || (field != wanted && field != "threshold") => {
                let op = op.as_str();
                let hint = if also { format!("; it takes {wanted}") } else { String::new() };
                Err(invalid(
                    field,
                    format!("`{op}` has no `{field}`{hint}"),
                    format!(
                        "“{op}”不使用“{field}”{}",
                        if also { format!("；应使用 {wanted}") } else { String::new() }
                    ),
                ))
            }
            Some((field, value)) => {
                let least = i64::from(op != Op::StockLte);
                if value < least || value > 1_000_000_000_000 {
                    return Err(invalid(
                        field,
                        format!("`{field}` must be above zero"),
                        format!("“{field}”必须大于零"),
                    ));
                }
                Ok(Some(value))
            }
        }
    }

    fn range(&self, op: Op) -> Result<(Option<i64>, Option<i64>), Refusal> {
        let ranged = matches!(op, Op::EnterRange | Op::ExitRange);
        let end = |field: &'static str, end: &Option<Money>| -> Result<Option<i64>, Refusal> {
            match end {
                Some(_) if !ranged => Err(invalid(
                    field,
                    format!("`{}` has no `{field}`", op.as_str()),
                    format!("“{}”不使用“{field}”", op.as_str()),
                )),
                None if ranged => Err(missing(field, op)),
                None => Ok(None),
                Some(Money::Whole(fen)) if *fen > 0 => Ok(Some(*fen)),
                Some(Money::Whole(_)) => Err(invalid(
                    field,
                    format!("`{field}` must be above zero"),
                    format!("“{field}”必须大于零"),
                )),
                Some(Money::Yuan(text)) => Price::parse(field, text).map(|price| Some(price.fen())),
            }
        };
        let (lo, hi) = (end("lo", &self.lo)?, end("hi", &self.hi)?);
        if let (Some(lo), Some(hi)) = (lo, hi)
            && lo >= hi
        {
            return Err(invalid("hi", "`hi` must be more than `lo`", "hi 必须大于 lo"));
        }
        Ok((lo, hi))
    }

    fn pct_bp(&self, op: Op) -> Result<Option<i64>, Refusal> {
        let wanted = matches!(op, Op::DropPct | Op::RisePct | Op::AnyChange);
        let (field, given) = match (&self.percent, self.pct_bp) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "pct_bp",
                    "say it once: percent or pct_bp",
                    "percent 与 pct_bp 只能填一个",
                ));
            }
            (Some(text), None) => ("percent", Some(yuan(text).unwrap_or(0))),
            (None, bp) => ("pct_bp", bp),
        };
        match given {
            None if wanted => Err(missing("percent", op)),
            None => Ok(None),
            Some(_) if !wanted => Err(invalid(
                field,
                format!("`{}` has no `{field}`", op.as_str()),
                format!("“{}”不使用“{field}”", op.as_str()),
            )),
            Some(bp) if (1..=100_000).contains(&bp) => Ok(Some(bp)),
            Some(_) => Err(invalid(
                field,
                "want 0.01 to 1000 percent with at most two decimals, as \"5\" or \"2.5\" (pct_bp: 1 to 100000)",
                "应为 0.01 到 1000 的百分数，最多两位小数，例如 \"5\" 或 \"2.5\"（pct_bp：1 到 100000）",
            )),
        }
    }

    fn reference(&self, op: Op) -> Result<Option<Reference>, Refusal> {
        let not_here = |field: &str| {
            invalid(
                field,
                format!("`{}` is not measured from a reference", op.as_str()),
                format!("“{}”没有参照值", op.as_str()),
            )
        };
        if !op.has_reference() {
            return match (&self.r#ref, &self.ref_price) {
                (Some(_), _) => Err(not_here("ref")),
                (None, Some(_)) => Err(not_here("ref_price")),
                (None, None) => Ok(None),
            };
        }
        let text = match (&self.r#ref, &self.ref_price) {
            (None, Some(_)) => "fixed",
            (None, None) => "created",
            (Some(text), _) => text,
        };
        let reference = match (text, &self.ref_price) {
            ("fixed", Some(price)) => Reference::Fixed(Price::parse("ref_price", price)?.fen()),
            ("fixed", None) => return Err(missing("ref_price", op)),
            (_, Some(_)) => {
                return Err(invalid(
                    "ref_price",
                    "`ref_price` goes with `ref` fixed",
                    "ref_price 只用于 ref=fixed",
                ));
            }
            (text, None) => parse_reference(text)?,
        };
        Ok(Some(reference))
    }

    fn days(&self, op: Op) -> Result<Option<i64>, Refusal> {
        let wanted = matches!(op, Op::NewLow | Op::NewHigh | Op::CoverDaysLte);
        only("days", self.days, wanted, op, 1, 365)
    }

    fn margin(&self, op: Op) -> Result<Margin, Refusal> {
        let stock = op.kind() == Kind::Stock;
        let given = match (&self.margin, self.margin_fen, self.margin_bp) {
            (None, None, None) => None,
            (Some(text), None, None) if stock => {
                Some(("margin", Margin::Fen(count("margin", text)?)))
            }
            (Some(text), None, None) => match yuan(text) {
                Some(fen) => Some(("margin", Margin::Fen(fen))),
                None => {
                    return Err(invalid(
                        "margin",
                        "`margin` is an amount in yuan, as \"1.00\"",
                        "margin 应为元，例如 \"1.00\"",
                    ));
                }
            },
            (None, Some(fen), None) => Some(("margin_fen", Margin::Fen(fen))),
            (None, None, Some(bp)) => Some(("margin_bp", Margin::Bp(bp))),
            _ => {
                return Err(invalid(
                    "margin",
                    "say it once: margin, margin_fen or margin_bp",
                    "margin、margin_fen、margin_bp 只能填一个",
                ));
            }
        };
        let ranged = matches!(op, Op::EnterRange | Op::ExitRange);
        match given {
            None if stock => Ok(Margin::Tenth),
            None => Ok(Margin::Bp(100)),
            Some((field, _)) if !op.is_level() && !ranged => Err(invalid(
                field,
                format!("`{}` needs nothing to come back; leave the margin out", op.as_str()),
                format!("“{}”不需要回差", op.as_str()),
            )),
            Some((_, margin @ Margin::Fen(fen))) if (0..=1_000_000_000_000).contains(&fen) => {
                Ok(margin)
            }
            Some((_, margin @ Margin::Bp(bp))) if (0..=10_000).contains(&bp) => Ok(margin),
            Some((field, _)) => Err(invalid(
                field,
                format!("`{field}` is out of range: 0 or more, at most 10000 basis points"),
                format!("“{field}”超出范围：不小于 0，最多 10000 个基点"),
            )),
        }
    }

    fn price_type(&self, target: &Target, op: Op) -> Result<Option<String>, Refusal> {
        let types = [("wholesale", "wholesale"), ("retail", "retail"), ("buy_in", "buy_in")];
        let given =
            self.price_type.as_deref().map(|it| one_of("price_type", it, &types)).transpose()?;
        match (target, op.kind(), given) {
            (Target::Filter(_), Kind::Price, given) => {
                Ok(Some(given.unwrap_or("wholesale").to_owned()))
            }
            (_, _, None) => Ok(None),
            (_, _, Some(_)) => Err(invalid(
                "price_type",
                "`price_type` goes with a filter on prices; a product has one kind of price",
                "price_type 只用于价格的 filter；单个商品只有一种价格",
            )),
        }
    }

    fn channels(&self) -> Result<Vec<String>, Refusal> {
        let allowed = [("inapp", None)];
        let ways = Channel::ALL.map(|channel| (channel.as_str(), Some(channel)));
        let allowed: Vec<_> = allowed.into_iter().chain(ways).collect();
        let mut channels = Vec::new();
        for name in self.channels.iter().flatten() {
            // The inbox is always one.
            if let Some(channel) = one_of("channels", name, &allowed)?
                && !channels.contains(&channel.as_str().to_owned())
            {
                channels.push(channel.as_str().to_owned());
            }
        }
        Ok(channels)
    }

    fn expires_at(&self, now: Millis, before: Option<&Spec>) -> Result<Millis, Refusal> {
        let Some(text) = &self.expires_at else {
            let kept = before.map(|spec| spec.expires_at).filter(|at| *at > now);
            return Ok(kept.unwrap_or(now + 90 * DAY));
        };
        let at = time("expires_at", text)?;
        if at <= now || at > now + 366 * DAY {
            return Err(invalid(
                "expires_at",
                "a rule ends in the future, within a year",
                "到期时间必须在未来一年之内",
            ));
        }
        Ok(at)
    }
}

fn count(field: &str, text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| {
        invalid(field, format!("`{field}` is a whole number"), format!("“{field}”应为整数"))
    })
}

/// A number that belongs to some ops alone, which need it.
fn only(
    field: &'static str,
    given: Option<i64>,
    wanted: bool,
    op: Op,
    min: i64,
    max: i64,
) -> Result<Option<i64>, Refusal> {
    match given {
        None if wanted => Err(missing(field, op)),
        Some(_) if !wanted => Err(invalid(
            field,
            format!("`{}` has no `{field}`", op.as_str()),
            format!("“{}”不使用“{field}”", op.as_str()),
        )),
        given => within(field, given, min, max),
    }
}

/// Reads `avg(7d)` and the like.
fn parse_reference(text: &str) -> Result<Reference, Refusal> {
    let bad = || {
        let text = shorten(text);
        invalid(
            "ref",
            format!(
                "`ref` is `{text}`; want created, last_fired, prev_tick, prev_close, avg(7d), median(7d), low(7d), high(7d), window(2h), similar_median or fixed; 1 to 365 days, a window of 1 minute to 30 days (30m, 2h, 1d)"
            ),
            format!(
                "ref 为“{text}”；应为 created、last_fired、prev_tick、prev_close、avg(7d)、median(7d)、low(7d)、high(7d)、window(2h)、similar_median 或 fixed"
            ),
        )
    };
    let plain = [
        ("created", Reference::Created),
        ("last_fired", Reference::LastFired),
        ("prev_tick", Reference::PrevTick),
        ("prev_close", Reference::PrevClose),
        ("similar_median", Reference::SimilarMedian),
    ];
    if let Some((_, reference)) = plain.iter().find(|(name, _)| *name == text) {
        return Ok(*reference);
    }
    let (name, rest) = text.split_once('(').ok_or_else(bad)?;
    let span = rest.strip_suffix(')').ok_or_else(bad)?.trim();
    let (digits, unit) = match span.find(|c: char| !c.is_ascii_digit()) {
        Some(end) => span.split_at(end),
        None => (span, "d"),
    };
    let number: i64 = digits.parse().map_err(|_| bad())?;
    let days = || match unit.trim() {
        "d" if (1..=365).contains(&number) => Ok(number),
        _ => Err(bad()),
    };
    Ok(match name {
        "avg" => Reference::Avg(days()?),
        "median" => Reference::Median(days()?),
        "low" => Reference::Low(days()?),
        "high" => Reference::High(days()?),
        "window" => {
            let seconds = match unit.trim() {
                "s" => Some(1),
                "m" => Some(60),
                "h" => Some(3_600),
                "d" => Some(86_400),
                _ => None,
            };
            let seconds = seconds.and_then(|unit: i64| number.checked_mul(unit)).ok_or_else(bad)?;
            if !(60..=2_592_000).contains(&seconds) {
                return Err(bad());
            }
            Reference::Window(seconds)
        }
        _ => return Err(bad()),
    })
}

/// A margin that reaches the other side of a range would never let it re-arm.
fn check_margin(condition: &Condition) -> Result<(), Refusal> {
    let (Some(lo), Some(hi)) = (condition.lo, condition.hi) else { return Ok(()) };
    let reach = match condition.margin {
        Margin::Fen(fen) => i128::from(fen),
        Margin::Bp(bp) => i128::from(hi) * i128::from(bp) / 10_000,
        Margin::Tenth => i128::from(hi) / 10,
    };
    // The default is nobody's word.
    let said = condition.margin != Margin::Bp(100);
    if said && reach >= i128::from(hi) - i128::from(lo) {
        return Err(invalid(
            "margin",
            "the margin reaches the other side of the range; make it smaller than hi - lo",
            "回差超过了区间宽度；应小于 hi - lo",
        ));
    }
    Ok(())
}

/// Of the index of a market nothing but the last value is kept.
fn for_market(condition: &Condition) -> Result<(), Refusal> {
    let looks_back = match condition.op {
        Op::NewLow | Op::NewHigh => true,
        op if op.has_reference() => {
            condition.reference.is_some_and(|it| !it.is_fixed() && it != Reference::PrevTick)
        }
        _ => false,
    };
    if looks_back {
        let field = if condition.op.has_reference() { "ref" } else { "op" };
        return Err(invalid(
            field,
            "an index has no history to look back on: use created, last_fired, prev_tick or fixed",
            "指数没有可回看的历史：请用 created、last_fired、prev_tick 或 fixed",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(body: Value) -> Result<Spec, Refusal> {
        let new: NewRule = serde_json::from_value(body).expect("the fields are known");
        new.check(Role::Shopper, 1_000_000, None)
    }

    #[test]
    fn a_friendly_rule_is_a_full_rule() {
        let short = check(json!({"product":"a","op":"lte","price":"98.00"})).expect("a rule");
        let full = check(json!({
            "kind": "price", "product": "a", "op": "lte", "threshold": 9800, "basis": "listed",
            "mode": "once", "margin_bp": 100, "hold_s": 0, "cooldown_s": 3600,
            "fire_if_true_now": true, "channels": ["inapp"],
        }));
        assert_eq!(Ok(short), full);
        let fall = check(json!({"product":"a","op":"drop_pct","percent":"2.5","ref":"avg(7d)"}));
        let condition = fall.expect("a rule").condition;
        assert_eq!((condition.pct_bp, condition.reference), (Some(250), Some(Reference::Avg(7))));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_named() {
        for (body, field) in [
            (json!({"op":"lte","price":"1"}), "product"),
            (json!({"product":"a","market":"fangcun","op":"lte","price":"1"}), "market"),
            (json!({"product":"a","op":"less","price":"1"}), "op"),
            (json!({"product":"a","price":"1"}), "op"),
            (json!({"product":"a","op":"lte"}), "price"),
            (json!({"product":"a","op":"lte","price":"0"}), "price"),
            (json!({"product":"a","op":"lte","threshold":0}), "threshold"),
            (json!({"product":"a","op":"lte","threshold":-5}), "threshold"),
            (json!({"product":"a","op":"lte","price":"1","threshold":100}), "threshold"),
            (json!({"product":"a","op":"lte","quantity":3}), "quantity"),
            (json!({"product":"a","kind":"stock","op":"lte","price":"1"}), "kind"),
            (json!({"product":"a","op":"enter_range","lo":"9","hi":"9"}), "hi"),
            (json!({"product":"a","op":"enter_range","lo":"8","hi":"9","margin":"1.00"}), "margin"),
            (json!({"product":"a","op":"drop_pct","percent":"0"}), "percent"),
            (json!({"product":"a","op":"drop_pct","percent":"1000.01"}), "percent"),
            (json!({"product":"a","op":"drop_pct","pct_bp":100001}), "pct_bp"),
            (json!({"product":"a","op":"drop_pct","percent":"5","ref":"avg"}), "ref"),
            (json!({"product":"a","op":"drop_pct","percent":"5","ref":"avg(0d)"}), "ref"),
            (json!({"product":"a","op":"drop_pct","percent":"5","ref":"fixed"}), "ref_price"),
            (json!({"product":"a","op":"cover_days_lte","days":3}), "window_days"),
            (json!({"product":"a","op":"cover_days_lte","window_days":3}), "days"),
            (
                json!({"product":"a","op":"cross_up","price":"1","fire_if_true_now":true}),
                "fire_if_true_now",
            ),
            (json!({"product":"a","op":"new_low","days":3,"hold_s":5}), "hold_s"),
            (json!({"product":"a","op":"lte","price":"1","cooldown_s":59}), "cooldown_s"),
            (
                json!({"product":"a","op":"lte","price":"1","expires_at":"1969-01-01T00:00:00Z"}),
                "expires_at",
            ),
            (
                json!({"product":"a","op":"lte","price":"1","expires_at":"2099-01-01T00:00:00Z"}),
                "expires_at",
            ),
            (json!({"product":"a","op":"lte","price":"1","mode":"always"}), "mode"),
            (json!({"product":"a","op":"lte","price":"1","channels":["fax"]}), "channels"),
            (json!({"product":"a","op":"lte","price":"1","price_type":"retail"}), "price_type"),
            (json!({"product":"a","op":"lte","price":"1","max_fires":0}), "max_fires"),
            (json!({"product":"a","op":"stock_lte","quantity":-1}), "quantity"),
            (json!({"product":"a","op":"stock_lte","quantity":1,"basis":"per_500g"}), "basis"),
            (json!({"products":["a","a"],"op":"lte","price":"1"}), "products"),
            (json!({"products":[],"op":"lte","price":"1"}), "products"),
            (json!({"market":"fangcun","op":"new_low","days":3}), "op"),
            (json!({"filter":{"category":"gren"},"op":"lte","price":"1"}), "filter.category"),
        ] {
            let refusal = check(body.clone()).expect_err(&body.to_string());
            assert_eq!(refusal.field.as_deref(), Some(field), "{body}: {refusal}");
            assert_eq!(refusal.class, crate::refusal::Class::Invalid);
        }
    }

    #[test]
    fn references_are_read_with_their_spans() {
        assert_eq!(parse_reference("window(2h)"), Ok(Reference::Window(7_200)));
        assert_eq!(parse_reference("median(30)"), Ok(Reference::Median(30)));
        for text in
            ["window(10s)", "avg(7h)", "avg(7d", "low()", "high(366d)", "window(31d)", "x(1d)"]
        {
            assert!(parse_reference(text).is_err(), "{text}");
        }
    }
}
