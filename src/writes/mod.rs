//! What every write shares: who may, how often, once, and what is answered.
//!
//! An answer is made inside the transaction and, under an `Idempotency-Key`,
//! kept in it: whoever asks again after a lost answer gets the same one, and
//! what was done is not done twice, whatever broke in between.

mod extract;
mod if_match;
mod store;

pub use extract::{UserWrite, Write, respond};
pub use if_match::{IfMatch, stale};

use crate::clock::Millis;
use crate::db::{self, Conn};
use crate::events::{self, Publisher, Receipt, Tx};
use crate::refusal::Refusal;
use crate::tasks::Task;
use serde::Serialize;
use serde_json::{Value, json};

/// How long an answer is kept for its key, in milliseconds.
const KEPT: Millis = 86_400_000;

/// The status under which a refusal is kept: in both languages, so that it can
/// be told again in either.
const REFUSED: u16 = 499;

/// What a write came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON, with a newline at its end.
    pub body: String,
}

impl Answer {
    /// An answer of `status`.
    pub fn new(status: u16, body: &impl Serialize) -> Answer {
        let mut body = serde_json::to_string(body)
            .expect("what is answered has names for keys, and nothing in it fails");
        body.push('\n');
        Answer { status, body }
    }

    /// 200.
    pub fn ok(body: &impl Serialize) -> Answer {
        Answer::new(200, body)
    }

    /// 201.
    pub fn created(body: &impl Serialize) -> Answer {
        Answer::new(201, body)
    }
}

/// How many events a dry run names one by one.
const NAMED: usize = 100;

/// Does `work`, says what came of it and takes all of it back: no row, no
/// position in the log, no key is used up. What is answered is what would have
/// been, `dry_run` in front, with the events that would have been told.
///
/// # Errors
/// What `work` would have been refused with.
pub fn pretend(
    tx: &mut Tx<'_>,
    once: Option<&Once>,
    mut work: impl FnMut(&mut Tx<'_>) -> events::Result<Answer>,
) -> events::Result<(Result<Answer, Refusal>, bool)> {
    let (outcome, told) = tx.pretend(|tx| match once {
        None => Ok((Ok(work(tx)?), false)),
        Some(once) => once.perform(tx, &mut work),
    })?;
    let (answer, replayed) = outcome;
    let dry = |answer: Answer| {
        // Nothing is created, so 201 would be a lie.
        let status = if answer.status == 201 { 200 } else { answer.status };
        let mut body = serde_json::Map::from_iter([("dry_run".to_owned(), json!(true))]);
        if let Ok(Value::Object(members)) = serde_json::from_str(&answer.body) {
            body.extend(members);
        }
        let named: Vec<&Receipt> = told.iter().take(NAMED).collect();
        body.insert("would_tell".to_owned(), json!(named));
        body.insert("would_tell_omitted".to_owned(), json!(told.len() - named.len()));
        Answer::new(status, &body)
    };
    Ok((answer.map(dry), replayed))
}

/// A receipt as it is answered; null where nothing was told.
pub fn receipt(receipt: Option<&Receipt>) -> Value {
    json!(receipt)
}

/// Under which key a write is to be done once.
#[derive(Clone, Debug, PartialEq)]
pub struct Once {
    /// Whose key it is.
    pub actor: String,
    /// The key.
    pub key: String,
    /// What was asked: of method, path, parameters and body.
    pub fingerprint: String,
}

impl Once {
    /// Does `work`, or says what came of it before. What was refused stays
    /// refused: a sale that was turned down for want of stock must not go
    /// through when the request is sent again after the answer was lost.
    pub fn perform(
        &self,
        tx: &mut Tx<'_>,
        work: impl FnOnce(&mut Tx<'_>) -> events::Result<Answer>,
    ) -> events::Result<(Result<Answer, Refusal>, bool)> {
        if let Some(answer) = self.answered(tx.read())? {
            if answer.status == REFUSED {
                let refusal = serde_json::from_str(&answer.body);
                let refusal = refusal.map_err(|err| db::Error::Corrupt(err.to_string()))?;
                return Ok((Err(refusal), true));
            }
            return Ok((Ok(answer), true));
        }
        match tx.attempt(work)? {
            Ok(answer) => {
                self.keep(tx, &answer)?;
                Ok((Ok(answer), false))
            }
            Err(events::Error::Refused(refusal)) => {
                self.keep(tx, &Answer::new(REFUSED, &refusal))?;
                Ok((Err(refusal), false))
            }
            Err(err) => Err(err),
        }
    }

    /// The answer that was given before, if there was one.
    ///
    /// # Errors
    /// `idempotency_key_reused` if it was given to something else.
    pub fn answered(&self, conn: &mut Conn) -> events::Result<Option<Answer>> {
        let Some((fingerprint, answer)) = store::find(conn, &self.actor, &self.key)? else {
            return Ok(None);
        };
        if fingerprint != self.fingerprint {
            return Err(Refusal::invalid(
                "Idempotency-Key",
                "idempotency_key_reused",
                "this Idempotency-Key was used for another request",
                "该 Idempotency-Key 已用于另一个请求",
            )
            .into());
        }
        Ok(Some(answer))
    }

    /// Keeps `answer` in the transaction of what it answers.
    pub fn keep(&self, tx: &mut Tx<'_>, answer: &Answer) -> events::Result<()> {
        let now = tx.now();
        Ok(store::save(tx.write(), self, answer, now)?)
    }
}

/// Forgets the answers whose time is over.
pub struct Forget(pub Publisher);

impl Task for Forget {
    const NAME: &'static str = "forget-answers";

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        loop {
            let forget = |tx: &mut Tx<'_>| {
                let before = tx.now() - KEPT;
                Ok(store::forget(tx.write(), before)?)
            };
            if self.0.commit(forget).await? < store::STEP {
                return Ok(());
            }
        }
    }
}
