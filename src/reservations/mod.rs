//! Stock that is promised to somebody: an order that is being paid, a parcel
//! that is being packed.
//!
//! What is promised stays on hand and is not available. A promise is kept (the
//! stock goes out), released, or expires by itself: it is a row with its time,
//! so it expires after a restart too, late rather than never. All that takes
//! stock goes through the one writer of the log, so no two can be promised the
//! same piece.

mod expiry;
mod routes;
mod store;

pub use expiry::Expiry;
pub use routes::{Docs, routes};
pub use store::Reservation;

use crate::auth::Writer;
use crate::catalogue::{self, Product};
use crate::clock::Millis;
use crate::events::{self, Receipt, Tx};
use crate::refusal::{Class, Refusal};
use crate::stock::{self, Level};

/// How many reservations one product may have.
const MOST: i64 = 1_000;

/// What is to be reserved.
#[derive(Clone, Debug)]
pub struct NewReservation {
    /// How much, in grams or pieces.
    pub quantity: i64,
    /// For how long.
    pub lasts: Millis,
    /// What the merchant knows it by. It is told to nobody else.
    pub reference: Option<String>,
}

/// What became of a reservation.
#[derive(Clone, Debug)]
pub struct Done {
    /// As it is, or was.
    pub reservation: Reservation,
    /// The product, with the stock it now has.
    pub product: Product,
    /// Told to its followers.
    pub receipt: Option<Receipt>,
}

/// Promises some of the product `id`.
///
/// # Errors
/// As [`catalogue::owned`]; `stock_unknown`, `not_enough_stock`,
/// `too_many_reservations`.
pub fn reserve(
    tx: &mut Tx<'_>,
    writer: &Writer,
    id: &str,
    new: &NewReservation,
) -> events::Result<Done> {
    let product = catalogue::owned(tx, writer, id, false)?;
    let (Some(stock), Some(available)) = (product.stock, product.available()) else {
        return Err(Refusal::invalid(
            "quantity",
            "stock_unknown",
            "nobody has said how many there are: PUT {\"quantity\":…} to its stock first",
            "库存未知，请先用 PUT {\"quantity\":…} 设置库存",
        )
        .into());
    };
    if new.quantity > available {
        let (wanted, reserved) = (new.quantity, product.reserved);
        return Err(Refusal {
            field: Some("quantity".to_owned()),
            ..Refusal::new(
                Class::Conflict,
                "not_enough_stock",
                format!("{wanted} are wanted and {available} available ({stock} on hand, {reserved} reserved)"),
                format!("需要 {wanted}，可用 {available}（库存 {stock}，已预留 {reserved}）"),
            )
            .with("stock", stock)
            .with("reserved", reserved)
            .with("available", available)
        }
        .into());
    }
    if store::count(tx.read(), id)? >= MOST {
        return Err(Refusal::invalid(
            "",
            "too_many_reservations",
            format!("a product may have {MOST} reservations; release some"),
            format!("一个商品最多 {MOST} 个预留，请先释放"),
        )
        .into());
    }
    let now = tx.now();
    let reservation = Reservation {
        id: new_id(),
        product: product.id.clone(),
        merchant: product.merchant.clone(),
        quantity: new.quantity,
        reference: new.reference.clone(),
        actor: writer.actor.clone(),
        created: now,
        expires: now + new.lasts,
    };
    let reserved = product.reserved + new.quantity;
    let level = Level { quantity: stock, reserved, reason: "reserved", note: None };
    let set = stock::level_on(tx, &writer.actor, product, level)?;
    store::insert(tx.write(), &reservation)?;
    Ok(Done { reservation, product: set.product, receipt: set.receipt })
}

/// Gives back what was promised.
///
/// # Errors
/// As [`catalogue::owned`]; `unknown_reservation`.
pub fn release(tx: &mut Tx<'_>, writer: &Writer, product: &str, id: &str) -> events::Result<Done> {
    let product = catalogue::owned(tx, writer, product, true)?;
    let reservation = find(tx, &product, id)?;
    end(tx, &writer.actor, product, reservation, "released")
}

/// Keeps the promise: what was reserved goes out.
///
/// # Errors
/// As [`release`]; `stock_below_reserved` if somebody forced the stock below
/// what is to go out.
pub fn sell(tx: &mut Tx<'_>, writer: &Writer, product: &str, id: &str) -> events::Result<Done> {
    let product = catalogue::owned(tx, writer, product, true)?;
    let reservation = find(tx, &product, id)?;
    let stock = product.stock.unwrap_or_default();
    if stock < reservation.quantity {
        let wanted = reservation.quantity;
        return Err(Refusal::new(
            Class::Conflict,
            "stock_below_reserved",
            format!("{wanted} were reserved, but there are {stock}; say how many there are, or release it"),
            format!("预留了 {wanted}，但库存只有 {stock}；请先更正库存或释放预留"),
        )
        .with("quantity", stock)
        .with("reserved", product.reserved)
        .into());
    }
    end(tx, &writer.actor, product, reservation, "sold")
}

/// Ends `reservation` for `reason`: `sold` takes it out of the stock.
fn end(
    tx: &mut Tx<'_>,
    actor: &str,
    product: Product,
    reservation: Reservation,
    reason: &'static str,
) -> events::Result<Done> {
    let stock = product.stock.unwrap_or_default();
    let sold = if reason == "sold" { reservation.quantity } else { 0 };
    let reserved = (product.reserved - reservation.quantity).max(0);
    let level = Level { quantity: stock - sold, reserved, reason, note: None };
    let set = stock::level_on(tx, actor, product, level)?;
    store::remove(tx.write(), &reservation.id)?;
    Ok(Done { reservation, product: set.product, receipt: set.receipt })
}

fn find(tx: &mut Tx<'_>, product: &Product, id: &str) -> events::Result<Reservation> {
    let found = store::find(tx.read(), id)?.filter(|found| found.product == product.id);
    found.ok_or_else(|| {
        let id = crate::refusal::shorten(id);
        Refusal::new(
            Class::NotFound,
            "unknown_reservation",
            format!(
                "there is no reservation `{id}` of this product: it was released, sold, or expired"
            ),
            format!("该商品没有预留“{id}”：可能已释放、售出或过期"),
        )
        .into()
    })
}

fn new_id() -> String {
    format!("r{:016x}", rand::random::<u64>())
}
