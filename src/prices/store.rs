use crate::clock::Millis;
use crate::db::schema::price_ticks;
use crate::db::{self, Conn};
use diesel::prelude::*;

/// One price that a product had.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = price_ticks)]
pub(super) struct Tick {
    /// The position of the event that told of it.
    pub seq: i64,
    pub product: String,
    pub price: i64,
    pub unit: String,
    pub grams_per_unit: i64,
    pub observed_at: Millis,
    pub received_at: Millis,
    pub source: String,
    pub kind: String,
    pub actor: String,
}

pub(super) fn save(conn: &mut Conn, tick: &Tick) -> db::Result<()> {
    diesel::insert_into(price_ticks::table).values(tick.clone()).execute(conn)?;
    Ok(())
}
