//! What the operator decides: `config.default.toml`, overlaid by a file of
//! theirs, overlaid by the environment, overlaid by flags.

use crate::telemetry::LogFormat;
use crate::{alerts, auth, db, events, http, limits, markets, prices, stock};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Every setting with its default and its reason.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// What every variable of ours begins with.
const PREFIX: &str = "TEAWIRE_";

/// Variables of ours that are no settings.
const NO_SETTINGS: [&str; 3] = ["TEAWIRE_CONFIG", "TEAWIRE_URL", "TEAWIRE_TOKEN"];

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where shoppers and merchants come in.
    pub listen: SocketAddr,
    /// Where the operator looks in.
    pub ops_listen: SocketAddr,
    /// The database.
    pub database_url: String,
    /// Redis; empty for none.
    pub redis_url: String,
    /// From SIGTERM to the end, in seconds.
    pub shutdown_seconds: u64,
    /// Where the log goes; empty for stderr.
    pub log_file: PathBuf,
    /// How it looks.
    pub log_format: LogFormat,
    /// `[database]`.
    pub database: Database,
    /// `[auth]`.
    pub auth: auth::Config,
    /// `[http]`.
    pub http: http::Config,
    /// `[streams]`.
    pub streams: events::StreamsConfig,
    /// `[events]`.
    pub events: events::Config,
    /// `[prices]`.
    pub prices: prices::history::Config,
    /// `[markets]`.
    pub markets: markets::Config,
    /// `[stock]`.
    pub stock: stock::Config,
    /// `[limits]`.
    pub limits: limits::Config,
    /// `[alerts]`.
    pub alerts: alerts::Config,
}

/// `[database]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Connections to read with.
    pub read_connections: u32,
}

/// Why there is no configuration. Its text names the setting, never a value:
/// that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, std::io::Error),
    /// The file is not TOML.
    #[error("{0} is not TOML: {1}")]
    Toml(PathBuf, String),
    /// A setting that nobody knows.
    #[error("{0} sets `{1}`, which is no setting; known there: {2}")]
    Unknown(String, String, String),
    /// A setting with a value of no use.
    #[error("{0}: `{1}` {2}")]
    Bad(String, String, String),
}

impl Config {
    /// The settings of `file`, the environment, and `flags` (a dotted name and
    /// a value each).
    ///
    /// # Errors
    /// The first setting that is unknown or of no use, and where it stands.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Config, ConfigError> {
        let mut settings: Table =
            DEFAULTS.parse().expect("config.default.toml is TOML; a test reads it");
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|err| ConfigError::File(path.to_owned(), err))?;
            let theirs: Table = text.parse().map_err(|err: toml::de::Error| {
                ConfigError::Toml(path.to_owned(), err.message().to_owned())
            })?;
            overlay(&mut settings, theirs, &path.display().to_string(), "")?;
        }
        for (name, text) in environment {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if !NO_SETTINGS.contains(&&*name) && !rest.starts_with("TEST_") {
                set(&mut settings, &rest.to_lowercase().replace("__", "."), &text, &name)?;
            }
        }
        for (path, text) in flags {
            set(&mut settings, path, text, "the command line")?;
        }
        let config: Config = settings.try_into().map_err(|err: toml::de::Error| {
            ConfigError::Bad("the settings".to_owned(), String::new(), err.message().to_owned())
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let bad = |name: &str, why: &str| {
            Err(ConfigError::Bad("the settings".to_owned(), name.to_owned(), why.to_owned()))
        };
        if !self.redis_url.is_empty() {
            return bad(
                "redis_url",
                "is for a later release; several nodes share PostgreSQL, and need no more",
            );
        }
        if let Err(err) = self.database_url.parse::<db::Url>() {
            return bad("database_url", &err.to_string());
        }
        if let Err(why) = self.markets.after_midnight() {
            return bad("markets.summary_at", why);
        }
        let at_least_one = [
            ("streams.heartbeat_seconds", self.streams.heartbeat_seconds),
            ("streams.write_seconds", self.streams.write_seconds),
            ("events.keep_count", self.events.keep_count.max(0).unsigned_abs()),
            ("events.keep_days", self.events.keep_days.max(0).unsigned_abs()),
            ("events.recent_events", self.events.recent_events as u64),
            ("events.write_queue", self.events.write_queue as u64),
            ("prices.raw_days", self.prices.raw_days.max(0).unsigned_abs()),
            ("prices.hourly_days", self.prices.hourly_days.max(0).unsigned_abs()),
            ("database.read_connections", u64::from(self.database.read_connections)),
            ("http.head_seconds", self.http.head_seconds),
            ("http.body_seconds", self.http.body_seconds),
            ("http.import_seconds", self.http.import_seconds),
            ("shutdown_seconds", self.shutdown_seconds),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return bad(name, "must be at least 1");
            }
        }
        if let Some(origin) = self.http.allowed_origins.iter().find(|origin| origin.contains('*')) {
            return bad("http.allowed_origins", &format!("has `{origin}`; name each origin"));
        }
        Ok(())
    }
}

/// Puts `theirs` over `settings`, which has every name that there is.
fn overlay(
    settings: &mut Table,
    theirs: Table,
    whence: &str,
    path: &str,
) -> Result<(), ConfigError> {
    for (name, value) in theirs {
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let known = settings.keys().cloned().collect::<Vec<_>>().join(", ");
        match (settings.get_mut(&name), value) {
            (None, _) => return Err(ConfigError::Unknown(whence.to_owned(), full, known)),
            (Some(Value::Table(section)), Value::Table(theirs)) => {
                overlay(section, theirs, whence, &full)?;
            }
            (Some(mine), theirs) if mine.same_type(&theirs) => *mine = theirs,
            (Some(mine), _) => {
                let want = format!("is not a {}", mine.type_str());
                return Err(ConfigError::Bad(whence.to_owned(), full, want));
            }
        }
    }
    Ok(())
}

/// Sets `path` to what `text` says, read as the default's type.
fn set(settings: &mut Table, path: &str, text: &str, whence: &str) -> Result<(), ConfigError> {
    let (section, name) = match path.split_once('.') {
        Some((section, name)) => (Some(section), name),
        None => (None, path),
    };
    let known = |table: &Table| table.keys().cloned().collect::<Vec<_>>().join(", ");
    let unknown =
        |table: &Table| Err(ConfigError::Unknown(whence.to_owned(), path.to_owned(), known(table)));
    let table = match section {
        None => settings,
        Some(section) => match settings.get(section) {
            Some(Value::Table(_)) => match settings.get_mut(section) {
                Some(Value::Table(table)) => table,
                _ => return Ok(()),
            },
            _ => return unknown(settings),
        },
    };
    let Some(slot) = table.get_mut(name) else { return unknown(table) };
    let read = match slot {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
        _ => None,
    };
    match read {
        Some(value) => *slot = value,
        None => {
            let want = format!("is not a {}", slot.type_str());
            return Err(ConfigError::Bad(whence.to_owned(), path.to_owned(), want));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let pairs = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Config::load(None, pairs, &[])
    }

    #[test]
    fn the_defaults_alone_are_a_whole_configuration() {
        let config = load(&[]).expect("a configuration");
        assert_eq!(config.listen.port(), 8080);
        assert_eq!(config.http.body_bytes, 262_144);
    }

    #[test]
    fn the_environment_wins_and_is_read_as_what_it_sets() {
        let config = load(&[
            ("TEAWIRE_LISTEN", "127.0.0.1:0"),
            ("TEAWIRE_LIMITS__ENABLED", "false"),
            ("TEAWIRE_HTTP__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
            ("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", "1"),
            ("PATH", "/bin"),
        ])
        .expect("a configuration");
        assert!(!config.limits.enabled);
        assert_eq!(config.streams.heartbeat_seconds, 1);
    }

    #[test]
    fn a_setting_that_nobody_knows_stops_the_start() {
        let text = |environment| load(environment).expect_err("refused").to_string();
        assert!(text(&[("TEAWIRE_LISTTEN", "x")]).contains("listten"));
        assert!(text(&[("TEAWIRE_STREAMS__HEARTBEAT", "1")]).contains("heartbeat_seconds"));
        assert!(text(&[("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", "soon")]).contains("integer"));
        assert!(text(&[("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", "0")]).contains("at least 1"));
        assert!(text(&[("TEAWIRE_DATABASE_URL", "mysql://x:secret@y")]).contains("database_url"));
        assert!(!text(&[("TEAWIRE_DATABASE_URL", "mysql://x:secret@y")]).contains("secret"));
    }
}
