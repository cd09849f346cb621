//! Why something that was asked for is not done.
//!
//! A refusal knows nothing of HTTP and nothing of SQL. It says in both
//! languages what is wrong, and names it by a code that never changes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// What sort of no it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Class {
    /// What was sent cannot be read at all.
    Malformed,
    /// What was sent can be read and makes no sense here.
    Invalid,
    /// What it is about does not exist.
    NotFound,
    /// It stands against what is there already.
    Conflict,
    /// It was meant for what is there no more: somebody changed it meanwhile.
    Stale,
    /// Whoever asks may not.
    Forbidden,
    /// Whoever asks has to say who they are.
    Unauthorized,
}

/// A no with its reason.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Refusal {
    /// What sort of no.
    pub class: Class,
    /// Stable; programs match on it.
    pub code: Cow<'static, str>,
    /// The field or parameter that is to blame.
    pub field: Option<String>,
    /// For people, in English.
    pub en: String,
    /// For people, in Chinese.
    pub zh: String,
    /// More members of the problem.
    pub more: Map<String, Value>,
}

impl Refusal {
    /// A refusal of `class`.
    pub fn new(
        class: Class,
        code: &'static str,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) -> Refusal {
        Refusal {
            class,
            code: code.into(),
            field: None,
            en: en.into(),
            zh: zh.into(),
            more: Map::new(),
        }
    }

    /// `field` has a value that is of no use.
    pub fn invalid(
        field: impl Into<String>,
        code: &'static str,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) -> Refusal {
        Refusal { field: Some(field.into()), ..Refusal::new(Class::Invalid, code, en, zh) }
    }

    /// There is no such thing as `name`; `known` is what there is.
    pub fn unknown<'a>(
        field: &str,
        code: &'static str,
        (en, zh): (&str, &str),
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Refusal {
        let name = shorten(name);
        let near = nearest(&name, known);
        let hint = |text: &str| {
            if near.is_empty() { String::new() } else { format!("{text}{}", near.join(", ")) }
        };
        Refusal {
            field: Some(field.to_owned()),
            more: Map::from_iter([("suggestions".to_owned(), near.clone().into())]),
            ..Refusal::new(
                Class::NotFound,
                code,
                format!("there is no {en} `{name}`{}", hint("; did you mean: ")),
                format!("没有{zh}“{name}”{}", hint("；您是不是要找：")),
            )
        }
    }

    /// The same, with one more member.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Refusal {
        self.more.insert(key.to_owned(), value.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

impl std::error::Error for Refusal {}

/// At most 64 characters of `text`, so that no answer repeats a megabyte.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Up to three of `known` that are nearest to `name`, nearest first.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|other| (distance(&name, &other.chars().collect::<Vec<_>>()), other))
        .filter(|(distance, other)| *distance <= 1 + other.chars().count().max(name.len()) / 3)
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
}

/// How many characters to add, drop or change to get from one to the other (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let known = ["green", "white", "dark.puer", "dark"];
        assert_eq!(nearest("gren", known), ["green"]);
        assert_eq!(nearest("puer", known), Vec::<String>::new());
        assert_eq!(nearest("drk.puer", known), ["dark.puer"]);
    }

    #[test]
    fn an_answer_does_not_repeat_a_megabyte() {
        assert_eq!(shorten(&"茶".repeat(1_000_000)).chars().count(), 65);
    }
}
