use super::text::{clean, clean_opt, id};
use super::{Category, Product, Unit};
use crate::clock::Millis;
use crate::money::Price;
use crate::names::is_name;
use crate::refusal::Refusal;
use serde::Deserialize;

/// The most of a stock, in grams or pieces.
pub const MOST_STOCK: i64 = 1_000_000_000_000;

/// A product as a merchant writes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct NewProduct {
    pub id: Option<String>,
    pub name: Option<String>,
    pub category: Option<String>,
    pub market: Option<String>,
    pub unit: Option<String>,
    pub grams_per_unit: Option<i64>,
    pub merchant: Option<String>,
    pub name_en: Option<String>,
    pub price: Option<String>,
    pub price_type: Option<String>,
    pub stock: Option<i64>,
    pub brand: Option<String>,
    pub variety: Option<String>,
    pub recipe: Option<String>,
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i64>,
    pub batch: Option<String>,
    pub form: Option<String>,
    pub harvest: Option<String>,
    pub storage: Option<String>,
    pub note: Option<String>,
    pub pieces_per_tong: Option<i64>,
    pub tongs_per_case: Option<i64>,
    pub grams_per_piece: Option<i64>,
}

/// A product that may be stored: everything about it but whose it is and
/// whether its market exists has been looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    /// What is to be stored; its price and stock are in `price` and `stock`.
    pub product: Product,
    /// Its price, if one was given.
    pub price: Option<Price>,
    /// Its stock, if it was given.
    pub stock: Option<i64>,
    /// The merchant that was named, if one was.
    pub merchant: Option<String>,
}

impl NewProduct {
    /// Looks at every field.
    ///
    /// # Errors
    /// The first field that is missing or of no use.
    pub fn check(self, now: Millis) -> Result<Details, Refusal> {
        let product_id = id("id", &needed("id", self.id)?)?;
        let name = clean("name", &needed("name", self.name)?, 120)?;
        let category = Category::find(&needed("category", self.category)?)?;
        let market = needed("market", self.market)?;
        let unit = Unit::find(&needed("unit", self.unit)?)?;
        let price_type = self.price_type.unwrap_or_else(|| "wholesale".to_owned());
        if !["wholesale", "retail", "buy_in"].contains(&&*price_type) {
            return Err(Refusal::invalid(
                "price_type",
                "bad_price_type",
                "a price type is wholesale, retail or buy_in",
                "价格类型应为 wholesale、retail 或 buy_in",
            ));
        }
        let price = self.price.as_deref().map(|text| Price::parse("price", text)).transpose()?;
        let word =
            |field: &'static str, text: &Option<String>| clean_opt(field, text.as_deref(), 64);
        let product = Product {
            id: product_id,
            merchant: String::new(),
            market,
            category: category.id.to_owned(),
            name,
            name_en: clean_opt("name_en", self.name_en.as_deref(), 120)?,
            brand: word("brand", &self.brand)?,
            variety: word("variety", &self.variety)?,
            recipe: word("recipe", &self.recipe)?,
            origin: word("origin", &self.origin)?,
            grade: word("grade", &self.grade)?,
            vintage: within("vintage", self.vintage, 1800, 2200)?,
            batch: word("batch", &self.batch)?,
            form: word("form", &self.form)?,
            harvest: word("harvest", &self.harvest)?,
            storage: word("storage", &self.storage)?,
            note: clean_opt("note", self.note.as_deref(), 500)?,
            unit: unit.id.to_owned(),
            grams_per_unit: unit.grams_per_unit(self.grams_per_unit)?,
            pieces_per_tong: within("pieces_per_tong", self.pieces_per_tong, 1, 1000)?,
            tongs_per_case: within("tongs_per_case", self.tongs_per_case, 1, 1000)?,
            grams_per_piece: within("grams_per_piece", self.grams_per_piece, 1, 1_000_000)?,
            price_type,
            price: None,
            price_at: None,
            stock: None,
            stock_at: None,
            status: "listed".to_owned(),
            version: 1,
            created: now,
            updated: now,
            reserved: 0,
        };
        let stock = within("stock", self.stock, 0, MOST_STOCK)?;
        let merchant = self.merchant.map(|name| merchant_id(&name)).transpose()?;
        Ok(Details { product, price, stock, merchant })
    }
}

/// The id of a merchant: as tokens may name one.
///
/// # Errors
/// `bad_id`.
pub fn merchant_id(text: &str) -> Result<String, Refusal> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Refusal::invalid(
        "merchant",
        "bad_id",
        "a merchant's id has 1 to 64 letters, digits and . _ ~ @ -",
        "商家编号应为 1 到 64 个字母、数字或 . _ ~ @ -",
    ))
}

fn needed(field: &'static str, value: Option<String>) -> Result<String, Refusal> {
    value.ok_or_else(|| {
        Refusal::invalid(
            field,
            "missing_field",
            format!("the field `{field}` is needed"),
            format!("缺少字段“{field}”"),
        )
    })
}

/// Refuses a number that is not between `min` and `max`.
pub fn within(
    field: &'static str,
    value: Option<i64>,
    min: i64,
    max: i64,
) -> Result<Option<i64>, Refusal> {
    match value {
        Some(value) if !(min..=max).contains(&value) => Err(Refusal::invalid(
            field,
            "out_of_range",
            format!("`{field}` is {value}; want {min} to {max}"),
            format!("“{field}”为 {value}；应为 {min} 到 {max}"),
        )),
        value => Ok(value),
    }
}
