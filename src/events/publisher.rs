use super::event::data_json;
use super::interest::Interest;
use super::relay::Relay;
use super::{Cursor, Error, Event, Events, Fact, Result, Topic, log, writer};
use crate::clock::Millis;
use crate::db::{self, Conn};
use crate::prepared;
use diesel::connection::SimpleConnection;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Changes the database and tells of it: both or neither.
///
/// All writing of a node goes through one thread and one connection. What
/// waits while a transaction is committed shares the next one, so the wait for
/// the disk is paid once for many.
#[derive(Clone)]
pub struct Publisher {
    pub(super) queue: mpsc::Sender<Box<dyn writer::Job>>,
}

/// A transaction that may append events.
pub struct Tx<'a> {
    pub(super) conn: &'a mut Conn,
    pub(super) epoch: &'a Arc<str>,
    pub(super) interest: &'a Interest,
    pub(super) now: Millis,
    /// The last position taken.
    pub(super) seq: i64,
    pub(super) appended: Events,
    pub(super) written: bool,
    /// All of this is going to be taken back.
    pub(super) pretending: bool,
    /// What was noted in transactions that were committed, and in this one.
    pub(super) known: &'a HashSet<Topic>,
    pub(super) noted: Vec<Topic>,
}

/// What is told to whoever made an event happen: its id, where it is told, and
/// how many readers of this node follow any of those topics now. They are
/// counted when it is answered: most receipts of a large import never are.
#[derive(Clone, Debug)]
pub struct Receipt {
    event: Arc<Event>,
    interest: Interest,
    /// It was taken back: nobody will find an event of this id.
    pretended: bool,
}

impl PartialSchema for Receipt {
    fn schema() -> RefOr<Schema> {
        Told::schema()
    }
}

impl ToSchema for Receipt {
    fn name() -> Cow<'static, str> {
        "Receipt".into()
    }
}

/// A receipt, as it is answered.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `Receipt` writes")]
struct Told {
    /// The cursor of the event.
    #[schema(example = "k3f9ab-1a2c")]
    id: String,
    topics: Vec<String>,
    /// How many readers follow any of these on this node now.
    subscribers: u64,
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        struct Names<'a>(&'a [Topic]);
        impl Serialize for Names<'_> {
            fn serialize<S: Serializer>(
                &self,
                serializer: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(Topic::as_str))
            }
        }
        let mut receipt = serializer.serialize_struct("Receipt", 4)?;
        if self.pretended {
            receipt.serialize_field("id", &None::<&str>)?;
            receipt.serialize_field("type", self.event.kind)?;
        } else {
            receipt.serialize_field("id", self.event.id())?;
        }
        receipt.serialize_field("topics", &Names(&self.event.topics))?;
        receipt.serialize_field("subscribers", &self.interest.count(&self.event.topics))?;
        receipt.end()
    }
}

impl Publisher {
    /// Runs `work` in a transaction and, once that is committed, announces its
    /// events. If `work` or the commit fails, nothing happened.
    ///
    /// `work` may run more than once, each time as if for the first time: the
    /// transaction is shared, and is begun anew if another's work spoils it.
    ///
    /// # Errors
    /// What `work` refused; [`db::Error::Busy`] if too much is waiting.
    pub async fn commit<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, outcome) = oneshot::channel();
        let relay = Relay::here();
        let job = writer::job(work, answer, relay.clone());
        self.queue.try_send(job).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => Error::Db(db::Error::Busy),
            mpsc::error::TrySendError::Closed(_) => Error::Db(db::Error::Stopping),
        })?;
        let outcome = match relay {
            Some(relay) => relay.wait(outcome).await,
            None => outcome.await,
        };
        outcome.unwrap_or(Err(Error::Db(db::Error::Stopping)))
    }
}

impl Tx<'_> {
    /// The time of this transaction.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The connection, to look things up.
    pub fn read(&mut self) -> &mut Conn {
        self.conn
    }

    /// The connection, to change things. Work that was here and then refuses
    /// makes the whole shared transaction begin anew: refuse first, then write.
    pub fn write(&mut self) -> &mut Conn {
        self.written = true;
        self.conn
    }

    /// The position the next event will have.
    pub fn next_seq(&self) -> i64 {
        self.seq + 1
    }

    /// The id of the event at position `seq`.
    pub fn id_of(&self, seq: i64) -> String {
        Cursor { epoch: self.epoch.clone(), seq }.to_string()
    }

    /// Notes, as part of this transaction, that a task has dealt with the log up
    /// to `seq`.
    pub fn reached(&mut self, task: &str, seq: i64) -> Result<()> {
        Ok(log::set_checkpoint(self.write(), task, seq)?)
    }

    /// Appends `fact` to the log.
    pub fn append(&mut self, fact: &impl Fact) -> Result<Receipt> {
        let unreadable = |err: serde_json::Error| db::Error::Corrupt(err.to_string());
        let data = data_json(fact).map_err(unreadable)?;
        self.written = true;
        self.seq += 1;
        let (kind, topics) = (fact.kind(), fact.topics());
        let event = Event::encode(self.epoch, self.seq, self.now, kind, topics, &data);
        let event = Arc::new(event);
        self.appended.push(event.clone());
        Ok(Receipt { event, interest: self.interest.clone(), pretended: self.pretending })
    }

    /// Whether `topic` was noted in a transaction that was committed. The
    /// writer forgets, so a no means no more than that nobody knows.
    pub fn knows(&self, topic: &Topic) -> bool {
        self.known.contains(topic)
    }

    /// Notes of `topic` what stays true once this is committed, so that it need
    /// not be looked up again.
    pub fn note(&mut self, topic: &Topic) {
        self.noted.push(topic.clone());
    }

    /// Does `work` or, if it refuses, nothing of it, and goes on either way:
    /// for many small things in one transaction of which some may fail.
    pub fn attempt<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<Result<T>> {
        let (seq, appended, noted) = (self.seq, self.appended.len(), self.noted.len());
        Savepoint {}.run(self.conn)?;
        match work(self) {
            Err(Error::Refused(refusal)) => {
                let back = "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt";
                self.conn.batch_execute(back).map_err(db::Error::from)?;
                self.seq = seq;
                self.appended.truncate(appended);
                self.noted.truncate(noted);
                Ok(Err(Error::Refused(refusal)))
            }
            Err(err) => Err(err),
            Ok(done) => {
                Release {}.run(self.conn)?;
                Ok(Ok(done))
            }
        }
    }

    /// Does `work` and takes all of it back: what it came to, and what it would
    /// have told. Nothing of it is left to spoil the transaction for others.
    pub fn pretend<T>(
        &mut self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<(T, Vec<Receipt>)> {
        let (seq, appended, noted) = (self.seq, self.appended.len(), self.noted.len());
        let (written, pretending) = (self.written, self.pretending);
        Savepoint {}.run(self.conn)?;
        self.pretending = true;
        let outcome = work(self);
        self.pretending = pretending;
        if let Err(Error::Db(err)) = outcome {
            return Err(Error::Db(err));
        }
        let back = "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt";
        self.conn.batch_execute(back).map_err(db::Error::from)?;
        self.seq = seq;
        self.written = written;
        self.noted.truncate(noted);
        let told = self.appended.split_off(appended.min(self.appended.len()));
        let interest = self.interest;
        let receipt = |event| Receipt { event, interest: interest.clone(), pretended: true };
        outcome.map(|done| (done, told.into_iter().map(receipt).collect()))
    }

    /// [`attempt`](Tx::attempt) for work that refuses before it writes anything or not at all,
    /// so that there is nothing to take back. If it does refuse later, all of
    /// the transaction's work is refused with it.
    pub fn consider<T>(
        &mut self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<Result<T>> {
        let before = std::mem::replace(&mut self.written, false);
        let outcome = work(self);
        let wrote = self.written;
        self.written |= before;
        match outcome {
            Err(Error::Refused(refusal)) if !wrote => Ok(Err(Error::Refused(refusal))),
            Err(err) => Err(err),
            Ok(done) => Ok(Ok(done)),
        }
    }
}

prepared! {
    Savepoint {
        ; "SAVEPOINT attempt"
    }
}

prepared! {
    Release {
        ; "RELEASE SAVEPOINT attempt"
    }
}
