//! How much of a product is left.

mod change;
mod routes;
mod store;

pub use change::StockChanged;
pub use routes::routes;

use crate::auth::Writer;
use crate::catalogue::{self, MOST_STOCK, Product};
use crate::clearance;
use crate::events::{self, Receipt, Tx};
use crate::refusal::Refusal;

/// What is said of a stock, in grams or pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// So much there is.
    To(i64),
    /// So much came in or, below zero, went out.
    By(i64),
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
/// `out_of_range`.
pub fn set(
    tx: &mut Tx<'_>,
    writer: &Writer,
    id: &str,
    change: Move,
    note: Option<&str>,
) -> events::Result<Set> {
    let product = catalogue::owned(tx, writer, id, false)?;
    set_on(tx, writer, product, change, note)
}

/// The same for a product that was looked up already.
pub fn set_on(
    tx: &mut Tx<'_>,
    writer: &Writer,
    mut product: Product,
    change: Move,
    note: Option<&str>,
) -> events::Result<Set> {
    let from = product.stock;
    let quantity = after(&product, change)?;
    if from == Some(quantity) {
        return Ok(Set { product, receipt: None });
    }
    let now = tx.now();
    let seq = tx.next_seq();
    let receipt = tx.append(&StockChanged::new(&product, quantity, product.reserved, note))?;
    catalogue::store::set_stock(tx.write(), &product.id, quantity, now)?;
    let delta = from.map(|from| quantity - from);
    let (id, actor) = (&*product.id, &*writer.actor);
    store::Tick { seq, product: id, quantity, delta, received_at: now, actor }.run(tx.write())?;
    product.stock = Some(quantity);
    product.stock_at = Some(now);
    product.version += 1;
    if quantity == 0 {
        clearance::end_if_any(tx, &product, "sold_out")?;
        product = catalogue::store::find(tx.read(), &product.id)?.unwrap_or(product);
    }
    Ok(Set { product, receipt: Some(receipt) })
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
