//! A result: a flat list of named figures.

use crate::hist::Summary;
use serde_json::{Map, Value};
use std::io::Write;

/// The figures, in the order they were found.
#[derive(Default)]
pub struct Report(Map<String, Value>);

/// A number with so many digits after the point.
pub fn round(v: f64, digits: i32) -> f64 {
    let f = 10f64.powi(digits);
    (v * f).round() / f
}

impl Report {
    /// Adds a figure.
    pub fn put(&mut self, key: &str, v: impl Into<Value>) {
        self.0.insert(key.into(), v.into());
    }

    /// Adds a figure that is rounded.
    pub fn put_rounded(&mut self, key: &str, v: f64, digits: i32) {
        self.put(key, round(v, digits));
    }

    /// A whole figure that was added before; 0 if it was not.
    pub fn whole(&self, key: &str) -> u64 {
        self.0.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Adds a distribution in microseconds; nothing if it is empty.
    pub fn quantiles(&mut self, name: &str, s: &Summary) {
        if s.count() == 0 {
            return;
        }
        for (k, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            self.put_rounded(&format!("{name}_{k}_us"), s.quantile(q) as f64 / 1e3, 1);
        }
        self.put_rounded(&format!("{name}_max_us"), s.max as f64 / 1e3, 1);
    }

    /// Prints it, and appends it to a file of JSON lines.
    pub fn print(&self, quiet: bool, file: Option<&str>) -> Result<(), String> {
        let line = Value::Object(self.0.clone()).to_string();
        if let Some(path) = file {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let written = file.and_then(|mut file| writeln!(file, "{line}"));
            written.map_err(|e| format!("{path}: {e}"))?;
        }
        if quiet {
            println!("{line}");
        } else {
            for (k, v) in &self.0 {
                println!("{k:>26}  {}", v.as_str().map_or_else(|| v.to_string(), String::from));
            }
        }
        Ok(())
    }
}
