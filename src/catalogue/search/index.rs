use super::dictionary::Dictionary;
use super::find::is_within;
use super::fold::fold;
use super::matcher::{Found, Mask, PART, Word};
use super::moves::{Day, Moves, day_of};
use super::store::Listing;
use super::words::Words;
use crate::catalogue::CATEGORIES;
use crate::clock::Millis;
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The properties of which a product has one value each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum Facet {
    Category,
    Market,
    Origin,
    Grade,
    Vintage,
    Merchant,
    Form,
    PriceType,
}

/// All of them with their names, in the order of their numbers.
pub(super) const FACETS: [(Facet, &str); 8] = [
    (Facet::Category, "category"),
    (Facet::Market, "market"),
    (Facet::Origin, "origin"),
    (Facet::Grade, "grade"),
    (Facet::Vintage, "vintage"),
    (Facet::Merchant, "merchant"),
    (Facet::Form, "form"),
    (Facet::PriceType, "price_type"),
];

/// How many moves can be taken back, to see a page as the one before it was.
const UNDO: usize = 131_072;

/// What of a product is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// A value of each of [`FACETS`], as its dictionary numbers them.
    pub codes: [u32; FACETS.len()],
    pub created: Millis,
    /// The position it came at; 0 if it was there before all that is known.
    pub born: i64,
    pub now: Moves,
}

/// What a product was until `seq`.
#[derive(Clone, Copy, Debug)]
struct Undo {
    seq: i64,
    row: u32,
    was: Moves,
}

/// What products were at a position of the log, where they are not so any more.
#[derive(Debug, Default)]
pub(super) struct Past {
    position: Option<i64>,
    was: HashMap<u32, Moves, RandomState>,
}

/// All products in memory, as they are looked for: what is compared stands in
/// one array, so that looking at all of them takes less than a millisecond or two.
#[derive(Debug)]
pub(super) struct Index {
    /// Where in the log it stands: every change up to here is in it.
    pub position: i64,
    rows: HashMap<Arc<str>, u32, RandomState>,
    ids: Vec<Arc<str>>,
    facts: Vec<Facts>,
    texts: Vec<Box<str>>,
    masks: Vec<Mask>,
    /// The rows in the order of their ids.
    by_id: Vec<u32>,
    pub values: [Dictionary; FACETS.len()],
    undo: VecDeque<Undo>,
    /// Moves after this position can be taken back.
    undo_from: i64,
    words: Words,
    text_bytes: usize,
}

impl Index {
    /// An empty one that stands at `position`.
    pub fn new(position: i64) -> Index {
        Index {
            position,
            rows: HashMap::default(),
            ids: Vec::new(),
            facts: Vec::new(),
            texts: Vec::new(),
            masks: Vec::new(),
            by_id: Vec::new(),
            values: Default::default(),
            undo: VecDeque::new(),
            undo_from: position,
            words: Words::default(),
            text_bytes: 0,
        }
    }

    /// How many products there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Puts products in, or what they are now, each with the position at which
    /// it came or became so, and whether it is on clearance.
    pub fn put<'a>(&mut self, listings: impl IntoIterator<Item = (i64, &'a Listing, bool)>) {
        let before = self.len();
        for (seq, listing, reduced) in listings {
            self.put_one(seq, listing, reduced);
        }
        let new: Vec<u32> =
            (before..self.len()).filter_map(|row| u32::try_from(row).ok()).collect();
        if let [row] = *new {
            let id = &self.ids[row as usize];
            let at = self.by_id.partition_point(|other| self.ids[*other as usize] < *id);
            self.by_id.insert(at, row);
        } else if !new.is_empty() {
            self.by_id.extend(new);
            let ids = &self.ids;
            // Nearly in order already, which this makes use of.
            self.by_id.sort_by(|one, other| ids[*one as usize].cmp(&ids[*other as usize]));
        }
    }

    fn put_one(&mut self, seq: i64, listing: &Listing, reduced: bool) {
        let known = self.rows.get(&*listing.id).copied();
        let codes = self.codes(listing);
        let text = text_of(listing);
        let old = known.map(|row| self.facts[row as usize].now);
        let same_unit = old.is_none_or(|old| old.grams == listing.grams_per_unit);
        let now = Moves {
            price: listing.price.unwrap_or(0),
            grams: listing.grams_per_unit,
            close: old.filter(|_| same_unit).map_or(0, |old| old.close),
            // On its first day there is no yesterday to compare with.
            changed_on: old.map_or_else(|| day_of(listing.created), |old| old.changed_on),
            stock: listing.available().unwrap_or(-1),
            listed: listing.status == "listed",
            reduced,
        };
        let Some(row) = known else {
            let Ok(row) = u32::try_from(self.len()) else { return };
            let id: Arc<str> = listing.id.as_str().into();
            let born = if seq > self.undo_from { seq } else { 0 };
            self.rows.insert(id.clone(), row);
            self.ids.push(id);
            self.facts.push(Facts { codes, created: listing.created, born, now });
            self.masks.push(Mask::of(&text));
            self.words.put(row, &text);
            self.text_bytes += text.len();
            self.texts.push(text);
            return;
        };
        let at = row as usize;
        for (values, code) in self.values.iter_mut().zip(self.facts[at].codes) {
            values.give_back(code);
        }
        self.facts[at].codes = codes;
        self.facts[at].created = listing.created;
        self.change(seq, row, |moves| *moves = now);
        if self.texts[at] != text {
            self.masks[at] = Mask::of(&text);
            self.words.put(row, &text);
            self.text_bytes += text.len();
            self.text_bytes -= self.texts[at].len();
            self.texts[at] = text;
        }
    }

    fn codes(&mut self, listing: &Listing) -> [u32; FACETS.len()] {
        let vintage = listing.vintage.map(|year| year.to_string());
        FACETS.map(|(facet, _)| {
            let value = match facet {
                Facet::Category => Some(&listing.category),
                Facet::Market => Some(&listing.market),
                Facet::Origin => listing.origin.as_ref(),
                Facet::Grade => listing.grade.as_ref(),
                Facet::Vintage => vintage.as_ref(),
                Facet::Merchant => Some(&listing.merchant),
                Facet::Form => listing.form.as_ref(),
                Facet::PriceType => Some(&listing.price_type),
            };
            self.values[facet as usize].take(value.map(String::as_str))
        })
    }

    /// The row of the product `id`.
    pub fn row(&self, id: &str) -> Option<u32> {
        self.rows.get(id).copied()
    }

    /// Changes what moves of a product, at position `seq`.
    pub fn change(&mut self, seq: i64, row: u32, change: impl FnOnce(&mut Moves)) {
        let moves = &mut self.facts[row as usize].now;
        let was = *moves;
        change(moves);
        if *moves == was || seq <= self.undo_from {
            return;
        }
        self.undo.push_back(Undo { seq, row, was });
        while self.undo.len() > UNDO
            && let Some(oldest) = self.undo.pop_front()
        {
            self.undo_from = self.undo_from.max(oldest.seq);
        }
    }

    /// What cannot be taken back any more, to begin with: how it got to be as
    /// it stands at its position.
    pub fn begin_undo(&mut self) {
        self.undo.clear();
        self.undo_from = self.position;
    }

    /// How it was at `position`; none if that is too long ago.
    pub fn past(&self, position: i64) -> Option<Past> {
        if position < self.undo_from {
            return None;
        }
        // Not quite in the order of the log: what had to be looked up came after
        // what the log told meanwhile.
        let mut was = HashMap::default();
        for undo in self.undo.iter().rev().filter(|undo| undo.seq > position) {
            was.insert(undo.row, undo.was);
        }
        Some(Past { position: Some(position), was })
    }

    /// Every product in the order of ids, as it was in `past`.
    pub fn all<'a>(&'a self, past: &'a Past) -> impl Iterator<Item = (u32, &'a Facts, Moves)> {
        let changed = !past.was.is_empty();
        let born_by = past.position.unwrap_or(i64::MAX);
        self.by_id.iter().filter_map(move |row| {
            let facts = &self.facts[*row as usize];
            if facts.born > born_by {
                return None;
            }
            let was = changed.then(|| past.was.get(row)).flatten();
            Some((*row, facts, was.copied().unwrap_or(facts.now)))
        })
    }

    /// The id of the product in `row`.
    pub fn id(&self, row: u32) -> &Arc<str> {
        &self.ids[row as usize]
    }

    /// What the product in `row` is looked for by.
    #[cfg(test)]
    pub fn text(&self, row: u32) -> &str {
        &self.texts[row as usize]
    }

    /// What moves of the product in `row`, as it is now.
    pub fn now(&self, row: u32) -> Moves {
        self.facts[row as usize].now
    }

    /// For every row how well `word` is found in it: 0 is best,
    /// [`Words::NOT`] for not at all.
    pub fn scores(&self, word: &Word) -> Arc<Vec<u8>> {
        self.words.scores(word, || {
            let texts = self.masks.iter().zip(&self.texts);
            texts.map(|(mask, text)| score_masked(word, *mask, text)).collect()
        })
    }

    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let row = size_of::<Facts>() + size_of::<Mask>() + 4 + 16 + 16 + 24 + 80;
        let values: usize = self.values.iter().map(Dictionary::bytes).sum();
        let undo = self.undo.len() * size_of::<Undo>();
        self.len() * row + self.text_bytes + values + undo + self.words.bytes()
    }
}

/// What a product is looked for by, folded, a part for each property: first its
/// name, its id, its recipe and its variety, by which it is best known.
fn text_of(listing: &Listing) -> Box<str> {
    let vintage = listing.vintage.map(|year| year.to_string()).unwrap_or_default();
    let or_none = |text: &Option<String>| fold(text.as_deref().unwrap_or_default());
    let mut text = [&listing.name, &listing.id].map(|text| fold(text)).join("\n");
    let parts = [
        &listing.recipe,
        &listing.variety,
        &listing.name_en,
        &listing.brand,
        &listing.origin,
        &listing.grade,
        &listing.batch,
        &listing.form,
        &listing.harvest,
        &listing.storage,
    ];
    for part in parts {
        text.push(PART);
        text += &or_none(part);
    }
    text.push(PART);
    text += &vintage;
    for category in CATEGORIES.iter().filter(|class| is_within(&listing.category, class.id)) {
        text.push(PART);
        text += &fold(category.name);
    }
    text.truncate(text.trim_end_matches(PART).len());
    text.into()
}

/// How well `word` is found in a text of parts: 0 for a name that is just this,
/// 1 for one that begins with it, 2 for one that holds it, 3 elsewhere.
pub(super) fn score(word: &Word, text: &str) -> u8 {
    let mut best = Words::NOT;
    for (at, part) in text.split(PART).enumerate() {
        let score = match (at, word.find(part)) {
            (_, None) => continue,
            (0..=3, Some(Found::Whole)) => 0,
            (0, Some(Found::Begin)) => 1,
            (0, Some(Found::Within)) | (1..=5, Some(Found::Begin | Found::Whole)) => 2,
            _ => 3,
        };
        best = best.min(score);
        // No later part can be better.
        if best == 0 || (at >= 3 && best <= 2) {
            break;
        }
    }
    best
}

/// The same, for a text whose mask is known.
fn score_masked(word: &Word, mask: Mask, text: &str) -> u8 {
    if mask.may_hold(word.mask()) { score(word, text) } else { Words::NOT }
}

/// The close of a day, as the ticks before it have it.
pub(super) fn set_close(index: &mut Index, id: &str, day: Day, close: i64) {
    let position = index.position;
    if let Some(row) = index.row(id) {
        index.change(position, row, |moves| {
            moves.changed_on = day;
            moves.close = close;
        });
    }
}
