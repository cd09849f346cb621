use super::{Clearance, Offer, Product, Unit};
use crate::clock::{Millis, rfc3339};
use crate::money::{per_500g, yuan_text};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

impl Clearance {
    /// As a product shows it.
    pub fn json(&self) -> Value {
        json!({
            "price": yuan_text(self.price),
            "price_fen": self.price,
            "starts_at": rfc3339(self.starts_at),
            "ends_at": self.ends_at.map(rfc3339),
            "active": self.active,
        })
    }
}

impl Offer {
    /// `¥128.00/斤`, of `128.00`.
    pub fn price_text(&self, yuan: &str) -> String {
        price_text(yuan, &self.unit, self.form.as_deref())
    }
}

fn price_text(yuan: &str, unit: &str, form: Option<&str>) -> String {
    let unit = match (unit, form) {
        // A piece is a cake, a brick or a nest.
        ("piece", Some(form)) if form.chars().count() == 1 => form,
        (unit, _) => Unit::find(unit).map_or("", |unit| unit.name),
    };
    ["¥", yuan, "/", unit].concat()
}

impl Product {
    /// Whether it is still offered.
    pub fn is_listed(&self) -> bool {
        self.status == super::LISTED
    }

    /// What its stock is counted in.
    pub fn stock_unit(&self) -> &'static str {
        Unit::find(&self.unit).map_or("piece", Unit::stock_unit)
    }

    /// What is left of the stock when all promises are kept; none while the
    /// stock is unknown. A stock that was forced below what is promised has
    /// none left, not less.
    pub fn available(&self) -> Option<i64> {
        self.stock.map(|stock| (stock - self.reserved).max(0))
    }

    /// `¥128.00/斤`.
    pub fn price_text(&self, fen: i64) -> String {
        price_text(&yuan_text(fen), &self.unit, self.form.as_deref())
    }

    /// What is asked for it, and what that is told with.
    pub fn offer(&self) -> Offer {
        Offer {
            id: self.id.clone(),
            merchant: self.merchant.clone(),
            market: self.market.clone(),
            category: self.category.clone(),
            name: self.name.clone(),
            form: self.form.clone(),
            unit: self.unit.clone(),
            grams_per_unit: self.grams_per_unit,
            price_type: self.price_type.clone(),
            price: self.price,
            status: self.status.clone(),
            version: self.version,
        }
    }

    /// Which product it is, as every event about it says.
    pub fn heading(&self) -> Heading {
        Heading {
            product: self.id.clone(),
            name: self.name.clone(),
            category: self.category.clone(),
            market: self.market.clone(),
            merchant: self.merchant.clone(),
        }
    }

    /// All of it, as it is answered and told.
    pub fn json(&self, clearance: Option<&Clearance>) -> Value {
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| {
            all.insert(name.to_owned(), value);
        };
        for (name, value) in [
            ("id", Some(&self.id)),
            ("name", Some(&self.name)),
            ("name_en", self.name_en.as_ref()),
            ("category", Some(&self.category)),
            ("market", Some(&self.market)),
            ("merchant", Some(&self.merchant)),
            ("unit", Some(&self.unit)),
        ] {
            put(name, json!(value));
        }
        put("grams_per_unit", json!(self.grams_per_unit));
        put("pieces_per_tong", json!(self.pieces_per_tong));
        put("tongs_per_case", json!(self.tongs_per_case));
        put("grams_per_piece", json!(self.grams_per_piece));
        for (name, value) in [
            ("brand", &self.brand),
            ("variety", &self.variety),
            ("recipe", &self.recipe),
            ("origin", &self.origin),
            ("grade", &self.grade),
        ] {
            put(name, json!(value));
        }
        put("vintage", json!(self.vintage));
        for (name, value) in [
            ("batch", &self.batch),
            ("form", &self.form),
            ("harvest", &self.harvest),
            ("storage", &self.storage),
            ("note", &self.note),
        ] {
            put(name, json!(value));
        }
        put("price", json!(self.price.map(yuan_text)));
        put("price_fen", json!(self.price));
        put("price_text", json!(self.price.map(|fen| self.price_text(fen))));
        put("price_type", json!(self.price_type));
        put("price_at", json!(self.price_at.map(rfc3339)));
        put("per_500g_fen", json!(self.price.map(|fen| per_500g(fen, self.grams_per_unit))));
        put("stock", json!(self.stock));
        put("reserved", json!(self.stock.map(|_| self.reserved)));
        put("available", json!(self.available()));
        put("stock_unit", json!(self.stock_unit()));
        put("stock_at", json!(self.stock_at.map(rfc3339)));
        put("clearance", json!(clearance.map(Clearance::json)));
        put("status", json!(self.status));
        put("version", json!(self.version));
        put("created_at", json!(rfc3339(self.created)));
        put("updated_at", json!(rfc3339(self.updated)));
        Value::Object(all)
    }
}

/// Which product an event is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Heading {
    pub product: String,
    pub name: String,
    pub category: String,
    pub market: String,
    pub merchant: String,
}

/// Writes milliseconds as events and answers have them.
pub fn as_time<S: Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

/// The same for a time that may be missing.
pub fn as_time_opt<S: Serializer>(at: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&at.map(rfc3339))
}
