//! What a merchant asks for a product.

mod change;
/// What a product cost before.
pub mod history;
mod routes;
/// What others ask for the same tea.
pub mod similar;
mod store;

pub use change::{Asked, PriceChanged, confirm_needed, confirm_needed_by_weight};
pub use routes::{Docs, routes};

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
    let offer = catalogue::offered(tx, writer, id)?;
    set_on_offer(tx, writer, offer, price, terms)
}

/// The same for an offer that was looked up already.
pub fn set_on_offer(
    tx: &mut Tx<'_>,
    writer: &Writer,
    mut offer: Offer,
    price: Price,
    terms: &Terms,
) -> events::Result<Set<Offer>> {
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

/// The same, for whoever needs to know no more than whether it was news.
pub fn set_offered(
    tx: &mut Tx<'_>,
    writer: &Writer,
    offer: &Offer,
    price: Price,
    terms: &Terms,
) -> events::Result<Option<Receipt>> {
    let now = tx.now();
    let observed_at = seen(terms, now)?;
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
    let before = offer.price;
    let (fen, at) = (price.fen(), observed_at);
    store::SetPrice { fen, before, seq, at, now, product: &offer.id }.run(tx.write())?;
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

/// What a merchant says of a price that was wrong besides the right one.
#[derive(Clone, Debug, Default)]
pub struct Correction {
    /// The usual terms.
    pub terms: Terms,
    /// Why it was wrong.
    pub note: Option<String>,
}

/// Puts `price` in the place of the price that `product` has, which was wrong
/// and never held. Its followers are told that it is a correction, so that no
/// alert takes the mending of a slip for a move of the price. So is the guard:
/// what the right price is measured against is the one before the wrong one.
///
/// # Errors
/// `nothing_to_correct` if there is no price; `confirm_needed`, `bad_time`.
pub fn correct(
    tx: &mut Tx<'_>,
    writer: &Writer,
    mut product: Product,
    price: Price,
    correction: &Correction,
) -> events::Result<Set<Product>> {
    let now = tx.now();
    let observed_at = seen(&correction.terms, now)?;
    let Some(wrong) = product.price else {
        return Err(Refusal::invalid(
            "correction",
            "nothing_to_correct",
            "there is no price yet that could be corrected; set one",
            "还没有可更正的价格，请先设置价格",
        )
        .into());
    };
    if wrong == price.fen() {
        return Ok(Set { product, receipt: None });
    }
    let store::Aside { seq: wrong_seq, before } = store::aside(tx.read(), &product.id)?;
    if !correction.terms.confirmed
        && let Some(refusal) = confirm_needed(before, price)
    {
        return Err(refusal.into());
    }
    let seq = tx.next_seq();
    let offer = product.offer();
    let fact = PriceChanged {
        kind: "correction",
        corrects: wrong_seq.map(|wrong| tx.id_of(wrong)),
        note: correction.note.as_deref(),
        ..PriceChanged::new(&offer, price, observed_at)
    };
    let receipt = tx.append(&fact)?;
    let (fen, at) = (price.fen(), observed_at);
    store::SetPrice { fen, before, seq, at, now, product: &product.id }.run(tx.write())?;
    let tick = store::Tick {
        seq,
        product: &product.id,
        price: fen,
        unit: &product.unit,
        grams_per_unit: product.grams_per_unit,
        observed_at,
        received_at: now,
        source: correction.terms.source,
        kind: "correction",
        actor: &writer.actor,
    };
    store::save_correction(tx.write(), &tick, wrong_seq, correction.note.as_deref())?;
    product.price = Some(fen);
    product.price_at = Some(observed_at);
    product.version += 1;
    product.updated = now;
    Ok(Set { product, receipt: Some(receipt) })
}

/// When a price was seen.
fn seen(terms: &Terms, now: Millis) -> Result<Millis, Refusal> {
    let observed_at = terms.observed_at.unwrap_or(now);
    if observed_at > now + AHEAD {
        return Err(Refusal::invalid(
            "observed_at",
            "bad_time",
            "a price cannot have been seen in the future",
            "观察时间不能在未来",
        ));
    }
    Ok(observed_at)
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
    store::begin(tx.write(), &product.id, seq)?;
    Ok(())
}
