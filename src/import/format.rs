//! How a file is written down, told by its type, its name or its first sign.

/// How the rows are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A header line and columns, by whatever separator.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// Its name in the interface.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
        }
    }

    /// What a `Content-Type` says, if it says anything: `curl` calls every
    /// body a form, and plain text may be either.
    pub fn from_content_type(value: &str) -> Option<Format> {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/csv"
            | "application/csv"
            | "text/tab-separated-values"
            | "application/vnd.ms-excel" => Some(Format::Csv),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/json" => Some(Format::Ndjson),
            _ => None,
        }
    }

    /// What the ending of a file's name says.
    pub fn from_file_name(name: &str) -> Option<Format> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "csv" | "tsv" | "txt" => Some(Format::Csv),
            "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
            _ => None,
        }
    }

    /// What the first sign of the text says. A header does not begin with a
    /// bracket.
    pub fn sniff(bytes: &[u8]) -> Format {
        // Byte order marks, and the other half of an UTF-16 sign.
        let passed = |byte: &u8| {
            byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf | 0xff | 0xfe | 0)
        };
        match bytes.iter().find(|byte| !passed(byte)) {
            Some(b'{' | b'[') => Format::Ndjson,
            _ => Format::Csv,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_told_by_type_or_name_or_text() {
        assert_eq!(Format::from_content_type("text/csv; charset=gbk"), Some(Format::Csv));
        assert_eq!(Format::from_content_type("Application/X-NDJSON"), Some(Format::Ndjson));
        assert_eq!(Format::from_content_type("application/x-www-form-urlencoded"), None);
        assert_eq!(Format::from_file_name("prices.2026.TSV"), Some(Format::Csv));
        assert_eq!(Format::from_file_name("a.jsonl"), Some(Format::Ndjson));
        assert_eq!(Format::from_file_name("csv"), None);
        assert_eq!(Format::sniff(b"\xef\xbb\xbf\n {"), Format::Ndjson);
        assert_eq!(Format::sniff(b"\xff\xfe{\0"), Format::Ndjson);
        assert_eq!(Format::sniff(b"product,price"), Format::Csv);
        assert_eq!(Format::sniff(b""), Format::Csv);
    }
}
