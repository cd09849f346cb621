use super::publisher::Publisher;
use super::{Config, Tail, log};
use crate::clock::Clock;
use crate::db::Db;
use crate::tasks::Task;

/// How many events go in one transaction: writers wait for no more than that.
const STEP: i64 = 1_000;

/// Forgets what is older, or more, than is to be kept.
pub(super) struct Retention {
    pub db: Db,
    pub tail: Tail,
    pub publisher: Publisher,
    pub clock: Clock,
    pub config: Config,
}

impl Task for Retention {
    const NAME: &'static str = "retention";

    type Error = super::Error;

    async fn run(&self) -> super::Result<()> {
        let by_count = self.tail.head().saturating_sub(self.config.keep_count);
        let oldest =
            self.clock.now().saturating_sub(self.config.keep_days.saturating_mul(86_400_000));
        loop {
            let pruned_to = self.tail.pruned_to();
            let step = (pruned_to + STEP).min(self.tail.head());
            let by_age =
                self.db.read(move |conn| log::last_before(conn, (pruned_to, step), oldest)).await?;
            let to = by_count.min(step).max(by_age.unwrap_or(pruned_to));
            if to <= pruned_to {
                return Ok(());
            }
            self.publisher.commit(move |tx| Ok(log::prune(tx.write(), to)?)).await?;
            self.tail.set_pruned_to(to);
        }
    }
}
