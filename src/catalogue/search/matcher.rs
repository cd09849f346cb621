//! Whether a word, as somebody types it, is in a text.

use super::fold::is_hanzi;
use super::readings;

/// The most characters of a word.
pub(super) const MOST_CHARS: usize = 60;

/// Parts of a text; a match does not reach from one into the next.
pub(super) const PART: char = '\n';

/// A word that is looked for: characters, pinyin, initials, or any of them
/// mixed (`大红袍`, `dahongpao`, `dhp`, `大hp`, `7542`).
///
/// A Chinese character is typed as itself, as one of its readings, or as the
/// first letter of one (`zh`, `ch` and `sh` are first letters too); the last
/// one may be typed in part. Anything else is typed as itself, from where a
/// run of letters or digits begins. Blanks may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    chars: Vec<char>,
    /// The same, zero for what is no letter.
    letters: Vec<u8>,
    mask: Mask,
}

/// Where in a text a word was found, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    Whole,
    Begin,
    Within,
}

/// What a text can at most match: a text whose mask lacks what a word's has
/// need not be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask {
    /// What a match can begin with.
    starts: u64,
    /// What it can go on with.
    holds: u64,
}

impl Mask {
    /// Of a folded text.
    pub fn of(text: &str) -> Mask {
        let mut mask = Mask::default();
        let mut before = PART;
        for c in text.chars() {
            let readings = readings::of(c);
            mask.holds |= bit(c);
            for reading in &readings.all {
                mask.holds |= reading.chars().map(bit).fold(0, |all, one| all | one);
            }
            if begins(before, c) {
                mask.starts |= bit(c) | u64::from(readings.initials);
            }
            before = c;
        }
        mask
    }

    /// Whether a text with this mask may hold a word with `other`.
    pub fn may_hold(self, other: Mask) -> bool {
        self.starts & other.starts != 0 && self.holds & other.holds == other.holds
    }
}

fn bit(c: char) -> u64 {
    match c {
        'a'..='z' => 1 << (u32::from(c) - u32::from('a')),
        '0'..='9' => 1 << (26 + u32::from(c) - u32::from('0')),
        // The rest share what is left.
        c => 1 << (36 + (u32::from(c) ^ (u32::from(c) >> 7)) % 28),
    }
}

/// Whether a word may begin at `c`, which comes after `before`.
fn begins(before: char, c: char) -> bool {
    match c {
        ' ' | PART => false,
        'a'..='z' => !before.is_ascii_lowercase(),
        '0'..='9' => !before.is_ascii_digit(),
        _ => true,
    }
}

impl Word {
    /// The word in a folded text without blanks; none if it is empty or too long.
    pub fn new(folded: &str) -> Option<Word> {
        let chars: Vec<char> = folded.chars().collect();
        if chars.is_empty() || chars.len() > MOST_CHARS || chars.contains(&' ') {
            return None;
        }
        let letter = |c: &char| u8::try_from(*c).ok().filter(u8::is_ascii_lowercase).unwrap_or(0);
        let letters = chars.iter().map(letter).collect();
        let mask = Mask {
            starts: bit(chars[0]),
            holds: chars.iter().map(|c| bit(*c)).fold(0, |all, one| all | one),
        };
        Some(Word { chars, letters, mask })
    }

    /// What a text has to have for this word to be in it.
    pub fn mask(&self) -> Mask {
        self.mask
    }

    /// Where in one part of a folded text this word is.
    pub fn find(&self, part: &str) -> Option<Found> {
        let end = 1_u64 << self.chars.len();
        let (mut from_begin, mut from_any) = (1_u64, 0_u64);
        let mut found = None;
        let mut before = PART;
        let mut chars = part.chars().peekable();
        while let Some(c) = chars.next() {
            if found.is_none() {
                from_any |= u64::from(begins(before, c));
                from_any = self.step(from_any, c);
                if from_any & end != 0 {
                    found = Some(Found::Within);
                }
            }
            from_begin = self.step(from_begin, c);
            if from_begin & end != 0 {
                if chars.peek().is_none() {
                    return Some(Found::Whole);
                }
                found = Some(Found::Begin);
                from_begin &= !end;
            }
            if found.is_some() && from_begin == 0 {
                break;
            }
            before = c;
        }
        found
    }

    /// The places in this word that `c` leads to from `places`. All ways are
    /// followed at once, as bits: one at a time there may be 2^60 of them.
    fn step(&self, places: u64, c: char) -> u64 {
        if places == 0 || c == ' ' {
            return places;
        }
        let readings = is_hanzi(c).then(|| readings::of(c));
        let mut next = 0;
        let mut rest = places;
        while rest != 0 {
            let at = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let Some(own) = self.chars.get(at) else { continue };
            if *own == c {
                next |= 1 << (at + 1);
            }
            let letter = self.letters[at];
            let Some(readings) = readings.filter(|_| letter != 0) else { continue };
            if readings.initials & (1 << (letter - b'a')) == 0 {
                continue;
            }
            for reading in &readings.all {
                next |= self.read(at, reading.as_bytes());
            }
        }
        next
    }

    /// The places that one reading leads to from `at`.
    fn read(&self, at: usize, reading: &[u8]) -> u64 {
        let rest = &self.letters[at..];
        let same = rest.iter().zip(reading).take_while(|(one, other)| one == other).count();
        let mut next = 0;
        if same == reading.len() || same == rest.len() {
            next |= 1 << (at + same);
        }
        if same >= 1 {
            next |= 1 << (at + 1);
        }
        if same >= 2 && reading[1] == b'h' {
            next |= 1 << (at + 2);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::fold;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn find(word: &str, text: &str) -> Option<Found> {
        let (text, word) = (fold(text), Word::new(&fold(word)).expect("a word"));
        let found = word.find(&text);
        assert!(found.is_none() || Mask::of(&text).may_hold(word.mask()), "{word:?} {text}");
        found
    }

    #[test]
    fn a_tea_is_found_as_it_is_typed() {
        for (word, text) in [
            ("大红袍", "大红袍"),
            ("dahongpao", "大红袍"),
            ("DaHongPao", "大红袍"),
            ("dhp", "大红袍"),
            ("大hp", "大红袍"),
            ("dahp", "大红袍"),
            ("dhongp", "大红袍"),
            ("dahongpa", "大红袍"),
            ("zsxz", "正山小种"),
            ("zhsxzh", "正山小种"),
            ("luan", "六安瓜片"),
            ("lagp", "六安瓜片"),
            ("wulong", "乌龙茶"),
            ("lvcha", "绿茶"),
            ("lucha", "绿茶"),
            ("tgy", "鐵觀音"),
            ("puer", "普洱"),
            ("xihulongjing", "西湖龙井"),
            ("７５４２", "7542"),
            ("大红袍特级", "大红袍 特级"),
            ("7542", "大益7542"),
        ] {
            assert!(find(word, text).is_some(), "{word} in {text}");
        }
        for (word, text) in [
            ("dhx", "大红袍"),
            ("hdp", "大红袍"),
            ("542", "7542"),
            ("uer", "puer"),
            ("袍红", "大红袍"),
        ] {
            assert_eq!(find(word, text), None, "{word} in {text}");
        }
    }

    #[test]
    fn what_begins_with_a_word_is_nearer_than_what_holds_it() {
        assert_eq!(find("dhp", "大红袍"), Some(Found::Whole));
        assert_eq!(find("dhp", "大红袍特级"), Some(Found::Begin));
        assert_eq!(find("dhp", "武夷大红袍"), Some(Found::Within));
    }

    #[test]
    fn no_word_takes_long() {
        let text = "啊".repeat(120);
        assert_eq!(find(&"a".repeat(59), &text), Some(Found::Begin));
        assert_eq!(find(&("a".repeat(59) + "b"), &text), None);
    }

    /// All that may be typed for `chars` and what follows, a blank left out or not.
    fn typed(chars: &[char]) -> BTreeSet<String> {
        let Some((first, rest)) = chars.split_first() else { return BTreeSet::new() };
        let mut ends = BTreeSet::new();
        let mut ways = BTreeSet::from([first.to_string()]);
        if *first == ' ' {
            ways = BTreeSet::from([String::new()]);
        }
        for reading in &readings::of(*first).all {
            ways.insert(reading.clone());
            ways.insert(reading[..1].to_owned());
            if reading.len() > 1 && reading.as_bytes()[1] == b'h' {
                ways.insert(reading[..2].to_owned());
            }
            ends.extend((1..=reading.len()).map(|end| reading[..end].to_owned()));
        }
        ends.extend(ways.iter().filter(|way| !way.is_empty()).cloned());
        for more in typed(rest) {
            ends.extend(ways.iter().map(|way| format!("{way}{more}")));
        }
        ends
    }

    /// The slow and obvious one: whether `word` is among all that may be typed.
    fn obvious(word: &str, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        (0..chars.len()).any(|at| {
            let before = if at == 0 { PART } else { chars[at - 1] };
            begins(before, chars[at]) && typed(&chars[at..]).contains(word)
        })
    }

    const TEXT: &str = "[大红袍六安正山小种长a-c1-2 ]{1,4}";

    proptest! {
        #[test]
        fn what_is_found_is_what_can_be_typed(
            text in TEXT,
            word in "[大红袍六安dhplauzsxcng1a-c]{1,5}",
        ) {
            let text = fold(&text);
            prop_assert_eq!(find(&word, &text).is_some(), obvious(&word, &text));
        }

        #[test]
        fn whatever_can_be_typed_is_found(text in TEXT, at in any::<prop::sample::Index>()) {
            let text = fold(&text);
            let chars: Vec<char> = text.chars().collect();
            let all: Vec<String> = typed(&chars).into_iter().collect();
            if !all.is_empty() {
                let word = at.get(&all);
                prop_assert!(find(word, &text).is_some(), "{} in {}", word, text);
            }
        }

        #[test]
        fn no_text_makes_it_stumble(text in "\\PC{0,80}", word in "\\PC{0,80}") {
            if let Some(word) = Word::new(&fold(&word)) {
                let _ = word.find(&fold(&text));
            }
        }
    }
}
