//! What a merchant offers: a product is listed, described anew, withdrawn.

mod routes;

pub use routes::{Docs, routes};

use crate::auth::Writer;
use crate::catalogue::{
    self, Details, Product, ProductArrived, ProductUpdated, ProductWithdrawn, not_yours, store,
    unknown_market,
};
use crate::clearance;
use crate::events::{self, Receipt, Tx};
use crate::money::Price;
use crate::prices::{self, Asked, Terms};
use crate::refusal::{Class, Refusal};
use crate::stock::{self, Move};

/// What became of a product.
#[derive(Clone, Debug)]
pub struct Listed {
    /// As it now is.
    pub product: Product,
    /// What was told of it; none if it was that already.
    pub receipt: Option<Receipt>,
    /// Whether it was not there before.
    pub created: bool,
}

/// What somebody who describes a product anew says to be meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// A move of the price by more than half.
    pub confirmed: bool,
    /// A stock below what is reserved.
    pub forced: bool,
}

/// Lists a new product.
///
/// # Errors
/// `product_exists`, `unknown_market`, `missing_field` on `merchant` for an
/// admin, `not_yours` for another merchant's.
pub fn create(tx: &mut Tx<'_>, writer: &Writer, details: &Details) -> events::Result<Listed> {
    let id = &details.product.id;
    if store::find(tx.read(), id)?.is_some() {
        return Err(Refusal {
            field: Some("id".to_owned()),
            ..Refusal::new(
                Class::Conflict,
                "product_exists",
                format!("there is a product `{id}` already; PUT /v1/products/{id} replaces it"),
                format!("商品“{id}”已存在；PUT /v1/products/{id} 可替换"),
            )
        }
        .into());
    }
    let merchant = match (&writer.merchant, &details.merchant) {
        (Some(own), None) => own.clone(),
        (Some(own), Some(named)) if own == named => own.clone(),
        (Some(_), Some(_)) => return Err(not_yours().into()),
        (None, Some(named)) => named.clone(),
        (None, None) => {
            return Err(Refusal::invalid(
                "merchant",
                "missing_field",
                "an admin says whose product it is: merchant",
                "管理员需要指明商家：merchant",
            )
            .into());
        }
    };
    require_market(tx, &details.product.market)?;
    let now = tx.now();
    let product = Product {
        merchant,
        price: details.price.map(crate::money::Price::fen),
        price_at: details.price.map(|_| now),
        stock: details.stock,
        stock_at: details.stock.map(|_| now),
        created: now,
        updated: now,
        ..details.product.clone()
    };
    let seq = tx.next_seq();
    let receipt = tx.append(&ProductArrived::new(&product))?;
    store::insert(tx.write(), &product)?;
    prices::begin(tx, writer, &product, seq)?;
    stock::begin(tx, writer, &product, seq)?;
    Ok(Listed { product, receipt: Some(receipt), created: true })
}

/// Describes a product anew, listing it if it is not there or was withdrawn.
/// What the description leaves out of price and stock stays as it is.
///
/// # Errors
/// As [`create`], [`prices::set`] and [`stock::set`].
pub fn replace(
    tx: &mut Tx<'_>,
    writer: &Writer,
    details: &Details,
    consent: Consent,
) -> events::Result<Listed> {
    let Consent { confirmed, forced } = consent;
    let Some(old) = store::find(tx.read(), &details.product.id)? else {
        return create(tx, writer, details);
    };
    let theirs = writer.merchant.as_ref().is_some_and(|own| *own != old.merchant);
    if theirs || details.merchant.as_ref().is_some_and(|named| *named != old.merchant) {
        return Err(not_yours().into());
    }
    require_market(tx, &details.product.market)?;
    let weighs = |product: &Product| (product.unit.clone(), product.grams_per_unit);
    if old.price.is_some() && details.price.is_none() && weighs(&old) != weighs(&details.product) {
        return Err(Refusal::invalid(
            "price",
            "price_needed",
            "the price was for another unit; say what it is for this one",
            "计价单位已改变，请同时给出新价格",
        )
        .into());
    }
    let counts = |product: &Product| product.stock_unit();
    if old.stock.is_some() && details.stock.is_none() && counts(&old) != counts(&details.product) {
        return Err(Refusal::invalid(
            "stock",
            "stock_needed",
            "the stock was counted in another unit; say how many there are of this one",
            "库存计量单位已改变，请同时给出新库存",
        )
        .into());
    }
    if old.reserved > 0 && counts(&old) != counts(&details.product) {
        return Err(Refusal {
            field: Some("unit".to_owned()),
            ..Refusal::new(
                Class::Conflict,
                "stock_reserved",
                format!(
                    "{} are reserved, counted in the old unit; release them first",
                    old.reserved
                ),
                format!("有 {} 已按原单位预留，请先释放", old.reserved),
            )
            .with("reserved", old.reserved)
        }
        .into());
    }
    // What was asked for another unit is no price of this one.
    let from = old.price.filter(|_| weighs(&old) == weighs(&details.product));
    if let Some(price) = details.price
        && !confirmed
        && let Some(refusal) = confirm_needed(&old, &details.product, price)
    {
        return Err(refusal.into());
    }
    let mut product = Product {
        merchant: old.merchant.clone(),
        price: old.price,
        price_at: old.price_at,
        stock: old.stock,
        stock_at: old.stock_at,
        reserved: old.reserved,
        version: old.version,
        created: old.created,
        updated: old.updated,
        ..details.product.clone()
    };
    let mut receipt = None;
    if product != old {
        product.version += 1;
        product.updated = tx.now();
        let reduced = store::clearance(tx.read(), &product.id)?;
        let answered = product.json(reduced.as_ref());
        receipt = Some(tx.append(&ProductUpdated::new(&product, answered))?);
        store::update(tx.write(), &product)?;
    }
    if let Some(price) = details.price {
        let terms = Terms { confirmed: true, observed_at: None, source: "merchant" };
        product.price = from;
        let set = prices::set_on(tx, writer, product, price, &terms)?;
        product = set.product;
        receipt = receipt.or(set.receipt);
    }
    if let Some(quantity) = details.stock {
        let terms = stock::Terms { note: None, forced };
        let set = stock::set_on(tx, writer, product, Move::To(quantity), &terms)?;
        product = set.product;
        receipt = receipt.or(set.receipt);
    }
    Ok(Listed { product, receipt, created: false })
}

/// Takes a product out of the offer. What it was stays readable.
///
/// # Errors
/// As [`catalogue::owned`].
pub fn withdraw(tx: &mut Tx<'_>, writer: &Writer, id: &str) -> events::Result<Listed> {
    let mut product = catalogue::owned(tx, writer, id, true)?;
    if !product.is_listed() {
        return Ok(Listed { product, receipt: None, created: false });
    }
    clearance::end_if_any(tx, &product, "withdrawn")?;
    product = store::find(tx.read(), id)?.unwrap_or(product);
    product.status = "withdrawn".to_owned();
    product.version += 1;
    product.updated = tx.now();
    let receipt = tx.append(&ProductWithdrawn(product.heading()))?;
    store::update(tx.write(), &product)?;
    Ok(Listed { product, receipt: Some(receipt), created: false })
}

/// Why `price` for what is now `new` has to be confirmed, if it has to.
fn confirm_needed(old: &Product, new: &Product, price: Price) -> Option<Refusal> {
    if old.unit == new.unit && old.grams_per_unit == new.grams_per_unit {
        return prices::confirm_needed(old.price, price);
    }
    let from = Asked { fen: old.price?, grams: old.grams_per_unit };
    prices::confirm_needed_by_weight(from, Asked { fen: price.fen(), grams: new.grams_per_unit })
}

fn require_market(tx: &mut Tx<'_>, id: &str) -> events::Result<()> {
    if store::market(tx.read(), id)?.is_some() {
        return Ok(());
    }
    let known = store::markets(tx.read())?;
    Err(unknown_market("market", id, &known).into())
}
