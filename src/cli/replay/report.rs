//! What became of a replay: counted, written down, and summed up at the end.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::time::Duration;

use serde::Serialize;

use super::plan::Dirt;
use crate::cli::client::Problem;

/// An event that a write must have become.
#[derive(Debug, Serialize)]
pub struct Expected<'a> {
    /// The type of the event.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The product.
    pub product: &'a str,
    /// The price, in `price.changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<&'a str>,
    /// What is left, in `stock.changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
}

/// How often something was accepted.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Accepted {
    pub changed: u64,
    pub unchanged: u64,
}

impl Accepted {
    /// Counts one.
    pub fn count(&mut self, changed: bool) {
        *(if changed { &mut self.changed } else { &mut self.unchanged }) += 1;
    }
}

/// The books of one run.
#[derive(Default)]
pub struct Report {
    /// Products that were new.
    pub created: u64,
    /// Products that were there already.
    pub existing: u64,
    /// Price writes.
    pub prices: Accepted,
    /// Stock writes.
    pub stock: Accepted,
    /// Answers that an earlier run had been given already.
    pub replayed: u64,
    /// Rows whose turn has come.
    pub rows: u64,
    dirt: BTreeMap<Cow<'static, str>, u64>,
    refused: BTreeMap<String, u64>,
    cursors: Option<(String, String)>,
    findings: Option<LineWriter<Box<dyn Write>>>,
    expected: Option<LineWriter<Box<dyn Write>>>,
}

impl Report {
    /// With the files for what is wrong and for what must become an event.
    pub fn new(findings: Option<File>, expected: Option<File>) -> Report {
        // By lines: a run that is killed leaves whole lines behind.
        let lines = |file: File| LineWriter::new(Box::new(file) as Box<dyn Write>);
        Report { findings: findings.map(lines), expected: expected.map(lines), ..Report::default() }
    }

    /// Something is wrong with a line.
    pub fn found(&mut self, dirt: &Dirt) -> io::Result<()> {
        *self.dirt.entry(dirt.reason.clone()).or_default() += 1;
        self.write_down(dirt)
    }

    /// The service refused a write.
    pub fn refused(&mut self, mut dirt: Dirt, problem: &Problem) -> io::Result<()> {
        *self.refused.entry(format!("{} {}", problem.status, problem.code)).or_default() += 1;
        dirt.reason = problem.code.clone().into();
        problem.detail.clone_into(&mut dirt.detail);
        self.write_down(&dirt)
    }

    /// A write was accepted and became the event `cursor`.
    pub fn became(&mut self, expected: &Expected<'_>, cursor: Option<String>) -> io::Result<()> {
        if let Some(cursor) = cursor {
            match &mut self.cursors {
                Some((_, last)) => *last = cursor,
                none => *none = Some((cursor.clone(), cursor)),
            }
        }
        match &mut self.expected {
            Some(file) => write_line(file, expected),
            None => Ok(()),
        }
    }

    /// Lines that were wrong and writes that were refused.
    pub fn wrong(&self) -> u64 {
        self.dirt.values().sum::<u64>() + self.refused.values().sum::<u64>()
    }

    /// The table that ends a run.
    pub fn summary(&self, took: Duration) -> String {
        let accepted =
            |it: &Accepted| format!("{} changed, {} unchanged", it.changed, it.unchanged);
        let products = format!("{} created, {} there already", self.created, self.existing);
        let mut lines = vec![
            ("rows".to_owned(), self.rows.to_string()),
            ("products".to_owned(), products),
            ("price writes".to_owned(), accepted(&self.prices)),
            ("stock writes".to_owned(), accepted(&self.stock)),
        ];
        if self.replayed > 0 {
            lines.push(("done by an earlier run".to_owned(), self.replayed.to_string()));
        }
        for (reason, count) in &self.dirt {
            lines.push((format!("in the file: {reason}"), count.to_string()));
        }
        for (code, count) in &self.refused {
            lines.push((format!("refused: {code}"), count.to_string()));
        }
        if let Some((first, last)) = &self.cursors {
            lines.push(("events".to_owned(), format!("{first} to {last}")));
        }
        lines.push(("seconds".to_owned(), format!("{:.1}", took.as_secs_f64())));
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        lines.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
    }

    fn write_down(&mut self, dirt: &Dirt) -> io::Result<()> {
        match &mut self.findings {
            Some(file) => write_line(file, dirt),
            None => Ok(()),
        }
    }
}

fn write_line(file: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}
