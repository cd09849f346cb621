use super::{Answer, IfMatch, Once, pretend};
use crate::auth::{Caller, Writer};
use crate::events::{self, Publisher, Tx};
use crate::feeds::Feeds;
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
    /// Whether it is to be taken back again: only what would happen is asked.
    pub dry_run: bool,
    if_match: Option<IfMatch>,
    request: HttpRequest,
    publisher: Data<Publisher>,
    limits: Data<Limits>,
    feeds: Data<Feeds>,
    /// Whether it shows that the caller's shop is alive; what a merchant does
    /// for themselves does not.
    of_the_trade: bool,
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
            let mut write = read(&request, &mut payload, may).await?;
            write.of_the_trade = false;
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
    let feeds = request.app_data::<Data<Feeds>>().cloned().ok_or_else(missing)?;
    let limits = request.app_data::<Data<Limits>>().cloned().ok_or_else(missing)?;
    let known = Caller::from_request(request, &mut Payload::None).await;
    let caller = known.map_err(|problem| problem.hang_up_on(payload))?;
    // Before the body, which may be large: whoever may not write sends none.
    let mut refused = |refusal: Refusal| Problem::from(refusal).hang_up_on(payload);
    may(&caller).map_err(&mut refused)?;
    let import = request.path().starts_with("/v1/import");
    let allowance = if import { config.import() } else { config.body() };
    let length =
        request.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    let small = length.is_some_and(|length: usize| length <= SMALL);
    let slot = match import && !small {
        true => Some(limits.import_slot()?),
        false => None,
    };
    let mut params = Params::parse(request.query_string());
    let dry_run = params.take_flag("dry_run").map_err(&mut refused)?;
    let tags = request.headers().get_all("if-match");
    // What is not ASCII is no version: it need not be told apart.
    let tags = tags.map(|line| line.to_str().unwrap_or("\u{7f}"));
    let if_match = IfMatch::parse(tags).map_err(&mut refused)?;
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
            // A dry run asks what the same request would come to without it.
            let query = request.query_string().split('&');
            let query: Vec<&str> = query.filter(|part| !part.starts_with("dry_run=")).collect();
            for part in [request.method().as_str(), request.path(), &query.join("&")] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
            if let Some(if_match) = &if_match {
                hash.update(format!("{if_match:?}"));
                hash.update([0]);
            }
            hash.update(&bytes);
            let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            Some(Once { actor: caller.actor(), key: key.to_owned(), fingerprint })
        }
    };
    Ok(Write {
        params,
        dry_run,
        if_match,
        request: request.clone(),
        caller,
        bytes,
        once,
        publisher,
        limits,
        feeds,
        of_the_trade: true,
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

    /// The version that the caller believes to change. Whoever does not ask
    /// must not be sent one: see [`Write::perform`].
    pub fn take_if_match(&mut self) -> Option<IfMatch> {
        self.if_match.take()
    }

    /// Refuses an `If-Match` that nobody looks at: whoever sent it would
    /// believe to be safe.
    ///
    /// # Errors
    /// `if_match_not_here`.
    pub fn require_no_if_match(&self) -> Result<(), Refusal> {
        match self.if_match {
            None => Ok(()),
            Some(_) => Err(Refusal::invalid(
                "If-Match",
                "if_match_not_here",
                "nothing here has a version; If-Match goes with a product, its price, stock or clearance",
                "此处没有版本；If-Match 只用于商品及其价格、库存、清仓",
            )),
        }
    }

    /// The merchant who is heard of by this.
    fn merchant(&self) -> Option<String> {
        self.caller.writer().ok().filter(|_| self.of_the_trade)?.merchant
    }

    /// Notes that the caller was heard of, for what takes more than one
    /// transaction.
    pub async fn heard(&self) -> events::Result<()> {
        let Some(merchant) = self.merchant().filter(|_| !self.dry_run) else { return Ok(()) };
        let feeds = self.feeds.clone();
        self.publisher.commit(move |tx| feeds.heard(tx, &merchant)).await
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
        work: impl FnMut(&mut Tx<'_>) -> events::Result<Answer> + Send + 'static,
    ) -> Result<HttpResponse, Problem> {
        self.require_no_if_match()?;
        let standing = self.limits.writes.check(self.caller.actor(), cost)?;
        let (once, dry_run) = (self.once.clone(), self.dry_run);
        let (feeds, merchant) = (self.feeds.clone(), self.merchant());
        let mut asked = work;
        let mut work = move |tx: &mut Tx<'_>| {
            let answer = asked(tx)?;
            if let Some(merchant) = merchant.as_deref().filter(|_| !dry_run) {
                feeds.heard(tx, merchant)?;
            }
            Ok(answer)
        };
        let (outcome, replayed) = self
            .publisher
            .commit(move |tx| match &once {
                once if dry_run => pretend(tx, once.as_ref(), &mut work),
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
