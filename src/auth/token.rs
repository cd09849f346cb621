use super::{Caller, Identity, Role, Secret};
use crate::clock::Millis;
use crate::names::is_name;
use crate::refusal::{Class, Refusal};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// Who a token is for.
const AUDIENCE: &str = "teawire";

/// What a token says (RFC 7519).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// What they may do.
    pub role: Role,
    /// Whose products they may write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// When it ends, in seconds since 1970. A number: libraries have let
    /// tokens pass that had it as a string.
    pub exp: u64,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// The only topics it may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Minted<'a> {
    aud: &'static str,
    #[serde(flatten)]
    claims: &'a Claims,
}

/// Signs `claims`.
///
/// # Errors
/// If they cannot be encoded.
pub fn mint(secret: &Secret, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
    let key = EncodingKey::from_secret(secret.bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &Minted { aud: AUDIENCE, claims }, &key)
}

/// The caller behind a token, at `now`.
pub(super) fn verify(secret: &Secret, token: &str, now: Millis) -> Result<Caller, Refusal> {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["exp", "aud", "sub"]);
    // The time is the house's, so it is compared below.
    rules.validate_exp = false;
    let key = DecodingKey::from_secret(secret.bytes());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules)
        .map_err(|_| bad_token("the token is not valid here", "令牌无效"))?
        .claims;
    let expires = i64::try_from(claims.exp).ok().and_then(|exp| exp.checked_mul(1000));
    // As far as times can be told.
    let expires = expires.map(|expires| expires.min(253_402_300_799_000));
    let Some(expires) = expires.filter(|expires| now < *expires) else {
        return Err(expired());
    };
    if claims.nbf.is_some_and(|nbf| u128::from(nbf) * 1000 > now.max(0) as u128) {
        return Err(bad_token("the token is not valid yet", "令牌尚未生效"));
    }
    if !is_name(&claims.sub) || claims.merchant.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(bad_token(
            "sub and merchant may have 64 letters, digits and . _ ~ @ -",
            "sub 和 merchant 最多 64 个字母、数字或 . _ ~ @ -",
        ));
    }
    Ok(Caller::Known(Identity {
        sub: claims.sub,
        role: claims.role,
        merchant: claims.merchant,
        expires: Some(expires),
        key_id: None,
        topics: claims.topics,
    }))
}

fn bad_token(en: &str, zh: &str) -> Refusal {
    Refusal::new(Class::Unauthorized, "bad_token", en, zh)
}

/// The answer to whoever shows a token that has ended.
pub(super) fn expired() -> Refusal {
    Refusal::new(Class::Unauthorized, "token_expired", "the token has expired", "令牌已过期")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::auth::Config;

    pub fn secret(text: &str) -> Secret {
        let config = Config {
            jwt_secret: text.to_owned(),
            jwt_secret_file: Default::default(),
            anonymous_read: true,
        };
        Secret::load(&config, &"sqlite:x.db".parse().expect("a url")).expect("a secret")
    }

    fn claims(exp: u64) -> Claims {
        let (sub, role) = ("lin".to_owned(), Role::Merchant);
        Claims { sub, role, merchant: Some("m1".into()), exp, nbf: None, topics: None }
    }

    #[test]
    fn a_token_is_good_until_it_ends_and_only_with_its_secret() {
        let ours = secret("a-secret-of-more-than-thirty-two-bytes");
        let token = mint(&ours, &claims(1_000)).expect("a token");
        assert!(verify(&ours, &token, 999_999).is_ok());
        assert_eq!(verify(&ours, &token, 1_000_000).expect_err("ended").code, "token_expired");
        let other = secret("another-secret-of-thirty-two-bytes-or-more");
        assert_eq!(verify(&other, &token, 0).expect_err("not ours").code, "bad_token");
    }

    #[test]
    fn a_token_without_signature_or_with_a_string_for_a_time_is_none() {
        use base64::Engine;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD as base64;
        let ours = secret("a-secret-of-more-than-thirty-two-bytes");
        let body = r#"{"sub":"a","role":"admin","aud":"teawire","exp":99999999999}"#;
        let none = format!("{}.{}.", base64.encode(r#"{"alg":"none"}"#), base64.encode(body));
        assert!(verify(&ours, &none, 0).is_err());
        let key = EncodingKey::from_secret(ours.bytes());
        let text =
            serde_json::json!({"sub":"a","role":"admin","aud":"teawire","exp":"99999999999"});
        let token = jsonwebtoken::encode(&Header::default(), &text, &key).expect("a token");
        assert!(verify(&ours, &token, 0).is_err());
    }
}
