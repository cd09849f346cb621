use super::rule::Rule;
use super::{Amount, Mode};
use crate::clock::{Millis, business_day};
use serde::{Deserialize, Serialize};

/// How many evaluations an instance remembers.
const TRACE: usize = 10;

/// Where a rule stands on one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It looks out.
    Armed,
    /// It is true, and has to stay so for a while.
    Pending,
    /// It is true again, and fires when the cooldown is over if it still is.
    Held,
    /// It has fired, and waits for the value to come back.
    Fired,
    /// It has fired as often as it was to.
    Done,
    /// There is too little history to say anything.
    NoData,
    /// What it looked at is gone.
    Gone,
}

impl State {
    /// All of them.
    pub const ALL: [State; 7] = [
        State::Armed,
        State::Pending,
        State::Held,
        State::Fired,
        State::Done,
        State::NoData,
        State::Gone,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Armed => "armed",
            State::Pending => "pending",
            State::Held => "held",
            State::Fired => "fired",
            State::Done => "done",
            State::NoData => "no_data",
            State::Gone => "gone",
        }
    }

    /// The state called `name`.
    pub fn find(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether it looks at nothing any more.
    pub fn is_over(self) -> bool {
        matches!(self, State::Done | State::Gone)
    }
}

/// On which side of a line, or where of a range, a value was last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Below the line or range.
    Below,
    /// On the line, or in the range.
    At,
    /// Above.
    Above,
}

/// One rule on one series, between two evaluations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Where it stands.
    pub state: State,
    /// When something happens to it without a tick.
    pub due: Option<Millis>,
    /// What else it remembers.
    pub memory: Memory,
}

/// What an instance remembers besides its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Where the value was last; none if it is to be seen first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// The value when the rule was made or last edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Amount>,
    /// The value of the last firing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired: Option<Amount>,
    /// When it last fired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<Millis>,
    /// Firings that fell into a cooldown or into a day that had one.
    pub suppressed: i64,
    /// It began to match a filter and has not been looked at since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub arriving: bool,
    /// The last evaluations, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<Evaluation>,
}

/// What came of looking at a rule once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// When.
    pub at: Millis,
    /// The position of the tick, or the time of the timer.
    pub cause: i64,
    /// The value; none if it is unknown.
    pub value: Option<i64>,
    /// What it was compared with, rounded to whole fen towards firing later.
    pub threshold: Option<i64>,
    /// The state after it.
    pub state: String,
    /// `fired`, or why not.
    pub outcome: String,
}

impl Instance {
    /// One that was never looked at.
    pub fn new() -> Instance {
        Instance { state: State::Armed, due: None, memory: Memory::default() }
    }

    /// Keeps `evaluation` among the last ones.
    pub fn remember(&mut self, evaluation: Evaluation) {
        let trace = &mut self.memory.trace;
        if trace.len() >= TRACE {
            trace.drain(..=trace.len() - TRACE);
        }
        trace.push(evaluation);
    }

    /// When the cooldown of its last firing is over.
    pub fn cooldown_until(&self, cooldown_s: i64) -> Option<Millis> {
        Some(self.memory.fired_at?.saturating_add(cooldown_s.saturating_mul(1000)))
    }

    /// Whether a firing at `at` would be the second in a business day, where
    /// only one is wanted.
    pub fn fired_that_day(&self, mode: Mode, at: Millis) -> bool {
        let day = business_day(at);
        mode == Mode::Daily && self.memory.fired_at.is_some_and(|it| business_day(it) == day)
    }
}

impl Default for Instance {
    fn default() -> Instance {
        Instance::new()
    }
}

/// Why a rule fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A tick.
    Tick,
    /// It was true when the rule was made, edited or resumed.
    AlreadyTrue,
    /// It became true in a cooldown, and still is.
    AfterCooldown,
    /// It has lasted as long as it was to.
    Held,
    /// A product that had just begun to match.
    NewArrival,
    /// Nothing was heard for too long.
    Silence,
}

impl Cause {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Tick => "tick",
            Cause::AlreadyTrue => "already_true",
            Cause::AfterCooldown => "after_cooldown",
            Cause::Held => "held",
            Cause::NewArrival => "new_arrival",
            Cause::Silence => "silence",
        }
    }
}

/// The firings of one rule inside this many milliseconds …
pub const STORM_MS: Millis = 180_000;

/// … may be this many; one more and the rule is paused.
pub const STORM: usize = 15;

/// What becomes of a rule as a whole after it fired for the `fires`th time, the
/// `recent`th within [`STORM_MS`].
pub fn after_firing(rule: &Rule, fires: i64, recent: usize) -> Option<End> {
    if rule.spec.max_fires.is_some_and(|most| fires >= most) {
        Some(End::Done)
    } else if recent > STORM {
        Some(End::Storm)
    } else {
        None
    }
}

/// Why a rule stops looking out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has fired as often as it was to.
    Done,
    /// It fired too often in too short a time.
    Storm,
}
