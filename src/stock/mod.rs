//! How much of a product is left.

mod change;
mod routes;
mod shelf;
mod store;

pub use change::StockChanged;
pub use routes::{Docs, routes};
pub use shelf::Shelf;

use crate::auth::Writer;
use crate::catalogue::{self, MOST_STOCK, Product};
use crate::clearance;
use crate::clock::business_day_number;
use crate::events::{self, Receipt, Tx};
use crate::refusal::{Class, Refusal};
use serde::Deserialize;

/// `[stock]` in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Stock is low at so many units or fewer, unless its merchant says otherwise.
    pub low_units: i64,
}

/// What is said of a stock, in grams or pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// So much there is.
    To(i64),
    /// So much came in or, below zero, went out.
    By(i64),
}

/// What is said of a change besides the change.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Told with it.
    pub note: Option<String>,
    /// Less than what is reserved is meant.
    pub forced: bool,
}

/// What a stock is to be, and why.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// On hand.
    pub quantity: i64,
    /// Promised of it.
    pub reserved: i64,
    /// `set`, `moved`, `reserved`, `released`, `expired` or `sold`.
    pub reason: &'static str,
    /// Told with it.
    pub note: Option<&'a str>,
}

/// What became of a stock.
#[derive(Clone, Debug)]
pub struct Set {
    /// The product, with the stock it now has.
    pub product: Product,
    /// Told, if it was news.
    pub receipt: Option<Receipt>,
}

/// Changes the stock of the product `id` and tells its followers. When the
/// last is gone, its clearance ends.
///
/// # Errors
/// As [`catalogue::owned`]; `stock_below_zero`, `stock_unknown`,
/// `stock_below_reserved`, `out_of_range`.
pub fn set(
    tx: &mut Tx<'_>,
    writer: &Writer,
    id: &str,
    change: Move,
    terms: &Terms,
) -> events::Result<Set> {
    let product = catalogue::owned(tx, writer, id, false)?;
    set_on(tx, writer, product, change, terms)
}

/// The same for a product that was looked up already.
pub fn set_on(
    tx: &mut Tx<'_>,
    writer: &Writer,
    product: Product,
    change: Move,
    terms: &Terms,
) -> events::Result<Set> {
    let quantity = after(&product, change)?;
    if product.stock == Some(quantity) {
        return Ok(Set { product, receipt: None });
    }
    let reserved = product.reserved;
    // A stock that was forced below its promises may rise towards them.
    let falls = product.stock.is_none_or(|stock| quantity < stock);
    if quantity < reserved && falls && !terms.forced {
        return Err(below_reserved(quantity, reserved).into());
    }
    let reason = if matches!(change, Move::To(_)) { "set" } else { "moved" };
    let level = Level { quantity, reserved, reason, note: terms.note.as_deref() };
    level_on(tx, &writer.actor, product, level)
}

/// Makes `level` the stock of `product`, whoever said so, and tells it.
pub fn level_on(
    tx: &mut Tx<'_>,
    actor: &str,
    mut product: Product,
    level: Level<'_>,
) -> events::Result<Set> {
    let now = tx.now();
    let seq = tx.next_seq();
    let from = product.stock;
    let Level { quantity, reserved, .. } = level;
    let receipt = tx.append(&StockChanged::new(&product, level))?;
    let set = store::SetStock { quantity, reserved, at: now, now, product: &product.id };
    set.run(tx.write())?;
    if from != Some(quantity) {
        let delta = from.map(|from| quantity - from);
        let id = &*product.id;
        store::Tick { seq, product: id, quantity, delta, received_at: now, actor }
            .run(tx.write())?;
        if let Some(out) = delta.filter(|delta| *delta < 0) {
            store::add_outflow(tx.write(), id, business_day_number(now), -out)?;
        }
    }
    product.stock = Some(quantity);
    product.reserved = reserved;
    product.stock_at = Some(now);
    product.version += 1;
    product.updated = now;
    if product.available() == Some(0) {
        clearance::end_if_any(tx, &product, "sold_out")?;
        product = catalogue::store::find(tx.read(), &product.id)?.unwrap_or(product);
    }
    Ok(Set { product, receipt: Some(receipt) })
}

fn below_reserved(quantity: i64, reserved: i64) -> Refusal {
    Refusal {
        field: Some("quantity".to_owned()),
        ..Refusal::new(
            Class::Conflict,
            "stock_below_reserved",
            format!("{reserved} are reserved, and {quantity} would not do for them; release some, or repeat it with ?force=true if it is so"),
            format!("已预留 {reserved}，库存 {quantity} 不足以兑现；请先释放预留，或确认属实后加 ?force=true 重试"),
        )
        .with("quantity", quantity)
        .with("reserved", reserved)
    }
}

/// Keeps the first stock of a product that was just listed at position `seq`.
pub fn begin(tx: &mut Tx<'_>, writer: &Writer, product: &Product, seq: i64) -> events::Result<()> {
    let Some(quantity) = product.stock else { return Ok(()) };
    let (id, actor, received_at) = (&*product.id, &*writer.actor, tx.now());
    let tick = store::Tick { seq, product: id, quantity, delta: None, received_at, actor };
    tick.run(tx.write())?;
    Ok(())
}

fn after(product: &Product, change: Move) -> Result<i64, Refusal> {
    match (change, product.stock) {
        (Move::To(quantity), _) => {
            catalogue::within("quantity", Some(quantity), 0, MOST_STOCK)?;
            Ok(quantity)
        }
        (Move::By(_), None) => Err(Refusal::invalid(
            "delta",
            "stock_unknown",
            "nobody has said how many there are: PUT {\"quantity\":…} first",
            "库存未知，请先 PUT {\"quantity\":…}",
        )),
        (Move::By(delta), Some(stock)) => {
            let quantity = i128::from(stock) + i128::from(delta);
            if quantity < 0 {
                return Err(Refusal::invalid(
                    "delta",
                    "stock_below_zero",
                    format!("there are {stock}; {delta} would leave less than none"),
                    format!("现有库存 {stock}，变动 {delta} 后将小于零"),
                )
                .with("stock", stock));
            }
            let quantity = i64::try_from(quantity).unwrap_or(i64::MAX);
            catalogue::within("delta", Some(quantity), 0, MOST_STOCK)?;
            Ok(quantity)
        }
    }
}
