//! An answer of the service, and what it says when it says no.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Body;
use ureq::http::{HeaderMap, Response};

use super::{Error, printable, reason};
use crate::clock::Clock;

/// An RFC 9457 problem, or the status where the body is none.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What programs go by: `bad_price`; `http_503` if nobody said.
    pub code: String,
    /// The field of the request it is about.
    pub field: Option<String>,
    /// What people go by.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.detail, self.status, self.code)?;
        match &self.field {
            Some(field) => write!(f, ", {field})"),
            None => write!(f, ")"),
        }
    }
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, or the more exact `retry_after_ms` of a problem.
    pub retry_after: Option<Duration>,
    /// The service had done this before and repeats what it said then.
    pub replayed: bool,
    url: String,
    content_type: String,
    location: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(url: String, mut response: Response<Body>) -> Result<Answer, Error> {
        let why = |err| Error::Unreachable { url: url.clone(), why: reason(&err) };
        let body = response.body_mut().read_to_vec().map_err(why)?;
        let headers = response.headers();
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let told = serde_json::from_slice::<Value>(&body).ok();
        let exact = told.as_ref().and_then(|told| told["retry_after_ms"].as_u64());
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: exact.map(Duration::from_millis).or_else(|| retry_after(headers)),
            replayed: headers.contains_key("idempotency-replayed"),
            content_type: text("content-type").unwrap_or_default(),
            location: text("location"),
            url,
            body,
        })
    }

    /// 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Asking again later may help: too fast, too busy, gone for a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..)
            || self.status == 409 && self.retry_after.is_some()
    }

    /// The body, if it is the JSON we expect.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|_| self.strange())
    }

    /// The body of a good answer; any other is an error.
    pub fn good<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.is_good() { self.json() } else { Err(self.refusal()) }
    }

    /// What is wrong, in the service's words where there are any.
    pub fn problem(&self) -> Problem {
        let told = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        let text = |name: &str| told[name].as_str().map(printable);
        Problem {
            status: self.status,
            code: text("code").unwrap_or_else(|| format!("http_{}", self.status)),
            field: text("field"),
            detail: text("detail")
                .or_else(|| text("title"))
                .unwrap_or_else(|| "the service gave no reason".to_owned()),
        }
    }

    /// A refusal as an error; what a service of ours would not say is told apart.
    pub fn refusal(&self) -> Error {
        let json = self.content_type.contains("json");
        if (400..600).contains(&self.status) && (json || self.is_passing() || self.body.is_empty())
        {
            return Error::Refused(self.problem());
        }
        self.strange()
    }

    fn strange(&self) -> Error {
        let what = match (&self.location, self.content_type.as_str()) {
            (Some(place), _) => format!("{} and points to {}", self.status, printable(place)),
            (None, "") => format!("{} with something else", self.status),
            (None, kind) => format!("{} with {}", self.status, printable(kind)),
        };
        Error::NotTeawire { url: self.url.clone(), what }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let wait = at.as_millisecond() - Clock::System.now();
    Some(Duration::from_millis(wait.max(0).unsigned_abs()))
}
