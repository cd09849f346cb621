use super::{end, start, store};
use crate::catalogue;
use crate::clock::Clock;
use crate::db::Db;
use crate::events::{self, Publisher, Tx};
use crate::tasks::Task;

/// How many clearances start or end in one transaction.
const PAGE: i64 = 100;

/// Starts and ends clearances when their time has come. Whoever else may have
/// done it meanwhile, another node or the merchant, is seen inside the
/// transaction, so it happens once.
pub struct Timer {
    /// To look for what is due.
    pub db: Db,
    /// To do it.
    pub publisher: Publisher,
    /// The time.
    pub clock: Clock,
}

impl Task for Timer {
    const NAME: &'static str = "clearance-timer";

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        loop {
            let now = self.clock.now();
            let due = self.db.read(move |conn| store::due(conn, now, 1)).await?;
            if due.is_empty() {
                return Ok(());
            }
            self.publisher.commit(run_due).await?;
        }
    }
}

fn run_due(tx: &mut Tx<'_>) -> events::Result<()> {
    let now = tx.now();
    for clearance in store::due(tx.read(), now, PAGE)? {
        let Some(product) = catalogue::store::find(tx.read(), &clearance.product)? else {
            store::remove(tx.write(), &clearance.product)?;
            continue;
        };
        let over = clearance.ends_at.is_some_and(|ends_at| ends_at <= now);
        if clearance.active || over {
            end(tx, &product, &clearance, "due")?;
        } else {
            start(tx, &product, clearance)?;
        }
    }
    Ok(())
}
