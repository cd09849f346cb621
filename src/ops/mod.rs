//! What the operator, and whoever is curious, may know of the service.

mod routes;

pub use routes::{Docs, ops_routes, routes};

use crate::catalogue;
use crate::db;
use crate::events::{self, Publisher, Readers};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a look at the database may take before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at the service as a whole.
#[derive(Clone)]
pub struct Doctor {
    /// To try reading.
    pub readers: Readers,
    /// To try writing.
    pub publisher: Publisher,
    /// Whether it is about to stop.
    pub stopping: watch::Receiver<bool>,
}

/// Why the service is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It is about to stop.
    Stopping,
    /// The database cannot be read.
    Reading,
    /// Nothing can be written.
    Writing,
}

impl Unready {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Unready::Stopping => "stopping",
            Unready::Reading => "the database cannot be read",
            Unready::Writing => "the database cannot be written",
        }
    }
}

impl Doctor {
    /// Goes the way of a read and the way of a write, to the end of each.
    pub async fn ready(&self) -> Result<(), Unready> {
        if *self.stopping.borrow() {
            return Err(Unready::Stopping);
        }
        let read = self.readers.db.read(events::head);
        match timeout(PATIENCE, read).await {
            Ok(Ok(_)) => {}
            _ => return Err(Unready::Reading),
        }
        // Something has to be written: on a full disk a transaction with nothing in it succeeds.
        let write = self.publisher.commit(|tx| Ok(events::try_write(tx.write())?));
        match timeout(PATIENCE, write).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Unready::Writing),
        }
    }

    /// How many products there are.
    pub async fn products(&self) -> db::Result<i64> {
        self.readers.db.read(catalogue::store::count).await
    }
}
