use super::{Answer, Once};
use crate::auth::{Caller, Writer};
use crate::events::{self, Publisher, Tx};
use crate::http::{Config, Params, Problem, read_body, read_form_or_json};
use crate::limits::Limits;
use crate::refusal::Refusal;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::OwnedSemaphorePermit;

/// The largest import, in bytes, that is no more than any other write.
const SMALL: usize = 32 * 1024;

impl From<events::Error> for Problem {
    fn from(err: events::Error) -> Problem {
        match err {
            events::Error::Refused(refusal) => refusal.into(),
            events::Error::Db(err) => err.into(),
        }
    }
}

/// A request that is to change something: whose, what, and under which key.
pub struct Write {
    /// Whoever sent it; not anonymous.
    pub caller: Caller,
    /// Its parameters.
    pub params: Params,
    /// Its body as it came.
    pub bytes: Bytes,
    /// The key it is to be done once under.
    pub once: Option<Once>,
    request: HttpRequest,
    publisher: Data<Publisher>,
    limits: Data<Limits>,
    /// A large import holds megabytes, so there are few at once.
    slot: Option<OwnedSemaphorePermit>,
}

impl FromRequest for Write {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Write, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let may = |caller: &Caller| caller.writer().map(|_| ());
            read(&request, &mut payload, may).await
        })
    }
}

/// A request that is to change something of the user's own: shoppers may send
/// it too.
pub struct UserWrite {
    /// Whose it is.
    pub user: String,
    /// What is to be changed.
    pub write: Write,
}

impl FromRequest for UserWrite {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<UserWrite, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let may = |caller: &Caller| caller.user().map(|_| ());
            let write = read(&request, &mut payload, may).await?;
            let user = write.caller.user()?.to_owned();
            Ok(UserWrite { user, write })
        })
    }
}

async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    may: impl Fn(&Caller) -> Result<(), Refusal>,
) -> Result<Write, Problem> {
    let missing = || Problem::internal(&std::io::Error::other("the app is not whole"));
    let config = request.app_data::<Data<Config>>().cloned().ok_or_else(missing)?;
    let publisher = request.app_data::<Data<Publisher>>().cloned().ok_or_else(missing)?;
    let limits = request.app_data::<Data<Limits>>().cloned().ok_or_else(missing)?;
    let known = Caller::from_request(request, &mut Payload::None).await;
    let caller = known.map_err(|problem| problem.hang_up_on(payload))?;
    // Before the body, which may be large: whoever may not write sends none.
    let refused = |refusal: Refusal| Problem::from(refusal).hang_up_on(payload);
    may(&caller).map_err(refused)?;
    let import = request.path().starts_with("/v1/import");
    let allowance = if import { config.import() } else { config.body() };
    let length =
        request.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    let small = length.is_some_and(|length: usize| length <= SMALL);
    let slot = match import && !small {
        true => Some(limits.import_slot()?),
        false => None,
    };
    let bytes = read_body(request.headers(), payload, allowance).await?;
    let once = match request.headers().get("idempotency-key") {
        None => None,
        Some(key) => {
            let visible = |key: &&str| key.bytes().all(|byte| byte.is_ascii_graphic());
            let key = key.to_str().ok().filter(|key| (1..=128).contains(&key.len()));
            let key = key.filter(visible);
            let key = key.ok_or_else(|| {
                Refusal::invalid(
                    "Idempotency-Key",
                    "bad_idempotency_key",
                    "an Idempotency-Key has 1 to 128 visible ASCII characters",
                    "Idempotency-Key 应为 1 到 128 个可见 ASCII 字符",
                )
            })?;
            let mut hash = Sha256::new();
            for part in [request.method().as_str(), request.path(), request.query_string()] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
            hash.update(&bytes);
            let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            Some(Once { actor: caller.actor(), key: key.to_owned(), fingerprint })
        }
    };
    Ok(Write {
        params: Params::parse(request.query_string()),
        request: request.clone(),
        caller,
        bytes,
        once,
        publisher,
        limits,
        slot,
    })
}

impl Write {
    /// The body as a `T`.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        read_form_or_json(self.headers(), &self.bytes)
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The caller as somebody who writes products.
    pub fn writer(&self) -> Result<Writer, Problem> {
        Ok(self.caller.writer()?)
    }

    /// The publisher, for what takes more than one transaction.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Whether its body is read in no time: of an import, that it has few rows.
    pub fn is_small(&self) -> bool {
        self.slot.is_none()
    }

    /// How much may be written.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Does `work` in a transaction, once if there is a key, and answers.
    /// `cost` is what it counts against the caller's quota.
    pub async fn perform(
        self,
        cost: u32,
        mut work: impl FnMut(&mut Tx<'_>) -> events::Result<Answer> + Send + 'static,
    ) -> Result<HttpResponse, Problem> {
        let standing = self.limits.writes.check(self.caller.actor(), cost)?;
        let once = self.once.clone();
        let (outcome, replayed) = self
            .publisher
            .commit(move |tx| match &once {
                None => Ok((Ok(work(tx)?), false)),
                Some(once) => once.perform(tx, &mut work),
            })
            .await?;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(refusal) if replayed => {
                return Err(Problem::from(refusal).header("Idempotency-Replayed", "true"));
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let mut response = respond(&answer, replayed);
        for (name, value) in standing.iter().flat_map(|standing| standing.headers()) {
            if let (Ok(name), Ok(value)) = (
                name.to_ascii_lowercase().parse::<actix_web::http::header::HeaderName>(),
                value.parse(),
            ) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

/// `answer` over HTTP.
pub fn respond(answer: &Answer, replayed: bool) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    response.content_type("application/json").insert_header(("Cache-Control", "no-store"));
    if replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    response.body(answer.body.clone())
}
