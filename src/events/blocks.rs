//! Which topics occur where in the log.
//!
//! The log has no index by topic: keeping one would make every commit touch
//! as many pages as it has topics. Instead each run of 1,024 positions gets,
//! once it is full, a summary of its topics, and whoever reads the past of one
//! topic passes over the runs that do not have it.

use super::publisher::Publisher;
use super::{Filter, Tail, Topic, log};
use crate::db::schema::event_blocks;
use crate::db::{self, Conn, Db};
use crate::on_either;
use crate::tasks::Task;
use diesel::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// Positions in a block.
const SIZE: i64 = 1024;

/// The block of a position; positions begin at 1.
fn block_of(seq: i64) -> i64 {
    (seq - 1).div_euclid(SIZE)
}

/// The first position of the block that `seq` is in.
pub(super) fn begin_of_block(seq: i64) -> i64 {
    block_of(seq) * SIZE + 1
}

/// The last position of the block that `seq` is in.
pub(super) fn end_of_block(seq: i64) -> i64 {
    (block_of(seq) + 1) * SIZE
}

/// The summaries known to this node. A block without one has to be read.
#[derive(Clone, Default)]
pub(super) struct Blocks(Arc<RwLock<BTreeMap<i64, Box<[u32]>>>>);

impl Blocks {
    /// Whether the block of `seq` may hold an event for `filter`. Hashes may
    /// meet by chance, so a yes is to be checked; a no is a no.
    pub fn may_match(&self, seq: i64, filter: &Filter) -> bool {
        let Ok(blocks) = self.0.read() else { return true };
        let Some(topics) = blocks.get(&block_of(seq)) else { return true };
        filter.followed().iter().any(|topic| topics.binary_search(&hash(topic.as_str())).is_ok())
    }

    fn known(&self) -> Vec<i64> {
        self.0.read().map(|blocks| blocks.keys().copied().collect()).unwrap_or_default()
    }

    fn learn(&self, rows: Vec<(i64, Vec<u8>)>) {
        let Ok(mut blocks) = self.0.write() else { return };
        for (block, bytes) in rows {
            let words = bytes.chunks_exact(4);
            let topics = words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            blocks.insert(block, topics.collect());
        }
    }

    fn forget_before(&self, block: i64) {
        if let Ok(mut blocks) = self.0.write() {
            *blocks = blocks.split_off(&block);
        }
    }
}

/// FNV-1a; it has to be the same in every release.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn summary<'a>(topics: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut hashes = Vec::new();
    for topic in topics {
        hashes.push(hash(topic));
        for all in ["price/*", "market/*"] {
            if topic.split_once('/').map(|(kind, _)| kind)
                == all.split_once('/').map(|(kind, _)| kind)
            {
                hashes.push(hash(all));
            }
        }
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes.into_iter().flat_map(u32::to_le_bytes).collect()
}

pub(super) fn forget(conn: &mut Conn, pruned_to: i64) -> db::Result<()> {
    let gone = event_blocks::table.filter(event_blocks::block.lt(block_of(pruned_to + 1)));
    diesel::delete(gone).execute(conn)?;
    Ok(())
}

/// Writes the summary of every block that is full and has none.
pub(super) struct Summarise {
    pub db: Db,
    pub tail: Tail,
    pub publisher: Publisher,
    pub blocks: Blocks,
}

impl Task for Summarise {
    const NAME: &'static str = "summarise";

    type Error = super::Error;

    async fn run(&self) -> super::Result<()> {
        let (head, pruned_to) = (self.tail.head(), self.tail.pruned_to());
        let first = block_of(pruned_to + 1);
        let full = block_of(head + 1);
        self.blocks.forget_before(first);
        let known = self.blocks.known();
        let missing: Vec<i64> =
            (first..full).filter(|block| known.binary_search(block).is_err()).collect();
        for block in missing {
            let (from, to) = (block * SIZE + 1, (block + 1) * SIZE);
            let found = self.db.read(move |conn| find(conn, block)).await?;
            let bytes = match found {
                Some(bytes) => bytes,
                None => {
                    let bytes = match self.recent(from, to) {
                        Some(bytes) => bytes,
                        None => {
                            let read = move |conn: &mut Conn| log::topics_between(conn, from, to);
                            let lines = self.db.read(read).await?;
                            summary(lines.iter().flat_map(|line| line.split(' ')))
                        }
                    };
                    let kept = bytes.clone();
                    self.publisher.commit(move |tx| Ok(save(tx.write(), block, &kept)?)).await?;
                    bytes
                }
            };
            self.blocks.learn(vec![(block, bytes)]);
        }
        Ok(())
    }
}

impl Summarise {
    /// The summary of the positions `from..=to` if they are all in memory.
    fn recent(&self, from: i64, to: i64) -> Option<Vec<u8>> {
        let mut events = self.tail.after(from - 1, SIZE as usize)?;
        events.retain(|event| event.seq <= to);
        Some(summary(events.iter().flat_map(|event| &event.topics).map(Topic::as_str)))
    }
}

fn find(conn: &mut Conn, block: i64) -> db::Result<Option<Vec<u8>>> {
    let row = event_blocks::table.find(block).select(event_blocks::topics);
    Ok(row.first(conn).optional()?)
}

fn save(conn: &mut Conn, block: i64, topics: &[u8]) -> db::Result<()> {
    on_either!(conn, |conn| diesel::insert_into(event_blocks::table)
        .values((event_blocks::block.eq(block), event_blocks::topics.eq(topics)))
        .on_conflict(event_blocks::block)
        .do_nothing()
        .execute(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_has_not_a_topic_is_passed_over() {
        let blocks = Blocks::default();
        let topics = ["price/green", "market/fangcun", "product/a", "arrivals", "product/b"];
        blocks.learn(vec![(0, summary(topics.into_iter()))]);
        let may = |topic: &str, seq| {
            blocks.may_match(seq, &Filter::topics([topic.parse().expect("a topic")]))
        };
        for topic in ["price/green", "price/*", "market/*", "product/b", "arrivals"] {
            assert!(may(topic, 1) && may(topic, 1024), "{topic}");
        }
        assert!(!may("price/white", 1) && !may("clearance", 1024));
        assert!(may("price/white", 1025), "the next block is not known yet");
    }

    #[test]
    fn blocks_begin_at_one() {
        assert_eq!((begin_of_block(1), end_of_block(1)), (1, 1024));
        assert_eq!((begin_of_block(1024), end_of_block(1025)), (1, 2048));
    }
}
