//! Text as it is compared: without width, case, accents and punctuation.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Traditional characters that names of teas and places have, each before the
/// simplified one it is looked for as.
const TRADITIONAL: &str = "凍冻鮮鲜鎮镇實实體体嚴严烏乌龍龙鐵铁觀观紅红綠绿黃黄雲云南南灣湾廣广東东單单樅枞嶺岭銀银針针葉叶貢贡壽寿駿骏眉眉滇滇磚砖餅饼\
沱沱陳陈導导華华寶宝崙仑鳳凤叢丛蘭兰貴贵縣县興兴國国產产區区發发無无舊旧熟熟蘇苏蘆芦頂顶霧雾巖岩靜静馬马連连勐勐戶户號号級级選选種种\
樹树禮礼裝装罐罐兩两錢钱圓圆團团點点芽芽麗丽羅罗漢汉黨党門门風风韻韵蜜蜜個个來来開开長长專专業业聖圣誕诞節节顧顾渚渚紫紫筍笋應应時时價价\
歲岁當当歸归藥药壓压緊紧鬆松幹干濕湿倉仓儲储後后";

/// `text` as it is compared: compatibility forms made one (full width too),
/// lower case, accents dropped, traditional characters simplified, and a
/// single blank for whatever is neither letter nor digit.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let plain = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    for c in plain {
        if c.is_alphanumeric() {
            folded.push(simplify(c));
        } else if !folded.is_empty() && !folded.ends_with(' ') {
            folded.push(' ');
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

fn simplify(c: char) -> char {
    if !is_hanzi(c) {
        return c;
    }
    let mut pairs = TRADITIONAL.chars();
    while let (Some(traditional), Some(simplified)) = (pairs.next(), pairs.next()) {
        if traditional == c {
            return simplified;
        }
    }
    c
}

/// Whether `c` is a Chinese character.
pub(super) fn is_hanzi(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        assert_eq!(fold("ＤＨＰ　７５４２"), "dhp 7542");
        assert_eq!(fold("  Dà Hóng-Páo! "), "da hong pao");
        assert_eq!(fold("鐵觀音·特級"), "铁观音 特级");
        assert_eq!(fold("lǜ chá"), "lu cha");
        assert_eq!(fold("!?、"), "");
    }

    #[test]
    fn every_traditional_character_has_a_simplified_one() {
        assert_eq!(TRADITIONAL.chars().count() % 2, 0);
        assert!(TRADITIONAL.chars().all(is_hanzi));
        // What a character becomes must not become something else again.
        let all: Vec<char> = TRADITIONAL.chars().collect();
        for pair in all.chunks(2) {
            assert_eq!(simplify(pair[1]), pair[1], "{pair:?}");
        }
    }
}
