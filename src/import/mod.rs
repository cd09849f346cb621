//! Many changes at once, from a file as a spreadsheet or a shop system
//! writes it.

mod apply;
mod decode;
mod faults;
mod format;
mod headers;
mod ndjson;
mod records;
mod report;
mod routes;
mod sheet;
mod table;
mod values;

pub use report::Report;
pub use routes::{Docs, routes};
pub use sheet::{Field, Format, RowError, Sheet, SheetError, open};
pub use table::GUARDED;

use crate::auth::Writer;
use crate::db;
use crate::events::{self, Publisher, Tx};
use crate::listings::Consent;
use crate::refusal::{Class, Refusal};
use crate::writes::{Answer, Once};
use apply::{Change, Offers};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// How many rows share a transaction: other writers wait for no more.
const CHUNK: usize = 200;

/// How many rows an atomic import may have: it is one transaction.
const MOST_ATOMIC: usize = 10_000;

/// The status under which the progress of an import is kept until it is done.
const GOING_ON: u16 = 102;

/// How a file is to be imported.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who sent it.
    pub writer: Writer,
    /// The file.
    pub bytes: Bytes,
    /// What it is.
    pub format: Format,
    /// All rows or none.
    pub atomic: bool,
    /// What is said to be meant.
    pub consent: Consent,
    /// Reasons are told in Chinese.
    pub chinese: bool,
    /// Nothing of it is to stay: only the report is asked for.
    pub dry_run: bool,
    /// The key it is to be done once under.
    pub once: Option<Once>,
}

/// Imports a file, until it is done or whoever sent it is `gone`. A large file
/// takes its time to read: it is for a thread that may block.
///
/// Row by row what is good is applied and what is not is reported, or, if it
/// is to be atomic, nothing is applied unless all is good. With a key, how far
/// it came is kept with what was done, so an import that broke off goes on
/// where it was when the same is sent again.
///
/// # Errors
/// A file that cannot be read; an atomic one with a bad row; a database that
/// is away.
pub async fn run(
    order: &Order,
    publisher: &Publisher,
    gone: &CancellationToken,
) -> events::Result<(Answer, bool)> {
    let mut sheet = open(&order.bytes, order.format)
        .map_err(|err| Refusal::invalid("file", err.code(), err.detail_en(), err.detail_zh()))?;
    let mut report = Report::new(order, &sheet);
    if order.atomic {
        return run_atomic(order, sheet, report, publisher).await;
    }
    if let Some(once) = order.once.clone() {
        let found = publisher.commit(move |tx| once.answered(tx.read())).await?;
        match found {
            Some(answer) if answer.status == GOING_ON => {
                report = Report::resume(&answer.body).unwrap_or(report);
                report.dry_run = order.dry_run;
                for _ in sheet.by_ref().take(report.rows) {}
            }
            Some(answer) => return Ok((answer, true)),
            None => {}
        }
    }
    // What the database knows of the report, if there is a key.
    let mut kept = report.rows;
    // Rows that are tried see what those before them would have done, and are
    // taken back together.
    let size = if order.dry_run { MOST_ATOMIC } else { CHUNK };
    loop {
        if gone.is_cancelled() {
            return Err(db::Error::Stopping.into());
        }
        let chunk: Vec<_> = sheet.by_ref().take(size).map(Change::read).collect();
        let last = chunk.len() < size;
        if !last && chunk.iter().all(Result::is_err) {
            // Nothing in it for the database, and others want to write.
            for change in chunk {
                let line = change_line(&change);
                let refusal = change.err().map(events::Error::Refused);
                report.count(line, refusal.map_or(Ok(false), Err), order)?;
            }
            continue;
        }
        let (order_, before) = (order.clone(), report.clone());
        let work = move |tx: &mut Tx<'_>| {
            let mut report = before.clone();
            check_alone(tx, &order_, kept)?;
            let mut offers = Offers::find(tx, &chunk)?;
            for change in &chunk {
                let outcome = match change {
                    Ok(change) => change.try_apply(tx, &order_, &mut offers)?,
                    Err(error) => Err(events::Error::Refused(error.clone())),
                };
                report.count(change_line(change), outcome, &order_)?;
            }
            if let Some(once) = &order_.once {
                let answer = if last { report.answer()? } else { report.progress(GOING_ON) };
                once.keep(tx, &answer)?;
            }
            Ok(report)
        };
        if order.dry_run {
            let tried = publisher.commit(move |tx| Ok(tx.pretend(&work)?.0)).await?;
            // What is tried next sees nothing of this.
            report = Report { exact: Some(last && tried.exact.is_none()), ..tried };
        } else {
            report = publisher.commit(work).await?;
            kept = report.rows;
        }
        if last {
            return Ok((report.answer()?, false));
        }
    }
}

async fn run_atomic(
    order: &Order,
    sheet: Sheet<'_>,
    report: Report,
    publisher: &Publisher,
) -> events::Result<(Answer, bool)> {
    let changes: Vec<_> = sheet.take(MOST_ATOMIC + 1).map(Change::read).collect();
    if changes.len() > MOST_ATOMIC {
        return Err(Refusal::new(
            Class::Invalid,
            "too_many_rows",
            format!("an atomic import may have {MOST_ATOMIC} rows, since everybody else waits for it; send less, or mode=partial"),
            format!("atomic 模式最多 {MOST_ATOMIC} 行；请拆分文件或使用 mode=partial"),
        )
        .into());
    }
    let order = order.clone();
    let commit = publisher.commit(move |tx| {
        let work = |tx: &mut Tx<'_>| apply_all(tx, &changes, &order, report.clone());
        match &order.once {
            once if order.dry_run => pretend_all(tx, once.as_ref(), work),
            Some(once) => once.perform(tx, work),
            None => Ok((Ok(work(tx)?), false)),
        }
    });
    let (outcome, replayed) = commit.await?;
    Ok((outcome?, replayed))
}

/// Applies all and takes it back. The report says itself that it was a dry run.
fn pretend_all(
    tx: &mut Tx<'_>,
    once: Option<&Once>,
    work: impl Fn(&mut Tx<'_>) -> events::Result<Answer>,
) -> events::Result<(Result<Answer, Refusal>, bool)> {
    let tried = tx.pretend(|tx| match once {
        Some(once) => once.perform(tx, &work),
        None => Ok((Ok(work(tx)?), false)),
    });
    Ok(tried?.0)
}

fn apply_all(
    tx: &mut Tx<'_>,
    changes: &[Result<Change, Refusal>],
    order: &Order,
    mut report: Report,
) -> events::Result<Answer> {
    let mut offers = Offers::find(tx, changes)?;
    for change in changes {
        let outcome = match change {
            Ok(change) => change.try_apply(tx, order, &mut offers)?,
            Err(error) => Err(events::Error::Refused(error.clone())),
        };
        report.count(change_line(change), outcome, order)?;
    }
    if report.failed > 0 {
        return Err(report.refuse_all().into());
    }
    report.answer()
}

fn change_line(change: &Result<Change, Refusal>) -> u64 {
    match change {
        Ok(change) => change.line,
        Err(refusal) => refusal.more.get("line").and_then(serde_json::Value::as_u64).unwrap_or(0),
    }
}

/// The same file under the same key twice at once would be applied twice.
fn check_alone(tx: &mut Tx<'_>, order: &Order, expected: usize) -> events::Result<()> {
    let Some(once) = &order.once else { return Ok(()) };
    let kept = once.answered(tx.read())?;
    let rows =
        kept.as_ref().and_then(|answer| Report::resume(&answer.body)).map_or(0, |it| it.rows);
    let done = kept.is_some_and(|answer| answer.status != GOING_ON);
    if done || rows != expected {
        return Err(Refusal::new(
            Class::Conflict,
            "import_going_on",
            "this import is going on already; send it again when that one has ended",
            "该导入正在进行，请在其结束后重试",
        )
        .into());
    }
    Ok(())
}
