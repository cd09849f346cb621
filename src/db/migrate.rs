use super::{Conn, Error, Result};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Any number, as long as every node takes the same.
const LOCK: i64 = 75_422_003;

/// Brings the schema up to date and returns the names of what was run.
///
/// Nodes that start at once do it one after the other: PostgreSQL by an
/// advisory lock, SQLite by a lock on a file beside it.
///
/// # Errors
/// [`Error::Migrate`] if a migration fails; it is rolled back whole.
pub fn migrate(conn: &mut Conn) -> Result<Vec<String>> {
    let failed = |err: Box<dyn std::error::Error + Send + Sync>| Error::Migrate(err.to_string());
    match conn {
        Conn::Postgres(conn) => {
            conn.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))?;
            let run = conn.run_pending_migrations(POSTGRES).map(names).map_err(failed);
            conn.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))?;
            run
        }
        Conn::Sqlite(conn) => {
            // diesel begins each migration deferred: two processes would both see it
            // pending. The lock is on a file of its own: to open and close the
            // database itself would drop the locks that SQLite has on it
            // (sqlite.org/howtocorrupt.html, 2.2).
            let file = format!("{}.lock", sqlite_file(conn)?);
            let cannot = |err: std::io::Error| Error::Migrate(format!("{file}: {err}"));
            let lock = std::fs::File::create(&file).map_err(cannot)?;
            lock.lock().map_err(cannot)?;
            conn.run_pending_migrations(SQLITE).map(names).map_err(failed)
        }
    }
}

#[derive(QueryableByName)]
struct Attached {
    #[diesel(sql_type = diesel::sql_types::Text)]
    file: String,
}

fn sqlite_file(conn: &mut SqliteConnection) -> Result<String> {
    let list = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    Ok(diesel::sql_query(list).get_result::<Attached>(conn)?.file)
}

/// The names of migrations that have not run yet.
pub fn pending(conn: &mut Conn) -> Result<Vec<String>> {
    let failed = |err: Box<dyn std::error::Error + Send + Sync>| Error::Migrate(err.to_string());
    match conn {
        Conn::Postgres(conn) => conn.pending_migrations(POSTGRES).map(unrun).map_err(failed),
        Conn::Sqlite(conn) => conn.pending_migrations(SQLITE).map(unrun).map_err(failed),
    }
}

fn names(versions: Vec<diesel::migration::MigrationVersion<'_>>) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}

fn unrun<DB: diesel::backend::Backend>(
    migrations: Vec<Box<dyn diesel::migration::Migration<DB>>>,
) -> Vec<String> {
    migrations.iter().map(|migration| migration.name().to_string()).collect()
}
