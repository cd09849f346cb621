//! How Chinese characters are read, in letters without tones.

use pinyin::ToPinyinMulti;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The characters that readings are kept of.
const FIRST: u32 = 0x3400;
const LAST: u32 = 0x9fff;

/// Readings of the trade that dictionaries leave out.
const MORE: [(char, &str); 4] = [('六', "lu"), ('枞', "cong"), ('槚', "jia"), ('岕', "jie")];

/// The ways to read one character.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// The letters that they begin with, `a` for bit 0.
    pub initials: u32,
    /// Each once.
    pub all: Vec<String>,
}

/// Every way to read `c`; none of what is no Chinese character. All of them
/// count, since nobody can tell from a word which is meant: 六 is liù, and lù
/// in 六安.
pub(super) fn of(c: char) -> &'static Readings {
    static TABLE: LazyLock<(Vec<u16>, Vec<Readings>)> = LazyLock::new(table);
    let (places, sets) = &*TABLE;
    let place = u32::from(c).checked_sub(FIRST).and_then(|at| places.get(at as usize));
    &sets[usize::from(place.copied().unwrap_or(0))]
}

/// Where the readings of each character stand, and the readings. Many
/// characters are read alike, so there are far fewer of these.
fn table() -> (Vec<u16>, Vec<Readings>) {
    let mut sets = vec![Readings::default()];
    let mut known = std::collections::HashMap::from([(BTreeSet::new(), 0_u16)]);
    let places = (FIRST..=LAST).map(|code| {
        let all = char::from_u32(code).map(read).unwrap_or_default();
        if let Some(place) = known.get(&all) {
            return *place;
        }
        let Ok(place) = u16::try_from(sets.len()) else { return 0 };
        let letters = all.iter().filter_map(|reading| reading.bytes().next());
        let initials = letters.filter(u8::is_ascii_lowercase).map(|letter| 1 << (letter - b'a'));
        sets.push(Readings {
            initials: initials.fold(0, |all, one: u32| all | one),
            all: all.iter().cloned().collect(),
        });
        known.insert(all, place);
        place
    });
    let places = places.collect();
    (places, sets)
}

fn read(c: char) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    if let Some(readings) = c.to_pinyin_multi() {
        for reading in readings {
            // ü is typed as v, and as u by those who do not know that.
            all.insert(reading.plain().replace('ü', "v"));
            all.insert(reading.plain().replace('ü', "u"));
        }
    }
    all.extend(MORE.iter().filter(|(other, _)| *other == c).map(|(_, more)| (*more).to_owned()));
    all.retain(|reading| !reading.is_empty() && reading.bytes().all(|b| b.is_ascii_lowercase()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_has_all_its_readings() {
        for (c, reading) in [
            ('大', "da"),
            ('六', "lu"),
            ('六', "liu"),
            ('乌', "wu"),
            ('绿', "lv"),
            ('绿', "lu"),
            ('茶', "cha"),
            ('枞', "cong"),
            ('长', "chang"),
            ('长', "zhang"),
            ('洱', "er"),
            ('单', "dan"),
            ('重', "chong"),
        ] {
            assert!(of(c).all.iter().any(|known| known == reading), "{c} {:?}", of(c));
        }
        assert!(of('a').all.is_empty() && of('\u{2f00}').all.is_empty());
    }
}
