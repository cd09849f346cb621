//! How a file is written: its separator, its columns, its times and codes.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What a column of times is called when nobody says.
const TIMES: [&str; 11] = [
    "time",
    "date",
    "month",
    "day",
    "year",
    "timestamp",
    "datetime",
    "period",
    "时间",
    "日期",
    "月份",
];

/// What a file looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Shape {
    /// A time column, and one column of prices for each product.
    Wide,
    /// One movement a row: when, which product, how many sold, at what price.
    Movements,
}

/// One thing for each column that has a meaning: a name, or a place.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Columns<T> {
    pub time: Option<T>,
    pub product: Option<T>,
    pub sold: Option<T>,
    pub price: Option<T>,
    pub name: Option<T>,
}

/// Why a file cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The header cannot be read.
    #[error("the file has no header line")]
    Headless,
    /// A column that was named is not there.
    #[error("there is no column `{0}`; the file has: {1}")]
    UnknownColumn(String, String),
    /// No time column.
    #[error("which column is the time? Say so with --time; the file has: {0}")]
    NoTime(String),
}

/// The separator that stands most often in the header.
pub fn delimiter(content: &[u8]) -> u8 {
    let header = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted: u8| header.iter().filter(|byte| **byte == wanted).count();
    // Of several equal ones the last: a comma where there is none at all.
    [b'\t', b';', b','].into_iter().max_by_key(|byte| count(*byte)).unwrap_or(b',')
}

/// Finds the columns, and the shape where nobody gave one.
pub fn recognise(
    header: &[String],
    shape: Option<Shape>,
    given: &Columns<String>,
) -> Result<(Shape, usize, Columns<usize>), Error> {
    let place = |name: &str| {
        let same = |it: &String| it.eq_ignore_ascii_case(name);
        header.iter().position(|it| it == name).or_else(|| header.iter().position(same))
    };
    let no_column = |name: &str| Error::UnknownColumn(name.to_owned(), header.join(", "));
    // A name that was given must be there; a default may be.
    let column = |given: &Option<String>, default: &str| match given {
        None => Ok(place(default)),
        Some(name) => place(name).map(Some).ok_or_else(|| no_column(name)),
    };
    let columns = Columns {
        time: column(&given.time, "InvoiceDate")?,
        product: column(&given.product, "StockCode")?,
        sold: column(&given.sold, "Quantity")?,
        price: column(&given.price, "UnitPrice")?,
        name: column(&given.name, "Description")?,
    };
    let shape = match (shape, columns.product) {
        (Some(Shape::Movements), None) => return Err(no_column("StockCode")),
        (Some(shape), _) => shape,
        (None, Some(_)) => Shape::Movements,
        (None, None) => Shape::Wide,
    };
    let time = columns.time.or_else(|| TIMES.iter().find_map(|name| place(name)));
    Ok((shape, time.ok_or_else(|| Error::NoTime(header.join(", ")))?, columns))
}

/// A time in seconds: `2010-12-01 08:34:00`, `2010/12/1 8:34`, `2010-12`,
/// `2010M12`, or RFC 3339. Without a zone it is taken as it stands: a replay
/// only needs the spans between.
pub fn moment(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_second());
    }
    let dashed = text.replace('/', "-").replacen('M', "-", 1);
    let at = dashed
        .parse::<DateTime>()
        .or_else(|_| DateTime::strptime("%Y-%m-%d %H:%M:%S", &dashed))
        .or_else(|_| DateTime::strptime("%Y-%m-%d %H:%M", &dashed))
        .or_else(|_| DateTime::strptime("%Y-%m-%d %H:%M:%S", format!("{dashed} 00:00:00")))
        .or_else(|_| DateTime::strptime("%Y-%m-%d %H:%M:%S", format!("{dashed}-01 00:00:00")))
        .ok()?;
    at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp().as_second())
}

/// A moment for the eye: `2010-12-01 08:34`.
pub fn shown(at: i64) -> String {
    let at = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%F %H:%M").to_string()
}

/// An id as the service takes it, `[a-z0-9][a-z0-9.-]*`; none if nothing is
/// left of the text.
pub fn slug(text: &str) -> Option<String> {
    let mut id = String::with_capacity(text.len());
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.') => id.push(c),
            _ if id.ends_with('-') => {}
            _ => id.push('-'),
        }
    }
    let id = id.trim_matches(['-', '.']);
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_becomes_an_id() {
        for (code, id) in [
            ("avg_3_auctions_usd_per_kg", Some("avg-3-auctions-usd-per-kg")),
            ("84969", Some("84969")),
            ("35809a", Some("35809a")),
            ("35809A", Some("35809a")),
            (" Gift  Voucher (£10) ", Some("gift-voucher-10")),
            ("v1.2/b", Some("v1.2-b")),
            ("..x..", Some("x")),
            ("饼", None),
            ("", None),
        ] {
            assert_eq!(slug(code).as_deref(), id, "{code}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let at = moment("2010-12-01 08:34:00").expect("a time");
        for text in [
            "2010-12-01T08:34:00",
            "2010-12-01 08:34",
            "2010/12/1 8:34",
            "2010-12-01T08:34:00Z",
            "2010-12-01T16:34:00+08:00",
        ] {
            assert_eq!(moment(text), Some(at), "{text}");
        }
        let month = moment("1960-01-01");
        assert!(month.is_some());
        assert_eq!(moment("1960-01"), month);
        assert_eq!(moment("1960M01"), month);
        for text in ["", "soon", "2010-13-01", "2010-02-30 10:00", "12", "01/02/2010"] {
            assert_eq!(moment(text), None, "{text}");
        }
        assert_eq!(shown(at), "2010-12-01 08:34");
    }

    #[test]
    fn columns_are_found_by_what_they_are_called() {
        let header = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let none = Columns::default();
        let (shape, time, _) = recognise(&header("month,a,b"), None, &none).expect("wide");
        assert_eq!((shape, time), (Shape::Wide, 0));
        let sales = header("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice");
        let (shape, time, columns) = recognise(&sales, None, &none).expect("movements");
        assert_eq!((shape, time), (Shape::Movements, 4));
        assert_eq!((columns.sold, columns.price, columns.name), (Some(3), Some(5), Some(2)));
        let own =
            Columns { time: Some("when".into()), product: Some("tea".into()), ..none.clone() };
        assert!(recognise(&header("When,Tea"), None, &own).is_ok());
        assert!(matches!(recognise(&header("a,b"), None, &none), Err(Error::NoTime(_))));
        assert!(matches!(recognise(&header("a,b"), None, &own), Err(Error::UnknownColumn(..))));
        let (shape, movements) = (Some(Shape::Movements), header("date,a"));
        assert!(matches!(recognise(&movements, shape, &none), Err(Error::UnknownColumn(..))));
        assert_eq!(delimiter(b"a;b;c,d\n1,2,3,4,5"), b';');
        assert_eq!(delimiter(b"alone\n"), b',');
    }
}
