use crate::clock;
use crate::refusal::{Refusal, shorten};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The parameters of a query. Whoever reads them takes each by its name, and
/// [`finish`](Params::finish) refuses what nobody took: a parameter with a
/// slip of the hand in its name must not be passed over in silence.
#[derive(Debug, Default)]
pub struct Params {
    values: BTreeMap<String, Vec<String>>,
    known: Vec<&'static str>,
}

impl Params {
    /// Takes a query string apart.
    pub fn parse(query: &str) -> Params {
        let mut values = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            values.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        Params { values, known: Vec::new() }
    }

    /// The value of `name`, which may be given once.
    pub fn take(&mut self, name: &'static str) -> Result<Option<String>, Refusal> {
        self.known.push(name);
        let mut values = self.values.remove(name).unwrap_or_default();
        if values.len() > 1 {
            return Err(Refusal::invalid(
                name,
                "repeated_parameter",
                format!("`{name}` may be given once"),
                format!("参数“{name}”只能出现一次"),
            ));
        }
        Ok(values.pop())
    }

    /// Everything given as `name`, repeated or separated by commas.
    pub fn take_list(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let values = self.values.remove(name).unwrap_or_default();
        let parts = values.iter().flat_map(|value| value.split(','));
        parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// The values of a filter, repeated or separated by commas; none if it is
    /// not given.
    ///
    /// # Errors
    /// `empty_parameter` if one of them is nothing: a filter that filters
    /// nothing is a slip; `too_many_values` beyond `most`.
    pub fn take_values(
        &mut self,
        name: &'static str,
        most: usize,
    ) -> Result<Option<Vec<String>>, Refusal> {
        self.known.push(name);
        let Some(values) = self.values.remove(name) else { return Ok(None) };
        let parts = values.iter().flat_map(|value| value.split(','));
        let values: Vec<String> = parts.map(str::trim).map(str::to_owned).collect();
        if values.iter().any(String::is_empty) {
            return Err(Refusal::invalid(
                name,
                "empty_parameter",
                format!("`{name}` is empty; leave it out, or give values with commas between"),
                format!("“{name}”为空；请省略，或用逗号分隔多个值"),
            ));
        }
        if values.len() > most {
            return Err(Refusal::invalid(
                name,
                "too_many_values",
                format!("`{name}` may have {most} values"),
                format!("“{name}”最多 {most} 个值"),
            ));
        }
        Ok(Some(values))
    }

    /// A whole number between `min` and `max`.
    pub fn take_number(
        &mut self,
        name: &'static str,
        min: i64,
        max: i64,
    ) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        match i64::from_str(&text) {
            Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::invalid(
                name,
                "out_of_range",
                format!(
                    "`{name}` is `{}`; want a whole number from {min} to {max}",
                    shorten(&text)
                ),
                format!("“{name}”为“{}”；应为 {min} 到 {max} 的整数", shorten(&text)),
            )),
        }
    }

    /// `true` or `false`; false if it is not given.
    pub fn take_flag(&mut self, name: &'static str) -> Result<bool, Refusal> {
        self.take_one_of(name, &["false", "true"]).map(|value| value == Some("true"))
    }

    /// One of `allowed`.
    pub fn take_one_of(
        &mut self,
        name: &'static str,
        allowed: &[&'static str],
    ) -> Result<Option<&'static str>, Refusal> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        match allowed.iter().find(|value| **value == text) {
            Some(value) => Ok(Some(value)),
            None => Err(Refusal::invalid(
                name,
                "bad_value",
                format!("`{name}` is `{}`; want one of {}", shorten(&text), allowed.join(", ")),
                format!("“{name}”为“{}”；应为 {} 之一", shorten(&text), allowed.join("、")),
            )
            .with("allowed", allowed.to_vec())),
        }
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<(), Refusal> {
        let Some(name) = self.values.keys().next() else { return Ok(()) };
        let (name, known) = (shorten(name), self.known.join(", "));
        Err(Refusal::invalid(
            name.clone(),
            "unknown_parameter",
            format!("there is no parameter `{name}` here; known: {known}"),
            format!("没有参数“{name}”；可用：{known}"),
        ))
    }
}

/// Reads a time from `field`.
///
/// # Errors
/// `bad_time` for what is not RFC 3339.
pub fn time(field: &str, text: &str) -> Result<clock::Millis, Refusal> {
    clock::parse(text).ok_or_else(|| {
        let text = shorten(text);
        Refusal::invalid(
            field,
            "bad_time",
            format!("`{text}` is not a time: want RFC 3339, as in 2026-11-22T08:15:30Z"),
            format!("“{text}”不是有效时间：应为 RFC 3339，例如 2026-11-22T08:15:30Z"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_nobody_knows_is_refused() {
        let mut params = Params::parse("topic=a,b&topic=c&curser=1");
        assert_eq!(params.take_list("topic"), ["a", "b", "c"]);
        let refusal = params.finish().expect_err("refused");
        assert_eq!(refusal.field.as_deref(), Some("curser"));
    }

    #[test]
    fn a_number_has_a_range_and_comes_once() {
        let mut params = Params::parse("limit=100&wait=51&wait=1");
        assert_eq!(params.take_number("limit", 1, 100), Ok(Some(100)));
        assert_eq!(params.take_number("wait", 0, 50).expect_err("x").code, "repeated_parameter");
        let mut params = Params::parse("wait=51");
        assert_eq!(params.take_number("wait", 0, 50).expect_err("x").code, "out_of_range");
    }
}
