use super::evaluate::{Input, Tick, Verdict, evaluate};
use super::instance::{Cause, Instance};
use super::rule::{Condition, Past};
use super::{Amount, State};
use crate::clock::Millis;

/// A rule on one series, followed from tick to tick; what is due in between
/// happens in between.
#[derive(Clone, Debug)]
pub struct Play<'a> {
    condition: &'a Condition,
    /// The instance as it now is.
    pub instance: Instance,
    value: Option<Amount>,
}

/// A firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// When.
    pub at: Millis,
    /// Why.
    pub cause: Cause,
    /// The value.
    pub value: Option<Amount>,
    /// What it was compared with.
    pub threshold: Option<i64>,
}

impl<'a> Play<'a> {
    /// Begins with `value`.
    pub fn begin(
        condition: &'a Condition,
        value: Option<Amount>,
        at: Millis,
        past: &Past,
    ) -> (Play<'a>, Option<Fired>) {
        let mut play = Play { condition, instance: Instance::new(), value };
        let fired = play.take(&Input::Start { value, at, seq: 0, blind: false }, past, at);
        (play, fired)
    }

    /// What is due by `at` happens; each at its time.
    pub fn until(&mut self, at: Millis, past: &Past) -> Vec<Fired> {
        let mut fired = Vec::new();
        while let Some(due) = self.instance.due.filter(|due| *due <= at) {
            let input = Input::Timer { at: due, value: self.value };
            fired.extend(self.take(&input, past, due));
            if self.instance.due == Some(due) {
                // Nothing may be due twice at the same time.
                self.instance.due = None;
            }
        }
        fired
    }

    /// A value is seen.
    pub fn tick(&mut self, tick: Tick, past: &Past) -> Option<Fired> {
        let tick = Tick { prev: self.value, ..tick };
        let fired = self.take(&Input::Tick(tick), past, tick.at);
        self.value = tick.value;
        fired
    }

    fn take(&mut self, input: &Input, past: &Past, at: Millis) -> Option<Fired> {
        let Verdict { instance, fired, threshold, .. } =
            evaluate(self.condition, &self.instance, past, input);
        self.instance = instance;
        let value = match input {
            Input::Tick(tick) | Input::Arrival(tick) => tick.value,
            Input::Start { value, .. } | Input::Timer { value, .. } => *value,
        };
        fired.map(|cause| Fired { at, cause, value, threshold })
    }

    /// Whether it will never fire again.
    pub fn is_over(&self) -> bool {
        self.instance.state == State::Done
    }
}
