//! A market to look at: a catalogue that could be real, and prices that move
//! in it. All of it goes through the same functions as what comes over HTTP.

mod dice;
mod market;
mod seed;
mod words;

use crate::auth::Writer;
use crate::catalogue::{NewProduct, NewUpdate, store, update_market};
use crate::clearance::{self, NewClearance};
use crate::db::{self, Db};
use crate::events::{self, Publisher, Tx};
use crate::listings;
use crate::money::{Price, yuan_text};
use crate::prices::{self, Terms};
use crate::rooms;
use crate::stock::{self, Move};
use market::{Action, Market};
use seed::{SeedProduct, catalogue};

/// Puts the catalogue into the database; what is there already stays.
/// Returns how many products were new.
pub async fn stock_up(publisher: &Publisher) -> events::Result<usize> {
    let products = catalogue().products;
    publisher
        .commit(move |tx| {
            let mut new = 0;
            for product in &products {
                if store::find(tx.read(), &product.id)?.is_none() {
                    let details = listing(product).check(tx.now())?;
                    listings::create(tx, &keeper(), &details)?;
                    new += 1;
                }
            }
            Ok(new)
        })
        .await
}

/// Lets the market go on until the service stops. The same `seed` does the
/// same things in the same order.
pub async fn run(publisher: Publisher, db: Db, seed: u64) {
    let mut market = Market::new(seed, &catalogue().products);
    loop {
        tokio::time::sleep(market.pause()).await;
        let action = market.next();
        let product = about(&action);
        match publisher.commit(move |tx| act(tx, &action)).await {
            Ok(()) => {}
            // Somebody with curl was there too; the market looks again.
            Err(events::Error::Refused(refusal)) => {
                tracing::debug!(code = %refusal.code, "the market was refused");
            }
            Err(events::Error::Db(db::Error::Stopping)) => return,
            Err(err) => tracing::warn!(error = crate::tasks::chain(&err), "the market stumbled"),
        }
        if let Some(id) = product {
            let wanted = id.clone();
            if let Ok(Some(product)) = db.read(move |conn| store::find(conn, &wanted)).await {
                market.saw(&id, product.price, product.stock);
            }
        }
    }
}

fn keeper() -> Writer {
    Writer { actor: "demo".to_owned(), merchant: None }
}

fn about(action: &Action) -> Option<String> {
    match action {
        Action::Price { product, .. }
        | Action::Stock { product, .. }
        | Action::Restock { product, .. }
        | Action::Clearance { product, .. }
        | Action::EndClearance { product } => Some(product.clone()),
        Action::Update { .. } | Action::Announcement { .. } => None,
    }
}

fn act(tx: &mut Tx<'_>, action: &Action) -> events::Result<()> {
    let writer = keeper();
    match action {
        Action::Price { product, fen } => {
            if let Some(price) = Price::from_fen(*fen) {
                let terms = Terms { source: "simulator", ..Terms::default() };
                prices::set(tx, &writer, product, price, &terms)?;
            }
        }
        Action::Stock { product, delta, note } | Action::Restock { product, delta, note } => {
            let terms = stock::Terms { note: Some((*note).to_owned()), forced: false };
            stock::set(tx, &writer, product, Move::By(*delta), &terms)?;
        }
        Action::Clearance { product, fen, minutes } => {
            if let Some(price) = Price::from_fen(*fen) {
                let ends_at = Some(tx.now() + i64::from(*minutes) * 60_000);
                let new = NewClearance { price, starts_at: None, ends_at, confirmed: true };
                clearance::put(tx, &writer, product, &new)?;
            }
        }
        Action::EndClearance { product } => {
            clearance::cancel(tx, &writer, product)?;
        }
        Action::Update { market, title, body, average_fen_per_kg, index_hundredths, volume_kg } => {
            let update = NewUpdate {
                title: title.clone(),
                body: Some(body.clone()),
                volume_kg: *volume_kg,
                average: average_fen_per_kg.map(yuan_text),
                index: index_hundredths.map(yuan_text),
                ..NewUpdate::default()
            };
            update_market(tx, market, &update)?;
        }
        Action::Announcement { text } => {
            rooms::announce(tx, text)?;
        }
    }
    Ok(())
}

fn listing(product: &SeedProduct) -> NewProduct {
    let product = product.clone();
    NewProduct {
        id: Some(product.id),
        name: Some(product.name),
        category: Some(product.category),
        market: Some(product.market),
        unit: Some(product.unit),
        grams_per_unit: product.grams_per_unit,
        merchant: Some(product.merchant),
        name_en: product.name_en,
        price: product.price,
        price_type: product.price_type,
        stock: product.stock,
        brand: product.brand,
        variety: product.variety,
        recipe: product.recipe,
        origin: product.origin,
        grade: product.grade,
        vintage: product.vintage.map(i64::from),
        batch: product.batch,
        form: product.form,
        harvest: product.harvest,
        storage: product.storage,
        note: product.note,
        pieces_per_tong: product.pieces_per_tong,
        tongs_per_case: product.tongs_per_case,
        grams_per_piece: product.grams_per_piece,
    }
}
