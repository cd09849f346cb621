use crate::clock::Millis;
use crate::prepared;

prepared! {
    /// One price that a product had. `seq` is the position of the event that
    /// told of it.
    pub(super) Tick<'a> {
        "INSERT INTO price_ticks (seq, product, price, unit, grams_per_unit, observed_at, \
         received_at, source, kind, actor) VALUES (" seq: i64 as BigInt,
        ", " product: &'a str as Text,
        ", " price: i64 as BigInt,
        ", " unit: &'a str as Text,
        ", " grams_per_unit: i64 as BigInt,
        ", " observed_at: Millis as BigInt,
        ", " received_at: Millis as BigInt,
        ", " source: &'a str as Text,
        ", " kind: &'a str as Text,
        ", " actor: &'a str as Text,
        ; ")"
    }
}
