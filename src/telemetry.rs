//! Logs and metrics.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::EnvFilter;

/// Writes what is left of the log when it is dropped.
pub use tracing_appender::non_blocking::WorkerGuard as LogGuard;

/// How many lines of the log may wait to be written.
const LOG_LINES: usize = 16_384;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `pretty` on a terminal, else `json`.
    Auto,
    /// For eyes.
    Pretty,
    /// One object a line.
    Json,
}

/// Begins to log to `file`, or to stderr, at the levels of `RUST_LOG`
/// (default `info`). A line that cannot be written is lost; a request never is.
///
/// Lines go through a bounded queue to a thread of their own: a pipe that
/// nobody reads must not hold up whoever has something to say. What the queue
/// cannot take is lost. Dropping the answer writes what is left.
pub fn start(file: Option<&Path>, format: LogFormat) -> io::Result<LogGuard> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let out: Box<dyn Write + Send> = match file {
        Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        None => Box::new(io::stderr()),
    };
    let terminal = file.is_none() && io::stderr().is_terminal();
    let pretty = match format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(Lossy(out));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(terminal)
        .with_writer(writer);
    // Whatever panics, on whatever thread, is seen where everything else is.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, panic = panic.payload_as_str().unwrap_or("?"), "a panic");
    }));
    // A second start in one process (tests) changes nothing.
    let _ = if pretty {
        builder.try_init().map_err(|_| ())
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
            .map_err(|_| ())
    };
    Ok(guard)
}

/// A writer whose failures nobody hears of: a full disk is no reason to fail
/// a request, and complaining of it would need the same disk.
struct Lossy(Box<dyn Write + Send>);

impl Write for Lossy {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// What `/metrics` tells. Every queue, map and buffer has a figure here; none
/// has a label that a user chooses.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Events committed by this node, by type.
    pub appended: IntCounterVec,
    /// Commits of this node.
    pub commits: IntCounter,
    /// Write jobs a commit.
    pub commit_jobs: Histogram,
    /// Seconds a commit took.
    pub commit_seconds: Histogram,
    /// Write jobs waiting.
    pub write_queue: IntGauge,
    /// Prices copied to where histories are read from.
    pub prices_copied: IntCounter,
    /// How far, in positions of the log, copying them is behind.
    pub prices_uncopied: IntGauge,
    /// The position of the last event announced on this node.
    pub head: IntGauge,
    /// Events and bytes of the recent log in memory.
    pub recent_events: IntGauge,
    /// See `recent_events`.
    pub recent_bytes: IntGauge,
    /// Events given to readers (streams and polls).
    pub delivered: IntCounter,
    /// Open streams.
    pub streams: IntGauge,
    /// Waiting polls.
    pub polls: IntGauge,
    /// Times a reader fell so far behind that it was sent back to the log.
    pub fell_behind: IntCounter,
    /// Changes of prices and stock that readers which did not keep up were
    /// spared.
    pub folded: IntCounter,
    /// Readers that follow what a user has saved.
    pub following: IntGauge,
    /// Times the topics of an open reader were changed.
    pub topic_changes: IntCounter,
    /// Connections that have left the HTTP dispatcher.
    pub handed_over: IntGauge,
    /// Groups of readers with equal filters.
    pub reader_groups: IntGauge,
    /// Polls answered on such connections: a part of `requests`.
    pub answered_polls: IntCounter,
    /// Connections that were closed because there were as many as there may be.
    pub turned_away: IntCounter,
    /// Reads of the log in the database for readers.
    pub log_reads: IntCounter,
    /// Pages of the present state that were made.
    pub snapshots_made: IntCounter,
    /// The same that somebody else had made already.
    pub snapshots_shared: IntCounter,
    /// Bytes of them in memory.
    pub snapshot_bytes: IntGauge,
    /// Ends of streams, by code of the bye.
    pub byes: IntCounterVec,
    /// Requests answered, by route pattern and status class.
    pub requests: IntCounterVec,
    /// Requests refused by a limit, by limit.
    pub limited: IntCounterVec,
    /// Panics caught.
    pub panics: IntCounter,
    /// Database reads running or waiting.
    pub db_reads: IntGauge,
    /// Events that came before an older one and are held back.
    pub held_back: IntGauge,
    /// Topics that somebody follows.
    pub followed_topics: IntGauge,
    /// API keys and tokens that need not be looked at again.
    pub remembered_keys: IntGauge,
    /// Addresses and merchants in the rate limiters' maps.
    pub limiter_keys: IntGauge,
    /// Products that are kept in memory to be searched.
    pub search_products: IntGauge,
    /// The memory that takes, in bytes, about.
    pub search_bytes: IntGauge,
    /// Events that the monitor of alerts has not looked at.
    pub alert_lag: IntGauge,
    /// Instances of rules that were looked at.
    pub alert_evaluations: IntCounter,
    /// Firings of rules.
    pub alert_firings: IntCounter,
    /// Firings that fell into a cooldown, or into a day that had one.
    pub alert_suppressed: IntCounter,
    /// Events and rules that could not be judged and were set aside.
    pub alert_poison: IntCounter,
    /// Seconds that judging one value took.
    pub alert_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let requests = counters(
            &registry,
            "teawire_requests_total",
            "Requests answered",
            &["route", "status"],
        );
        Metrics {
            appended: counters(
                &registry,
                "teawire_events_appended_total",
                "Events committed by this node",
                &["type"],
            ),
            commits: counter(
                &registry,
                "teawire_commits_total",
                "Write transactions committed by this node",
            ),
            commit_jobs: histogram(
                &registry,
                "teawire_commit_jobs",
                "Writes that shared a transaction",
                vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            ),
            commit_seconds: histogram(
                &registry,
                "teawire_commit_seconds",
                "Seconds from the begin of a write transaction to its commit",
                vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0],
            ),
            write_queue: gauge(&registry, "teawire_write_queue", "Writes waiting for the writer"),
            prices_copied: counter(
                &registry,
                "teawire_prices_copied_total",
                "Prices copied to where histories are read from",
            ),
            prices_uncopied: gauge(
                &registry,
                "teawire_prices_uncopied",
                "Positions of the log by which copying prices is behind",
            ),
            head: gauge(&registry, "teawire_log_head", "Position of the last event announced here"),
            recent_events: gauge(
                &registry,
                "teawire_recent_events",
                "Events of the log kept in memory",
            ),
            recent_bytes: gauge(
                &registry,
                "teawire_recent_bytes",
                "Bytes of the log kept in memory",
            ),
            snapshots_made: counter(
                &registry,
                "teawire_snapshot_pages_made_total",
                "Pages of the present state read from the database",
            ),
            snapshots_shared: counter(
                &registry,
                "teawire_snapshot_pages_shared_total",
                "Pages of the present state that somebody else had asked for",
            ),
            snapshot_bytes: gauge(
                &registry,
                "teawire_snapshot_bytes",
                "Bytes of pages of the present state kept in memory",
            ),
            delivered: counter(
                &registry,
                "teawire_events_delivered_total",
                "Events given to readers",
            ),
            streams: gauge(&registry, "teawire_streams", "Open streams"),
            polls: gauge(&registry, "teawire_polls", "Waiting polls"),
            fell_behind: counter(
                &registry,
                "teawire_readers_fell_behind_total",
                "Streams for which the log was read because memory did not go back far enough",
            ),
            folded: counter(
                &registry,
                "teawire_events_folded_total",
                "Changes of prices and stock left out for slow streams, for newer ones",
            ),
            following: gauge(
                &registry,
                "teawire_following_saved",
                "Streams and polls that follow what a user has saved",
            ),
            topic_changes: counter(
                &registry,
                "teawire_topic_changes_total",
                "Times the topics of an open stream were changed",
            ),
            log_reads: counter(
                &registry,
                "teawire_log_reads_total",
                "Reads of the log in the database for readers",
            ),
            byes: counters(
                &registry,
                "teawire_byes_total",
                "Streams ended by the server",
                &["code"],
            ),
            answered_polls: requests.with_label_values(&["/v1/poll", "2xx"]),
            requests,
            handed_over: gauge(
                &registry,
                "teawire_handed_over_connections",
                "Connections that have left the HTTP dispatcher",
            ),
            reader_groups: gauge(
                &registry,
                "teawire_reader_groups",
                "Groups of readers with equal filters, on all threads",
            ),
            turned_away: counter(
                &registry,
                "teawire_connections_turned_away_total",
                "Connections closed because there were as many as there may be",
            ),
            limited: counters(
                &registry,
                "teawire_limited_total",
                "Requests refused by a limit",
                &["limit"],
            ),
            panics: counter(&registry, "teawire_panics_total", "Panics caught"),
            db_reads: gauge(&registry, "teawire_db_reads", "Database reads running or waiting"),
            held_back: gauge(
                &registry,
                "teawire_held_back_events",
                "Events that came before an older one",
            ),
            followed_topics: gauge(
                &registry,
                "teawire_followed_topics",
                "Topics that somebody follows",
            ),
            remembered_keys: gauge(
                &registry,
                "teawire_remembered_keys",
                "API keys and tokens remembered",
            ),
            limiter_keys: gauge(&registry, "teawire_limiter_keys", "Keys in the rate limiters"),
            search_products: gauge(
                &registry,
                "teawire_search_products",
                "Products kept in memory to be searched",
            ),
            search_bytes: gauge(
                &registry,
                "teawire_search_bytes",
                "Bytes that the products to be searched take",
            ),
            alert_lag: gauge(
                &registry,
                "teawire_alerts_lag_events",
                "Events that the monitor of alerts has not looked at",
            ),
            alert_evaluations: counter(
                &registry,
                "teawire_alerts_evaluations_total",
                "Instances of rules that this node looked at",
            ),
            alert_firings: counter(
                &registry,
                "teawire_alerts_firings_total",
                "Firings of rules on this node",
            ),
            alert_suppressed: counter(
                &registry,
                "teawire_alerts_suppressed_total",
                "Firings dropped in a cooldown or on a day that had one",
            ),
            alert_poison: counter(
                &registry,
                "teawire_alerts_poison_total",
                "Events and rules set aside because they could not be judged",
            ),
            alert_seconds: histogram(
                &registry,
                "teawire_alerts_tick_seconds",
                "Seconds that judging one value of a series with rules took",
                vec![
                    0.00002, 0.00004, 0.00006, 0.00008, 0.0001, 0.00015, 0.0002, 0.0003, 0.0005,
                    0.001, 0.002, 0.005, 0.01, 0.05, 0.5,
                ],
            ),
            registry,
        }
    }
}

impl Metrics {
    /// All of it in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _ = prometheus::TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("the names of the metrics are ours and well formed");
    registry.register(Box::new(collector.clone())).expect("every metric is registered once");
    collector
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name, help))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: Vec<f64>) -> Histogram {
    register(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
}
