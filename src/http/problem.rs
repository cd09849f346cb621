use crate::db;
use crate::refusal::{Class, Refusal};
use crate::tasks::chain;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// An error as the caller is told it: RFC 9457 problem details.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    field: Option<String>,
    en: String,
    zh: String,
    more: Map<String, Value>,
    retry_after: Option<Duration>,
    headers: Vec<(&'static str, String)>,
    hangs_up: bool,
    unread: Option<Unread>,
}

/// The rest of a body that nobody will read. actix reads on, without an end
/// in time, when the reader of a chunked body has gone, and hangs up when it is
/// still there: so it stays with the answer.
#[derive(Clone)]
#[expect(dead_code, reason = "it is held, not read")]
struct Unread(Rc<RefCell<Payload>>);

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unread")
    }
}

/// An answer that holds on to the rest of its request.
struct Holding {
    text: Option<Bytes>,
    length: u64,
    _unread: Unread,
}

impl MessageBody for Holding {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.get_mut().text.take().map(Ok))
    }
}

impl Problem {
    /// A problem with its status, its code, and its reason in both languages.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) -> Problem {
        Problem {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: code.into(),
            field: None,
            en: en.into(),
            zh: zh.into(),
            more: Map::new(),
            retry_after: None,
            headers: Vec::new(),
            hangs_up: false,
            unread: None,
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Problem {
        self.retry_after = Some(wait);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Problem {
        self.headers.push((name, value.into()));
        self
    }

    /// Ends the connection after the answer.
    #[must_use]
    pub fn hang_up(mut self) -> Problem {
        self.hangs_up = true;
        self
    }

    /// Ends the connection after the answer, if the request has a body that is
    /// still on its way.
    #[must_use]
    pub fn hang_up_on(self, payload: &mut Payload) -> Problem {
        if matches!(payload, Payload::None) {
            return self;
        }
        let unread = Unread(Rc::new(RefCell::new(payload.take())));
        Problem { unread: Some(unread), ..self.hang_up() }
    }

    /// A fault of ours. The whole chain goes to the log, once and here; the
    /// caller learns only that it happened.
    pub fn internal(err: &dyn Error) -> Problem {
        tracing::error!(error = chain(err), "request failed");
        Problem::new(500, "internal", "an internal error; it was logged", "内部错误，已记录")
    }

    /// Its stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// When to try again, if that is known.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The answer, in the language of the request.
    pub fn answer(&self, request: &HeaderMap, request_id: &str) -> HttpResponse {
        let detail = if prefers_chinese(request) { &self.zh } else { &self.en };
        let mut body = json!({
            "type": format!("https://teawire.dev/problems/{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": detail,
            "code": self.code,
            "field": self.field,
            "request_id": request_id,
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more.clone());
            if let Some(wait) = self.retry_after {
                members.insert("retry_after_ms".into(), (wait.as_millis() as u64).into());
            }
        }
        let mut response = HttpResponse::build(self.status);
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(wait) = self.retry_after {
            response
                .insert_header((RETRY_AFTER, wait.as_millis().div_ceil(1000).max(1).to_string()));
        }
        if self.hangs_up {
            // The rest of the request is still on its way, and nobody will read it.
            response.force_close();
        }
        for (name, value) in &self.headers {
            response.insert_header((*name, value.as_str()));
        }
        let text = format!("{body}\n");
        match &self.unread {
            None => response.body(text),
            Some(unread) => {
                let text = Bytes::from(text);
                let length = text.len() as u64;
                response.body(Holding { text: Some(text), length, _unread: unread.clone() })
            }
        }
    }
}

/// Whether Chinese comes before English in the `Accept-Language` of a request.
/// Browsers of shoppers and merchants say so; a program that says nothing is
/// answered in English.
pub fn prefers_chinese(request: &HeaderMap) -> bool {
    chinese_first(request.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()))
}

fn chinese_first(header: Option<&str>) -> bool {
    let mut best: Option<(f32, bool)> = None;
    for part in header.unwrap_or_default().split(',') {
        let (tag, quality) = part.trim().split_once(";q=").unwrap_or((part.trim(), "1"));
        let quality: f32 = quality.trim().parse().unwrap_or(0.0);
        let chinese = tag.to_ascii_lowercase().starts_with("zh");
        if (chinese || tag.to_ascii_lowercase().starts_with("en"))
            && best.is_none_or(|(so_far, _)| quality > so_far)
        {
            best = Some((quality, chinese));
        }
    }
    best.is_some_and(|(_, chinese)| chinese)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.en)
    }
}

impl Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// What is answered where `http::finish` does not run.
    fn error_response(&self) -> HttpResponse {
        self.answer(&HeaderMap::new(), "")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let status = match refusal.class {
            Class::Malformed => 400,
            Class::Unauthorized => 401,
            Class::Forbidden => 403,
            Class::NotFound => 404,
            Class::Conflict => 409,
            Class::Stale => 412,
            Class::Invalid => 422,
        };
        let problem = Problem {
            field: refusal.field,
            more: refusal.more,
            ..Problem::new(status, refusal.code, refusal.en, refusal.zh)
        };
        match refusal.class {
            Class::Unauthorized => problem.header("WWW-Authenticate", "Bearer realm=\"teawire\""),
            Class::Stale => match problem.more.get("version").and_then(Value::as_i64) {
                Some(version) => problem.header("ETag", format!("\"{version}\"")),
                None => problem,
            },
            _ => problem,
        }
    }
}

impl From<db::Error> for Problem {
    fn from(err: db::Error) -> Problem {
        if err.is_passing() {
            tracing::warn!(error = chain(&err), "the database is not to be had");
            Problem::new(
                503,
                "busy",
                "the database is busy or away; try again, with the same Idempotency-Key if this was a write",
                "数据库繁忙或暂时不可用；请稍后重试，写操作请使用相同的 Idempotency-Key",
            )
            .retry_after(Duration::from_secs(1))
        } else {
            Problem::internal(&err)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_is_in_the_language_asked_for() {
        assert!(chinese_first(Some("zh-CN,zh;q=0.9,en;q=0.8")));
        assert!(!chinese_first(Some("en-US,en;q=0.9,zh;q=0.8")));
        assert!(!chinese_first(Some("fr")));
        assert!(!chinese_first(None));
    }
}
