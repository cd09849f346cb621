use super::{end, start, store};
use crate::catalogue;
use crate::clock::Clock;
use crate::db::{self, Db};
use crate::events::{self, Publisher, Tx};
use crate::tasks::Task;

/// How many clearances start or end in one transaction.
const PAGE: i64 = 100;

/// Starts and ends clearances when their time has come, and ends those whose
/// price the usual one has reached. Whoever else may have
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
            let due = move |conn: &mut db::Conn| {
                let due = !store::due(conn, now, 1)?.is_empty();
                Ok::<_, db::Error>(due || !store::pointless(conn, 1)?.is_empty())
            };
            if !self.db.read(due).await? {
                return Ok(());
            }
            self.publisher.commit(run_due).await?;
        }
    }
}

fn run_due(tx: &mut Tx<'_>) -> events::Result<()> {
    let now = tx.now();
    for clearance in store::pointless(tx.read(), PAGE)? {
        if let Some(product) = catalogue::store::find(tx.read(), &clearance.product)? {
            end(tx, &product, &clearance, "cancelled")?;
        }
    }
    for clearance in store::due(tx.read(), now, PAGE)? {
        let Some(product) = catalogue::store::find(tx.read(), &clearance.product)? else {
            store::remove(tx.write(), &clearance.product)?;
            continue;
        };
        let over = clearance.ends_at.is_some_and(|ends_at| ends_at <= now);
        let pointless = product.price.is_some_and(|price| price <= clearance.price);
        if clearance.active || over || pointless {
            end(tx, &product, &clearance, "due")?;
        } else {
            start(tx, &product, clearance)?;
        }
    }
    Ok(())
}
