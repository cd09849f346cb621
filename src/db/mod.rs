//! The database, whichever of the two it is.
//!
//! SQLite is the default and lives in a file; PostgreSQL is chosen by the
//! URL. Code above works on [`Conn`] and does not know which it has; what
//! diesel cannot do on both at once goes through [`on_either!`](crate::on_either).

mod conn;
mod migrate;
mod pool;
mod prepared;
pub mod schema;

pub use conn::Conn;
pub use migrate::{migrate, pending};
pub use pool::{Db, Url};

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::prelude::*;

/// What can go wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is of no known kind.
    #[error("`{0}` is no database: want sqlite:FILE or postgres://…")]
    Url(String),
    /// No connection could be had in time.
    #[error("no database connection could be had: {0}")]
    Unavailable(String),
    /// More work is waiting for the database than it may.
    #[error("too much work is waiting for the database")]
    Busy,
    /// A query failed.
    #[error("a query failed")]
    Query(#[from] diesel::result::Error),
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated: {0}")]
    Migrate(String),
    /// A row holds what no code of ours writes.
    #[error("a row cannot be read: {0}")]
    Corrupt(String),
    /// The work panicked; it was rolled back.
    #[error("the work panicked: {0}")]
    Panicked(String),
    /// A transaction that was shared failed.
    #[error("the transaction failed: {message}")]
    Failed {
        /// With all its causes.
        message: String,
        /// Whether it may succeed a little later.
        passing: bool,
    },
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

impl Error {
    /// Whether the same work may succeed if it is tried again a little later.
    pub fn is_passing(&self) -> bool {
        use diesel::result::{DatabaseErrorKind as Kind, Error as Query};
        match self {
            Error::Unavailable(_) | Error::Busy | Error::Stopping => true,
            Error::Query(Query::DatabaseError(kind, info)) => {
                let passing = [
                    "database is locked",
                    "disk is full",
                    "disk I/O error",
                    "No space left",
                    "terminating connection",
                    "starting up",
                    "shutting down",
                    "lock timeout",
                    "statement timeout",
                    "deadlock detected",
                ];
                let kinds = [
                    Kind::ClosedConnection,
                    Kind::SerializationFailure,
                    Kind::UnableToSendCommand,
                    Kind::ReadOnlyTransaction,
                ];
                kinds
                    .iter()
                    .any(|known| std::mem::discriminant(known) == std::mem::discriminant(kind))
                    || passing.iter().any(|known| info.message().contains(known))
            }
            Error::Query(Query::BrokenTransactionManager) => true,
            Error::Failed { passing, .. } => *passing,
            _ => false,
        }
    }
}

/// What database work answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Runs the same words on the connection inside a [`Conn`]: for what diesel
/// cannot do on both at once (an upsert, a many-row insert).
#[macro_export]
macro_rules! on_either {
    ($conn:expr, |$inner:ident| $statement:expr) => {
        match $conn {
            $crate::db::Conn::Postgres($inner) => $statement,
            $crate::db::Conn::Sqlite($inner) => $statement,
        }
    };
}

impl Conn {
    /// Begins a transaction that will write. SQLite has to be told: one that
    /// reads first fails when it comes to write and another process was
    /// faster, where one that announced itself waits.
    pub fn begin_write(&mut self) -> QueryResult<()> {
        match self {
            Conn::Postgres(conn) => AnsiTransactionManager::begin_transaction(conn),
            Conn::Sqlite(conn) => {
                AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
            }
        }
    }

    /// Commits what [`begin_write`](Conn::begin_write) began.
    pub fn commit(&mut self) -> QueryResult<()> {
        on_either!(self, |conn| AnsiTransactionManager::commit_transaction(conn))
    }

    /// Takes back what [`begin_write`](Conn::begin_write) began.
    pub fn rollback(&mut self) -> QueryResult<()> {
        on_either!(self, |conn| AnsiTransactionManager::rollback_transaction(conn))
    }

    /// Runs `work`, which only reads, so that all it reads is of one moment.
    pub fn snapshot<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Conn::Postgres(conn) => AnsiTransactionManager::begin_transaction_sql(
                conn,
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            ),
            // The moment is that of the first read.
            Conn::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN"),
        }
        .map_err(Error::from)?;
        let outcome = work(self);
        // Nothing was written: there is nothing to lose, whichever way it ends.
        self.rollback().map_err(Error::from)?;
        outcome
    }

    /// Whether this is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        matches!(self, Conn::Postgres(_))
    }
}

/// Copies a SQLite database that is in use to `file`, whole and compact.
pub fn copy_to(conn: &mut Conn, file: &str) -> Result<()> {
    let statement = diesel::sql_query("VACUUM INTO $1").bind::<diesel::sql_types::Text, _>(file);
    statement.execute(conn)?;
    Ok(())
}
