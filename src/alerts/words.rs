//! What is said of a rule and of its firings, in both languages.

use super::instance::Cause;
use super::rule::{Basis, Condition, Kind, Mode, Op, Reference, Spec, Target};
use super::series::{Series, Subject};
use crate::money::yuan_text;
use crate::notifications::Said;

/// A value as it is shown: `¥98.00/斤`, `40 g`.
pub fn value_text(subject: &Subject, series: &Series, value: i64) -> String {
    match (series, subject) {
        (Series::Stock(_), Subject::Product(product)) => {
            format!("{value} {}", if product.stock_unit() == "gram" { "g" } else { "件" })
        }
        (Series::Price(_), Subject::Product(product)) => product.price_text(value),
        _ => yuan_text(value),
    }
}

/// A value as it is read aloud: no sign that a voice would stumble over.
fn spoken(subject: &Subject, series: &Series, value: i64) -> Said {
    let plain = |fen: i64| {
        let text = yuan_text(fen);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match (series, subject) {
        (Series::Stock(_), Subject::Product(product)) if product.stock_unit() == "gram" => {
            Said::new(format!("{value}克"), format!("{value} grams"))
        }
        (Series::Stock(_), _) => Said::new(format!("{value}件"), format!("{value} pieces")),
        (Series::Price(_), Subject::Product(product)) => {
            let shown = product.price_text(value);
            let unit = shown.rsplit_once('/').map_or("份", |(_, unit)| unit).to_owned();
            Said::new(format!("每{unit}{}元", plain(value)), format!("{} yuan", plain(value)))
        }
        _ => Said::new(format!("{}点", plain(value)), plain(value)),
    }
}

fn percent(bp: i64) -> String {
    let text = format!("{}.{:02}", bp / 100, bp % 100);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn reference(reference: Option<Reference>) -> Said {
    match reference.unwrap_or(Reference::Created) {
        Reference::Created => Said::new("设定时", "the value when the rule was made"),
        Reference::LastFired => Said::new("上次提醒时", "the value of the last alert"),
        Reference::PrevTick => Said::new("上一次报价", "the value before"),
        Reference::PrevClose => Said::new("昨日收盘", "the last close"),
        Reference::Avg(days) => Said::new(format!("{days}天均价"), format!("the {days}-day mean")),
        Reference::Median(days) => {
            Said::new(format!("{days}天中位价"), format!("the {days}-day median"))
        }
        Reference::Low(days) => Said::new(format!("{days}天最低价"), format!("the {days}-day low")),
        Reference::High(days) => {
            Said::new(format!("{days}天最高价"), format!("the {days}-day high"))
        }
        Reference::Window(seconds) => Said::new(
            format!("{}分钟前", seconds / 60),
            format!("the value {} minutes ago", seconds / 60),
        ),
        Reference::SimilarMedian => Said::new("同类中位价", "the median of similar products"),
        Reference::Fixed(fen) => Said::new(yuan_text(fen), yuan_text(fen)),
    }
}

/// What has to become of the value: `价格降到 98.00 元或以下`.
pub fn condition(condition: &Condition) -> Said {
    let threshold = condition.threshold.unwrap_or(0);
    let yuan = yuan_text(threshold);
    let range = || {
        let (lo, hi) = (condition.lo.unwrap_or(0), condition.hi.unwrap_or(0));
        (yuan_text(lo), yuan_text(hi))
    };
    let bp = percent(condition.pct_bp.unwrap_or(0));
    let from = reference(condition.reference);
    let days = condition.days.unwrap_or(0);
    let price = match condition.basis {
        Basis::Listed => Said::new("价格", "the price"),
        Basis::Weight => Said::new("每500克价格", "the price for 500 g"),
    };
    let (zh, en) = match condition.op {
        Op::Lte => (format!("降到 {yuan} 元或以下"), format!("is {yuan} or less")),
        Op::Gte => (format!("涨到 {yuan} 元或以上"), format!("is {yuan} or more")),
        Op::DropPct => {
            (format!("比{}跌 {bp} 或更多", from.zh), format!("is {bp} or more below {}", from.en))
        }
        Op::RisePct => {
            (format!("比{}涨 {bp} 或更多", from.zh), format!("is {bp} or more above {}", from.en))
        }
        Op::DropAbs => (
            format!("比{}跌 {yuan} 元或更多", from.zh),
            format!("is {yuan} or more below {}", from.en),
        ),
        Op::RiseAbs => (
            format!("比{}涨 {yuan} 元或更多", from.zh),
            format!("is {yuan} or more above {}", from.en),
        ),
        Op::CrossDown => (format!("向下穿过 {yuan} 元"), format!("falls to or through {yuan}")),
        Op::CrossUp => (format!("向上穿过 {yuan} 元"), format!("rises to or through {yuan}")),
        Op::Cross => (format!("穿过 {yuan} 元"), format!("reaches {yuan} from either side")),
        Op::EnterRange => {
            let (lo, hi) = range();
            (format!("进入 {lo} 到 {hi} 元"), format!("comes to lie between {lo} and {hi}"))
        }
        Op::ExitRange => {
            let (lo, hi) = range();
            (format!("离开 {lo} 到 {hi} 元"), format!("leaves the range from {lo} to {hi}"))
        }
        Op::NewLow => {
            (format!("创 {days} 天新低"), format!("is lower than in the last {days} days"))
        }
        Op::NewHigh => {
            (format!("创 {days} 天新高"), format!("is higher than in the last {days} days"))
        }
        Op::AnyChange => (format!("变动 {bp} 或更多"), format!("moves by {bp} or more")),
        Op::StockLte => (format!("降到 {threshold} 或以下"), format!("is {threshold} or less")),
        Op::StockGte => (format!("达到 {threshold} 或以上"), format!("is {threshold} or more")),
        Op::BackInStock => ("从无到有".to_owned(), "comes back".to_owned()),
        Op::OutOfStock => ("售罄".to_owned(), "is sold out".to_owned()),
        Op::CoverDaysLte => {
            let window = condition.window_days.unwrap_or(0);
            (
                format!("按近 {window} 天销量只够卖 {days} 天或更少"),
                format!("lasts for {days} days or less at the pace of the last {window}"),
            )
        }
        Op::Stale => {
            let hours = condition.hours.unwrap_or(0);
            (format!("{hours} 小时没有更新"), format!("has not been told for {hours} hours"))
        }
    };
    match condition.op.kind() {
        Kind::Price => Said::new(format!("{}{zh}", price.zh), format!("{} {en}", price.en)),
        Kind::Stock => Said::new(format!("可售库存{zh}"), format!("the stock {en}")),
    }
}

/// The whole rule as a sentence. `names` are those of what it is about.
pub fn rule(spec: &Spec, names: &[&str]) -> Said {
    let what = condition(&spec.condition);
    let about = match (&spec.target, names) {
        (Target::Market(_), [name, ..]) => {
            Said::new(format!("{name}指数"), format!("the index of {name}"))
        }
        (Target::Filter(_), _) => Said::new(
            format!("{} 件符合条件的商品中任一", names.len()),
            format!("any of {} matching products", names.len()),
        ),
        (_, [name]) => Said::new((*name).to_owned(), (*name).to_owned()),
        (_, names) => Said::new(
            format!("{} 件商品中任一", names.len()),
            format!("any of {} products", names.len()),
        ),
    };
    let often = match spec.condition.mode {
        Mode::Once => Said::new("提醒一次", "you are told once"),
        Mode::Rearm => Said::new("每次都提醒", "you are told each time"),
        Mode::Daily => Said::new("每天最多提醒一次", "you are told once a day"),
    };
    let hold = match spec.condition.hold_s {
        0 => Said::default(),
        seconds => {
            Said::new(format!("并持续 {seconds} 秒"), format!(" and stays so for {seconds} s"))
        }
    };
    Said::new(
        format!("{}{}{}时，{}。", about.zh, what.zh, hold.zh, often.zh),
        format!("{}: when {}{}, {}.", about.en, what.en, hold.en, often.en),
    )
}

/// One firing, as an inbox shows it.
pub struct Fired<'a> {
    /// What it is about.
    pub subject: &'a Subject,
    /// Which series of it.
    pub series: &'a Series,
    /// The value.
    pub value: Option<i64>,
    /// Why.
    pub cause: Cause,
}

/// Title, body and speech of a single firing.
pub fn fired(condition_of: &Condition, fired: &Fired<'_>, late: bool) -> (Said, Said, Said) {
    let name = fired.subject.name();
    let what = condition(condition_of);
    let shown = fired.value.map(|value| value_text(fired.subject, fired.series, value));
    let shown = shown.unwrap_or_default();
    let why = match fired.cause {
        Cause::Tick | Cause::Silence => Said::default(),
        Cause::AlreadyTrue => Said::new("（设定时已满足）", " (it was so already)"),
        Cause::AfterCooldown => Said::new("（冷却后仍满足）", " (still so after the pause)"),
        Cause::Held => Said::new("（已持续）", " (it has lasted)"),
        Cause::NewArrival => Said::new("（新上架）", " (new arrival)"),
    };
    let late = if late { Said::new("（延迟送达）", " (late)") } else { Said::default() };
    let title = Said::new(format!("{name} {shown}"), format!("{name} {shown}"));
    let body = Said::new(
        format!("{name}现为 {shown}：{}{}{}", what.zh, why.zh, late.zh),
        format!("{name} is at {shown}: {}{}{}", what.en, why.en, late.en),
    );
    let said = fired.value.map(|value| spoken(fired.subject, fired.series, value));
    let said = said.unwrap_or_default();
    let of = match fired.series {
        Series::Price(_) => "现在的价格是",
        Series::Stock(_) => "可售库存是",
        Series::Market(_) => "指数是",
    };
    let speech =
        Said::new(format!("{name}，{of}{}。", said.zh), format!("{name} is now at {}.", said.en));
    (title, body, speech)
}

/// Title, body and speech of several firings at once.
pub fn fired_many(condition_of: &Condition, first: &str, total: usize) -> (Said, Said, Said) {
    let what = condition(condition_of);
    let title =
        Said::new(format!("{first} 等 {total} 件"), format!("{first} and {} more", total - 1));
    let body = Said::new(
        format!("{total} 件商品满足：{}", what.zh),
        format!("{total} products: {}", what.en),
    );
    let speech = Said::new(
        format!("{first}等{total}件商品满足提醒条件。"),
        format!("{first} and {} more have set off an alert.", total - 1),
    );
    (title, body, speech)
}

#[cfg(test)]
mod tests {
    use super::super::rule::Filter;
    use super::super::rule::tests::condition as plain;
    use super::*;

    #[test]
    fn a_rule_is_a_sentence_in_both_languages() {
        let spec = |condition, target| Spec {
            target,
            price_type: None,
            condition,
            max_fires: None,
            expires_at: 0,
            channels: Vec::new(),
            note: None,
        };
        let lte = Condition { threshold: Some(9_800), mode: Mode::Once, ..plain(Op::Lte) };
        let said = rule(&spec(lte, Target::Product("a".into())), &["龙井"]);
        assert_eq!(said.zh, "龙井价格降到 98.00 元或以下时，提醒一次。");
        assert_eq!(said.en, "龙井: when the price is 98.00 or less, you are told once.");
        let mut fall = Condition { pct_bp: Some(250), hold_s: 60, ..plain(Op::DropPct) };
        fall.reference = Some(Reference::Avg(7));
        let said = rule(&spec(fall, Target::Filter(Filter::default())), &["a", "b"]);
        assert_eq!(
            said.zh,
            "2 件符合条件的商品中任一价格比7天均价跌 2.5% 或更多并持续 60 秒时，每次都提醒。"
        );
    }

    #[test]
    fn percentages_are_short() {
        assert_eq!(
            (percent(500), percent(250), percent(1)),
            ("5%".into(), "2.5%".into(), "0.01%".into())
        );
    }
}
