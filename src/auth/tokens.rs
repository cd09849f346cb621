use super::{Caller, Secret, token};
use crate::clock::Millis;
use crate::refusal::Refusal;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How many tokens are remembered.
const MOST: usize = 10_000;

/// Tokens that were verified, by their hashes: whoever writes a thousand times
/// shows the same one a thousand times.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<[u8; 32], Caller>>);

impl Tokens {
    /// The caller behind `shown`, at `now`. That it was good before says
    /// nothing of whether it has ended since.
    pub fn verify(&self, secret: &Secret, shown: &str, now: Millis) -> Result<Caller, Refusal> {
        let hash = Sha256::digest(shown).into();
        let known = self.lock().get(&hash).cloned();
        let ends = |caller: &Caller| caller.identity().and_then(|identity| identity.expires);
        if let Some(caller) = known {
            if ends(&caller).is_some_and(|ends| now < ends) {
                return Ok(caller);
            }
            self.lock().remove(&hash);
        }
        let caller = token::verify(secret, shown, now)?;
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hash, caller.clone());
        Ok(caller)
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Caller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::tests::secret;
    use crate::auth::{Claims, Role, mint};

    #[test]
    fn a_token_that_is_remembered_ends_when_it_ends() {
        let ours = secret("a-secret-of-more-than-thirty-two-bytes");
        let (sub, role) = ("lin".to_owned(), Role::Shopper);
        let claims = Claims { sub, role, merchant: None, exp: 1_000, nbf: None, topics: None };
        let token = mint(&ours, &claims).expect("a token");
        let tokens = Tokens::default();
        let first = tokens.verify(&ours, &token, 0).expect("good");
        assert_eq!(tokens.verify(&ours, &token, 999_999), Ok(first));
        assert_eq!(tokens.count(), 1);
        let ended = tokens.verify(&ours, &token, 1_000_000).expect_err("ended");
        assert_eq!((&*ended.code, tokens.count()), ("token_expired", 0));
    }

    #[test]
    fn a_token_that_is_not_ours_is_not_remembered() {
        let ours = secret("a-secret-of-more-than-thirty-two-bytes");
        let tokens = Tokens::default();
        for _ in 0..2 {
            assert_eq!(tokens.verify(&ours, "a.b.c", 0).expect_err("none").code, "bad_token");
        }
        assert_eq!(tokens.count(), 0);
    }
}
