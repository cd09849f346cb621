use super::Traits;
use crate::catalogue::Product;
use crate::clock::{Millis, business_day};

/// How much alike teas are, beside their category and name, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In origin, grade, year, batch, form and weight of a piece.
    Same,
    /// The same but for the batch.
    AnyBatch,
    /// From the same province, of about the same year or season.
    Near,
    /// In nothing else.
    Name,
}

impl Tier {
    /// All of them.
    pub const ALL: [Tier; 4] = [Tier::Same, Tier::AnyBatch, Tier::Near, Tier::Name];

    /// As it is answered.
    pub fn number(self) -> i64 {
        match self {
            Tier::Same => 1,
            Tier::AnyBatch => 2,
            Tier::Near => 3,
            Tier::Name => 4,
        }
    }

    /// Whether a tea of `category` that is `own` is so much like one that is `other`.
    pub fn takes(self, category: &str, own: &Traits, other: &Traits) -> bool {
        let rest = own.grade == other.grade && own.form == other.form && own.piece == other.piece;
        match self {
            Tier::Same => own == other,
            Tier::AnyBatch => {
                let any = |it: &Traits| Traits { batch: None, ..it.clone() };
                any(own) == any(other)
            }
            Tier::Near => {
                rest && province(own.origin.as_deref()) == province(other.origin.as_deref())
                    && about_the_time(category, own, other)
            }
            Tier::Name => true,
        }
    }
}

/// Whether two teas are of about the same time: pressed and white teas within
/// a year of each other, greens of one season, others of one year.
fn about_the_time(category: &str, own: &Traits, other: &Traits) -> bool {
    match category {
        "dark.puer" | "white" => match (own.vintage, other.vintage) {
            (Some(own), Some(other)) => (own - other).abs() <= 1,
            (own, other) => own == other,
        },
        "green" => own.harvest == other.harvest,
        _ => own.vintage == other.vintage,
    }
}

/// The provinces that tea comes from, as origins begin with them.
const PROVINCES: [&str; 20] = [
    "浙江", "福建", "云南", "安徽", "江苏", "四川", "河南", "湖南", "湖北", "广东", "广西", "贵州",
    "江西", "山东", "陕西", "重庆", "海南", "台湾", "甘肃", "西藏",
];

/// The province of an origin; all of it, if it names none.
fn province(origin: Option<&str>) -> Option<&str> {
    let origin = origin?;
    Some(PROVINCES.into_iter().find(|province| origin.starts_with(province)).unwrap_or(origin))
}

/// What a tea is called whoever sells it, and whether that is a recipe.
pub(super) fn name(product: &Product) -> Option<(&str, bool)> {
    let recipe = product.recipe.as_deref().map(|recipe| (recipe, true));
    recipe.or(product.variety.as_deref().map(|variety| (variety, false)))
}

/// How many days a price counts: greens get cheaper by the week in spring.
pub(super) fn fresh_days(category: &str, now: Millis) -> i64 {
    let day = business_day(now);
    let spring = matches!(day.get(5..7), Some("03" | "04" | "05"));
    if category == "green" && spring { 7 } else { 30 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse;

    fn cake() -> Traits {
        Traits {
            origin: Some("云南勐海".to_owned()),
            grade: None,
            vintage: Some(2003),
            batch: Some("301".to_owned()),
            form: Some("饼".to_owned()),
            harvest: None,
            piece: Some(357),
        }
    }

    fn tier(category: &str, own: &Traits, other: &Traits) -> i64 {
        let takes = |tier: &Tier| tier.takes(category, own, other);
        Tier::ALL.into_iter().find(takes).map_or(0, Tier::number)
    }

    #[test]
    fn teas_are_alike_by_degrees() {
        let own = cake();
        assert_eq!(tier("dark.puer", &own, &cake()), 1);
        let batch = Traits { batch: Some("302".to_owned()), ..cake() };
        assert_eq!(tier("dark.puer", &own, &batch), 2);
        let year = Traits { vintage: Some(2004), ..batch.clone() };
        assert_eq!(tier("dark.puer", &own, &year), 3);
        let county = Traits { origin: Some("云南昆明".to_owned()), ..batch.clone() };
        assert_eq!(tier("dark.puer", &own, &county), 3);
        for other in [
            Traits { vintage: Some(2005), ..cake() },
            Traits { vintage: None, ..cake() },
            Traits { origin: Some("福建".to_owned()), ..cake() },
            Traits { piece: Some(400), ..cake() },
            Traits { form: Some("砖".to_owned()), ..cake() },
            Traits { grade: Some("1".to_owned()), ..cake() },
        ] {
            assert_eq!(tier("dark.puer", &own, &other), 4, "{other:?}");
        }
        assert_eq!(tier("oolong", &own, &year), 4, "a year more is another oolong");
        let green = |harvest: &str, vintage| Traits {
            origin: Some("浙江新昌".to_owned()),
            harvest: Some(harvest.to_owned()),
            vintage: Some(vintage),
            ..Traits::default()
        };
        assert_eq!(tier("green", &green("明前", 2026), &green("明前", 2025)), 3);
        assert_eq!(tier("green", &green("明前", 2026), &green("雨前", 2026)), 4);
    }

    #[test]
    fn greens_age_faster_in_spring() {
        let at = |text| parse(text).expect("a time");
        assert_eq!(fresh_days("green", at("2026-03-01T00:00:00+08:00")), 7);
        assert_eq!(fresh_days("green", at("2026-05-31T23:59:59+08:00")), 7);
        assert_eq!(fresh_days("green", at("2026-06-01T00:00:00+08:00")), 30);
        assert_eq!(fresh_days("dark.puer", at("2026-04-01T00:00:00+08:00")), 30);
    }
}
