//! What can be wrong with a merchant's file, said in Chinese and English.

use super::headers::{Field, understood};

/// How many characters of a refused value are said back.
const VALUE_CHARS: usize = 64;

/// Why one row was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail_en}")]
pub struct RowError {
    /// The physical line on which the row starts; the first is 1.
    pub line: u64,
    /// The field at fault, if it is one field.
    pub field: Option<&'static str>,
    /// The same word in every language: `bad_price`.
    pub code: &'static str,
    /// What was found there: at most 64 characters, none of them a control character.
    pub value: String,
    /// The reason and the cure, in English.
    pub detail_en: String,
    /// The same in Chinese.
    pub detail_zh: String,
}

impl RowError {
    pub(super) fn new(line: u64, field: Option<Field>, value: &str, fault: Fault) -> RowError {
        let Fault { code, en, zh } = fault;
        let field = field.map(Field::name);
        RowError { line, field, code, value: clip(value), detail_en: en, detail_zh: zh }
    }
}

/// A fault that does not know yet where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: &'static str,
    pub en: String,
    pub zh: String,
}

impl Fault {
    pub(super) fn new(code: &'static str, en: impl Into<String>, zh: impl Into<String>) -> Fault {
        Fault { code, en: en.into(), zh: zh.into() }
    }
}

/// Why a whole file was refused. Its text is [`SheetError::detail_en`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum SheetError {
    #[error("there is nothing in the file")]
    Empty,
    #[error("this is {found}, not text; save it as CSV UTF-8 and send that")]
    NotText { found: &'static str },
    #[error("byte {offset} is neither UTF-8 nor GB18030; save the file as CSV UTF-8")]
    BadEncoding { offset: usize },
    #[error(
        "the file has no line breaks left: `curl -d @file` deletes them. \
         Use `--data-binary @file` or `-T file`"
    )]
    NewlinesLost,
    #[error(
        "the first line names no column that is understood: {found:?}. \
         It must be a header, such as product,price,stock. Understood are: {}",
        understood()
    )]
    NoHeader { found: String },
    #[error(
        "no column says which product a row is about. Call it product, sku or 货号. \
         Understood are: {}",
        understood()
    )]
    NoProductColumn,
    #[error("columns {first} and {second} are both `{field}`; leave one of them out")]
    DuplicateColumn { field: &'static str, first: usize, second: usize },
    #[error(
        "column {column}, {found:?}, is counted in a unit of its own. Call it `{field}`, \
         and say the unit in a column `unit`"
    )]
    MeasuredColumn { field: &'static str, column: usize, found: String },
    #[error("the header has {columns} columns; {limit} are allowed")]
    TooManyColumns { columns: usize, limit: usize },
    #[error("the header line is longer than {limit} bytes")]
    LineTooLong { limit: usize },
    #[error("a quote in the header line is never closed")]
    UnclosedQuote,
    #[error("send one JSON object a line (NDJSON), not an array and not indented")]
    NotNdjson,
}

impl SheetError {
    /// The same word in every language: `no_product_column`.
    pub fn code(&self) -> &'static str {
        match self {
            SheetError::Empty => "empty_file",
            SheetError::NotText { .. } => "not_text",
            SheetError::BadEncoding { .. } => "bad_encoding",
            SheetError::NewlinesLost => "newlines_lost",
            SheetError::NoHeader { .. } => "no_header",
            SheetError::NoProductColumn => "no_product_column",
            SheetError::DuplicateColumn { .. } => "duplicate_column",
            SheetError::MeasuredColumn { .. } => "column_unit",
            SheetError::TooManyColumns { .. } => "too_many_columns",
            SheetError::LineTooLong { .. } => "line_too_long",
            SheetError::UnclosedQuote => "unclosed_quote",
            SheetError::NotNdjson => "not_ndjson",
        }
    }

    /// The reason and the cure, in English.
    pub fn detail_en(&self) -> String {
        self.to_string()
    }

    /// The same in Chinese.
    pub fn detail_zh(&self) -> String {
        match self {
            SheetError::Empty => "文件是空的".to_owned(),
            SheetError::NotText { found } => {
                format!("这是 {found} 文件，不是文本；请另存为“CSV UTF-8”后再上传")
            }
            SheetError::BadEncoding { offset } => {
                format!("第 {offset} 字节既不是 UTF-8 也不是 GB18030；请另存为“CSV UTF-8”")
            }
            SheetError::NewlinesLost => "文件里没有换行：`curl -d @文件` 会删掉换行。\
                 请改用 `--data-binary @文件` 或 `-T 文件`"
                .to_owned(),
            SheetError::NoHeader { found } => format!(
                "第一行没有能识别的列名：{found:?}。第一行必须是表头，例如 货号,价格,库存。\
                 可用的列名：{}",
                understood()
            ),
            SheetError::NoProductColumn => format!(
                "没有商品编号列。请把这一列命名为 货号、sku 或 product。可用的列名：{}",
                understood()
            ),
            SheetError::DuplicateColumn { field, first, second } => {
                format!("第 {first} 列和第 {second} 列都是 `{field}`；请只保留一列")
            }
            SheetError::MeasuredColumn { field, column, found } => format!(
                "第 {column} 列 {found:?} 自带单位。请把列名改为 `{field}`，单位写在“单位”列"
            ),
            SheetError::TooManyColumns { columns, limit } => {
                format!("表头有 {columns} 列；最多 {limit} 列")
            }
            SheetError::LineTooLong { limit } => format!("表头超过 {limit} 字节"),
            SheetError::UnclosedQuote => "表头里的引号没有闭合".to_owned(),
            SheetError::NotNdjson => {
                "请每行发送一个 JSON 对象（NDJSON），不要用数组，也不要缩进换行".to_owned()
            }
        }
    }
}

/// The beginning of a text, fit to be said back.
pub(super) fn clip(text: &str) -> String {
    let visible = |c: char| if is_control(c) { '\u{fffd}' } else { c };
    text.trim().chars().take(VALUE_CHARS).map(visible).collect()
}

/// Whether the character only steers how others are shown or sent. The marks
/// that turn the direction of writing count: they make a text read as another.
pub(super) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_back_is_short_and_harmless() {
        let fault = Fault::new("bad_price", "no", "否");
        let error = RowError::new(7, Some(Field::Price), "价\0\u{202e}\n12", fault.clone());
        assert_eq!(error.value, "价\u{fffd}\u{fffd}\u{fffd}12");
        assert_eq!(error.field, Some("price"));
        assert_eq!(RowError::new(7, None, &"价".repeat(99), fault).value.chars().count(), 64);
    }
}
