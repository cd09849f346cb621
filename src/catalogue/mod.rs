//! What is sold, and where: categories, markets, products.
//!
//! This is the reading side and the words; what a merchant writes stands in
//! the modules above, one for each subject.

mod category;
mod details;
mod directory;
mod facts;
mod market;
mod present;
mod product;
mod routes;
mod rows;
mod search;
/// Rows in and out.
pub mod store;
mod text;
mod unit;

pub use category::{CATEGORIES, Category};
pub use details::{Details, MOST_STOCK, NewProduct, merchant_id, within};
pub use directory::Names;
pub use facts::{ProductArrived, ProductUpdated, ProductWithdrawn};
pub use market::{NewUpdate, unknown_market, update_market};
pub use present::State;
pub use product::{Heading, as_time, as_time_opt};
pub use routes::{Docs as MarketDocs, routes};
pub use rows::{Clearance, Market, Offer, Product};
pub use search::{Docs, Search, get_products};
pub use text::{clean, clean_opt, id as parse_id};
pub use unit::Unit;

use crate::auth::Writer;
use crate::db::{self, Conn};
use crate::events::{self, Tx};
use crate::refusal::{Class, Refusal};
use crate::writes::IfMatch;

/// The status of a product that is offered.
const LISTED: &str = "listed";

/// The product called `id`, if `writer` may write it.
///
/// # Errors
/// `unknown_product`; `not_yours`; `product_withdrawn` unless `withdrawn` is
/// all right.
pub fn owned(
    tx: &mut Tx<'_>,
    writer: &Writer,
    id: &str,
    withdrawn: bool,
) -> events::Result<Product> {
    let Some(product) = store::find(tx.read(), id)? else {
        return Err(unknown_product(tx.read(), "product", id)?.into());
    };
    require_own(writer, &product)?;
    if !withdrawn {
        require_listed(&product)?;
    }
    Ok(product)
}

/// The same for whoever is to change its price.
///
/// # Errors
/// As [`owned`].
pub fn offered(tx: &mut Tx<'_>, writer: &Writer, id: &str) -> events::Result<Offer> {
    match store::offer(tx.read(), id)? {
        Some(offer) => {
            require_offered(writer, &offer)?;
            Ok(offer)
        }
        None => Err(unknown_product(tx.read(), "product", id)?.into()),
    }
}

/// Refuses to change the product called `id` if it is at another version than
/// is `believed`.
///
/// # Errors
/// `stale_version`; `unknown_product`, `not_yours`.
pub fn require_version(
    tx: &mut Tx<'_>,
    writer: &Writer,
    id: &str,
    believed: Option<&IfMatch>,
) -> events::Result<()> {
    let Some(believed) = believed else { return Ok(()) };
    let Some(offer) = store::offer(tx.read(), id)? else {
        return Err(unknown_product(tx.read(), "product", id)?.into());
    };
    require_merchant(writer, &offer.merchant)?;
    Ok(believed.check(offer.version)?)
}

/// Whose things are asked for: the caller's own, or those of the merchant that
/// an admin names.
///
/// # Errors
/// `not_yours`; `missing_parameter` for an admin who names none.
pub fn whose(writer: &Writer, named: Option<String>) -> Result<String, Refusal> {
    let named = named.map(|id| merchant_id(&id)).transpose()?;
    match (&writer.merchant, named) {
        (Some(own), None) => Ok(own.clone()),
        (Some(own), Some(named)) if *own == named => Ok(named),
        (Some(_), Some(_)) => Err(Refusal {
            field: Some("merchant".to_owned()),
            ..Refusal::new(
                Class::Forbidden,
                "not_yours",
                "this is another merchant's",
                "这属于其他商家",
            )
        }),
        (None, Some(named)) => Ok(named),
        (None, None) => Err(Refusal::invalid(
            "merchant",
            "missing_parameter",
            "an admin says whose: merchant=…",
            "管理员需要指明商家：merchant=…",
        )),
    }
}

/// Refuses `writer` the product of another merchant.
pub fn require_own(writer: &Writer, product: &Product) -> Result<(), Refusal> {
    require_merchant(writer, &product.merchant)
}

/// Refuses a product that was withdrawn.
pub fn require_listed(product: &Product) -> Result<(), Refusal> {
    require_status(&product.id, &product.status)
}

/// Refuses `writer` what is another merchant's, or was withdrawn.
pub fn require_offered(writer: &Writer, offer: &Offer) -> Result<(), Refusal> {
    require_merchant(writer, &offer.merchant)?;
    require_status(&offer.id, &offer.status)
}

fn require_merchant(writer: &Writer, owner: &str) -> Result<(), Refusal> {
    if writer.merchant.as_ref().is_some_and(|merchant| *merchant != owner) {
        return Err(not_yours());
    }
    Ok(())
}

fn require_status(id: &str, status: &str) -> Result<(), Refusal> {
    if status != LISTED {
        return Err(Refusal::new(
            Class::Conflict,
            "product_withdrawn",
            format!("`{id}` was withdrawn; PUT /v1/products/{id} lists it again"),
            format!("商品“{id}”已下架；PUT /v1/products/{id} 可重新上架"),
        ));
    }
    Ok(())
}

/// The answer to whoever writes what is another's.
pub fn not_yours() -> Refusal {
    Refusal::new(
        Class::Forbidden,
        "not_yours",
        "this product is another merchant's",
        "该商品属于其他商家",
    )
}

/// The answer to whoever asks for a product that is not there.
pub fn unknown_product(conn: &mut Conn, field: &str, id: &str) -> db::Result<Refusal> {
    let known = store::ids_like(conn, id)?;
    let known = known.iter().map(String::as_str);
    Ok(Refusal::unknown(field, "unknown_product", ("product", "商品"), id, known))
}
