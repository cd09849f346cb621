use super::sheet::Row;
use super::{Field, Order};
use crate::catalogue::{
    NewProduct, Offer, Product, offered, parse_id, require_listed, require_offered, require_own,
    store, unknown_product,
};
use crate::clearance::{self, NewClearance};
use crate::clock::Millis;
use crate::events::{self, Tx};
use crate::http::time;
use crate::listings;
use crate::money::Price;
use crate::prices::{self, Terms};
use crate::refusal::{Class, Refusal};
use crate::stock::{self, Move};
use std::collections::{BTreeMap, HashMap};

/// How many products are looked up at once.
const AT_ONCE: usize = 1_000;

/// What a row of a file asks for.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub line: u64,
    product: String,
    price: Option<Price>,
    stock: Option<Move>,
    clearance: Option<NewClearance>,
    observed_at: Option<Millis>,
    /// What describes the product, if anything does.
    cells: BTreeMap<Field, String>,
}

/// What some rows are about, looked up at once before the first of them is
/// applied. A row takes its own away, so one that comes to the same product
/// again looks for itself and sees what the rows before it did.
pub(super) struct Offers(HashMap<String, Offer>);

impl Offers {
    /// Looks up what those of `changes` need that ask for a price alone.
    pub fn find(tx: &mut Tx<'_>, changes: &[Result<Change, Refusal>]) -> events::Result<Offers> {
        let mut found = HashMap::new();
        for some in changes.chunks(AT_ONCE) {
            let wanted = some.iter().flatten().filter(|change| change.only_price().is_some());
            let wanted: Vec<&str> = wanted.map(|change| &*change.product).collect();
            if !wanted.is_empty() {
                let offers = store::offers(tx.read(), &wanted)?;
                found.extend(offers.into_iter().map(|offer| (offer.id.clone(), offer)));
            }
        }
        Ok(Offers(found))
    }
}

/// Fields that describe a product, rather than say what it costs or how many there are.
const DESCRIBING: [Field; 18] = [
    Field::Name,
    Field::NameEn,
    Field::Category,
    Field::Market,
    Field::Unit,
    Field::GramsPerUnit,
    Field::PriceType,
    Field::Brand,
    Field::Variety,
    Field::Recipe,
    Field::Origin,
    Field::Grade,
    Field::Vintage,
    Field::Batch,
    Field::Form,
    Field::Harvest,
    Field::Storage,
    Field::Note,
];

impl Change {
    /// Reads a row.
    ///
    /// # Errors
    /// Why it cannot be read; the line, and what stood there, are with it.
    pub fn read(row: Row) -> Result<Change, Refusal> {
        let line = row.line;
        let cells = row.cells.map_err(|error| {
            let mut refusal =
                Refusal::new(Class::Invalid, error.code, error.detail_en, error.detail_zh)
                    .with("line", line)
                    .with("value", error.value);
            refusal.field = error.field.map(str::to_owned);
            refusal
        })?;
        Change::from_cells(line, cells).map_err(|refusal| refusal.with("line", line))
    }

    fn from_cells(line: u64, mut cells: BTreeMap<Field, String>) -> Result<Change, Refusal> {
        let product = parse_id("product", &cells.remove(&Field::Product).unwrap_or_default())?;
        let price = cells.remove(&Field::Price);
        let price = price.map(|text| Price::parse("price", &text)).transpose()?;
        let number = |field: &'static str, text: Option<String>| {
            let whole = |text: String| {
                text.parse::<i64>().map_err(|_| {
                    Refusal::invalid(field, "bad_quantity", "not a whole number", "不是整数")
                })
            };
            text.map(whole).transpose()
        };
        let stock = number("stock", cells.remove(&Field::Stock))?;
        let delta = number("delta", cells.remove(&Field::Delta))?;
        let stock = match (stock, delta) {
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid(
                    "delta",
                    "stock_and_delta",
                    "a row says how many there are or how many came, not both",
                    "一行只能有库存或增减之一",
                ));
            }
            (Some(quantity), None) => Some(Move::To(quantity)),
            (None, delta) => delta.map(Move::By),
        };
        let moment = |field, text: Option<String>| text.map(|text| time(field, &text)).transpose();
        let observed_at = moment("observed_at", cells.remove(&Field::ObservedAt))?;
        let ends_at = moment("clearance_ends", cells.remove(&Field::ClearanceEnds))?;
        let clearance = match cells.remove(&Field::ClearancePrice) {
            None if ends_at.is_some() => {
                return Err(Refusal::invalid(
                    "clearance_ends",
                    "missing_field",
                    "a clearance has a price: clearance_price",
                    "清仓需要价格：clearance_price",
                ));
            }
            None => None,
            Some(text) => {
                let price = Price::parse("clearance_price", &text)?;
                Some(NewClearance { price, starts_at: None, ends_at, confirmed: false })
            }
        };
        Ok(Change { line, product, price, stock, clearance, observed_at, cells })
    }

    /// Does what the row asks for, or nothing of it; false if all of it was so
    /// already.
    pub fn try_apply(
        &self,
        tx: &mut Tx<'_>,
        order: &Order,
        offers: &mut Offers,
    ) -> events::Result<events::Result<bool>> {
        // Whatever becomes of it, what was looked up holds no longer than this row.
        let offer = offers.0.remove(&self.product);
        if let Some(price) = self.only_price() {
            return tx.consider(|tx| self.reprice(tx, order, offer, price));
        }
        let steps = [self.price.is_some(), self.stock.is_some(), self.clearance.is_some()];
        if !self.describes() && steps.iter().filter(|step| **step).count() < 2 {
            // One step is refused before it writes.
            return tx.consider(|tx| self.apply(tx, order));
        }
        tx.attempt(|tx| self.apply(tx, order))
    }

    /// The new price, if the row asks for nothing else.
    fn only_price(&self) -> Option<Price> {
        let alone = self.stock.is_none() && self.clearance.is_none() && !self.describes();
        self.price.filter(|_| alone)
    }

    fn reprice(
        &self,
        tx: &mut Tx<'_>,
        order: &Order,
        offer: Option<Offer>,
        price: Price,
    ) -> events::Result<bool> {
        let offer = match offer {
            Some(offer) => {
                require_offered(&order.writer, &offer)?;
                offer
            }
            None => offered(tx, &order.writer, &self.product)?,
        };
        let receipt = prices::set_offered(tx, &order.writer, &offer, price, &self.terms(order))?;
        Ok(receipt.is_some())
    }

    fn terms(&self, order: &Order) -> Terms {
        let (confirmed, observed_at) = (order.consent.confirmed, self.observed_at);
        Terms { confirmed, observed_at, source: "import" }
    }

    fn describes(&self) -> bool {
        self.cells.keys().any(|field| DESCRIBING.contains(field))
    }

    fn apply(&self, tx: &mut Tx<'_>, order: &Order) -> events::Result<bool> {
        let describes = self.describes();
        let found = store::find(tx.read(), &self.product)?;
        let mut changed = false;
        let mut product = match found {
            None if !self.cells.contains_key(&Field::Name) => {
                return Err(unknown_product(tx.read(), "product", &self.product)?.into());
            }
            None => {
                let new = self.described(NewProduct::default());
                let listed = listings::create(tx, &order.writer, &new.check(tx.now())?)?;
                changed |= listed.receipt.is_some();
                listed.product
            }
            Some(product) if describes => {
                let mut new = self.described(description(&product));
                if self.cells.contains_key(&Field::Unit) {
                    // What the new unit weighs, and what it costs, the row says.
                    if !self.cells.contains_key(&Field::GramsPerUnit) {
                        new.grams_per_unit = None;
                    }
                    new.price = self.price.map(|price| price.to_string());
                    new.stock = self.stock.and_then(|change| match change {
                        Move::To(quantity) => Some(quantity),
                        Move::By(_) => None,
                    });
                }
                let details = new.check(tx.now())?;
                let listed = listings::replace(tx, &order.writer, &details, order.consent)?;
                changed |= listed.receipt.is_some();
                listed.product
            }
            Some(product) => product,
        };
        if self.price.is_some() || self.stock.is_some() {
            require_own(&order.writer, &product)?;
            require_listed(&product)?;
        }
        if let Some(price) = self.price {
            let set = prices::set_on(tx, &order.writer, product, price, &self.terms(order))?;
            changed |= set.receipt.is_some();
            product = set.product;
        }
        if let Some(change) = self.stock {
            let terms = stock::Terms { note: None, forced: order.consent.forced };
            let set = stock::set_on(tx, &order.writer, product, change, &terms)?;
            changed |= set.receipt.is_some();
        }
        if let Some(new) = &self.clearance {
            let new = NewClearance { confirmed: order.consent.confirmed, ..new.clone() };
            let put = clearance::put(tx, &order.writer, &self.product, &new);
            changed |= put.map_err(as_column)?.changed;
        }
        Ok(changed)
    }

    /// `base` with what the row says instead.
    fn described(&self, mut base: NewProduct) -> NewProduct {
        base.id = Some(self.product.clone());
        for (field, value) in &self.cells {
            let value = Some(value.clone());
            match field {
                Field::Name => base.name = value,
                Field::NameEn => base.name_en = value,
                Field::Category => base.category = value,
                Field::Market => base.market = value,
                Field::Unit => base.unit = value,
                Field::GramsPerUnit => {
                    base.grams_per_unit = value.and_then(|text| text.parse().ok())
                }
                Field::PriceType => base.price_type = value,
                Field::Brand => base.brand = value,
                Field::Variety => base.variety = value,
                Field::Recipe => base.recipe = value,
                Field::Origin => base.origin = value,
                Field::Grade => base.grade = value,
                Field::Vintage => base.vintage = value.and_then(|text| text.parse().ok()),
                Field::Batch => base.batch = value,
                Field::Form => base.form = value,
                Field::Harvest => base.harvest = value,
                Field::Storage => base.storage = value,
                Field::Note => base.note = value,
                Field::Merchant => base.merchant = value,
                Field::Product
                | Field::Price
                | Field::Stock
                | Field::Delta
                | Field::ObservedAt
                | Field::ClearancePrice
                | Field::ClearanceEnds => {}
            }
        }
        base
    }
}

/// Names the column that is to blame, where a clearance is.
fn as_column(err: events::Error) -> events::Error {
    match err {
        events::Error::Refused(refusal) => {
            let field = refusal.field.map(|field| match &*field {
                "price" => "clearance_price".to_owned(),
                "ends_at" => "clearance_ends".to_owned(),
                _ => field,
            });
            events::Error::Refused(Refusal { field, ..refusal })
        }
        err => err,
    }
}

/// A product's description as a merchant would write it.
fn description(product: &Product) -> NewProduct {
    let product = product.clone();
    NewProduct {
        id: Some(product.id),
        name: Some(product.name),
        category: Some(product.category),
        market: Some(product.market),
        unit: Some(product.unit),
        grams_per_unit: Some(product.grams_per_unit),
        merchant: None,
        name_en: product.name_en,
        price: None,
        price_type: Some(product.price_type),
        stock: None,
        brand: product.brand,
        variety: product.variety,
        recipe: product.recipe,
        origin: product.origin,
        grade: product.grade,
        vintage: product.vintage,
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
