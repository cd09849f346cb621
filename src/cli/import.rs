//! `teawire import FILE`: a price list as it is, and what became of it, line
//! by line.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Method;

use super::client::{self, Client, Patience, Remote, encoded, printable};

/// How long an import is tried again while the service is busy or away.
const PATIENCE: Duration = Duration::from_secs(60);
/// What of a refused value is shown.
const SHOWN: usize = 40;

/// Send a price list (CSV or NDJSON) and show what became of it
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// The file, or `-` for standard input
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub remote: Remote,
    /// Take the good lines and report the others, or take all or nothing
    #[arg(long, value_enum, default_value_t = Mode::Partial)]
    pub mode: Mode,
}

/// What happens to the good lines of a file that has bad ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Mode {
    /// They are applied.
    Partial,
    /// They are not.
    Atomic,
}

/// Why an import is not, or not wholly, done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to send.
    #[error("cannot read {file}: {why}")]
    Unreadable {
        /// What was named.
        file: String,
        /// What the system said.
        why: io::Error,
    },
    /// The service refused the whole request, or is none.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The connection broke while a large file was on its way.
    #[error("{0}; the file has {1} MiB, perhaps more than the service takes")]
    TooLarge(client::Error, usize),
    /// Some lines were refused, the others are in.
    #[error("{failed} of {rows} rows were refused")]
    SomeRefused {
        /// How many were refused.
        failed: u64,
        /// How many there were.
        rows: u64,
    },
    /// Nothing was applied.
    #[error("nothing was applied: {failed} of {rows} rows were refused")]
    NoneApplied {
        /// How many were refused.
        failed: u64,
        /// How many there were.
        rows: u64,
    },
    /// Standard output is gone.
    #[error("the output failed: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// 1 if part of it was applied, 2 if nothing was.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::SomeRefused { .. } | Error::Output(_) => 1,
            _ => 2,
        }
    }
}

/// The service's report, as docs/api.md has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    rows: u64,
    applied: u64,
    unchanged: u64,
    failed: u64,
    mode: String,
    encoding: Option<String>,
    format: Option<String>,
    errors: Vec<Refused>,
    errors_omitted: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refused {
    line: u64,
    field: Option<String>,
    code: String,
    value: Option<serde_json::Value>,
    detail: String,
}

/// Sends the file and prints the report.
pub fn run(args: ImportArgs) -> Result<(), Error> {
    let outcome = import(&args, &mut io::stdout().lock(), &mut |text| {
        let _ = writeln!(io::stderr(), "{text}");
    });
    match outcome {
        Err(Error::Output(err)) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn import(args: &ImportArgs, out: &mut dyn Write, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let client = Client::new(&args.remote)?;
    let (name, content) = read(args)?;
    let mode = match args.mode {
        Mode::Partial => "partial",
        Mode::Atomic => "atomic",
    };
    let path = format!("/v1/import/{}?mode={mode}", encoded(&name));
    // New for every run: to import the same file again next week is no
    // repetition of today's import.
    let key = format!("import-{:032x}", rand::random::<u128>());
    let mut patience = Patience { limit: PATIENCE, say };
    let answer = client
        .write(&Method::POST, &path, (content_type(&name), &content), &key, &mut patience)
        .map_err(|err| match (&err, content.len() >> 20) {
            (client::Error::Unreachable { .. }, large @ 1..) => Error::TooLarge(err, large),
            _ => Error::Client(err),
        })?;
    // A file refused as a whole is answered with a report, a request refused
    // as a whole with a problem: only one of them counts rows.
    let is_report = answer.json::<serde_json::Value>().is_ok_and(|told| told["rows"].is_u64());
    if !is_report {
        return Err(answer.refusal().into());
    }
    let report: Report = answer.json()?;
    write!(out, "{}", shown(&report))?;
    out.flush()?;
    let (failed, rows) = (report.failed, report.rows);
    match answer.status {
        _ if !answer.is_good() => Err(Error::NoneApplied { failed, rows }),
        _ if failed == 0 => Ok(()),
        _ => Err(Error::SomeRefused { failed, rows }),
    }
}

fn read(args: &ImportArgs) -> Result<(String, Vec<u8>), Error> {
    let file = &args.file;
    let fault = |why| Error::Unreadable { file: file.display().to_string(), why };
    if file.as_os_str() == "-" {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content).map_err(fault)?;
        let first = content.iter().find(|byte| !byte.is_ascii_whitespace());
        let name = if first == Some(&b'{') { "stdin.ndjson" } else { "stdin.csv" };
        return Ok((name.to_owned(), content));
    }
    let content = std::fs::read(file).map_err(fault)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok((name.unwrap_or_default(), content))
}

fn content_type(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let is_json = [".ndjson", ".jsonl", ".json"].iter().any(|end| name.ends_with(end));
    if is_json { "application/x-ndjson" } else { "text/csv" }
}

fn shown(report: &Report) -> String {
    let mut rows = vec![["line", "field", "value", "why"].map(str::to_owned)];
    for refused in &report.errors {
        let value = match &refused.value {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let why = if refused.detail.is_empty() { &refused.code } else { &refused.detail };
        rows.push([
            refused.line.to_string(),
            printable(refused.field.as_deref().unwrap_or_default()),
            clipped(&printable(&value)),
            printable(why),
        ]);
    }
    let mut text = if report.errors.is_empty() { String::new() } else { table(&rows) };
    if report.errors_omitted > 0 {
        text.push_str(&format!("… and {} more\n", report.errors_omitted));
    }
    let kind: Vec<_> = [&report.format, &report.encoding].into_iter().flatten().collect();
    let kind: Vec<_> = kind.into_iter().map(|it| printable(it)).collect();
    text.push_str(&format!(
        "{} rows: {} applied, {} unchanged, {} refused ({})\n",
        report.rows,
        report.applied,
        report.unchanged,
        report.failed,
        [vec![printable(&report.mode)], kind].concat().join(", "),
    ));
    text
}

/// Columns as wide as their widest cell; the last one runs free.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| width(&row[column])).max().unwrap_or_default()
    });
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < N {
                text.extend(std::iter::repeat_n(' ', widths[column] - width(cell) + 2));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Columns on a terminal: Chinese characters take two.
fn width(text: &str) -> usize {
    let wide = |c: char| matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}');
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

fn clipped(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::toy::{Toy, json};

    fn send(status: u16, body: &'static str) -> (String, Result<(), Error>, Toy) {
        let toy = Toy::start(move |_, _, stream| json(stream, status, "", body));
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("春茶 1.csv");
        std::fs::write(&file, b"\xba\xc5,price\n").expect("written");
        let args = ImportArgs { file, remote: toy.remote.clone(), mode: Mode::Atomic };
        let mut out = Vec::new();
        let outcome = import(&args, &mut out, &mut |_| {});
        (String::from_utf8(out).expect("UTF-8"), outcome, toy)
    }

    #[test]
    fn the_file_goes_as_it_is_under_its_own_name() {
        let (text, outcome, toy) = send(
            200,
            r#"{"rows":2,"applied":1,"unchanged":1,"failed":0,"mode":"atomic","encoding":"gb18030","format":"csv","errors":[]}"#,
        );
        outcome.expect("all good");
        assert_eq!(text, "2 rows: 1 applied, 1 unchanged, 0 refused (atomic, csv, gb18030)\n");
        let asked = &toy.asked()[0];
        assert_eq!(asked.method, "POST");
        assert_eq!(asked.target, "/v1/import/%E6%98%A5%E8%8C%B6%201.csv?mode=atomic");
        assert_eq!(asked.headers["content-length"], "9");
        assert_eq!(asked.headers["content-type"], "text/csv");
        assert!(asked.headers["idempotency-key"].starts_with("import-"));
    }

    #[test]
    fn refused_lines_stand_in_a_table_and_in_the_exit_code() {
        let body = r#"{"rows":500,"applied":31,"unchanged":466,"failed":3,"mode":"partial","encoding":"utf-8","format":"csv","errors":[
            {"line":7,"field":"price","code":"bad_price","value":"12,8x","detail":"Not a price."},
            {"line":19,"field":"名称","code":"missing","value":null,"detail":"The name is missing."}],"errors_omitted":1}"#;
        let (text, outcome, _) = send(207, body);
        let expected = "\
line  field  value  why
7     price  12,8x  Not a price.
19    名称          The name is missing.
… and 1 more
500 rows: 31 applied, 466 unchanged, 3 refused (partial, csv, utf-8)
";
        assert_eq!(text, expected);
        let err = outcome.expect_err("some refused");
        assert_eq!((err.exit_code(), err.to_string().as_str()), (1, "3 of 500 rows were refused"));

        let (text, outcome, _) = send(422, body);
        assert!(text.contains("12,8x"));
        assert_eq!(outcome.expect_err("none applied").exit_code(), 2);
    }

    #[test]
    fn a_refused_request_is_told_in_the_service_s_words() {
        let (text, outcome, _) = send(413, r#"{"code":"too_large","detail":"At most 16 MiB."}"#);
        let err = outcome.expect_err("refused");
        assert_eq!(text, "");
        assert_eq!(err.to_string(), "At most 16 MiB. (413, too_large)");
        assert_eq!(err.exit_code(), 2);
    }

    #[test]
    fn a_wide_value_is_clipped_and_chinese_counts_double() {
        assert_eq!(clipped(&"x".repeat(50)).chars().count(), SHOWN);
        assert_eq!(width("饼a"), 3);
    }
}
