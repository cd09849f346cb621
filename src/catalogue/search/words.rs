use super::index::score;
use super::matcher::Word;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much memory the scores of words may take, about.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// How many words are remembered, however few products there are.
const MOST: usize = 256;

/// At least so many are, however many products there are.
const LEAST: usize = 4;

/// Words that were looked for lately, and how well each is found in every row.
///
/// To look for a word in all texts takes longer than all the rest of a search,
/// and what is looked for is often the same: a page and the next, products and
/// filters, one shopper and another. Prices and stock do not matter to it; a text
/// that changes is looked at anew.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The one used last is at the end.
    known: Mutex<Vec<(Word, Arc<Vec<u8>>)>>,
}

impl Words {
    /// The score of a row in which a word is not.
    pub const NOT: u8 = u8::MAX;

    /// The score of `word` in every row; `find` looks for it if it is not known.
    pub fn scores(&self, word: &Word, find: impl FnOnce() -> Vec<u8>) -> Arc<Vec<u8>> {
        if let Some(scores) = self.recall(word) {
            return scores;
        }
        let scores = Arc::new(find());
        let most = (MOST_BYTES / scores.len().max(1)).clamp(LEAST, MOST);
        let mut known = self.lock();
        known.retain(|(other, _)| other != word);
        let over = (known.len() + 1).saturating_sub(most);
        known.drain(..over);
        known.push((word.clone(), scores.clone()));
        scores
    }

    fn recall(&self, word: &Word) -> Option<Arc<Vec<u8>>> {
        let mut known = self.lock();
        let at = known.iter().position(|(other, _)| other == word)?;
        let found = known.remove(at);
        let scores = found.1.clone();
        known.push(found);
        Some(scores)
    }

    /// Looks at the text of a row that is new or another than before.
    pub fn put(&mut self, row: u32, text: &str) {
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (word, scores) in known {
            let scores = Arc::make_mut(scores);
            if scores.len() <= row as usize {
                scores.resize(row as usize + 1, Words::NOT);
            }
            scores[row as usize] = score(word, text);
        }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.lock().iter().map(|(_, scores)| scores.len() + 300).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Word, Arc<Vec<u8>>)>> {
        // Nothing under this lock leaves it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
