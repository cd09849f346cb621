//! What may be called how.

/// Whether `text` may name a user, a merchant or a room: 1 to 64 letters,
/// digits and `. _ ~ @ -`. It stands in topics and cannot break anything there.
pub fn is_name(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._~@-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// Whether `text` may be the id of a product, a market or a category:
/// `[a-z0-9][a-z0-9.-]{0,63}`.
pub fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(plain)
        && text.len() <= 64
        && text.bytes().all(|b| plain(b) || b".-".contains(&b))
}
