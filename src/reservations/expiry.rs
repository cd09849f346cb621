use super::{end, store};
use crate::catalogue;
use crate::clock::Clock;
use crate::db::{self, Db};
use crate::events::{self, Publisher, Tx};
use crate::tasks::Task;

/// How many reservations expire in one transaction.
const PAGE: i64 = 100;

/// Gives back what was promised for a time that is over. Whoever else may have
/// ended a reservation meanwhile, another node or the merchant, is seen inside
/// the transaction, so it happens once.
pub struct Expiry {
    /// To look for what is due.
    pub db: Db,
    /// To do it.
    pub publisher: Publisher,
    /// The time.
    pub clock: Clock,
}

impl Task for Expiry {
    const NAME: &'static str = "reservation-expiry";

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        loop {
            let now = self.clock.now();
            let due = move |conn: &mut db::Conn| store::due(conn, now, 1);
            if self.db.read(due).await?.is_empty() {
                return Ok(());
            }
            self.publisher.commit(run_due).await?;
        }
    }
}

fn run_due(tx: &mut Tx<'_>) -> events::Result<()> {
    let now = tx.now();
    for reservation in store::due(tx.read(), now, PAGE)? {
        match catalogue::store::find(tx.read(), &reservation.product)? {
            Some(product) => {
                end(tx, "expiry", product, reservation, "expired")?;
            }
            None => store::remove(tx.write(), &reservation.id)?,
        }
    }
    Ok(())
}
