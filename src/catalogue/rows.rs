use crate::clock::Millis;
use crate::db::schema::products;
use diesel::prelude::*;

/// One merchant's listing of a tea in one market: one price, one stock.
#[derive(Clone, Debug, PartialEq, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = products, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct Product {
    pub id: String,
    pub merchant: String,
    pub market: String,
    pub category: String,
    pub name: String,
    pub name_en: Option<String>,
    pub brand: Option<String>,
    /// The cultivar or the name of the tea, whoever sells it.
    pub variety: Option<String>,
    /// 唛号: the number of a pu'er recipe.
    pub recipe: Option<String>,
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i64>,
    /// 批次: which production of a year.
    pub batch: Option<String>,
    pub form: Option<String>,
    pub harvest: Option<String>,
    pub storage: Option<String>,
    pub note: Option<String>,
    pub unit: String,
    pub grams_per_unit: i64,
    pub pieces_per_tong: Option<i64>,
    pub tongs_per_case: Option<i64>,
    pub grams_per_piece: Option<i64>,
    /// `wholesale`, `retail` or `buy_in`.
    pub price_type: String,
    /// Fen a unit; none until a price was set.
    pub price: Option<i64>,
    pub price_at: Option<Millis>,
    /// Grams or pieces; none while it is unknown.
    pub stock: Option<i64>,
    pub stock_at: Option<Millis>,
    /// `listed` or `withdrawn`.
    pub status: String,
    /// Grows with every change.
    pub version: i64,
    pub created: Millis,
    pub updated: Millis,
    /// Of the stock, what is promised to somebody.
    pub reserved: i64,
}

/// What a price is asked for: of a product the columns that a change of its
/// price needs, since it is looked up for every one.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = products)]
#[allow(missing_docs)]
pub struct Offer {
    pub id: String,
    pub merchant: String,
    pub market: String,
    pub category: String,
    pub name: String,
    pub form: Option<String>,
    pub unit: String,
    pub grams_per_unit: i64,
    pub price_type: String,
    pub price: Option<i64>,
    pub status: String,
    pub version: i64,
}

/// A clearance as a product shows it.
#[derive(Clone, Debug, PartialEq, Queryable)]
#[allow(missing_docs)]
pub struct Clearance {
    pub product: String,
    /// Fen a unit.
    pub price: i64,
    pub starts_at: Millis,
    pub ends_at: Option<Millis>,
    pub active: bool,
    /// When something happens to it next by itself.
    pub due: Option<Millis>,
}

/// A place where tea is sold.
#[derive(Clone, Debug, PartialEq, Queryable)]
#[allow(missing_docs)]
pub struct Market {
    pub id: String,
    pub name: String,
    pub name_en: String,
    pub city: String,
    pub province: String,
    /// `origin`, where it grows, or `sales`.
    pub kind: String,
    /// The days of the week it is open, 1 for Monday.
    pub open_days: String,
    /// Its newest update, as it was told.
    pub latest: Option<String>,
    /// Its newest daily summary, as it was told.
    pub summary: Option<String>,
}
