use super::Config;
use crate::db::Url;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The least length of a secret, in bytes (RFC 7518, section 3.2, for HS256).
const LEAST: usize = 32;

/// Secrets that stand in examples somewhere.
const WELL_KNOWN: [&str; 3] = [
    "your-256-bit-secret-your-256-bit-secret",
    "changemechangemechangemechangeme",
    "0123456789abcdef0123456789abcdef",
];

/// The secret that tokens are signed with. It is never shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// From the setting, else from the file that is set, else from
    /// `teawire.secret` beside the database, which is made if it is missing.
    pub fn load(config: &Config, database: &Url) -> io::Result<Secret> {
        if !config.jwt_secret.is_empty() {
            return Secret::check(config.jwt_secret.as_bytes(), "auth.jwt_secret");
        }
        if !config.jwt_secret_file.as_os_str().is_empty() {
            let text = fs::read_to_string(&config.jwt_secret_file)?;
            return Secret::check(text.trim().as_bytes(), "the file of auth.jwt_secret_file");
        }
        let path = beside(database);
        match fs::read_to_string(&path) {
            Ok(text) => Secret::check(text.trim().as_bytes(), &path.display().to_string()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Secret::make(&path),
            Err(err) => Err(err),
        }
    }

    fn check(bytes: &[u8], whence: &str) -> io::Result<Secret> {
        let no =
            |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{whence} {why}")));
        if bytes.len() < LEAST {
            return no("is shorter than 32 bytes");
        }
        if WELL_KNOWN.iter().any(|known| known.as_bytes() == bytes) {
            return no("is a secret that everybody knows");
        }
        Ok(Secret(bytes.to_vec()))
    }

    fn make(path: &Path) -> io::Result<Secret> {
        let text = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(mut file) => {
                writeln!(file, "{text}")?;
                file.sync_all()?;
                Ok(Secret(text.into_bytes()))
            }
            // Another node was faster; its secret is the one.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                let text = fs::read_to_string(path)?;
                Secret::check(text.trim().as_bytes(), &path.display().to_string())
            }
            Err(err) => Err(err),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn beside(database: &Url) -> PathBuf {
    match database {
        Url::Sqlite(file) => Path::new(file).with_file_name("teawire.secret"),
        Url::Postgres(_) => PathBuf::from("teawire.secret"),
    }
}
