//! `teawire replay FILE`: plays what once happened to prices and stock
//! through the HTTP API, one write after the other, over one connection.
//!
//! Every write is known by its file, its options, its line and its column, so
//! a replay that broke off is simply started again: what was done is answered
//! as it was then, and the rest follows.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::client::{self, Client, Remote};
use decimal::Decimal;
use file::{Columns, Shape};
use pace::{Progress, Speed};
use player::Player;
use report::Report;

mod decimal;
mod file;
mod pace;
mod plan;
mod player;
mod report;

/// Play a timestamped CSV of prices or sales through the API
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// The CSV: prices by month and column, or one sale a row
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub remote: Remote,
    /// How much faster than life: 1x, 3600x, max
    #[arg(long, default_value = "max")]
    pub speed: Speed,
    /// What the file looks like, if its header does not say
    #[arg(long, value_enum)]
    pub shape: Option<Shape>,
    /// The column of times [default: InvoiceDate, month, date, …]
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// The column of product codes [default: StockCode]
    #[arg(long, value_name = "COLUMN")]
    pub product: Option<String>,
    /// The column of quantities sold [default: Quantity]
    #[arg(long, value_name = "COLUMN")]
    pub sold: Option<String>,
    /// The column of prices [default: UnitPrice]
    #[arg(long, value_name = "COLUMN")]
    pub price: Option<String>,
    /// The column of names [default: Description]
    #[arg(long, value_name = "COLUMN")]
    pub name: Option<String>,
    /// Multiply every price by this, exactly, before it is rounded
    #[arg(long, value_name = "NUMBER")]
    pub factor: Option<Decimal>,
    /// The category of products that have to be listed first
    #[arg(long, default_value = "other")]
    pub category: String,
    /// Their market [default: the first the service has]
    #[arg(long)]
    pub market: Option<String>,
    /// Whose they are, if the token is an admin's
    #[arg(long, value_name = "ID")]
    pub merchant: Option<String>,
    /// Their stock, where the file tells of sales
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub opening_stock: i64,
    /// How long to ask again while the service is busy or away
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span)]
    pub patience: Duration,
    /// Write what was wrong or refused to this file, as NDJSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write every event that must have come of it to this file, as NDJSON
    #[arg(long, value_name = "FILE")]
    pub print_expected: Option<PathBuf>,
    /// End with 1 if anything was wrong or refused
    #[arg(long)]
    pub strict: bool,
}

/// Why a replay is not done, or not clean.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// The file is no such CSV.
    #[error(transparent)]
    Unreadable(#[from] file::Error),
    /// The service is none, or was gone for too long.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// There is nowhere to list products.
    #[error("the service has no market; name one with --market")]
    NoMarket,
    /// Nothing can be written to.
    #[error("no product could be listed: {0}")]
    NoProduct(client::Problem),
    /// `--report`, `--print-expected` or standard output failed.
    #[error("the results could not be written: {0}")]
    Output(#[from] io::Error),
    /// It ran to its end, but `--strict` wanted it clean.
    #[error("{0} things were wrong or refused")]
    NotClean(u64),
}

impl Error {
    /// 1 for what `--strict` minds, 2 for a run that broke off.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::NotClean(_) => 1,
            _ => 2,
        }
    }
}

/// Plays the file and prints the summary, however far it came.
pub fn run(args: ReplayArgs) -> Result<(), Error> {
    let content =
        std::fs::read(&args.file).map_err(|why| Error::File { path: shown(&args.file), why })?;
    let plan = plan::read(&content, &options(&args))?;
    let create = |path: &Option<PathBuf>| match path {
        None => Ok(None),
        Some(path) => {
            File::create(path).map(Some).map_err(|why| Error::File { path: shown(path), why })
        }
    };
    let mut player = Player {
        args: &args,
        client: Client::new(&args.remote)?,
        run: fingerprint(&content, &args),
        report: Report::new(create(&args.report)?, create(&args.print_expected)?),
        progress: Progress::new(plan.rows),
    };
    let started = Instant::now();
    let outcome = player.play(&plan);
    player.progress.finish();
    let summary = player.report.summary(started.elapsed());
    match io::stdout().lock().write_all(summary.as_bytes()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => return Err(err.into()),
        _ => {}
    }
    match (outcome, player.report.wrong()) {
        (Ok(()), wrong @ 1..) if args.strict => Err(Error::NotClean(wrong)),
        (outcome, _) => outcome,
    }
}

fn options(args: &ReplayArgs) -> plan::Options {
    let args = args.clone();
    let columns = Columns {
        time: args.time,
        product: args.product,
        sold: args.sold,
        price: args.price,
        name: args.name,
    };
    plan::Options { shape: args.shape, columns, factor: args.factor }
}

/// What this run is known by: the file, and every option that changes what is
/// sent. How fast it is sent, and where to, does not.
fn fingerprint(content: &[u8], args: &ReplayArgs) -> String {
    let ReplayArgs { shape, time, product, sold, price, name, factor, .. } = args;
    let ReplayArgs { category, market, merchant, opening_stock, .. } = args;
    let what = (category, market, merchant, opening_stock);
    let how = (shape, time, product, sold, price, name, factor, what);
    let mut hash = Sha256::new();
    hash.update(format!("{how:?}"));
    hash.update(content);
    let hash = hash.finalize();
    let hex: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("replay-{hex}")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn span(text: &str) -> Result<Duration, String> {
    let span = match text.parse::<u64>() {
        Ok(seconds) => return Ok(Duration::from_secs(seconds)),
        Err(_) => text.parse::<jiff::SignedDuration>().map_err(|err| err.to_string())?,
    };
    Duration::try_from(span).map_err(|_| "a time like 60s or 2m".to_owned())
}

#[cfg(test)]
mod tests;
