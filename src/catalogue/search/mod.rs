//! Looking for products: by words, by filters, in any order, page by page.
//!
//! Every node keeps what is looked for in memory (see [`index`]), loads it when it
//! starts, and lets the log tell it what changed: at every search, so whoever was
//! answered that a price is set finds it set, and once a second besides. What is
//! answered of a product is read from the database.

mod dictionary;
mod facets;
mod find;
mod fold;
mod index;
mod key;
mod matcher;
mod moves;
mod place;
mod query;
mod readings;
mod routes;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod words;

pub use routes::{Docs, get_filters, get_products};

use crate::clock::Clock;
use crate::db::{self, Conn, Db};
use crate::events::Tail;
use crate::tasks::Task;
use crate::telemetry::Metrics;
use index::{Index, Past};
use moves::Day;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// The products of this node, to look for; cloning it is cheap.
#[derive(Clone)]
pub struct Search {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    tail: Tail,
    clock: Clock,
    metrics: Metrics,
    /// Held while somebody reads what changed, so that others wait and need not.
    turn: Mutex<()>,
    /// None until it was loaded. Held for reading as long as a search takes.
    index: RwLock<Option<Index>>,
}

impl Search {
    /// Of the products in `db`, as the log behind `tail` changes them.
    pub fn new(db: Db, tail: Tail, clock: Clock, metrics: Metrics) -> Search {
        let (turn, index) = (Mutex::default(), RwLock::default());
        Search { inner: Arc::new(Inner { db, tail, clock, metrics, turn, index }) }
    }

    fn today(&self) -> Day {
        moves::day_of(self.inner.clock.now())
    }

    fn epoch(&self) -> &str {
        self.inner.tail.epoch()
    }

    /// Lets `work` look at all products as they are by now: at least as this node
    /// knows the log, and at least as they were at `position`.
    fn look<T>(
        &self,
        conn: &mut Conn,
        position: i64,
        work: impl FnOnce(&Index) -> T,
    ) -> db::Result<T> {
        self.refresh(conn, position)?;
        match &*self.read() {
            Some(index) => Ok(work(index)),
            None => Err(db::Error::Unavailable("the products are not loaded".to_owned())),
        }
    }

    fn refresh(&self, conn: &mut Conn, position: i64) -> db::Result<()> {
        let Inner { tail, clock, turn, index, .. } = &*self.inner;
        let stands_at = || self.read().as_ref().map(|index| index.position);
        let offered = tail.offered();
        let is_fresh = |at: Option<i64>| at.is_some_and(|at| at >= position.max(offered));
        if is_fresh(stands_at()) {
            return Ok(());
        }
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = stands_at() else {
            let loaded = sync::load(conn, clock.now())?;
            tracing::info!(products = loaded.len(), "the products can be searched");
            *index.write().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
            return Ok(());
        };
        if is_fresh(Some(at)) {
            return Ok(());
        }
        // Nobody else writes meanwhile: whoever does has the turn.
        let news = if position <= tail.head() && offered <= tail.head() {
            tail.after(at, usize::MAX)
        } else {
            None
        };
        let plain = news
            .filter(|news| self.read().as_ref().is_some_and(|index| sync::are_plain(index, news)));
        let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = &mut *index else { return Ok(()) };
        if let Some(news) = plain
            && sync::apply(index, &news).is_empty()
        {
            return Ok(());
        }
        // The lock is held while the database is asked, so what a search sees
        // is always one moment. It takes as long as looking up some products.
        sync::catch_up(conn, tail.epoch(), index, clock.now())
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Index>> {
        // A panic under this lock is one of a reader, or leaves what the next
        // look at the log puts right.
        self.inner.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps up with the log while nobody searches, so that whoever does need not
/// wait for what happened overnight.
impl Task for Search {
    const NAME: &'static str = "search";

    type Error = db::Error;

    async fn run(&self) -> db::Result<()> {
        let search = self.clone();
        self.inner.db.read(move |conn| search.refresh(conn, 0)).await?;
        if let Some(index) = &*self.read() {
            self.inner.metrics.search_products.set(index.len() as i64);
            self.inner.metrics.search_bytes.set(index.bytes() as i64);
        }
        Ok(())
    }
}
