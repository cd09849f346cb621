use crate::refusal::Refusal;

/// What a price is for. 1 jin is 500 g, 1 liang 50 g; what a piece or a case
/// weighs is the product's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// As it is written.
    pub id: &'static str,
    /// In Chinese.
    pub name: &'static str,
    /// Its weight, where that is always the same.
    pub grams: Option<i64>,
}

const UNITS: [Unit; 8] = [
    Unit { id: "jin", name: "斤", grams: Some(500) },
    Unit { id: "kg", name: "公斤", grams: Some(1000) },
    Unit { id: "liang", name: "两", grams: Some(50) },
    Unit { id: "gram", name: "克", grams: Some(1) },
    Unit { id: "piece", name: "个", grams: None },
    Unit { id: "tong", name: "提", grams: None },
    Unit { id: "case", name: "件", grams: None },
    Unit { id: "box", name: "盒", grams: None },
];

impl Unit {
    /// The unit called `id`.
    ///
    /// # Errors
    /// `unknown_unit`.
    pub fn find(id: &str) -> Result<Unit, Refusal> {
        UNITS.into_iter().find(|unit| unit.id == id).ok_or_else(|| Refusal {
            class: crate::refusal::Class::Invalid,
            ..Refusal::unknown(
                "unit",
                "unknown_unit",
                ("unit", "单位"),
                id,
                UNITS.iter().map(|unit| unit.id),
            )
        })
    }

    /// What stock is counted in: grams of what is loose, else pieces.
    pub fn stock_unit(self) -> &'static str {
        if self.grams.is_some() { "gram" } else { "piece" }
    }

    /// The grams of one unit, from what the merchant said of it.
    ///
    /// # Errors
    /// `missing_field` or `bad_grams` on `grams_per_unit`.
    pub fn grams_per_unit(self, said: Option<i64>) -> Result<i64, Refusal> {
        const MOST: i64 = 10_000_000;
        match (self.grams, said) {
            (Some(grams), None) => Ok(grams),
            (Some(grams), Some(said)) if grams == said => Ok(grams),
            (None, Some(said)) if (1..=MOST).contains(&said) => Ok(said),
            (None, None) => Err(Refusal::invalid(
                "grams_per_unit",
                "missing_field",
                format!("say how many grams a {} has: grams_per_unit", self.id),
                format!("请用 grams_per_unit 说明每{}的克数", self.name),
            )),
            (grams, Some(said)) => {
                let want = grams.map_or(format!("1 to {MOST}"), |grams| grams.to_string());
                Err(Refusal::invalid(
                    "grams_per_unit",
                    "bad_grams",
                    format!("a {} cannot have {said} g; want {want}", self.id),
                    format!("每{}不可能是 {said} 克；应为 {want}", self.name),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_without_a_weight_of_its_own_needs_one() {
        let unit = |id| Unit::find(id).expect("a unit");
        assert_eq!(unit("jin").grams_per_unit(None), Ok(500));
        assert!(unit("jin").grams_per_unit(Some(600)).is_err());
        assert_eq!(unit("piece").grams_per_unit(Some(357)), Ok(357));
        assert!(unit("piece").grams_per_unit(None).is_err());
        assert!(unit("case").grams_per_unit(Some(0)).is_err());
        assert_eq!((unit("kg").stock_unit(), unit("tong").stock_unit()), ("gram", "piece"));
    }
}
