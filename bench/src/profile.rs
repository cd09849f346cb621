//! How a server is spoken to, read from a TOML file.

use serde::Deserialize;

/// A server's way of speaking.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    pub addr: String,
    pub subscribe: Subscribe,
    pub publish: Publish,
    pub poll: Option<Poll>,
    pub batch: Option<Batch>,
    pub create: Option<Create>,
    pub price: Option<Price>,
}

/// What is published is a price: `{price}` stands where others have `{payload}`.
/// These fields of what arrives say which product's and which price it is.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub product: String,
    pub fen: String,
}

/// Requests that make the topics, for servers where they must exist first.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Create {
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub headers: Vec<String>,
    #[serde(default)]
    pub prefix: String,
    /// The part of the body that makes one topic.
    #[serde(default)]
    pub item: String,
    /// Topics made by one request.
    #[serde(default = "one")]
    pub a_request: usize,
}

/// An event stream.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    pub path: String,
    /// One of those that `{topics}` in a path stands for, joined by commas.
    #[serde(default = "topic")]
    pub topic: String,
    #[serde(default)]
    pub headers: Vec<String>,
    /// Added with `--signed-in`, to polls too.
    #[serde(default)]
    pub signed_in: Vec<String>,
    /// Added when the reader holds an event id; `{id}` stands for it.
    #[serde(default)]
    pub resume_headers: Vec<String>,
    /// Used in place of `path` when an id is held.
    pub resume_path: Option<String>,
    /// Takes the id from this field of a JSON `data:` line, not from `id:` lines.
    pub id_json: Option<String>,
}

/// How one message is published.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    #[serde(default = "post")]
    pub method: String,
    /// Where to publish, if not at `addr`.
    pub addr: Option<String>,
    pub path: String,
    #[serde(default)]
    pub headers: Vec<String>,
    #[serde(default = "payload")]
    pub body: String,
    #[serde(default = "accepted")]
    pub ok: Vec<u16>,
    /// What an answer must hold to count as one.
    #[serde(default)]
    pub says: String,
}

/// How several messages are published in one request.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    #[serde(default = "post")]
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub headers: Vec<String>,
    #[serde(default)]
    pub prefix: String,
    pub item: String,
    #[serde(default)]
    pub separator: String,
    #[serde(default)]
    pub suffix: String,
    /// Each message of a request goes to another topic; else all to one.
    #[serde(default)]
    pub spread: bool,
    /// What an answer must hold to count as one.
    #[serde(default)]
    pub says: String,
}

/// Long-poll.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    pub path: String,
    #[serde(default)]
    pub headers: Vec<String>,
    /// Used in place of `path` once every value it names has been captured.
    pub resume_path: Option<String>,
    #[serde(default)]
    pub resume_headers: Vec<String>,
    #[serde(default)]
    pub capture: Vec<Capture>,
    /// Statuses that mean "nothing yet, ask again".
    #[serde(default)]
    pub empty: Vec<u16>,
    /// The first poll is answered at once with a cursor: a reader counts as
    /// ready when it has that. Without it, as soon as it has asked.
    #[serde(default)]
    pub cursor_first: bool,
}

/// Takes a value out of a poll's answer: from a header, or from a string or
/// number field of a JSON body.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    pub name: String,
    pub header: Option<String>,
    pub json: Option<String>,
}

fn one() -> usize {
    1
}

fn post() -> String {
    "POST".into()
}

fn topic() -> String {
    "{topic}".into()
}

fn payload() -> String {
    "{payload}".into()
}

fn accepted() -> Vec<u16> {
    vec![200, 201, 202, 204]
}

/// Reads a profile, and refuses one that cannot work.
pub fn load(path: &str) -> Result<Profile, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let p: Profile = toml::from_str(&text).map_err(|e| format!("{path}: {e}"))?;
    for c in p.poll.iter().flat_map(|poll| &poll.capture) {
        if c.header.is_some() == c.json.is_some() {
            return Err(format!("{path}: capture '{}' needs one of header or json", c.name));
        }
    }
    let place = if p.price.is_some() { "{price}" } else { "{payload}" };
    for item in [Some(&p.publish.body), p.batch.as_ref().map(|b| &b.item)].into_iter().flatten() {
        if !item.contains(place) {
            return Err(format!("{path}: '{item}' has no {place}"));
        }
    }
    Ok(p)
}

/// A text with places in it: what stands between braces, if it is one
/// lower-case word. Other braces, such as JSON's, are text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    Text(&'a str),
    Place(&'a str),
}

/// The parts of a template.
pub fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut from) = (template, 0);
    while let Some(open) = rest[from..].find('{').map(|at| from + at) {
        let Some(len) = rest[open..].find('}') else { break };
        let name = &rest[open + 1..open + len];
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) {
            parts.push(Part::Text(&rest[..open]));
            parts.push(Part::Place(name));
            rest = &rest[open + len + 1..];
            from = 0;
        } else {
            from = open + 1;
        }
    }
    parts.push(Part::Text(rest));
    parts
}

/// Fills the places of a template; None if a value is missing.
pub fn fill(template: &str, get: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    parts(template)
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => Some(text.to_string()),
            Part::Place(name) => get(name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_braces_are_not_places() {
        let get = |n: &str| (n == "topic").then(|| "t1".to_string());
        assert_eq!(fill(r#"{"a":{"c":"{topic}"}}"#, &get).unwrap(), r#"{"a":{"c":"t1"}}"#);
        assert_eq!(fill("/x/{id}", &get), None);
        assert_eq!(fill("{topic}{topic}", &get).unwrap(), "t1t1");
    }
}
