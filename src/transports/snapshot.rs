//! The present state of what topics are about, with the position of the log
//! that it is of.
//!
//! A large state is given in pages. No transaction is held open between two:
//! each is read by itself, and each but the first begins with what has changed
//! since the one before among what was given already. So after every page a
//! reader has, of all that comes before the page's end, the state as of that
//! page's position; after the last one, of everything. From there the log goes
//! on, without a gap and without anything twice.

use crate::db;
use crate::events::{Cursor, Filter, Tail, to_ascii};
use crate::refusal::{Class, Refusal};
use crate::telemetry::Metrics;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// How many bytes of pages are kept, and how many pages.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
const CACHE_PAGES: usize = 4_096;

/// Knows the present state. The catalogue does; like
/// [`Directory`](super::Directory) it is told here what is asked of it.
pub trait Present: Send + Sync {
    /// One page of the state of what `asked` is about.
    fn page(&self, asked: Arc<Asked>) -> Paged<'_>;
}

/// What [`Present`] answers.
pub type Paged<'a> = Pin<Box<dyn Future<Output = Result<Page, SnapshotError>> + Send + 'a>>;

/// Which page of which state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// What it is about.
    pub filter: Filter,
    /// Where the page before it ended; none for the first.
    pub from: Option<Place>,
    /// How many products at most.
    pub products: usize,
    /// How many bytes, about.
    pub bytes: usize,
}

/// How far a reader has come: of all products up to `last` it has been given
/// the state as of `position`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// In the log.
    pub position: i64,
    /// The id of a product; empty before the first.
    pub last: Box<str>,
}

/// A page of the state.
#[derive(Debug)]
pub struct Page {
    /// Fields of JSON: `"products":[…],"removed":[…],…`.
    pub fields: String,
    /// The position of the log that it is of.
    pub position: i64,
    /// Where the next one begins; none if this is the last.
    pub next: Option<Place>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// What has changed since the page before is not kept any more.
    #[error("what has changed since the last page is forgotten")]
    Expired,
    /// It could not be read.
    #[error(transparent)]
    Db(#[from] db::Error),
}

type Cell = Arc<OnceCell<Arc<Page>>>;

/// The pages of this node. Whoever asks for the same at the same time is given
/// the same: when all readers come back at once, their state is read once.
pub struct Snapshots {
    present: Arc<dyn Present>,
    tail: Tail,
    metrics: Metrics,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    cells: HashMap<Arc<Asked>, (Cell, usize)>,
    /// In the order they were asked for.
    order: VecDeque<Arc<Asked>>,
    bytes: usize,
}

impl Snapshots {
    /// Pages of `present`, whose log ends with `tail`.
    pub fn new(present: Arc<dyn Present>, tail: Tail, metrics: &Metrics) -> Snapshots {
        Snapshots { present, tail, metrics: metrics.clone(), cache: Mutex::default() }
    }

    /// The page that was asked for. A first page is of the log as it was when
    /// it was asked for, or newer.
    ///
    /// # Errors
    /// [`SnapshotError::Expired`] if it cannot follow the page before it.
    pub async fn page(&self, asked: Asked) -> Result<Arc<Page>, SnapshotError> {
        let asked = Arc::new(asked);
        let newest = self.tail.head();
        let at_least = if asked.from.is_none() { newest } else { self.tail.pruned_to() };
        loop {
            let cell = self.cell(&asked);
            let mut made = false;
            let page = cell
                .get_or_try_init(|| {
                    made = true;
                    self.make(&asked)
                })
                .await
                .cloned();
            match page {
                Ok(page) if made || page.position >= at_least => {
                    if made {
                        self.keep(&asked, &cell, page.fields.len());
                    } else {
                        self.metrics.snapshots_shared.inc();
                    }
                    return Ok(page);
                }
                Ok(_) => self.forget(&asked, &cell),
                Err(err) => {
                    self.forget(&asked, &cell);
                    return Err(err);
                }
            }
        }
    }

    async fn make(&self, asked: &Arc<Asked>) -> Result<Arc<Page>, SnapshotError> {
        self.metrics.snapshots_made.inc();
        let mut page = self.present.page(asked.clone()).await?;
        if asked.filter.is_ascii() {
            page.fields = to_ascii(&page.fields);
        }
        Ok(Arc::new(page))
    }

    /// Where the page is, or will be.
    fn cell(&self, asked: &Arc<Asked>) -> Cell {
        let mut cache = self.lock();
        if let Some((cell, _)) = cache.cells.get(asked) {
            return cell.clone();
        }
        let cell = Cell::default();
        cache.cells.insert(asked.clone(), (cell.clone(), 0));
        cache.order.push_back(asked.clone());
        self.shrink(&mut cache);
        cell
    }

    fn keep(&self, asked: &Arc<Asked>, cell: &Cell, size: usize) {
        let mut cache = self.lock();
        if let Some((known, bytes)) = cache.cells.get_mut(asked)
            && Arc::ptr_eq(known, cell)
        {
            *bytes = size;
            cache.bytes += size;
        }
        self.shrink(&mut cache);
    }

    fn forget(&self, asked: &Arc<Asked>, cell: &Cell) {
        let mut cache = self.lock();
        if cache.cells.get(asked).is_some_and(|(known, _)| Arc::ptr_eq(known, cell)) {
            cache.order.retain(|known| known != asked);
            cache.remove(asked);
        }
        self.metrics.snapshot_bytes.set(cache.bytes as i64);
    }

    fn shrink(&self, cache: &mut Cache) {
        while cache.bytes > CACHE_BYTES || cache.order.len() > CACHE_PAGES {
            let Some(oldest) = cache.order.pop_front() else { break };
            cache.remove(&oldest);
        }
        self.metrics.snapshot_bytes.set(cache.bytes as i64);
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // Held for look-ups alone; nothing under it can leave it half changed.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn remove(&mut self, asked: &Arc<Asked>) {
        if let Some((_, bytes)) = self.cells.remove(asked) {
            self.bytes -= bytes;
        }
    }
}

impl Place {
    /// As it is given to a reader who asks for the next page by themselves.
    pub fn token(&self, epoch: &Arc<str>) -> String {
        let cursor = Cursor { epoch: epoch.clone(), seq: self.position };
        format!("{cursor}~{}", self.last)
    }

    /// Reads what [`token`](Place::token) wrote.
    ///
    /// # Errors
    /// `bad_cursor` on `after` for what it did not write; `snapshot_expired` if
    /// the log has another name by now.
    pub fn read(text: &str, epoch: &str) -> Result<Place, Refusal> {
        let parts = text.split_once('~');
        let parts = parts.and_then(|(cursor, last)| Some((cursor.parse::<Cursor>().ok()?, last)));
        match parts {
            Some((cursor, last)) if last.is_empty() || crate::names::is_id(last) => {
                if *cursor.epoch != *epoch {
                    return Err(expired());
                }
                Ok(Place { position: cursor.seq, last: last.into() })
            }
            _ => Err(Refusal::invalid(
                "after",
                "bad_cursor",
                "`after` is not the `next` of a page; leave it out to begin anew",
                "“after”不是上一页的 next；请去掉后重新开始",
            )),
        }
    }
}

/// The answer to whoever took too long between two pages.
pub fn expired() -> Refusal {
    Refusal {
        field: Some("after".to_owned()),
        ..Refusal::new(
            Class::Conflict,
            "snapshot_expired",
            "what has changed since that page is not kept any more; leave `after` out to begin anew",
            "该页之后的变更已不再保留；请去掉 after 重新开始",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Head, Topic};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A state that takes a moment to read, and says how often it was.
    struct Slow {
        reads: AtomicUsize,
        size: usize,
    }

    impl Present for Slow {
        fn page(&self, _: Arc<Asked>) -> Paged<'_> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                let position = self.reads.fetch_add(1, Ordering::Relaxed) as i64;
                Ok(Page { fields: "x".repeat(self.size), position, next: None })
            })
        }
    }

    fn snapshots(size: usize, head: i64) -> (Arc<Slow>, Snapshots) {
        let slow = Arc::new(Slow { reads: AtomicUsize::new(0), size });
        let metrics = Metrics::default();
        let head = Head { seq: head, epoch: "k".into(), pruned_to: 0 };
        let tail = Tail::new(&head, 10, usize::MAX, &metrics);
        (slow.clone(), Snapshots::new(slow, tail, &metrics))
    }

    fn asked(topic: &str) -> Asked {
        let filter = Filter::topics([topic.parse::<Topic>().expect("a topic")]);
        Asked { filter, from: None, products: 10, bytes: 1_000 }
    }

    #[tokio::test]
    async fn what_many_ask_for_at_once_is_read_once() {
        let (slow, snapshots) = snapshots(1, 0);
        let all = (0..1_000).map(|_| snapshots.page(asked("price/*")));
        let pages = futures_util::future::join_all(all).await;
        assert!(pages.iter().all(Result::is_ok));
        assert_eq!(slow.reads.load(Ordering::Relaxed), 1);
        assert_eq!(snapshots.metrics.snapshots_shared.get(), 999);
        snapshots.page(asked("price/green")).await.expect("a page");
        assert_eq!(slow.reads.load(Ordering::Relaxed), 2, "something else");
    }

    #[tokio::test]
    async fn nobody_is_given_a_state_older_than_their_question() {
        let (slow, snapshots) = snapshots(1, 2);
        for reads in 1..=5_usize {
            snapshots.page(asked("price/*")).await.expect("a page");
            // Positions 0 and 1 are older than the log; 2 is shared from then on.
            assert_eq!(slow.reads.load(Ordering::Relaxed), reads.min(3));
        }
    }

    #[tokio::test]
    async fn memory_holds_so_many_bytes_of_pages_and_no_more() {
        let (_, snapshots) = snapshots(CACHE_BYTES / 3, 0);
        for at in 0..20 {
            snapshots.page(asked(&format!("room/r{at}"))).await.expect("a page");
            assert!(snapshots.lock().bytes <= CACHE_BYTES);
        }
        let cache = snapshots.lock();
        assert_eq!((cache.cells.len(), cache.order.len()), (3, 3));
        assert_eq!(cache.bytes as i64, snapshots.metrics.snapshot_bytes.get());
    }

    #[test]
    fn a_place_is_read_back_as_it_was_written() {
        let epoch: Arc<str> = "k3".into();
        for last in ["", "7542-2003", "a.b"] {
            let place = Place { position: 71, last: last.into() };
            assert_eq!(Place::read(&place.token(&epoch), &epoch), Ok(place));
        }
        for text in ["", "k3-1", "k3-1~A", "k3~a", "~", "k3-1~a~b"] {
            assert_eq!(Place::read(text, "k3").expect_err(text).code, "bad_cursor");
        }
        assert_eq!(Place::read("k4-1~a", "k3").expect_err("another").code, "snapshot_expired");
    }
}
