//! The catalogue the demo opens with: invented merchants on real markets, and
//! 200 listings that read like the trade's own. No price in it is market data.

use serde::Deserialize;

/// `catalogue.json`. Its merchants and markets are there to be checked against.
#[derive(Clone, Debug, Deserialize)]
pub struct Catalogue {
    /// Who sells.
    #[cfg(test)]
    pub merchants: Vec<SeedMerchant>,
    /// Where.
    #[cfg(test)]
    pub markets: Vec<SeedMarket>,
    /// What, the best known tea of each category first.
    pub products: Vec<SeedProduct>,
}

/// A merchant of the demo.
#[cfg(test)]
#[derive(Clone, Debug, Deserialize)]
pub struct SeedMerchant {
    /// `m-lin`.
    pub id: String,
}

/// A market of the demo, with the fields `GET /v1/markets` shows.
#[cfg(test)]
#[derive(Clone, Debug, Deserialize)]
pub struct SeedMarket {
    /// `fangcun`.
    pub id: String,
    /// `sales` or `origin`.
    pub kind: String,
}

/// A product of the demo: the body of `POST /v1/products`, field by field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // They are named and explained in the HTTP interface.
pub struct SeedProduct {
    pub id: String,
    pub name: String,
    pub name_en: Option<String>,
    pub category: String,
    pub market: String,
    pub merchant: String,
    pub unit: String,
    pub grams_per_unit: Option<i64>,
    pub grams_per_piece: Option<i64>,
    pub pieces_per_tong: Option<i64>,
    pub tongs_per_case: Option<i64>,
    /// Yuan per unit, two decimals.
    pub price: Option<String>,
    pub price_type: Option<String>,
    /// Grams for loose units, else pieces.
    pub stock: Option<i64>,
    pub brand: Option<String>,
    pub variety: Option<String>,
    pub recipe: Option<String>,
    pub origin: Option<String>,
    pub grade: Option<String>,
    pub vintage: Option<i32>,
    pub batch: Option<String>,
    pub form: Option<String>,
    pub harvest: Option<String>,
    pub storage: Option<String>,
    pub note: Option<String>,
}

impl SeedProduct {
    /// The price in fen; none if there is none, or none that can be read.
    pub fn price_fen(&self) -> Option<i64> {
        let (yuan, fen) = self.price.as_deref()?.split_once('.')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if fen.len() != 2 || !digits(fen) || !digits(yuan) {
            return None;
        }
        yuan.parse::<i64>().ok()?.checked_mul(100)?.checked_add(fen.parse().ok()?)
    }

    /// Grams in one unit.
    pub fn grams(&self) -> i64 {
        self.grams_per_unit.unwrap_or(match self.unit.as_str() {
            "kg" => 1000,
            "liang" => 50,
            "gram" => 1,
            _ => 500,
        })
    }

    /// How much goes over the counter at once, counted as `stock` is: nobody
    /// breaks open a tong that is sold whole.
    pub fn stock_step(&self) -> i64 {
        let tong = self.pieces_per_tong.unwrap_or(1);
        match self.unit.as_str() {
            "jin" | "kg" | "liang" => self.grams(),
            "gram" => 10,
            "tong" => tong,
            "case" => tong * self.tongs_per_case.unwrap_or(1),
            _ => 1,
        }
    }
}

/// The demo's catalogue.
pub fn catalogue() -> Catalogue {
    serde_json::from_str(include_str!("catalogue.json"))
        .expect("catalogue.json is compiled in and its tests read it")
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn is_id(id: &str) -> bool {
        let alnum = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        id.len() <= 64
            && id.as_bytes().first().is_some_and(alnum)
            && id.bytes().all(|b| alnum(&b) || b == b'.' || b == b'-')
    }

    #[test]
    fn every_listing_is_one_the_service_would_take() {
        let all = catalogue();
        let markets: HashSet<_> = all.markets.iter().map(|m| m.id.as_str()).collect();
        let merchants: HashSet<_> = all.merchants.iter().map(|m| m.id.as_str()).collect();
        assert_eq!((all.markets.len(), all.merchants.len()), (markets.len(), merchants.len()));
        assert!(
            all.markets.iter().all(|m| is_id(&m.id) && ["sales", "origin"].contains(&&*m.kind))
        );
        assert!(all.merchants.iter().all(|m| is_id(&m.id)));

        let mut ids = HashSet::new();
        for p in &all.products {
            assert!(is_id(&p.id) && ids.insert(&p.id), "{}", p.id);
            assert!(markets.contains(p.market.as_str()), "{}: {}", p.id, p.market);
            assert!(merchants.contains(p.merchant.as_str()), "{}: {}", p.id, p.merchant);
            assert!(p.price_fen().is_some_and(|fen| fen > 0), "{}: {:?}", p.id, p.price);
            let stock = p.stock.unwrap_or(-1);
            assert!(stock >= p.stock_step() && stock % p.stock_step() == 0, "{}: {stock}", p.id);
            assert!(p.grams() > 0 && !p.name.is_empty() && p.name_en.is_some(), "{}", p.id);
        }
        assert_eq!(ids.len(), 200);
    }

    #[test]
    fn a_pack_weighs_what_is_in_it() {
        for p in &catalogue().products {
            let grams = match p.unit.as_str() {
                "jin" | "kg" => continue,
                "tong" | "case" => p.grams_per_piece.unwrap_or(0) * p.stock_step(),
                _ => p.grams_per_piece.or(p.grams_per_unit).unwrap_or(0),
            };
            assert_eq!(p.grams_per_unit, Some(grams), "{}", p.id);
        }
    }

    #[test]
    fn every_category_is_there() {
        let all = catalogue();
        for category in
            ["green", "white", "yellow", "oolong", "black", "dark", "dark.puer", "scented", "other"]
        {
            let n = all.products.iter().filter(|p| p.category == category).count();
            assert!(n >= 5, "{n} in {category}");
        }
    }

    /// A price reference wants five values besides one's own, each from
    /// another merchant.
    #[test]
    fn enough_teas_are_sold_by_six_merchants() {
        let all = catalogue();
        let mut teas: HashMap<_, HashSet<&str>> = HashMap::new();
        for p in &all.products {
            let what = (&p.category, &p.variety, &p.recipe, &p.origin, &p.grade, p.vintage);
            let piece = p.grams_per_piece.or(p.grams_per_unit);
            teas.entry((what, &p.batch, &p.form, piece)).or_default().insert(&p.merchant);
        }
        assert!(teas.values().filter(|merchants| merchants.len() >= 6).count() >= 6);
    }
}
