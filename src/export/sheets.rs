//! What stands in each file.

use super::csv::{Cell, push_row};
use super::store::Tick;
use crate::catalogue::{Clearance, Product};
use crate::clock::rfc3339;
use crate::import::Field;
use crate::money::yuan_text;

/// In which language the columns are named; an import reads both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headers {
    English,
    Chinese,
}

impl Headers {
    fn of(self, field: Field) -> &'static str {
        match self {
            Headers::English => field.name(),
            Headers::Chinese => field.chinese(),
        }
    }

    fn pick(self, english: &'static str, chinese: &'static str) -> &'static str {
        if self == Headers::English { english } else { chinese }
    }
}

const PRODUCT_FIELDS: [Field; 23] = [
    Field::Product,
    Field::Name,
    Field::NameEn,
    Field::Category,
    Field::Market,
    Field::Unit,
    Field::GramsPerUnit,
    Field::Price,
    Field::PriceType,
    Field::Stock,
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
    Field::ClearancePrice,
    Field::ClearanceEnds,
];

pub(super) fn product_header(out: &mut String, headers: Headers) {
    push_row(out, PRODUCT_FIELDS.map(|field| headers.of(field).into()));
}

pub(super) fn product(out: &mut String, product: &Product, clearance: Option<&Clearance>) {
    let made = |text: Option<String>| text.map_or(Cell::None, Cell::Made);
    let cell = |field: &Field| match field {
        Field::Product => product.id.as_str().into(),
        Field::Name => product.name.as_str().into(),
        Field::NameEn => (&product.name_en).into(),
        Field::Category => product.category.as_str().into(),
        Field::Market => product.market.as_str().into(),
        Field::Unit => product.unit.as_str().into(),
        Field::GramsPerUnit => Cell::Number(product.grams_per_unit),
        Field::Price => made(product.price.map(yuan_text)),
        Field::PriceType => product.price_type.as_str().into(),
        Field::Stock => product.stock.into(),
        Field::Brand => (&product.brand).into(),
        Field::Variety => (&product.variety).into(),
        Field::Recipe => (&product.recipe).into(),
        Field::Origin => (&product.origin).into(),
        Field::Grade => (&product.grade).into(),
        Field::Vintage => product.vintage.into(),
        Field::Batch => (&product.batch).into(),
        Field::Form => (&product.form).into(),
        Field::Harvest => (&product.harvest).into(),
        Field::Storage => (&product.storage).into(),
        Field::Note => (&product.note).into(),
        Field::ClearancePrice => made(clearance.map(|it| yuan_text(it.price))),
        Field::ClearanceEnds => made(clearance.and_then(|it| it.ends_at).map(rfc3339)),
        Field::Delta | Field::Merchant | Field::ObservedAt => Cell::None,
    };
    push_row(out, PRODUCT_FIELDS.iter().map(cell));
}

pub(super) fn stock_header(out: &mut String, headers: Headers) {
    let columns = [
        headers.of(Field::Product),
        headers.of(Field::Stock),
        headers.pick("reserved", "预留"),
        headers.pick("available", "可用"),
        headers.pick("stock_unit", "库存单位"),
        headers.pick("stock_at", "库存时间"),
    ];
    push_row(out, columns.map(Into::into));
}

pub(super) fn stock(out: &mut String, product: &Product) {
    let cells = [
        product.id.as_str().into(),
        product.stock.into(),
        product.stock.map(|_| product.reserved).into(),
        product.available().into(),
        product.stock_unit().into(),
        product.stock_at.map_or(Cell::None, |at| Cell::Made(rfc3339(at))),
    ];
    push_row(out, cells);
}

pub(super) fn price_header(out: &mut String, headers: Headers) {
    let columns = [
        headers.of(Field::Product),
        headers.of(Field::Price),
        headers.of(Field::ObservedAt),
        headers.pick("received_at", "收到时间"),
        headers.pick("priced_unit", "当时单位"),
        headers.pick("priced_grams", "当时克数"),
        headers.pick("source", "来源"),
        headers.pick("seq", "序号"),
        headers.pick("corrects", "更正序号"),
        headers.pick("correction_note", "更正原因"),
    ];
    push_row(out, columns.map(Into::into));
}

pub(super) fn price(out: &mut String, tick: &Tick) {
    let cells = [
        tick.product.as_str().into(),
        Cell::Made(yuan_text(tick.price)),
        Cell::Made(rfc3339(tick.observed_at)),
        Cell::Made(rfc3339(tick.received_at)),
        tick.unit.as_str().into(),
        Cell::Number(tick.grams_per_unit),
        tick.source.as_str().into(),
        Cell::Number(tick.seq),
        tick.corrects.into(),
        (&tick.note).into(),
    ];
    push_row(out, cells);
}
