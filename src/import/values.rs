//! From what a merchant typed into a cell to what the interface takes.

use super::faults::{Fault, is_control};
use super::headers::Field;
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The value of a cell, or `None` if the cell is empty.
///
/// Numbers come out in plain ASCII digits. Words that this table does not
/// know pass: whether a market exists is not for a parser to say.
pub(super) fn normalise(field: Field, cell: &str) -> Result<Option<String>, Fault> {
    check_characters(cell)?;
    let text = tidy(field, cell);
    if text.is_empty() {
        return Ok(None);
    }
    let value = match field {
        Field::Price | Field::ClearancePrice => price(&narrow(&text)),
        Field::Stock => quantity(&narrow(&text)),
        Field::Delta => delta(&narrow(&text)),
        Field::Vintage => whole(narrow(&text).trim_end_matches('年')),
        Field::GramsPerUnit => grams(&narrow(&text)),
        Field::Product | Field::ObservedAt | Field::ClearanceEnds => Some(narrow(&text)),
        Field::Category => Some(word(&CATEGORIES, &text)),
        Field::Unit => Some(unit(&text)),
        Field::PriceType => Some(word(&PRICE_TYPES, &text)),
        _ => Some(text),
    };
    value.map(Some).ok_or_else(|| malformed(field))
}

/// Refuses what no keyboard writes. A line break or a tab inside a cell is
/// an Excel habit and no fault.
pub(super) fn check_characters(cell: &str) -> Result<(), Fault> {
    match cell.chars().find(|c| is_control(*c) && !"\n\r\t".contains(*c)) {
        None => Ok(()),
        Some(c) => {
            let code_point = format!("U+{:04X}", u32::from(c));
            Err(Fault::new(
                "control_character",
                format!("the control character {code_point} is not allowed"),
                format!("不允许出现控制字符 {code_point}"),
            ))
        }
    }
}

const CATEGORIES: [(&str, &[&str]); 9] = [
    ("green", &["绿茶", "green tea"]),
    ("white", &["白茶", "white tea"]),
    ("yellow", &["黄茶", "yellow tea"]),
    ("oolong", &["乌龙茶", "乌龙", "青茶", "oolong tea"]),
    ("black", &["红茶", "black tea"]),
    ("dark", &["黑茶", "dark tea"]),
    (
        "dark.puer",
        &["普洱", "普洱茶", "普洱生茶", "普洱熟茶", "生普", "熟普", "puer", "pu'er", "pu-erh"],
    ),
    ("scented", &["花茶", "茉莉花茶", "再加工茶", "scented tea"]),
    ("other", &["其他", "其它"]),
];

const UNITS: [(&str, &[&str]); 8] = [
    ("jin", &["斤", "市斤"]),
    ("kg", &["公斤", "千克"]),
    ("liang", &["两", "市两"]),
    ("gram", &["克", "g"]),
    ("piece", &["饼", "片", "个", "块", "砖", "沱", "pcs", "pc"]),
    ("tong", &["提", "筒"]),
    ("case", &["件", "箱", "carton"]),
    ("box", &["盒"]),
];

const PRICE_TYPES: [(&str, &[&str]); 3] = [
    ("wholesale", &["批发", "批发价"]),
    ("retail", &["零售", "零售价"]),
    ("buy_in", &["收购", "收购价", "回收", "回收价"]),
];

/// The word of the interface for `text`, or the text if there is none.
fn word(words: &[(&str, &[&str])], text: &str) -> String {
    let key = narrow(text).to_lowercase();
    let known = words.iter().find(|(id, others)| *id == key || others.contains(&key.as_str()));
    known.map_or_else(|| text.to_owned(), |(id, _)| (*id).to_owned())
}

/// A unit, also as it stands behind a price: `元/斤`.
fn unit(text: &str) -> String {
    let text = text.strip_prefix('元').and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
    word(&UNITS, text.trim())
}

/// Yuan above zero with at most two decimals, as in `¥1,288.00` or `128元`.
fn price(text: &str) -> Option<String> {
    let marks = ["¥", "CNY", "RMB"];
    let mark = marks.iter().find_map(|mark| {
        let (head, rest) = text.split_at_checked(mark.len())?;
        head.eq_ignore_ascii_case(mark).then_some(rest)
    });
    let text = mark.unwrap_or(text);
    let text = text.strip_suffix('元').unwrap_or(text).trim();
    let (yuan, decimals) = match text.split_once('.') {
        Some((yuan, decimals)) if matches!(decimals.len(), 1..=2) => (yuan, decimals),
        Some(_) => return None,
        None => (text, ""),
    };
    let yuan = ungroup(yuan)?;
    let is_price = is_digits(&yuan) && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = yuan.bytes().chain(decimals.bytes()).all(|byte| byte == b'0');
    let point = if decimals.is_empty() { "" } else { "." };
    (is_price && !is_zero).then(|| format!("{yuan}{point}{decimals}"))
}

fn quantity(text: &str) -> Option<String> {
    whole(&ungroup(text)?)
}

/// A change of a quantity: `3`, `+3`, `-1,000`.
fn delta(text: &str) -> Option<String> {
    let (sign, digits) = match text.chars().next()? {
        '-' | '−' => ("-", text.trim_start_matches(['-', '−'])),
        '+' => ("", text.trim_start_matches('+')),
        _ => ("", text),
    };
    // One sign only, and nothing between it and the digits.
    if text.chars().count() > digits.chars().count() + 1 {
        return None;
    }
    let number = quantity(digits)?;
    Some(if number == "0" { number } else { format!("{sign}{number}") })
}

/// `357`, `357g` or `357克`; not nothing.
fn grams(text: &str) -> Option<String> {
    let number = ["克", "g", "G"].iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
    whole(&ungroup(number.trim())?).filter(|number| number != "0")
}

/// Digits that fit an `i64`, without leading zeros.
fn whole(text: &str) -> Option<String> {
    is_digits(text).then(|| text.parse::<i64>().ok())?.map(|number| number.to_string())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The digits of `1,288`. Only where every comma parts three of them: `12,34`
/// and `0,128` are somebody's decimals, and a guess would be a wrong price.
fn ungroup(text: &str) -> Option<Cow<'_, str>> {
    let Some((first, rest)) = text.split_once(',') else { return Some(Cow::Borrowed(text)) };
    let is_first = matches!(first.len(), 1..=3) && is_digits(first) && !first.starts_with('0');
    let is_grouped = rest.split(',').all(|group| group.len() == 3 && is_digits(group));
    (is_first && is_grouped).then(|| Cow::Owned(text.replace(',', "")))
}

/// Full-width signs as their ASCII twins: `１２８．００` is 128.00.
///
/// Not NFKC, which would also read `12²` as 122 and `①` as 1.
fn narrow(text: &str) -> String {
    let twin = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '￥' => '¥',
        _ => c,
    };
    text.chars().map(twin).collect()
}

/// Without blanks at its ends and, but for a note, on one line.
fn tidy(field: Field, cell: &str) -> String {
    let text = trim(cell);
    let text = if !text.contains(['\n', '\r', '\t']) {
        Cow::Borrowed(text)
    } else if field == Field::Note {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', " "))
    } else {
        let parts = text.split(['\n', '\r', '\t']).map(trim).filter(|part| !part.is_empty());
        Cow::Owned(parts.collect::<Vec<_>>().join(" "))
    };
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text.into_owned(),
        _ => text.nfc().collect(),
    }
}

/// Without the blanks at its ends, and without those that nobody sees.
pub(super) fn trim(cell: &str) -> &str {
    cell.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
}

fn malformed(field: Field) -> Fault {
    match field {
        Field::Price | Field::ClearancePrice => Fault::new(
            "bad_price",
            "not a price: yuan above zero with at most two decimals, such as 128.00 or 1,288",
            "价格不正确：应为大于零、最多两位小数的人民币元，例如 128.00 或 1,288",
        ),
        Field::Delta => Fault::new(
            "bad_quantity",
            "not a change of stock: a whole number, such as 12 or -3",
            "库存增减不正确：应为整数，例如 12 或 -3",
        ),
        Field::Vintage => Fault::new(
            "bad_vintage",
            "not a vintage: a year in digits, such as 2003",
            "年份不正确：应为数字，例如 2003",
        ),
        Field::GramsPerUnit => Fault::new(
            "bad_grams",
            "not a weight: whole grams above zero, such as 357",
            "克重不正确：应为大于零的整数克，例如 357",
        ),
        _ => Fault::new(
            "bad_quantity",
            "not a quantity: a whole number of zero or more, such as 40",
            "数量不正确：应为不小于零的整数，例如 40",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(field: Field, cell: &str) -> Option<String> {
        normalise(field, cell).unwrap_or_else(|fault| panic!("{cell:?}: {}", fault.en))
    }

    fn code(field: Field, cell: &str) -> &'static str {
        normalise(field, cell).expect_err(cell).code
    }

    #[test]
    fn a_price_is_read_as_merchants_write_it() {
        for (cell, price) in [
            ("128", "128"),
            ("128.5", "128.5"),
            (" 128.00　", "128.00"),
            ("¥128.00", "128.00"),
            ("￥ 128", "128"),
            ("cny128", "128"),
            ("RMB 128.00", "128.00"),
            ("128元", "128"),
            ("¥1,288.00 元", "1288.00"),
            ("12,345,678", "12345678"),
            ("１２８．００", "128.00"),
            ("0.05", "0.05"),
            ("999999999999999999999999", "999999999999999999999999"),
        ] {
            assert_eq!(value(Field::Price, cell).as_deref(), Some(price), "{cell}");
        }
        for cell in ["", "  ", "　", "\u{feff}\t"] {
            assert_eq!(value(Field::Price, cell), None, "{cell:?}");
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for cell in [
            "12,8x", "12,34", "0,128", "1,2888", ",128", "1,288,", "1.288,00", "-1", "+1", "1e3",
            "1.234", "1.", ".5", "0", "0.00", "¥", "元", "¥¥1", "1元元", "CNYCNY1", "$1", "面议",
            "12²", "①", "٣", "1 288", "1.2.3", "NaN", "inf", "128/斤", "320-350", "0x10", "¥-1",
            "\"",
        ] {
            assert_eq!(code(Field::Price, cell), "bad_price", "{cell}");
            assert_eq!(code(Field::ClearancePrice, cell), "bad_price", "{cell}");
        }
    }

    #[test]
    fn quantities_are_whole() {
        for (field, cell, number) in [
            (Field::Stock, "40", "40"),
            (Field::Stock, "0", "0"),
            (Field::Stock, "1,200", "1200"),
            (Field::Stock, "０40", "40"),
            (Field::Delta, "-3", "-3"),
            (Field::Delta, "+3", "3"),
            (Field::Delta, "−1,000", "-1000"),
            (Field::Delta, "－3", "-3"),
            (Field::Delta, "-0", "0"),
            (Field::Vintage, "2003年", "2003"),
            (Field::GramsPerUnit, "357克", "357"),
            (Field::GramsPerUnit, "2,499 g", "2499"),
        ] {
            assert_eq!(value(field, cell).as_deref(), Some(number), "{field} {cell}");
        }
        for (field, cell, refused) in [
            (Field::Stock, "40.0", "bad_quantity"),
            (Field::Stock, "-1", "bad_quantity"),
            (Field::Stock, "+1", "bad_quantity"),
            (Field::Stock, "9223372036854775808", "bad_quantity"),
            (Field::Delta, "--3", "bad_quantity"),
            (Field::Delta, "+-3", "bad_quantity"),
            (Field::Delta, "- 3", "bad_quantity"),
            (Field::Delta, "-", "bad_quantity"),
            (Field::Delta, "1e2", "bad_quantity"),
            (Field::Vintage, "2003.0", "bad_vintage"),
            (Field::Vintage, "年", "bad_vintage"),
            (Field::GramsPerUnit, "0", "bad_grams"),
            (Field::GramsPerUnit, "357kg", "bad_grams"),
        ] {
            assert_eq!(code(field, cell), refused, "{field} {cell}");
        }
    }

    #[test]
    fn chinese_words_become_those_of_the_interface_and_others_pass() {
        for (field, cell, word) in [
            (Field::Category, "绿茶", "green"),
            (Field::Category, "Green Tea", "green"),
            (Field::Category, "红茶", "black"),
            (Field::Category, "普洱", "dark.puer"),
            (Field::Category, "DARK.PUER", "dark.puer"),
            (Field::Category, "咖啡", "咖啡"),
            (Field::Unit, "斤", "jin"),
            (Field::Unit, "千克", "kg"),
            (Field::Unit, "KG", "kg"),
            (Field::Unit, "元/饼", "piece"),
            (Field::Unit, "件", "case"),
            (Field::Unit, "袋", "袋"),
            (Field::PriceType, "批发价", "wholesale"),
        ] {
            assert_eq!(value(field, cell).as_deref(), Some(word), "{cell}");
        }
    }

    #[test]
    fn text_is_tidied_and_a_note_keeps_its_lines() {
        assert_eq!(value(Field::Name, "　大益\r\n 7542 ").as_deref(), Some("大益 7542"));
        assert_eq!(value(Field::Name, "Cafe\u{301}").as_deref(), Some("Café"));
        assert_eq!(value(Field::Note, "a\r\nb\rc\td").as_deref(), Some("a\nb\nc d"));
        assert_eq!(value(Field::Product, "７５４２-2003").as_deref(), Some("7542-2003"));
    }

    #[test]
    fn control_characters_are_refused() {
        for cell in ["a\0", "\u{7}", "a\u{202e}b", "\u{85}", "\u{2028}"] {
            assert_eq!(code(Field::Name, cell), "control_character", "{cell:?}");
        }
    }
}
