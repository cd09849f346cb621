//! The command line.

mod admin;
mod client;
mod demo;
pub mod import;
pub mod replay;
mod serve;
mod sse;
pub mod tail;

use crate::config::{Config, ConfigError};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Tells tea buyers and sellers what just changed.
#[derive(Debug, Parser)]
#[command(name = "teawire", version, about)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// Where settings come from besides the environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// A file of settings; see `teawire config defaults`.
    #[arg(long, global = true, env = "TEAWIRE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The operator's address.
    #[arg(long, global = true, value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// The database: sqlite:FILE or postgres://…
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

impl Settings {
    /// The whole configuration.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let given = [
            ("listen", &self.listen),
            ("ops_listen", &self.ops_listen),
            ("database_url", &self.database_url),
        ];
        let flags: Vec<(&str, String)> =
            given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        // What is not UTF-8 is not ours.
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment = std::env::vars_os().filter_map(text);
        Config::load(self.config.as_deref(), environment, &flags)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run with a database of its own, a whole market and live prices.
    Demo(demo::Args),
    /// Run the service.
    Serve(serve::Args),
    /// Bring the database up to date and stop.
    Migrate,
    /// Send a file of products, prices or stock to a service.
    Import(import::ImportArgs),
    /// Play a file of past prices or sales through a service.
    Replay(Box<replay::ReplayArgs>),
    /// Follow topics of a service on the terminal.
    Tail(tail::TailArgs),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Key(admin::Key),
    /// Sign tokens.
    #[command(subcommand)]
    Token(admin::Token),
    /// Copy the database to a file while it is in use (SQLite).
    Backup(admin::Backup),
    /// Put a backup in the database's place (SQLite, while nothing runs).
    Restore(admin::Restore),
    /// Look at the settings.
    #[command(subcommand)]
    Config(admin::Settings),
}

/// Why a command came to nothing, as it is printed.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the command that the process was given.
pub fn run() -> ExitCode {
    let Cli { settings, command } = Cli::parse();
    let outcome: Result<(), Failure> = match command {
        Command::Demo(args) => demo::run(&settings, &args),
        Command::Serve(args) => serve::run(&settings, &args),
        Command::Migrate => admin::migrate(&settings),
        Command::Key(key) => admin::key(&settings, &key),
        Command::Token(token) => admin::token(&settings, &token),
        Command::Backup(backup) => admin::backup(&settings, &backup),
        Command::Restore(restore) => admin::restore(&settings, &restore),
        Command::Config(config) => admin::config(&settings, &config),
        Command::Import(args) => return told(import::run(args), import::Error::exit_code),
        Command::Replay(args) => return told(replay::run(*args), replay::Error::exit_code),
        Command::Tail(args) => return told(tail::run(args), tail::Error::exit_code),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("teawire: {}", crate::tasks::chain(err.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn told<E: std::fmt::Display>(outcome: Result<(), E>, code: fn(&E) -> u8) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("teawire: {err}");
            ExitCode::from(code(&err))
        }
    }
}
