// The derive writes items without a word.
#![allow(missing_docs)]

use diesel::{PgConnection, SqliteConnection};

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Conn {
    /// PostgreSQL.
    Postgres(PgConnection),
    /// SQLite, bundled.
    Sqlite(SqliteConnection),
}
