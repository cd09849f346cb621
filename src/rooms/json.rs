use crate::refusal::Refusal;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// How deep what is said may nest.
const DEEPEST: usize = 16;

/// Refuses what readers would understand differently or not at all: what
/// names a key twice, or nests too deep.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    let bad = |why: &str| {
        Refusal::invalid("data", "bad_data", format!("data {why}"), format!("data 无效：{why}"))
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    Walk { depth: 0 }.deserialize(&mut reader).map_err(|err| bad(&err.to_string()))
}

#[derive(Clone, Copy)]
struct Walk {
    depth: usize,
}

impl Walk {
    fn deeper<E: Error>(self) -> Result<Walk, E> {
        if self.depth == DEEPEST {
            return Err(E::custom(format!("nests deeper than {DEEPEST}")));
        }
        Ok(Walk { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let within = self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<Key>()? {
            if !seen.insert(key.0.clone()) {
                return Err(A::Error::custom(format!(
                    "has the key `{}` twice",
                    crate::refusal::shorten(&key.0)
                )));
            }
            map.next_value_seed(within)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let within = self.deeper()?;
        while seq.next_element_seed(within)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        String::deserialize(deserializer).map(Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_alike_by_everybody() {
        assert!(check(r#"{"text":"茶","n":[1,2.5,null,{"a":true}]}"#).is_ok());
        assert!(check("\"茶\"").is_ok());
        for text in [r#"{"a":1,"a":2}"#, r#"{"b":{"a":1,"a":2}}"#] {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(check(&format!("{{\"a\":{}{}}}", "[".repeat(20), "]".repeat(20))).is_err());
    }
}
