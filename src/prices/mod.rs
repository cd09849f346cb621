//! What a merchant asks for a product.

mod change;
mod routes;
mod store;

pub use change::{PriceChanged, confirm_needed};
pub use routes::routes;

use crate::auth::Writer;
use crate::catalogue::{self, Offer, Product};
use crate::clock::Millis;
use crate::events::{self, Receipt, Tx};
use crate::money::Price;
use crate::refusal::Refusal;

/// How far into the future somebody may have seen a price, in milliseconds:
/// clocks differ.
const AHEAD: Millis = 300_000;

/// What a merchant says of a price besides the price.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// A move by more than half is meant.
    pub confirmed: bool,
    /// When it was seen, if not now.
    pub observed_at: Option<Millis>,
    /// Where it comes from: `merchant`, `import`, `simulator`.
    pub source: &'static str,
}

/// What became of a price.
#[derive(Clone, Debug)]
pub struct Set<P> {
    /// The product, with the price it now has.
    pub product: P,
    /// Told, if it was news: a price that repeats itself is none.
    pub receipt: Option<Receipt>,
}

/// Makes `price` the price of the product `id` and tells its followers.
///
/// # Errors
/// `unknown_product`, `not_yours`, `product_withdrawn`, `confirm_needed`,
/// `bad_time`.
pub fn set(
    tx: &mut Tx<'_>,
    writer: &Writer,
    id: &str,
    price: Price,
    terms: &Terms,
) -> events::Result<Set<Offer>> {
    let mut offer = catalogue::offered(tx, writer, id)?;
    let receipt = set_offered(tx, writer, &offer, price, terms)?;
    if receipt.is_some() {
        offer.price = Some(price.fen());
        offer.version += 1;
    }
    Ok(Set { product: offer, receipt })
}

/// The same for a product that was looked up already.
pub fn set_on(
    tx: &mut Tx<'_>,
    writer: &Writer,
    mut product: Product,
    price: Price,
    terms: &Terms,
) -> events::Result<Set<Product>> {
    let receipt = set_offered(tx, writer, &product.offer(), price, terms)?;
    if receipt.is_some() {
        product.price = Some(price.fen());
        product.price_at = Some(terms.observed_at.unwrap_or(tx.now()));
        product.version += 1;
        product.updated = tx.now();
    }
    Ok(Set { product, receipt })
}

/// The same for an offer that was looked up already; a receipt if it was news.
pub fn set_offered(
    tx: &mut Tx<'_>,
    writer: &Writer,
    offer: &Offer,
    price: Price,
    terms: &Terms,
) -> events::Result<Option<Receipt>> {
    let now = tx.now();
    let observed_at = terms.observed_at.unwrap_or(now);
    if observed_at > now + AHEAD {
        return Err(Refusal::invalid(
            "observed_at",
            "bad_time",
            "a price cannot have been seen in the future",
            "观察时间不能在未来",
        )
        .into());
    }
    if offer.price == Some(price.fen()) {
        return Ok(None);
    }
    if !terms.confirmed
        && let Some(refusal) = confirm_needed(offer.price, price)
    {
        return Err(refusal.into());
    }
    let seq = tx.next_seq();
    let receipt = tx.append(&PriceChanged::new(offer, price, observed_at))?;
    catalogue::store::set_price(tx.write(), &offer.id, price.fen(), observed_at, now)?;
    let tick = store::Tick {
        seq,
        product: &offer.id,
        price: price.fen(),
        unit: &offer.unit,
        grams_per_unit: offer.grams_per_unit,
        observed_at,
        received_at: now,
        source: terms.source,
        kind: &offer.price_type,
        actor: &writer.actor,
    };
    tick.run(tx.write())?;
    Ok(Some(receipt))
}

/// Keeps the first price of a product that was just listed at position `seq`.
pub fn begin(tx: &mut Tx<'_>, writer: &Writer, product: &Product, seq: i64) -> events::Result<()> {
    let Some(price) = product.price else { return Ok(()) };
    let now = tx.now();
    let tick = store::Tick {
        seq,
        product: &product.id,
        price,
        unit: &product.unit,
        grams_per_unit: product.grams_per_unit,
        observed_at: now,
        received_at: now,
        source: "merchant",
        kind: &product.price_type,
        actor: &writer.actor,
    };
    tick.run(tx.write())?;
    Ok(())
}
