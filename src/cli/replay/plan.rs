//! A CSV read into what to send, before anything is sent: which products,
//! which writes in which order, and what is wrong with which line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use csv::{ByteRecord, ReaderBuilder};

use super::decimal::{Decimal, yuan};
use super::file::{self, Columns, Error, Shape, moment, slug};

/// How to read the file; what is none is found in the header.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The shape.
    pub shape: Option<Shape>,
    /// The columns, by name.
    pub columns: Columns<String>,
    /// Every price is multiplied by it.
    pub factor: Option<Decimal>,
}

/// What to send, in order.
#[derive(Debug)]
pub struct Plan {
    /// The shape that was found.
    pub shape: Shape,
    /// What has to be listed first.
    pub products: Vec<Product>,
    /// The writes.
    pub steps: Vec<Step>,
    /// What is wrong with the file, in the order of its lines.
    pub dirt: Vec<Dirt>,
    /// Rows, whether good or not.
    pub rows: u64,
}

/// A product as the file knows it.
#[derive(Debug, Eq, PartialEq)]
pub struct Product {
    /// Its id in the service.
    pub id: String,
    /// The first description that is one, else what the file calls it.
    pub name: String,
    /// Where the file first mentions it.
    pub line: u64,
}

/// One write.
#[derive(Debug, Eq, PartialEq)]
pub struct Step {
    /// Its line in the file.
    pub line: u64,
    /// Its row, from 1.
    pub row: u64,
    /// Its column, from 1: with the line, what the write is known by.
    pub column: usize,
    /// When it happened, in seconds of whatever clock the file uses.
    pub at: i64,
    /// Which of the plan's products.
    pub product: usize,
    /// What changed.
    pub write: Write,
}

/// What a write sets.
#[derive(Debug, Eq, PartialEq)]
pub enum Write {
    /// A price, with two decimals.
    Price(String),
    /// A change of the stock.
    Stock(i64),
}

/// Something wrong with one line.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Dirt {
    /// The line in the file, from 1.
    pub line: u64,
    /// What programs count by.
    pub reason: Cow<'static, str>,
    /// The column, if it is about one.
    pub column: String,
    /// What stands there.
    pub value: String,
    /// What people read, and what was done about it.
    pub detail: String,
}

/// Reads a whole file.
pub fn read(content: &[u8], options: &Options) -> Result<Plan, Error> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .delimiter(file::delimiter(content))
        .from_reader(content);
    let header: Vec<String> = reader
        .byte_headers()
        .map_err(|_| Error::Headless)?
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect();
    if header.iter().all(String::is_empty) {
        return Err(Error::Headless);
    }
    let (shape, time, columns) = file::recognise(&header, options.shape, &options.columns)?;
    // An unreadable row cannot occur: bytes need no encoding, and a row may
    // have any number of fields.
    let rows: Vec<Row> = reader.into_byte_records().filter_map(Result::ok).map(Row::new).collect();
    let mut planner = Planner::new(header, options, shape);
    match shape {
        Shape::Wide => planner.wide(&rows, time),
        Shape::Movements => planner.movements(&rows, time, &columns),
    }
    planner.plan.dirt.sort_by_key(|dirt| dirt.line);
    Ok(planner.plan)
}

/// A row as text, with its line.
struct Row {
    line: u64,
    cells: Vec<String>,
    /// It was not UTF-8.
    garbled: bool,
}

impl Row {
    fn new(record: ByteRecord) -> Row {
        let cells: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
        let garbled = cells.iter().any(|cell| matches!(cell, Cow::Owned(_)));
        let cells = cells.iter().map(|cell| cell.trim().to_owned()).collect();
        Row { line: record.position().map_or(0, csv::Position::line), cells, garbled }
    }

    fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }
}

struct Planner<'a> {
    header: Vec<String>,
    factor: Option<&'a Decimal>,
    plan: Plan,
    /// By what the file calls it; none for what cannot be used.
    by_code: HashMap<String, Option<usize>>,
    /// By id: what the file calls the product that has it.
    by_id: HashMap<String, String>,
    latest: i64,
}

impl<'a> Planner<'a> {
    fn new(header: Vec<String>, options: &'a Options, shape: Shape) -> Planner<'a> {
        let plan = Plan { shape, products: vec![], steps: vec![], dirt: vec![], rows: 0 };
        Planner {
            header,
            factor: options.factor.as_ref(),
            plan,
            by_code: HashMap::new(),
            by_id: HashMap::new(),
            latest: i64::MIN,
        }
    }

    fn wide(&mut self, rows: &[Row], time: usize) {
        let mut products = Vec::new();
        for column in (0..self.header.len()).filter(|column| *column != time) {
            let name = self.header[column].clone();
            let mut cells = rows.iter().map(|row| row.cell(column));
            if !cells.any(|cell| cell.parse::<Decimal>().is_ok()) {
                self.dirty(1, "no_numbers", column, &name, "the column is left out");
            } else if let Some(product) = self.product(&name, 1, column) {
                self.plan.products[product].name = name.replace('_', " ");
                products.push((column, product));
            }
        }
        for row in rows {
            let Some(at) = self.start(row, time) else { continue };
            for (column, product) in &products {
                let cell = row.cell(*column);
                if cell.is_empty() {
                    continue;
                }
                if let Some(price) = self.price(row.line, *column, cell) {
                    self.step(row, at, *column, *product, Write::Price(price));
                }
            }
        }
    }

    fn movements(&mut self, rows: &[Row], time: usize, columns: &Columns<usize>) {
        let code_column = columns.product.unwrap_or_default();
        let mut named = Vec::new();
        let mut prices: HashMap<usize, String> = HashMap::new();
        for row in rows {
            let Some(at) = self.start(row, time) else { continue };
            let code = row.cell(code_column);
            if code.is_empty() {
                self.dirty(row.line, "no_product", code_column, code, "the row is left out");
                continue;
            }
            let Some(product) = self.product(code, row.line, code_column) else { continue };
            named.resize(self.plan.products.len(), false);
            if let Some(column) = columns.name {
                match row.cell(column) {
                    "" => {
                        self.dirty(row.line, "no_description", column, "", "the row is sent");
                    }
                    _ if named[product] => {}
                    name => {
                        self.plan.products[product].name = in_one_line(name);
                        named[product] = true;
                    }
                }
            }
            if let Some(column) = columns.sold
                && let Some(sold) = self.quantity(row.line, column, row.cell(column))
            {
                self.step(row, at, column, product, Write::Stock(-sold));
            }
            if let Some(column) = columns.price
                && let Some(price) = self.price(row.line, column, row.cell(column))
                && prices.get(&product) != Some(&price)
            {
                prices.insert(product, price.clone());
                self.step(row, at, column, product, Write::Price(price));
            }
        }
    }

    /// What every row has: a time, and an order.
    fn start(&mut self, row: &Row, time: usize) -> Option<i64> {
        self.plan.rows += 1;
        if row.garbled {
            self.dirty(row.line, "not_utf8", time, "", "the row is sent as far as it is legible");
        }
        if row.cells.len() != self.header.len() {
            let detail = format!("{} fields instead of {}", row.cells.len(), self.header.len());
            self.dirty(row.line, "ragged", time, "", &detail);
        }
        let text = row.cell(time);
        let Some(at) = moment(text) else {
            self.dirty(row.line, "bad_time", time, text, "the row is left out");
            return None;
        };
        if at < self.latest {
            self.dirty(row.line, "out_of_order", time, text, "sent at once, in the file's order");
        }
        self.latest = self.latest.max(at);
        Some(at)
    }

    /// The product a code stands for. Two codes that make one id are two
    /// products: the second has to stay out, lest it changes the first one.
    fn product(&mut self, code: &str, line: u64, column: usize) -> Option<usize> {
        let known = self.by_code.get(code).copied();
        let id = match known {
            Some(Some(product)) => return Some(product),
            _ => slug(code),
        };
        let Some(id) = id else {
            self.by_code.insert(code.to_owned(), None);
            self.dirty(line, "bad_product", column, code, "no id can be made of it; left out");
            return None;
        };
        match self.by_id.entry(id) {
            // Shops write one code in both cases; that is one product.
            Entry::Occupied(taken) if taken.get().eq_ignore_ascii_case(code) => {
                let same = |product: &Product| product.id == *taken.key();
                let product = self.plan.products.iter().position(same);
                self.by_code.insert(code.to_owned(), product);
                product
            }
            Entry::Occupied(taken) => {
                let detail =
                    format!("the id {} is {}'s already; left out", taken.key(), taken.get());
                self.by_code.insert(code.to_owned(), None);
                self.dirty(line, "id_collision", column, code, &detail);
                None
            }
            Entry::Vacant(free) => {
                let id = free.key().clone();
                free.insert(code.to_owned());
                let product = self.plan.products.len();
                self.plan.products.push(Product { id, name: in_one_line(code), line });
                self.by_code.insert(code.to_owned(), Some(product));
                Some(product)
            }
        }
    }

    fn price(&mut self, line: u64, column: usize, text: &str) -> Option<String> {
        let number = text.parse::<Decimal>();
        let fen = number.ok().and_then(|number| {
            let price = self.factor.map_or(Some(number), |factor| number.times(*factor))?;
            Some((price, price.fen()?))
        });
        let reason = match fen {
            None => "bad_number",
            Some((price, _)) if price.sign() < 0 => "price_negative",
            Some((price, _)) if price.sign() == 0 => "price_zero",
            Some((_, 0)) => "price_rounds_to_zero",
            Some((_, fen)) => return Some(yuan(fen)),
        };
        self.dirty(line, reason, column, text, "the price is not sent");
        None
    }

    fn quantity(&mut self, line: u64, column: usize, text: &str) -> Option<i64> {
        let reason = match text.parse::<Decimal>().ok().and_then(Decimal::whole) {
            None | Some(i64::MIN) => "bad_number", // the one that has no negative
            Some(0) => "quantity_zero",
            Some(quantity) => return Some(quantity),
        };
        self.dirty(line, reason, column, text, "the stock is not changed");
        None
    }

    fn step(&mut self, row: &Row, at: i64, column: usize, product: usize, write: Write) {
        let (line, column, row) = (row.line, column + 1, self.plan.rows);
        self.plan.steps.push(Step { line, row, column, at, product, write });
    }

    fn dirty(&mut self, line: u64, reason: &'static str, column: usize, value: &str, detail: &str) {
        let column = self.header.get(column).cloned().unwrap_or_default();
        let (value, detail) = (value.to_owned(), detail.to_owned());
        self.plan.dirt.push(Dirt { line, reason: reason.into(), column, value, detail });
    }
}

/// Stray blanks are the commonest dirt in names.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
