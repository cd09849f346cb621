//! Selling off: a lower price for a while, that starts and ends by itself.
//!
//! What is to happen is a row with the time it is due, so it happens after a
//! restart too, late rather than never.

mod facts;
mod routes;
mod store;
mod timer;

pub use routes::{Docs, routes};
pub use timer::Timer;

use crate::auth::Writer;
use crate::catalogue::{self, Clearance, Product};
use crate::clock::Millis;
use crate::events::{self, Receipt, Tx};
use crate::money::Price;
use crate::prices::confirm_needed;
use crate::refusal::{Class, Refusal};
use facts::{ClearanceEnded, ClearanceStarted};

/// What a clearance is to be.
#[derive(Clone, Debug)]
pub struct NewClearance {
    /// The price while it lasts.
    pub price: Price,
    /// When it starts; now, if not said.
    pub starts_at: Option<Millis>,
    /// When it ends; when it is sold out or called off, if not said.
    pub ends_at: Option<Millis>,
    /// A price below half of the usual one is meant.
    pub confirmed: bool,
}

/// What became of a clearance.
#[derive(Clone, Debug)]
pub struct Put {
    /// As it now is.
    pub clearance: Clearance,
    /// Whether it was another before.
    pub changed: bool,
    /// The version that its product has now.
    pub version: i64,
    /// What was told of it; nothing yet of one that is to start later.
    pub receipt: Option<Receipt>,
}

/// Puts the product `id` on clearance, or changes the one it is on.
///
/// # Errors
/// As [`catalogue::owned`]; `bad_time` if it ends before it starts or has
/// ended; `not_a_clearance` if the price is no lower than the usual one;
/// `confirm_needed` if it is lower than half of it.
pub fn put(tx: &mut Tx<'_>, writer: &Writer, id: &str, new: &NewClearance) -> events::Result<Put> {
    let product = catalogue::owned(tx, writer, id, false)?;
    let now = tx.now();
    let before = catalogue::store::clearance(tx.read(), id)?;
    let running = before.as_ref().filter(|clearance| clearance.active);
    let starts_at = new.starts_at.unwrap_or_else(|| running.map_or(now, |it| it.starts_at));
    if new.ends_at.is_some_and(|ends_at| ends_at <= starts_at || ends_at <= now) {
        return Err(Refusal::invalid(
            "ends_at",
            "bad_time",
            "a clearance ends after it starts, and not in the past",
            "清仓结束时间必须晚于开始时间且不能在过去",
        )
        .into());
    }
    if product.price.is_some_and(|price| new.price.fen() >= price) {
        return Err(Refusal::invalid(
            "price",
            "not_a_clearance",
            "a clearance costs less than the usual price",
            "清仓价必须低于现价",
        )
        .into());
    }
    // One that was confirmed may be prolonged without being confirmed again.
    if !new.confirmed
        && before.as_ref().is_none_or(|before| before.price != new.price.fen())
        && let Some(refusal) = confirm_needed(product.price, new.price)
    {
        return Err(refusal.into());
    }
    let active = starts_at <= now;
    let clearance = Clearance {
        product: id.to_owned(),
        price: new.price.fen(),
        starts_at,
        ends_at: new.ends_at,
        active,
        due: if active { new.ends_at } else { Some(starts_at) },
    };
    if before.as_ref() == Some(&clearance) {
        let version = product.version;
        return Ok(Put { clearance, changed: false, version, receipt: None });
    }
    let receipt = if active {
        Some(tx.append(&ClearanceStarted::new(&product, &clearance))?)
    } else if running.is_some() {
        // Put off: whoever was told that it runs is told that it does not.
        Some(tx.append(&ClearanceEnded::new(&product, "cancelled"))?)
    } else {
        None
    };
    store::save(tx.write(), &clearance)?;
    catalogue::store::touch(tx.write(), id, now)?;
    Ok(Put { clearance, changed: true, version: product.version + 1, receipt })
}

/// Calls the clearance of the product `id` off.
///
/// # Errors
/// As [`catalogue::owned`]; `no_clearance` if it has none.
pub fn cancel(tx: &mut Tx<'_>, writer: &Writer, id: &str) -> events::Result<Option<Receipt>> {
    let product = catalogue::owned(tx, writer, id, true)?;
    let Some(clearance) = catalogue::store::clearance(tx.read(), id)? else {
        return Err(Refusal::new(
            Class::NotFound,
            "no_clearance",
            format!("`{id}` is not on clearance"),
            format!("商品“{id}”不在清仓"),
        )
        .into());
    };
    end(tx, &product, &clearance, "cancelled")
}

/// Ends the clearance of `product`, if it is on one.
pub fn end_if_any(
    tx: &mut Tx<'_>,
    product: &Product,
    reason: &'static str,
) -> events::Result<Option<Receipt>> {
    match catalogue::store::clearance(tx.read(), &product.id)? {
        Some(clearance) => end(tx, product, &clearance, reason),
        None => Ok(None),
    }
}

fn end(
    tx: &mut Tx<'_>,
    product: &Product,
    clearance: &Clearance,
    reason: &'static str,
) -> events::Result<Option<Receipt>> {
    let now = tx.now();
    store::remove(tx.write(), &product.id)?;
    catalogue::store::touch(tx.write(), &product.id, now)?;
    // Nobody was told of one that had not started.
    if !clearance.active {
        return Ok(None);
    }
    tx.append(&ClearanceEnded::new(product, reason)).map(Some)
}

fn start(tx: &mut Tx<'_>, product: &Product, clearance: Clearance) -> events::Result<()> {
    let clearance = Clearance { active: true, due: clearance.ends_at, ..clearance };
    let now = tx.now();
    store::save(tx.write(), &clearance)?;
    catalogue::store::touch(tx.write(), &product.id, now)?;
    tx.append(&ClearanceStarted::new(product, &clearance))?;
    Ok(())
}
