use super::store;
use crate::db::Db;
use crate::events::{self, Publisher};
use crate::tasks::Task;
use crate::telemetry::Metrics;
use std::time::Instant;

/// How many prices are copied in one transaction: writers wait for no more.
const STEP: i64 = 1_000;

/// How far copying may be behind before it no longer gives way to writers. The
/// history of a product that has a price since goes through all of that, so
/// this bounds it.
const LAG: i64 = 200_000;

/// Copies prices from the order they were written in to the order they are
/// read in.
///
/// A price in both orders would touch a page of its own for each product, in
/// the transaction that a merchant waits for; in large steps, sorted, it
/// touches few. All nodes run this; each step looks again, where nobody else
/// writes, how far copying is.
pub struct Copy {
    /// To see whether there is anything to copy.
    pub db: Db,
    /// To copy it.
    pub publisher: Publisher,
    /// Where to count.
    pub metrics: Metrics,
}

impl Task for Copy {
    const NAME: &'static str = "price-history";

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        while let Some(last) = self.db.read(store::last_uncopied).await? {
            let began = Instant::now();
            let step = |tx: &mut events::Tx<'_>| Ok(store::copy(tx.write(), STEP)?);
            let Some((copied, count)) = self.publisher.commit(step).await? else { break };
            self.metrics.prices_copied.inc_by(count as u64);
            self.metrics.prices_uncopied.set(last - copied);
            if last - copied < LAG {
                // Writers come first: a tenth of the time is enough to keep up.
                tokio::time::sleep(began.elapsed() * 9).await;
            }
        }
        self.metrics.prices_uncopied.set(0);
        Ok(())
    }
}
