use super::Amount;
use crate::clock::Millis;
use serde::{Deserialize, Serialize};

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What is asked for a product, or the index of a market.
    Price,
    /// How many are left to sell.
    Stock,
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One product.
    Product(String),
    /// Several, each for itself.
    Products(Vec<String>),
    /// Whatever matches, each for itself, now and later.
    Filter(Filter),
    /// The index of a market.
    Market(String),
}

/// Which products a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Filter {
    /// A class holds its sub-classes.
    pub category: String,
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i64>,
    pub form: Option<String>,
    pub market: Option<String>,
    pub merchant: Option<String>,
}

/// How a price is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// As it is asked.
    Listed,
    /// For 500 g.
    #[serde(rename = "per_500g")]
    Weight,
}

/// How a value is compared. What stands behind each is told in docs/alerts.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Op {
    Lte,
    Gte,
    DropPct,
    RisePct,
    DropAbs,
    RiseAbs,
    CrossDown,
    CrossUp,
    Cross,
    EnterRange,
    ExitRange,
    NewLow,
    NewHigh,
    AnyChange,
    StockLte,
    StockGte,
    BackInStock,
    OutOfStock,
    CoverDaysLte,
    Stale,
}

impl Op {
    /// All of them.
    pub const ALL: [Op; 20] = [
        Op::Lte,
        Op::Gte,
        Op::DropPct,
        Op::RisePct,
        Op::DropAbs,
        Op::RiseAbs,
        Op::CrossDown,
        Op::CrossUp,
        Op::Cross,
        Op::EnterRange,
        Op::ExitRange,
        Op::NewLow,
        Op::NewHigh,
        Op::AnyChange,
        Op::StockLte,
        Op::StockGte,
        Op::BackInStock,
        Op::OutOfStock,
        Op::CoverDaysLte,
        Op::Stale,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Lte => "lte",
            Op::Gte => "gte",
            Op::DropPct => "drop_pct",
            Op::RisePct => "rise_pct",
            Op::DropAbs => "drop_abs",
            Op::RiseAbs => "rise_abs",
            Op::CrossDown => "cross_down",
            Op::CrossUp => "cross_up",
            Op::Cross => "cross",
            Op::EnterRange => "enter_range",
            Op::ExitRange => "exit_range",
            Op::NewLow => "new_low",
            Op::NewHigh => "new_high",
            Op::AnyChange => "any_change",
            Op::StockLte => "stock_lte",
            Op::StockGte => "stock_gte",
            Op::BackInStock => "back_in_stock",
            Op::OutOfStock => "out_of_stock",
            Op::CoverDaysLte => "cover_days_lte",
            Op::Stale => "stale",
        }
    }

    /// What it looks at.
    pub fn kind(self) -> Kind {
        match self {
            Op::StockLte | Op::StockGte | Op::BackInStock | Op::OutOfStock | Op::CoverDaysLte => {
                Kind::Stock
            }
            _ => Kind::Price,
        }
    }

    /// Whether it is a state that may last, and not a moment.
    pub fn is_level(self) -> bool {
        match self {
            Op::Lte
            | Op::Gte
            | Op::DropPct
            | Op::RisePct
            | Op::DropAbs
            | Op::RiseAbs
            | Op::StockLte
            | Op::StockGte
            | Op::CoverDaysLte
            | Op::Stale => true,
            Op::CrossDown
            | Op::CrossUp
            | Op::Cross
            | Op::EnterRange
            | Op::ExitRange
            | Op::NewLow
            | Op::NewHigh
            | Op::AnyChange
            | Op::BackInStock
            | Op::OutOfStock => false,
        }
    }

    /// Whether what it fired on can go on, so that it may be asked to hold.
    pub fn can_hold(self) -> bool {
        !matches!(self, Op::NewLow | Op::NewHigh | Op::AnyChange | Op::Stale)
    }

    /// Whether it is measured from a reference.
    pub fn has_reference(self) -> bool {
        matches!(self, Op::DropPct | Op::RisePct | Op::DropAbs | Op::RiseAbs)
    }

    /// Whether it waits for less, where that can be said.
    pub fn is_downward(self) -> bool {
        matches!(
            self,
            Op::Lte | Op::DropPct | Op::DropAbs | Op::StockLte | Op::CoverDaysLte | Op::NewLow
        )
    }
}

/// What a move is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The value when the rule was made or last edited.
    Created,
    /// The value of the last firing; at first as `Created`.
    LastFired,
    /// The value before.
    PrevTick,
    /// The last value of an earlier day.
    PrevClose,
    /// The mean of the last days, by time.
    Avg(i64),
    /// The median of the daily closes of the last days.
    Median(i64),
    /// The least of the last days.
    Low(i64),
    /// The most of the last days.
    High(i64),
    /// The first value of the last so many seconds.
    Window(i64),
    /// The median of similar products.
    SimilarMedian,
    /// A value that the rule names.
    Fixed(i64),
}

impl Reference {
    /// Whether it stays as it is from one firing to the next.
    pub fn is_fixed(self) -> bool {
        matches!(self, Reference::Created | Reference::LastFired | Reference::Fixed(_))
    }
}

/// How often a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Once, and is done.
    Once,
    /// Whenever it comes true again.
    Rearm,
    /// The first time in a business day.
    Daily,
}

/// How far back a value has to come before a rule looks out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Margin {
    /// So many fen, or so many left.
    Fen(i64),
    /// So many hundredths of a percent of the threshold.
    Bp(i64),
    /// A tenth of the threshold, one at least.
    Tenth,
}

/// What has to become of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The comparison.
    pub op: Op,
    /// What is compared.
    pub basis: Basis,
    /// Fen, or how many; the size of the move for `drop_abs` and `rise_abs`.
    pub threshold: Option<i64>,
    /// The lower end of a range.
    pub lo: Option<i64>,
    /// Its upper end.
    pub hi: Option<i64>,
    /// Hundredths of a percent.
    pub pct_bp: Option<i64>,
    /// What a move is measured from.
    pub reference: Option<Reference>,
    /// The days of `new_low`, `new_high` and `cover_days_lte`.
    pub days: Option<i64>,
    /// The days over which `cover_days_lte` looks at what went out.
    pub window_days: Option<i64>,
    /// The hours of `stale`.
    pub hours: Option<i64>,
    /// How far back it has to come.
    pub margin: Margin,
    /// How long it has to last, in seconds.
    pub hold_s: i64,
    /// The least time between two firings of an instance, in seconds.
    pub cooldown_s: i64,
    /// How often it fires.
    pub mode: Mode,
    /// Whether a level that is true at the start fires at once.
    pub fire_if_true_now: bool,
}

impl Condition {
    /// Whether what it compares with may be another at each tick, so that it
    /// has to be looked at at each.
    pub fn is_moving(&self) -> bool {
        match self.op {
            Op::NewLow | Op::NewHigh | Op::AnyChange | Op::CoverDaysLte => true,
            op if op.has_reference() => self.reference.is_none_or(|it| !it.is_fixed()),
            _ => false,
        }
    }
}

/// What a rule is, whoever owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What it is about.
    pub target: Target,
    /// The kind of price that a filter looks at.
    pub price_type: Option<String>,
    /// What has to become of it.
    pub condition: Condition,
    /// How often it fires in all.
    pub max_fires: Option<i64>,
    /// When it ends.
    pub expires_at: Millis,
    /// How what it fires leaves the house: names of channels.
    pub channels: Vec<String>,
    /// What its owner wrote on it.
    pub note: Option<String>,
}

/// Where a rule stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It looks out.
    Active,
    /// It was stopped, by its owner or because it fired too often.
    Paused,
    /// Its time is over.
    Expired,
    /// It has fired as often as it was to.
    Done,
    /// What it was about is gone.
    Gone,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 5] =
        [Status::Active, Status::Paused, Status::Expired, Status::Done, Status::Gone];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Paused => "paused",
            Status::Expired => "expired",
            Status::Done => "done",
            Status::Gone => "gone",
        }
    }

    /// The status called `name`.
    pub fn find(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A rule of somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub user: String,
    /// Grows with every edit that begins it anew; firings name it.
    pub version: i64,
    /// Where it stands.
    pub status: Status,
    /// What it is.
    pub spec: Spec,
    /// How often it has fired.
    pub fires: i64,
    /// When it was made.
    pub created: Millis,
    /// When it was last changed.
    pub updated: Millis,
}

/// Past values that a condition is measured from, as they are at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The moving reference, or the extreme of `new_low` and `new_high`; none if
    /// there is too little history.
    pub reference: Option<Amount>,
    /// What went out in the window of `cover_days_lte`.
    pub outflow: Option<i64>,
    /// When the series had its last tick.
    pub last_tick: Option<Millis>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A condition with the op and nothing else out of the ordinary.
    pub fn condition(op: Op) -> Condition {
        Condition {
            op,
            basis: Basis::Listed,
            threshold: None,
            lo: None,
            hi: None,
            pct_bp: None,
            reference: None,
            days: None,
            window_days: None,
            hours: None,
            margin: Margin::Bp(100),
            hold_s: 0,
            cooldown_s: 0,
            mode: Mode::Rearm,
            fire_if_true_now: true,
        }
    }

    #[test]
    fn every_op_has_a_name_of_its_own() {
        for op in Op::ALL {
            let name = serde_json::to_string(&op).expect("a name");
            assert_eq!(name, format!("\"{}\"", op.as_str()));
        }
    }
}
