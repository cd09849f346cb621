//! What a column may be called: the names of the interface, and those that
//! merchants and their programs write, in Chinese and English.

use std::fmt;
use std::str::FromStr;
use unicode_normalization::UnicodeNormalization;

/// Something a merchant's file may tell about a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the field of the same name in docs/api.md")]
pub enum Field {
    Product,
    Name,
    NameEn,
    Category,
    Market,
    Unit,
    GramsPerUnit,
    Price,
    PriceType,
    Stock,
    Delta,
    Brand,
    Variety,
    Recipe,
    Origin,
    Grade,
    Vintage,
    Batch,
    Form,
    Harvest,
    Storage,
    Note,
    Merchant,
    ObservedAt,
    ClearancePrice,
    ClearanceEnds,
}

/// Each field, its name in the interface, and what else its column may be
/// called. The other names are written as [`squeeze`] leaves them.
const COLUMNS: [(Field, &str, &[&str]); 26] = [
    (
        Field::Product,
        "product",
        &[
            "货号",
            "编号",
            "编码",
            "商品编号",
            "商品编码",
            "产品编号",
            "产品编码",
            "商品货号",
            "sku",
            "id",
            "productid",
            "productcode",
            "itemno",
            "code",
        ],
    ),
    (
        Field::Name,
        "name",
        &["名称", "品名", "商品名称", "产品名称", "商品名", "茶名", "中文名", "productname"],
    ),
    (Field::NameEn, "name_en", &["英文名", "英文名称", "englishname", "nameenglish"]),
    (Field::Category, "category", &["类别", "分类", "茶类", "品类", "种类", "teatype"]),
    (Field::Market, "market", &["市场", "茶市", "批发市场", "所在市场"]),
    (Field::Unit, "unit", &["单位", "计价单位", "销售单位"]),
    (
        Field::GramsPerUnit,
        "grams_per_unit",
        &["每单位克数", "单位克数", "克重", "克数", "净含量", "单位重量", "grams"],
    ),
    (
        Field::Price,
        "price",
        &["价格", "单价", "售价", "批发价", "零售价", "现价", "报价", "销售价", "unitprice"],
    ),
    (Field::PriceType, "price_type", &["价格类型", "价格类别", "报价类型", "价型"]),
    (
        Field::Stock,
        "stock",
        &[
            "库存",
            "数量",
            "现货",
            "库存数量",
            "库存量",
            "现有库存",
            "现货数量",
            "quantity",
            "qty",
            "instock",
            "inventory",
        ],
    ),
    (Field::Delta, "delta", &["增减", "变动", "库存变动", "库存增减", "stockchange"]),
    (Field::Brand, "brand", &["品牌", "厂家", "茶厂"]),
    (Field::Variety, "variety", &["品种", "茶树品种", "cultivar"]),
    (Field::Recipe, "recipe", &["唛号", "麦号", "配方"]),
    (Field::Origin, "origin", &["产地", "产区", "原产地"]),
    (Field::Grade, "grade", &["等级", "级别"]),
    (Field::Vintage, "vintage", &["年份", "生产年份", "year"]),
    (Field::Batch, "batch", &["批次", "批号", "lot"]),
    (Field::Form, "form", &["形态", "规格", "形状", "shape"]),
    (Field::Harvest, "harvest", &["采摘", "季节", "采摘季节", "采季", "茶季", "season"]),
    (Field::Storage, "storage", &["仓储", "存储", "仓储条件"]),
    (Field::Note, "note", &["备注", "说明", "附注", "notes", "remark", "remarks", "comment"]),
    (Field::Merchant, "merchant", &["商家", "商户", "商家编号", "店铺", "seller"]),
    (
        Field::ObservedAt,
        "observed_at",
        &["时间", "日期", "报价时间", "报价日期", "观察时间", "date", "time", "observed"],
    ),
    (Field::ClearancePrice, "clearance_price", &["清仓价", "清仓价格", "特价", "促销价"]),
    (
        Field::ClearanceEnds,
        "clearance_ends",
        &["清仓截止", "清仓结束", "清仓截止时间", "清仓结束时间", "特价截止", "clearanceendsat"],
    ),
];

/// The longest header that is looked at; none that is known comes near.
const MAX_HEADER_CHARS: usize = 64;

impl Field {
    /// Its name in the interface: `grams_per_unit`.
    pub fn name(self) -> &'static str {
        COLUMNS.iter().find(|(field, ..)| *field == self).map_or("", |(_, name, _)| name)
    }
}

impl Field {
    /// Its name in Chinese, as most merchants write it.
    pub fn chinese(self) -> &'static str {
        let column = COLUMNS.iter().find(|(field, ..)| *field == self);
        column.and_then(|(_, _, others)| others.first()).copied().unwrap_or(self.name())
    }
}

/// The text is the name of no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no field has this name")]
pub struct UnknownField;

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(name: &str) -> Result<Field, UnknownField> {
        let column = COLUMNS.iter().find(|(_, known, _)| *known == name);
        column.map(|(field, ..)| *field).ok_or(UnknownField)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one cell of the header line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heading {
    /// A column of this field.
    Known(Field),
    /// Nothing this service reads.
    Unknown,
    /// The field, but counted in a unit of its own, as in `单价(元/公斤)`.
    Measured(Field),
}

/// Reads one cell of the header line.
///
/// A remark in brackets does not matter, as in `名称(必填)`. On a price or a
/// quantity it does: `单价(元/公斤)` on a product sold by the jin would be wrong
/// by half, so only the currency is passed over.
pub(super) fn heading(cell: &str) -> Heading {
    if cell.chars().count() > MAX_HEADER_CHARS {
        return Heading::Unknown;
    }
    let key = squeeze(cell);
    if let Some(field) = lookup(&key) {
        return Heading::Known(field);
    }
    let Some((name, remark)) = key.strip_suffix(')').and_then(|key| key.split_once('(')) else {
        return Heading::Unknown;
    };
    let Some(field) = lookup(name) else { return Heading::Unknown };
    let harmless = match field {
        Field::Price | Field::ClearancePrice => {
            ["元", "人民币", "¥", "cny", "rmb", "yuan", "必填", "选填"].contains(&remark)
        }
        Field::Stock | Field::Delta => ["必填", "选填"].contains(&remark),
        _ => true,
    };
    if harmless { Heading::Known(field) } else { Heading::Measured(field) }
}

/// Whether the cell is a known name with something glued to its end, as
/// `price7542` is where a line break was lost.
pub(super) fn is_glued(cell: &str) -> bool {
    // The value may be long; the name in front of it is not.
    let head: String = cell.chars().take(MAX_HEADER_CHARS).collect();
    let key = squeeze(&head);
    let glued = |name: &str| key.len() > name.len() && key.starts_with(name);
    heading(&head) == Heading::Unknown
        && COLUMNS.iter().any(|(_, name, others)| {
            glued(&squeeze(name)) || others.iter().any(|other| glued(other))
        })
}

/// The fields with the names most used for each, for whoever has to be told.
pub(super) fn understood() -> String {
    let names = COLUMNS.iter().map(|(_, name, others)| match others.first() {
        Some(other) => format!("{name} {other}"),
        None => (*name).to_owned(),
    });
    names.collect::<Vec<_>>().join(", ")
}

fn lookup(key: &str) -> Option<Field> {
    let is_key = |name: &str| name == key || (name.contains('_') && squeeze(name) == key);
    let column = COLUMNS.iter().find(|(_, name, others)| is_key(name) || others.contains(&key));
    column.map(|(field, ..)| *field)
}

/// One spelling for all that differ only in width, case, blanks and marks:
/// `Grams per-unit`, `ＧＲＡＭＳ_PER_UNIT` and `*grams per unit:`.
fn squeeze(name: &str) -> String {
    let ignored = |c: &char| c.is_whitespace() || "_-*:\u{feff}\u{200b}".contains(*c);
    name.nfkc().flat_map(char::to_lowercase).filter(|c| !ignored(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_field_once_and_no_name_twice() {
        let mut names = Vec::new();
        for (field, name, others) in COLUMNS {
            assert_eq!(name.parse(), Ok(field));
            assert_eq!(field.name(), name);
            assert_eq!(heading(name), Heading::Known(field), "{name}");
            names.push(squeeze(name));
            for other in others {
                assert_eq!(squeeze(other), *other, "written as squeeze leaves it");
                assert_eq!(heading(other), Heading::Known(field), "{other}");
                names.push((*other).to_owned());
            }
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_header_is_known_however_it_is_spelled() {
        for (cell, field) in [
            (" Price ", Field::Price),
            ("ＳＫＵ", Field::Product),
            ("Grams per unit", Field::GramsPerUnit),
            ("Name-EN", Field::NameEn),
            ("*货号：", Field::Product),
            ("价　格", Field::Price),
            ("单价（元）", Field::Price),
            ("price (CNY)", Field::Price),
            ("名称(必填)", Field::Name),
            ("库存（必填）", Field::Stock),
            ("净含量(g)", Field::GramsPerUnit),
        ] {
            assert_eq!(heading(cell), Heading::Known(field), "{cell}");
        }
        for cell in ["", "序号", "进价", "原价", "pricey", "(price)", "price\0", &"价".repeat(65)]
        {
            assert_eq!(heading(cell), Heading::Unknown, "{cell}");
        }
    }

    #[test]
    fn a_price_or_a_quantity_in_a_unit_of_its_own_is_not_taken_for_a_plain_one() {
        assert_eq!(heading("单价（元/公斤）"), Heading::Measured(Field::Price));
        assert_eq!(heading("库存(件)"), Heading::Measured(Field::Stock));
    }

    #[test]
    fn a_value_glued_to_a_name_is_seen() {
        for cell in ["price7542-2003", "价格７５４２", "name_en龙井", "price\"7542"] {
            assert!(is_glued(cell), "{cell}");
        }
        for cell in ["price", "货号", "单价(元/斤)", "128.00", "序号"] {
            assert!(!is_glued(cell), "{cell}");
        }
    }
}
