//! Tokens: good ones from `teawire token mint`, the others made by hand.

use super::SECRET;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::process::Command;
use std::sync::Mutex;

/// What `teawire token mint <args> --ttl 3600` prints. Every service of the
/// suite has the same secret, so one token of a kind serves them all.
pub fn mint(args: &[&str]) -> String {
    static MINTED: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);
    let mut minted = MINTED.lock().unwrap_or_else(|lock| lock.into_inner());
    let known = minted.get_or_insert_default();
    known.entry(args.join(" ")).or_insert_with(|| mint_anew(args)).clone()
}

fn mint_anew(args: &[&str]) -> String {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_teawire"));
    command.args(["token", "mint", "--ttl", "3600"]).args(args);
    command.env("TEAWIRE_AUTH__JWT_SECRET", SECRET).current_dir(elsewhere.path());
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "teawire token mint {args:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Seconds since 1970, `from_now` seconds from now.
pub fn unix(from_now: i64) -> i64 {
    jiff::Timestamp::now().as_second() + from_now
}

/// The claims of a good token of merchant `m1`, to be spoiled.
pub fn claims() -> Value {
    json!({ "sub": "u1", "role": "merchant", "merchant": "m1", "aud": "teawire", "exp": unix(600) })
}

/// A token of `claims`, signed with the secret of the suite.
pub fn signed(claims: &Value) -> String {
    forge(json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET)
}

/// A token with any header, signed with HMAC-SHA256 by any secret. Not made by
/// the library that the service uses, which would forgive itself its mistakes.
pub fn forge(header: Value, claims: &Value, secret: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!("{}.{}", part(&header), part(claims));
    let mac = hmac(secret.as_bytes(), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// RFC 2104, for keys up to 64 bytes.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36), text].concat());
    Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner[..]].concat()).to_vec()
}

#[test]
fn the_forge_signs_as_the_standard_says() {
    // RFC 4231, test case 2.
    let mac = hmac(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    assert_eq!(mac[28..], [0x64, 0xec, 0x38, 0x43]);
}
