//! What a merchant asks for a product.

mod change;
mod routes;
mod store;

pub use change::{PriceChanged, confirm_needed};
pub use routes::routes;

use crate::auth::Writer;
use crate::catalogue::{self, Product};
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
pub struct Set {
    /// The product, with the price it now has.
    pub product: Product,
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
) -> events::Result<Set> {
    let product = catalogue::owned(tx, writer, id, false)?;
    set_on(tx, writer, product, price, terms)
}

/// The same for a product that was looked up already.
pub fn set_on(
    tx: &mut Tx<'_>,
    writer: &Writer,
    mut product: Product,
    price: Price,
    terms: &Terms,
) -> events::Result<Set> {
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
    let from = product.price;
    if from == Some(price.fen()) {
        return Ok(Set { product, receipt: None });
    }
    if !terms.confirmed
        && let Some(refusal) = confirm_needed(from, price)
    {
        return Err(refusal.into());
    }
    let seq = tx.next_seq();
    let receipt = tx.append(&PriceChanged::new(&product, from, price, observed_at))?;
    catalogue::store::set_price(tx.write(), &product.id, price.fen(), observed_at, now)?;
    let tick = tick(&product, writer, seq, price.fen(), (observed_at, now), terms.source);
    tick.run(tx.write())?;
    product.price = Some(price.fen());
    product.price_at = Some(observed_at);
    product.version += 1;
    product.updated = now;
    Ok(Set { product, receipt: Some(receipt) })
}

/// Keeps the first price of a product that was just listed at position `seq`.
pub fn begin(tx: &mut Tx<'_>, writer: &Writer, product: &Product, seq: i64) -> events::Result<()> {
    let Some(price) = product.price else { return Ok(()) };
    let now = tx.now();
    tick(product, writer, seq, price, (now, now), "merchant").run(tx.write())?;
    Ok(())
}

fn tick<'a>(
    product: &'a Product,
    writer: &'a Writer,
    seq: i64,
    price: i64,
    (observed_at, received_at): (Millis, Millis),
    source: &'a str,
) -> store::Tick<'a> {
    store::Tick {
        seq,
        product: &product.id,
        price,
        unit: &product.unit,
        grams_per_unit: product.grams_per_unit,
        observed_at,
        received_at,
        source,
        kind: &product.price_type,
        actor: &writer.actor,
    }
}
