use super::{Order, Sheet};
use crate::events;
use crate::refusal::{Class, Refusal};
use crate::writes::Answer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many refused rows are listed one by one.
const LISTED: usize = 1_000;

/// What became of a file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// Rows that were looked at.
    pub rows: usize,
    /// Rows that changed something.
    pub applied: usize,
    /// Rows that said what was so already.
    pub unchanged: usize,
    /// Rows that were refused.
    pub failed: usize,
    /// Nothing of it stays: what is applied would be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// In a dry run, whether every row saw what all rows before it would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<bool>,
    /// `partial` or `atomic`.
    pub mode: String,
    /// What the file was written in.
    pub encoding: String,
    /// `csv` or `ndjson`.
    pub format: String,
    /// Columns that nobody knows.
    pub ignored_columns: Vec<String>,
    /// The refused rows, the first thousand of them.
    pub errors: Vec<Value>,
    /// How many more there are.
    pub errors_omitted: usize,
}

impl Report {
    pub(super) fn new(order: &Order, sheet: &Sheet<'_>) -> Report {
        Report {
            rows: 0,
            applied: 0,
            unchanged: 0,
            failed: 0,
            dry_run: order.dry_run,
            exact: (order.dry_run && order.atomic).then_some(true),
            mode: if order.atomic { "atomic" } else { "partial" }.to_owned(),
            encoding: sheet.encoding.to_owned(),
            format: sheet.format.name().to_owned(),
            ignored_columns: sheet.ignored_columns().to_vec(),
            errors: Vec::new(),
            errors_omitted: 0,
        }
    }

    /// A report that was kept on the way.
    pub(super) fn resume(body: &str) -> Option<Report> {
        serde_json::from_str(body).ok()
    }

    /// Counts a row. What is no refusal ends the import.
    pub(super) fn count(
        &mut self,
        line: u64,
        outcome: events::Result<bool>,
        order: &Order,
    ) -> events::Result<()> {
        self.rows += 1;
        match outcome {
            Ok(true) => self.applied += 1,
            Ok(false) => self.unchanged += 1,
            Err(events::Error::Refused(refusal)) => self.refused(line, &refusal, order.chinese),
            Err(err) => return Err(err),
        }
        Ok(())
    }

    fn refused(&mut self, line: u64, refusal: &Refusal, chinese: bool) {
        self.failed += 1;
        if self.errors.len() == LISTED {
            self.errors_omitted += 1;
            return;
        }
        self.errors.push(json!({
            "line": line,
            "field": refusal.field,
            "code": refusal.code,
            "value": refusal.more.get("value"),
            "detail": if chinese { &refusal.zh } else { &refusal.en },
        }));
    }

    /// What is answered when all rows were looked at.
    ///
    /// # Errors
    /// If none was of any use.
    pub(super) fn answer(&self) -> events::Result<Answer> {
        if self.failed > 0 && self.applied + self.unchanged == 0 {
            return Ok(Answer { status: 422, ..self.progress(422) });
        }
        Ok(self.progress(if self.failed > 0 { 207 } else { 200 }))
    }

    /// The report as an answer of `status`.
    pub(super) fn progress(&self, status: u16) -> Answer {
        let mut body = json!(self);
        if status == 422
            && let Some(members) = body.as_object_mut()
        {
            members.insert("code".into(), "nothing_applied".into());
            members.insert("status".into(), 422.into());
        }
        Answer::new(status, &body)
    }

    /// Why an atomic import with a bad row is not done.
    pub(super) fn refuse_all(&self) -> Refusal {
        let failed = self.failed;
        let mut refusal = Refusal::new(
            Class::Invalid,
            "import_refused",
            format!("{failed} rows are refused, so nothing was applied"),
            format!("有 {failed} 行无效，未应用任何更改"),
        );
        let report = Report { applied: 0, unchanged: 0, ..self.clone() };
        if let Value::Object(members) = json!(report) {
            refusal.more.extend(members);
        }
        refusal
    }
}
