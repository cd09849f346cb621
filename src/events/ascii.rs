use std::fmt::Write;

/// JSON, or a frame that holds it, with every character beyond ASCII written
/// as JSON does it: `\u9f99`, and two of these for what has no room in one. It
/// says the same, to readers that cannot be trusted with UTF-8.
///
/// Such characters stand inside of strings alone, so the escape is one wherever
/// they are found.
pub fn to_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len() * 2);
    let mut units = [0_u16; 2];
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_bytes_are_ascii_and_say_the_same(text in any::<String>()) {
            let value = serde_json::json!({ "text": text, "more": ["龙井 🍵"] });
            let ascii = to_ascii(&value.to_string());
            prop_assert!(ascii.is_ascii());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&ascii).ok(), Some(value));
        }
    }

    #[test]
    fn what_has_no_room_in_one_escape_is_two() {
        assert_eq!(to_ascii("\"茶🍵\""), r#""\u8336\ud83c\udf75""#);
    }
}
