use super::{Caller, Identity, Role, store};
use crate::clock::Millis;
use crate::db::{self, Conn};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

pub use super::store::KeyRow;

/// What every key begins with, so that one found in a repository is known for what it is.
pub(super) const PREFIX: &str = "twk_";

/// A key that was found.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its public name.
    pub id: String,
    /// SHA-256 of the key, in hexadecimal.
    pub hash: String,
    /// What it may do.
    pub role: Role,
    /// Whose products it may write.
    pub merchant: Option<String>,
}

impl ApiKey {
    /// The caller who showed it.
    pub fn caller(&self) -> Caller {
        Caller::Known(Identity {
            sub: self.id.clone(),
            role: self.role,
            merchant: self.merchant.clone(),
            expires: None,
            key_id: Some(self.id.clone()),
            topics: None,
        })
    }
}

/// What a key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it may do.
    pub role: Role,
    /// Whose products it may write.
    pub merchant: Option<String>,
    /// What it is for.
    pub note: String,
}

/// Makes a key and returns its id and the key, which is shown this once.
pub fn create_key(conn: &mut Conn, key: &NewKey, now: Millis) -> db::Result<(String, String)> {
    let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>()));
    let id = format!("k-{}", hex(&rand::random::<[u8; 6]>()));
    store::add_key(conn, &id, &hash(&secret), key, now)?;
    Ok((id, secret))
}

/// All keys, oldest first.
pub fn list_keys(conn: &mut Conn) -> db::Result<Vec<KeyRow>> {
    store::list_keys(conn)
}

/// Revokes a key; false if there is none of that name that still is one.
/// Streams opened with it end within a heartbeat.
pub fn revoke_key(conn: &mut Conn, id: &str, now: Millis) -> db::Result<bool> {
    store::revoke_key(conn, id, now)
}

/// What is kept of a key or ticket. They have 192 random bits, so a plain
/// hash cannot be guessed backwards, and looking it up tells nothing by its time.
pub(super) fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
