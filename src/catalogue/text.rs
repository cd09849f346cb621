use crate::names::is_id;
use crate::refusal::{Refusal, shorten};
use unicode_normalization::UnicodeNormalization;

/// `text` in NFC and without blanks around it, if it is something to show:
/// 1 to `most` characters, none of which controls anything.
///
/// # Errors
/// `bad_text` on `field`.
pub fn clean(field: &str, text: &str, most: usize) -> Result<String, Refusal> {
    // Before anything else is done with it: it may be a megabyte.
    if text.len() > most * 8 {
        return Err(too_long(field, most));
    }
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err(Refusal::invalid(
            field,
            "bad_text",
            format!("`{field}` is empty"),
            format!("“{field}”为空"),
        ));
    }
    if text.chars().count() > most {
        return Err(too_long(field, most));
    }
    if let Some(bad) = text.chars().find(|c| controls(*c)) {
        let code = u32::from(bad);
        return Err(Refusal::invalid(
            field,
            "bad_text",
            format!("`{field}` has the control character U+{code:04X}"),
            format!("“{field}”含有控制字符 U+{code:04X}"),
        ));
    }
    Ok(text)
}

/// The same for what may be missing; empty is missing.
pub fn clean_opt(field: &str, text: Option<&str>, most: usize) -> Result<Option<String>, Refusal> {
    match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => clean(field, text, most).map(Some),
    }
}

fn too_long(field: &str, most: usize) -> Refusal {
    Refusal::invalid(
        field,
        "too_long",
        format!("`{field}` may have {most} characters"),
        format!("“{field}”最多 {most} 个字符"),
    )
}

/// Control characters, line breaks of Unicode, and what turns the direction
/// of writing: none of it belongs into a name.
fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An id of our own making: `[a-z0-9][a-z0-9.-]{0,63}`.
///
/// # Errors
/// `bad_id` on `field`.
pub fn id(field: &str, text: &str) -> Result<String, Refusal> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let text = shorten(text);
    Err(Refusal::invalid(
        field,
        "bad_id",
        format!("`{text}` is not an id: want 1 to 64 of a-z 0-9 . - and a letter or digit first"),
        format!("“{text}”不是有效编号：1 到 64 个小写字母、数字、点或短横，以字母或数字开头"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_something_to_show() {
        assert_eq!(clean("name", "  大红袍 ", 20), Ok("大红袍".to_owned()));
        for text in ["", "  ", "a\nb", "a\0", "a\u{2028}b", "a\u{202e}b", "一二三四五六"] {
            assert!(clean("name", text, 5).is_err(), "{text:?}");
        }
        assert!(clean("name", &"x".repeat(1_000_000), 120).is_err());
    }

    #[test]
    fn an_id_is_plain() {
        assert!(id("id", "7542-2003").is_ok());
        for text in ["", "-a", "A", "a b", "a/b", "茶", &"x".repeat(65)] {
            assert!(id("id", text).is_err(), "{text:?}");
        }
    }
}
