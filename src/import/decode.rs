//! From the bytes of a file to its text.

use super::faults::SheetError;
use encoding_rs::{DecoderResult, Encoding, GB18030, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// So many characters of three bytes in a row are UTF-8 and no accident.
const UTF8_BEYOND_DOUBT: usize = 3;

/// The text of a file without its byte order mark, and the name of its
/// encoding.
///
/// What is valid UTF-8 is UTF-8. Else it is taken for GB18030, which Chinese
/// Excel writes; but not if it is UTF-8 up to one broken place. GB18030 gives
/// some meaning to nearly every byte, so a torn UTF-8 file would come out as
/// names that nobody wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, &'static str), SheetError> {
    if let Some(found) = binary_kind(bytes) {
        return Err(SheetError::NotText { found });
    }
    match bytes {
        [0xff, 0xfe, rest @ ..] => Ok((Cow::Owned(transcode(UTF_16LE, rest, 2)?), "utf-16le")),
        [0xfe, 0xff, rest @ ..] => Ok((Cow::Owned(transcode(UTF_16BE, rest, 2)?), "utf-16be")),
        [0xef, 0xbb, 0xbf, rest @ ..] => match std::str::from_utf8(rest) {
            Ok(text) => Ok((Cow::Borrowed(text), "utf-8")),
            Err(err) => Err(SheetError::BadEncoding { offset: 3 + err.valid_up_to() }),
        },
        _ => unmarked(bytes),
    }
}

fn unmarked(bytes: &[u8]) -> Result<(Cow<'_, str>, &'static str), SheetError> {
    let torn_at = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok((Cow::Borrowed(text), "utf-8")),
        Err(err) => err.valid_up_to(),
    };
    let long_chars = bytes[..torn_at].iter().filter(|byte| (0xe0..0xf0).contains(*byte)).count();
    if long_chars >= UTF8_BEYOND_DOUBT {
        return Err(SheetError::BadEncoding { offset: torn_at });
    }
    match transcode(GB18030, bytes, 0) {
        Ok(text) => Ok((Cow::Owned(text), "gb18030")),
        // Of two wrong guesses the one that came further tells more.
        Err(SheetError::BadEncoding { offset }) => {
            Err(SheetError::BadEncoding { offset: offset.max(torn_at) })
        }
        Err(err) => Err(err),
    }
}

/// The text of `bytes`, which begin at `start` in the file.
fn transcode(
    encoding: &'static Encoding,
    bytes: &[u8],
    start: usize,
) -> Result<String, SheetError> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    // Two bytes of hanzi become three; the rest grows less, nearly always.
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 2 + 16);
    let mut done = 0;
    loop {
        let (result, read) =
            decoder.decode_to_string_without_replacement(&bytes[done..], &mut text, true);
        done += read;
        match result {
            DecoderResult::InputEmpty => return Ok(text),
            DecoderResult::OutputFull => text.reserve(bytes.len() - done + 16),
            DecoderResult::Malformed(bad, after) => {
                let offset = start + done.saturating_sub(usize::from(bad) + usize::from(after));
                return Err(SheetError::BadEncoding { offset });
            }
        }
    }
}

/// What the file is, if it is one of those that are sent in place of text.
fn binary_kind(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", "Excel (.xlsx) or ZIP"),
        (b"\xd0\xcf\x11\xe0", "Excel (.xls)"),
        (b"\x1f\x8b", "gzip"),
        (b"%PDF", "PDF"),
    ];
    KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(to_bytes).collect()
    }

    #[test]
    fn whatever_excel_saves_is_read() {
        let text = "货号,名称,价格\r\n7542,大益𠮷,¥128.00\r\n";
        let gbk = GB18030.encode(text).0.into_owned();
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), "utf-8"),
            (format!("\u{feff}{text}").into_bytes(), "utf-8"),
            (utf16(text, u16::to_le_bytes), "utf-16le"),
            (utf16(text, u16::to_be_bytes), "utf-16be"),
            (gbk, "gb18030"),
        ] {
            assert_eq!(decode(&bytes), Ok((Cow::Borrowed(text), encoding)));
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_the_place() {
        let refused = |bytes: &[u8]| decode(bytes).expect_err("not text");
        assert_eq!(refused(b"a,b\n\xff\xff,1"), SheetError::BadEncoding { offset: 4 });
        assert_eq!(refused(b"\xef\xbb\xbfa\xff"), SheetError::BadEncoding { offset: 4 });
        assert_eq!(refused(b"\xff\xfea\0b"), SheetError::BadEncoding { offset: 4 });
        assert_eq!(refused(b"\xff\xfea\0\x00\xd8b\0").code(), "bad_encoding");
        assert_eq!(refused(b"PK\x03\x04....").code(), "not_text");
    }

    #[test]
    fn a_torn_utf8_file_is_not_taken_for_gb18030() {
        let whole = "货号,名称\n7542,大益".as_bytes();
        let torn = &whole[..whole.len() - 2];
        assert!(GB18030.decode_without_bom_handling_and_without_replacement(torn).is_some());
        assert_eq!(decode(torn), Err(SheetError::BadEncoding { offset: whole.len() - 3 }));
    }
}
