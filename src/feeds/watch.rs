use super::facts::FeedChanged;
use super::{Feed, Feeds, store};
use crate::clock::Clock;
use crate::db::{self, Db};
use crate::events::{self, Publisher, Tx};
use crate::tasks::Task;

/// How many merchants are told of in one transaction.
const PAGE: i64 = 100;

/// Looks which feeds there are, and tells of those that fell silent. What
/// another node told already is seen inside the transaction, so each silence
/// is told once.
pub struct Watch {
    /// What this node knows.
    pub feeds: Feeds,
    /// To look.
    pub db: Db,
    /// To tell.
    pub publisher: Publisher,
    /// The time.
    pub clock: Clock,
}

impl Task for Watch {
    const NAME: &'static str = "feed-watch";

    type Error = events::Error;

    async fn run(&self) -> events::Result<()> {
        loop {
            let now = self.clock.now();
            let look = move |conn: &mut db::Conn| {
                Ok::<_, db::Error>((store::all(conn)?, !store::due(conn, now, 1)?.is_empty()))
            };
            let (feeds, silent) = self.db.read(look).await?;
            self.feeds.replace(feeds);
            if !silent {
                return Ok(());
            }
            self.publisher.commit(tell).await?;
        }
    }
}

fn tell(tx: &mut Tx<'_>) -> events::Result<()> {
    let now = tx.now();
    for feed in store::due(tx.read(), now, PAGE)? {
        let markets = store::markets(tx.read(), &feed.merchant)?;
        tx.append(&FeedChanged::stale(&feed, markets))?;
        store::save(tx.write(), &Feed { due: None, ..feed })?;
    }
    Ok(())
}
