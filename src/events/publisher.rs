use super::event::data_json;
use super::interest::Interest;
use super::log::Row;
use super::{Cursor, Error, Event, Events, Fact, Result, Topic, writer};
use crate::clock::Millis;
use crate::db::{self, Conn};
use diesel::connection::SimpleConnection;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

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
    pub(super) rows: Vec<Row>,
    pub(super) written: bool,
}

/// What is told to whoever made an event happen.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Receipt {
    /// The id of the event: a cursor.
    pub id: String,
    /// Where it is told.
    pub topics: Vec<String>,
    /// How many readers of this node follow any of those topics now.
    pub subscribers: u64,
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
        let job = writer::job(work, answer);
        self.queue.try_send(job).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => Error::Db(db::Error::Busy),
            mpsc::error::TrySendError::Closed(_) => Error::Db(db::Error::Stopping),
        })?;
        outcome.await.unwrap_or(Err(Error::Db(db::Error::Stopping)))
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

    /// Appends `fact` to the log.
    pub fn append(&mut self, fact: &impl Fact) -> Result<Receipt> {
        let unreadable = |err: serde_json::Error| db::Error::Corrupt(err.to_string());
        let data = data_json(fact).map_err(unreadable)?;
        self.written = true;
        self.seq += 1;
        let (kind, topics) = (fact.kind(), fact.topics());
        let names: Vec<String> = topics.iter().map(Topic::to_string).collect();
        let receipt = Receipt {
            id: Cursor { epoch: self.epoch.clone(), seq: self.seq }.to_string(),
            subscribers: self.interest.count(&topics),
            topics: names,
        };
        let event = Event::encode(self.epoch, self.seq, self.now, kind, topics, &data);
        self.rows.push(Row {
            seq: self.seq,
            time: self.now,
            kind: kind.to_owned(),
            topics: receipt.topics.join(" "),
            data,
        });
        self.appended.push(Arc::new(event));
        Ok(receipt)
    }

    /// Does `work` or, if it refuses, nothing of it, and goes on either way:
    /// for many small things in one transaction of which some may fail.
    pub fn attempt<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<Result<T>> {
        let run = |conn: &mut Conn, sql: &str| {
            conn.batch_execute(sql).map_err(|err| Error::Db(db::Error::Query(err)))
        };
        let (seq, appended) = (self.seq, self.appended.len());
        run(self.conn, "SAVEPOINT attempt")?;
        match work(self) {
            Err(Error::Refused(refusal)) => {
                run(self.conn, "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt")?;
                self.seq = seq;
                self.appended.truncate(appended);
                self.rows.truncate(appended);
                Ok(Err(Error::Refused(refusal)))
            }
            Err(err) => Err(err),
            Ok(done) => {
                run(self.conn, "RELEASE SAVEPOINT attempt")?;
                Ok(Ok(done))
            }
        }
    }
}
