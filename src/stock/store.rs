use crate::clock::Millis;
use crate::prepared;

prepared! {
    /// A stock that a product had. `seq` is the position of the event that
    /// told of it.
    pub(super) Tick<'a> {
        "INSERT INTO stock_ticks (seq, product, quantity, delta, received_at, actor) VALUES ("
        seq: i64 as BigInt,
        ", " product: &'a str as Text,
        ", " quantity: i64 as BigInt,
        ", " delta: Option<i64> as Nullable<BigInt>,
        ", " received_at: Millis as BigInt,
        ", " actor: &'a str as Text,
        ; ")"
    }
}
