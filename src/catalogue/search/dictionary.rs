use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// The values of one property, each with a number that rows hold instead.
/// Number 0 is for none. A value that no row has any more is forgotten.
#[derive(Debug)]
pub(super) struct Dictionary {
    codes: HashMap<Arc<str>, u32, RandomState>,
    values: Vec<Option<Arc<str>>>,
    uses: Vec<u32>,
    free: Vec<u32>,
    bytes: usize,
}

impl Default for Dictionary {
    fn default() -> Dictionary {
        let (values, uses) = (vec![None], vec![0]);
        Dictionary { codes: HashMap::default(), values, uses, free: Vec::new(), bytes: 0 }
    }
}

impl Dictionary {
    /// The number of `value`, which one more row has.
    pub fn take(&mut self, value: Option<&str>) -> u32 {
        let Some(value) = value else { return 0 };
        let code = match self.codes.get(value) {
            Some(code) => *code,
            None => self.add(value),
        };
        self.uses[code as usize] += 1;
        code
    }

    fn add(&mut self, value: &str) -> u32 {
        let value: Arc<str> = value.into();
        self.bytes += value.len() + 80;
        let code = match self.free.pop() {
            Some(code) => {
                self.values[code as usize] = Some(value.clone());
                code
            }
            None => {
                self.values.push(Some(value.clone()));
                self.uses.push(0);
                u32::try_from(self.values.len() - 1).unwrap_or(0)
            }
        };
        self.codes.insert(value, code);
        code
    }

    /// Notes that one row less has the value `code`.
    pub fn give_back(&mut self, code: u32) {
        let uses = &mut self.uses[code as usize];
        *uses = uses.saturating_sub(1);
        if *uses == 0
            && let Some(value) = self.values[code as usize].take()
        {
            self.bytes -= value.len() + 80;
            self.codes.remove(&value);
            self.free.push(code);
        }
    }

    /// The number of `value`, if any row has it.
    pub fn code(&self, value: &str) -> Option<u32> {
        self.codes.get(value).copied()
    }

    /// The value that `code` stands for.
    pub fn value(&self, code: usize) -> Option<&Arc<str>> {
        self.values.get(code)?.as_ref()
    }

    /// Numbers are below this.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_as_long_as_a_row_has_it() {
        let mut values = Dictionary::default();
        let (a, b) = (values.take(Some("a")), values.take(Some("b")));
        assert_eq!((values.take(Some("a")), values.take(None)), (a, 0));
        values.give_back(a);
        assert_eq!(values.code("a"), Some(a));
        values.give_back(a);
        assert_eq!((values.code("a"), values.take(Some("c"))), (None, a));
        values.give_back(0);
        assert_eq!((values.value(b as usize).map(|v| &**v), values.len()), (Some("b"), 3));
    }
}
