//! What an operator does at the machine.

use super::Failure;
use crate::auth::{Claims, NewKey, Role, Secret, create_key, list_keys, mint, revoke_key};
use crate::clock::{Clock, rfc3339};
use crate::config::DEFAULTS;
use crate::db::{self, Conn};
use crate::events::renew_epoch;
use crate::names::is_name;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// `teawire key …`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key and print it, this once.
    Create {
        /// The merchant whose products it may write.
        #[arg(long, required_unless_present = "admin", value_parser = parse_name)]
        merchant: Option<String>,
        /// A key that may write everything.
        #[arg(long, conflicts_with = "merchant")]
        admin: bool,
        /// What it is for.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List the keys there are; the keys themselves are kept nowhere.
    List,
    /// Revoke a key; streams opened with it end within a heartbeat.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

/// `teawire token …`.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Sign a token with the service's secret and print it.
    Mint {
        /// shopper, merchant or admin.
        #[arg(long, value_parser = parse_role)]
        role: Role,
        /// The user.
        #[arg(long, default_value = "operator", value_parser = parse_name)]
        sub: String,
        /// The merchant whose products it may write.
        #[arg(long, value_parser = parse_name)]
        merchant: Option<String>,
        /// How long it is good, in seconds.
        #[arg(long, default_value_t = 3600)]
        ttl: u64,
        /// The only topics it may read.
        #[arg(long)]
        topic: Vec<String>,
    },
}

/// `teawire config …`.
#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Read the settings and say what is wrong with them.
    Check,
    /// Print every setting with its default and its reason.
    Defaults,
}

/// `teawire backup FILE`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Where to; must not exist.
    file: PathBuf,
}

/// `teawire restore FILE`.
#[derive(Debug, Args)]
pub struct Restore {
    /// A backup.
    file: PathBuf,
}

fn parse_name(text: &str) -> Result<String, String> {
    let name = is_name(text).then(|| text.to_owned());
    name.ok_or_else(|| "want 1 to 64 letters, digits and . _ ~ @ -".to_owned())
}

fn parse_role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|_| "want shopper, merchant or admin".to_owned())
}

/// The database as it is: what an operator looks at is not to be changed by it.
fn connect(settings: &super::Settings) -> Result<Conn, Failure> {
    let url: db::Url = settings.load()?.database_url.parse()?;
    if let db::Url::Sqlite(file) = &url
        && !Path::new(file).exists()
    {
        return Err(format!("there is no {file}; start the service, or `teawire migrate`").into());
    }
    Ok(url.connect()?)
}

/// `teawire migrate`.
pub fn migrate(settings: &super::Settings) -> Result<(), Failure> {
    let config = settings.load()?;
    let url: db::Url = config.database_url.parse()?;
    let run = db::migrate(&mut url.connect()?)?;
    match run.len() {
        0 => println!("{url} is up to date"),
        _ => println!("{url}: ran {}", run.join(", ")),
    }
    Ok(())
}

/// `teawire key …`.
pub fn key(settings: &super::Settings, command: &Key) -> Result<(), Failure> {
    let conn = &mut connect(settings)?;
    let now = Clock::System.now();
    match command {
        Key::Create { merchant, admin, note } => {
            let role = if *admin { Role::Admin } else { Role::Merchant };
            let key = NewKey { role, merchant: merchant.clone(), note: note.clone() };
            let (id, key) = create_key(conn, &key, now)?;
            println!("{key}\nid {id}");
            eprintln!("Keep the key: it is shown this once.");
        }
        Key::List => {
            for key in list_keys(conn)? {
                let whose = key.merchant.as_deref().unwrap_or("-");
                let state = match (key.revoked, key.last_used) {
                    (Some(revoked), _) => format!("revoked {}", rfc3339(revoked)),
                    (None, Some(used)) => format!("last used {}", rfc3339(used)),
                    (None, None) => "never used".to_owned(),
                };
                println!(
                    "{}  {}  {whose}  made {}  {state}  {}",
                    key.id,
                    key.role,
                    rfc3339(key.created),
                    key.note
                );
            }
        }
        Key::Revoke { id } => {
            if !revoke_key(conn, id, now)? {
                return Err(format!("there is no key `{id}` that still is one").into());
            }
            println!("revoked {id}");
        }
    }
    Ok(())
}

/// `teawire token …`.
pub fn token(settings: &super::Settings, command: &Token) -> Result<(), Failure> {
    let config = settings.load()?;
    let secret = Secret::load(&config.auth, &config.database_url.parse()?)?;
    let Token::Mint { role, sub, merchant, ttl, topic } = command;
    if *role == Role::Merchant && merchant.is_none() {
        return Err("a merchant's token needs --merchant".into());
    }
    let exp = (Clock::System.now() / 1000).unsigned_abs() + ttl;
    let topics = (!topic.is_empty()).then(|| topic.clone());
    let (sub, merchant) = (sub.clone(), merchant.clone());
    let claims = Claims { sub, role: *role, merchant, exp, nbf: None, topics };
    println!("{}", mint(&secret, &claims)?);
    Ok(())
}

/// `teawire backup FILE`.
pub fn backup(settings: &super::Settings, Backup { file }: &Backup) -> Result<(), Failure> {
    let config = settings.load()?;
    let db::Url::Sqlite(_) = config.database_url.parse()? else {
        return Err("this is PostgreSQL: use pg_dump, as docs/operations.md shows".into());
    };
    if file.exists() {
        return Err(format!("{} exists", file.display()).into());
    }
    let Some(target) = file.to_str() else {
        return Err("the name of the file is not UTF-8".into());
    };
    let conn = &mut connect(settings)?;
    db::copy_to(conn, target)?;
    std::fs::File::open(file)?.sync_all()?;
    println!("copied to {}", file.display());
    Ok(())
}

/// `teawire restore FILE`.
pub fn restore(settings: &super::Settings, Restore { file }: &Restore) -> Result<(), Failure> {
    let config = settings.load()?;
    let db::Url::Sqlite(target) = config.database_url.parse()? else {
        return Err("this is PostgreSQL: use pg_restore, as docs/operations.md shows".into());
    };
    let target = PathBuf::from(target);
    for end in ["", "-wal", "-shm"] {
        // An old log of writes beside a restored file would be played into it.
        let in_the_way = PathBuf::from(format!("{}{end}", target.display()));
        if in_the_way.exists() {
            return Err(
                format!("{} is in the way; move it aside first", in_the_way.display()).into()
            );
        }
    }
    let unfinished = format!("{}.restoring", target.display());
    std::fs::copy(file, &unfinished)?;
    // What came after the backup is lost, and the same positions will be given
    // to other events: cursors of before must not seem to fit.
    renew_epoch(&mut db::Url::Sqlite(unfinished.clone()).connect()?)?;
    std::fs::rename(&unfinished, &target)?;
    println!("restored to {}; clients will be told to begin anew", target.display());
    Ok(())
}

/// `teawire config …`.
pub fn config(settings: &super::Settings, command: &Settings) -> Result<(), Failure> {
    match command {
        Settings::Defaults => print!("{DEFAULTS}"),
        Settings::Check => {
            let config = settings.load()?;
            let url: db::Url = config.database_url.parse()?;
            println!("the settings are sound: {} on {url}", config.listen);
        }
    }
    Ok(())
}
