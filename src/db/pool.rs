use super::{Conn, Error, Result};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use r2d2::Pool;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How much work may wait for a read connection before more is refused.
const WAITING: usize = 4096;

/// How many pages the write-ahead log has when they are copied to the file: a page that
/// changes often is copied the seldomer, the longer it is.
const WAL_PAGES: u32 = 4_000;

/// How much of the file each connection keeps in memory, as SQLite counts it: -16 MB.
const CACHE: i32 = -16_000;

/// How often, and how far apart, the switch to a write-ahead log is tried.
const WAL_TRIES: u32 = 1_000;
const WAL_PAUSE: Duration = Duration::from_millis(10);

/// Where the database is. Its `Debug` and `Display` hide a password.
#[derive(Clone)]
pub enum Url {
    /// A `postgres://…` URL.
    Postgres(String),
    /// A file.
    Sqlite(String),
}

impl std::str::FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Url> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(Url::Postgres(text.to_owned()))
        } else if let Some(file) = text.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            if file.is_empty() || file.contains(":memory:") {
                return Err(Error::Url(text.to_owned()));
            }
            Ok(Url::Sqlite(file.to_owned()))
        } else {
            Err(Error::Url(text.split("//").next().unwrap_or_default().to_owned()))
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Url::Sqlite(file) => write!(f, "sqlite:{file}"),
            Url::Postgres(url) => match url.rsplit_once('@') {
                Some((_, host)) => write!(f, "postgres://***@{host}"),
                None => f.write_str("postgres://***"),
            },
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Url {
    /// A connection of one's own.
    pub fn connect(&self) -> Result<Conn> {
        let unavailable = |err: &dyn fmt::Display| Error::Unavailable(err.to_string());
        match self {
            Url::Postgres(url) => {
                let mut conn = PgConnection::establish(url).map_err(|err| unavailable(&err))?;
                conn.batch_execute(
                    "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
                     SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning",
                )?;
                Ok(Conn::Postgres(conn))
            }
            Url::Sqlite(file) => {
                let mut conn =
                    SqliteConnection::establish(file).map_err(|err| unavailable(&err))?;
                // The time to wait for a lock first: the pragmas after it need one. FULL
                // makes a commit survive a power cut, not just the end of the process.
                conn.batch_execute("PRAGMA busy_timeout = 10000")?;
                write_ahead(&mut conn)?;
                conn.batch_execute(
                    "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                     PRAGMA journal_size_limit = 67108864",
                )?;
                conn.batch_execute(&format!(
                    "PRAGMA cache_size = {CACHE}; PRAGMA wal_autocheckpoint = {WAL_PAGES}"
                ))?;
                Ok(Conn::Sqlite(conn))
            }
        }
    }
}

/// Turns the write-ahead log on. SQLite does not wait for the lock that this takes,
/// whatever `busy_timeout` says (two that waited for each other would never end), so
/// two processes that open a new file at once have to be patient themselves.
fn write_ahead(conn: &mut SqliteConnection) -> Result<()> {
    let mut tries = 0;
    loop {
        match conn.batch_execute("PRAGMA journal_mode = WAL").map_err(Error::from) {
            Err(err) if err.is_passing() && tries < WAL_TRIES => tries += 1,
            outcome => return outcome,
        }
        std::thread::sleep(WAL_PAUSE);
    }
}

impl Conn {
    /// Makes SQLite's write-ahead log as long as it gets, for whoever is going to
    /// commit often: to write where the file has room already takes the disk half as
    /// long as to make the file longer.
    pub fn lengthen_log(&mut self) -> Result<()> {
        let Conn::Sqlite(conn) = self else { return Ok(()) };
        // What does not fit into the cache is written to the log before the transaction
        // ends. Taken back it counts for nothing, but the file is as long as it was.
        let outcome = conn.batch_execute(&format!(
            "PRAGMA cache_size = 10; BEGIN IMMEDIATE; CREATE TABLE room_for_log (x); \
             INSERT INTO room_for_log VALUES (zeroblob({WAL_PAGES} * 4096)); ROLLBACK"
        ));
        if outcome.is_err() {
            // There may be no transaction to end.
            let _ = conn.batch_execute("ROLLBACK");
        }
        conn.batch_execute(&format!("PRAGMA cache_size = {CACHE}"))?;
        Ok(outcome?)
    }
}

struct Manager(Url);

impl r2d2::ManageConnection for Manager {
    type Connection = Conn;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> std::result::Result<Conn, diesel::r2d2::Error> {
        self.0.connect().map_err(|err| {
            diesel::r2d2::Error::ConnectionError(diesel::ConnectionError::BadConnection(
                err.to_string(),
            ))
        })
    }

    fn is_valid(&self, conn: &mut Conn) -> std::result::Result<(), diesel::r2d2::Error> {
        conn.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}

/// A handle on the database to read with; cloning it is cheap. Whoever writes
/// goes through `events::Publisher`, which has a connection of its own.
#[derive(Clone)]
pub struct Db {
    url: Url,
    pool: Pool<Manager>,
    /// One permit for each connection, so that no thread waits for one.
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    housekeeping: Arc<Semaphore>,
}

impl Db {
    /// A pool of up to `connections` to `url`. Connects when first used.
    pub fn open(url: &Url, connections: u32) -> Result<Db> {
        let pool = Pool::builder()
            .max_size(connections)
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(5))
            // A round trip at each use; a broken connection shows itself soon enough.
            .test_on_check_out(matches!(url, Url::Postgres(_)))
            .error_handler(Box::new(LogErrors))
            .build(Manager(url.clone()))
            .map_err(|err| Error::Unavailable(err.to_string()))?;
        Ok(Db {
            url: url.clone(),
            pool,
            permits: Arc::new(Semaphore::new(connections as usize)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            housekeeping: Arc::new(Semaphore::new(1)),
        })
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Work waiting for a connection, or on one.
    pub fn in_use(&self) -> usize {
        WAITING - self.waiting.available_permits()
    }

    /// Runs `work` on a connection, on this very thread.
    pub fn read_blocking<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Conn) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut conn = self.pool.get().map_err(|err| Error::Unavailable(err.to_string()))?;
        work(&mut conn)
    }

    /// Runs `work` on a connection, off the async threads. First come, first
    /// served; [`Error::Busy`] if too many came.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Conn) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let _waiting = self.waiting.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Error::Stopping)?;
        let db = self.clone();
        let job = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            db.read_blocking(work)
        });
        match job.await {
            Ok(result) => result,
            Err(err) => Err(Error::Panicked(err.to_string()).into()),
        }
    }

    /// Runs `work` in a transaction of its own, off the async threads: for
    /// housekeeping that tells nobody of an event. What tells goes through
    /// `events::Publisher`.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Conn) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        // One at a time: who waits for the lock must not keep readers from their connections.
        let _turn = self.housekeeping.clone().acquire_owned().await.map_err(|_| Error::Stopping)?;
        self.read(move |conn| {
            conn.begin_write().map_err(Error::from)?;
            match work(conn) {
                Ok(outcome) => {
                    conn.commit().map_err(Error::from)?;
                    Ok(outcome)
                }
                Err(err) => {
                    // The caller has to hear of `err`, whatever becomes of this.
                    let _ = conn.rollback();
                    Err(err)
                }
            }
        })
        .await
    }
}

#[derive(Debug)]
struct LogErrors;

impl<E: fmt::Display> r2d2::HandleError<E> for LogErrors {
    fn handle_error(&self, error: E) {
        tracing::warn!(%error, "no database connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn whoever_opens_a_new_file_at_once_with_others_gets_it() {
        const AT_ONCE: usize = 8;
        let directory = tempfile::tempdir().expect("a directory");
        for round in 0..60 {
            let file = directory.path().join(format!("{round}.db"));
            let url: Url = format!("sqlite:{}", file.display()).parse().expect("a url");
            let together = Barrier::new(AT_ONCE);
            std::thread::scope(|threads| {
                for _ in 0..AT_ONCE {
                    threads.spawn(|| {
                        together.wait();
                        url.connect().map(|_| ()).expect("a connection");
                    });
                }
            });
        }
    }
}
