use super::key::{PREFIX, hash};
use super::tokens::Tokens;
use super::{ApiKey, Caller, Config, Secret, store, unauthorized};
use crate::clock::{Clock, Millis};
use crate::db::{self, Db};
use crate::refusal::{Class, Refusal};
use crate::tasks::Task;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How long a key that was found is not looked up again.
const REMEMBERED: Duration = Duration::from_secs(5);

/// How many keys are remembered.
const MOST: usize = 10_000;

/// Finds out who is asking.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    secret: Secret,
    db: Db,
    clock: Clock,
    keys: Mutex<HashMap<String, (ApiKey, Instant)>>,
    tokens: Tokens,
    used: Mutex<HashSet<String>>,
    revoked: RwLock<HashSet<String>>,
}

/// Why somebody could not be recognised.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// What they showed is of no use.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Their key could not be looked up.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl Gate {
    /// A gate that knows keys from `db` and tokens by `secret`.
    pub fn new(config: Config, secret: Secret, db: Db, clock: Clock) -> Gate {
        let inner = Inner {
            config,
            secret,
            db,
            clock,
            keys: Mutex::default(),
            tokens: Tokens::default(),
            used: Mutex::default(),
            revoked: RwLock::default(),
        };
        Gate { inner: Arc::new(inner) }
    }

    /// The database that keys and tickets are in.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// The time now.
    pub fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    /// The caller behind an `Authorization` header; without one, nobody.
    pub async fn recognise(&self, header: Option<&str>) -> Result<Caller, GateError> {
        let Some(header) = header else { return Ok(Caller::Anonymous) };
        let bearer = header.split_once(' ').filter(|(how, _)| how.eq_ignore_ascii_case("bearer"));
        let Some((_, shown)) = bearer else { return Err(unauthorized().into()) };
        let shown = shown.trim();
        if shown.starts_with(PREFIX) {
            return self.find_key(shown).await;
        }
        Ok(self.inner.tokens.verify(&self.inner.secret, shown, self.now())?)
    }

    async fn find_key(&self, shown: &str) -> Result<Caller, GateError> {
        let hash = hash(shown);
        let known = self.remembered(&hash);
        let key = match known {
            Some(key) => Some(key),
            None => {
                let wanted = hash.clone();
                let found = self.inner.db.read(move |conn| store::find_key(conn, &wanted)).await?;
                if let Some(key) = &found {
                    self.remember(hash.clone(), key.clone());
                }
                found
            }
        };
        let key = key.filter(|key| bool::from(key.hash.as_bytes().ct_eq(hash.as_bytes())));
        match key {
            Some(key) if !self.is_revoked(&key.id) => {
                if let Ok(mut used) = self.inner.used.lock() {
                    used.insert(key.id.clone());
                }
                Ok(key.caller())
            }
            _ => Err(Refusal::new(
                Class::Unauthorized,
                "bad_key",
                "there is no such API key, or it was revoked",
                "API 密钥不存在或已吊销",
            )
            .into()),
        }
    }

    fn remembered(&self, hash: &str) -> Option<ApiKey> {
        let keys = self.inner.keys.lock().ok()?;
        let (key, since) = keys.get(hash)?;
        (since.elapsed() < REMEMBERED).then(|| key.clone())
    }

    /// How many keys and tokens are remembered.
    pub fn remembered_keys(&self) -> usize {
        self.inner.keys.lock().map_or(0, |keys| keys.len()) + self.inner.tokens.count()
    }

    fn remember(&self, hash: String, key: ApiKey) {
        if let Ok(mut keys) = self.inner.keys.lock() {
            if keys.len() >= MOST {
                keys.clear();
            }
            keys.insert(hash, (key, Instant::now()));
        }
    }

    fn is_revoked(&self, id: &str) -> bool {
        self.inner.revoked.read().is_ok_and(|revoked| revoked.contains(id))
    }

    /// Why what a caller showed is no good any more; `None` while it is. It
    /// asks no database, so that open streams can ask it all the time.
    pub fn ended(&self, caller: &Caller) -> Option<&'static str> {
        let identity = caller.identity()?;
        if identity.expires.is_some_and(|expires| expires <= self.now()) {
            return Some("token_expired");
        }
        identity.key_id.as_ref().filter(|id| self.is_revoked(id)).map(|_| "forbidden")
    }

    /// Lets a caller read what is public.
    pub fn admit_reader(&self, caller: &Caller) -> Result<(), Refusal> {
        match caller {
            Caller::Anonymous if !self.inner.config.anonymous_read => Err(unauthorized()),
            _ => Ok(()),
        }
    }
}

/// Learns every second which keys were revoked, on whatever node, and notes
/// now and then which were used.
pub struct KeyWatch(pub Gate);

impl Task for KeyWatch {
    const NAME: &'static str = "key-watch";

    type Error = db::Error;

    async fn run(&self) -> db::Result<()> {
        let gate = &self.0.inner;
        let revoked = gate.db.read(store::revoked_keys).await?;
        if let Ok(mut known) = gate.revoked.write() {
            *known = revoked.into_iter().collect();
        }
        let now = gate.clock.now();
        // To the minute will do, and a write a minute too.
        if now / 1000 % 60 == 0 {
            let used = gate.used.lock().map(|mut used| std::mem::take(&mut *used));
            let used: Vec<String> = used.unwrap_or_default().into_iter().collect();
            if !used.is_empty() {
                gate.db.write(move |conn| store::touch_keys(conn, &used, now)).await?;
            }
        }
        Ok(())
    }
}
