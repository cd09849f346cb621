//! The command line's side of HTTP: where the service is, who we are, one
//! request and its answer, and the patience to ask again.
//!
//! Everything here blocks. A write carries an `Idempotency-Key`, so that
//! asking again after a lost answer does nothing twice.

use std::fmt;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, Method, Request, Uri};

mod answer;
mod patience;
pub mod stream;
#[cfg(test)]
pub(crate) mod toy;

pub use answer::{Answer, Problem};
pub use patience::{Backoff, Patience, seconds};

pub use crate::transports::text::printable;

/// A server that says nothing for so long is taken for gone.
const SILENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);

/// Where the service is and who is asking; shared by all commands.
#[derive(Clone, clap::Args)]
pub struct Remote {
    /// The address of the service
    #[arg(long, env = "TEAWIRE_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A JWT or a `twk_` key
    #[arg(long, env = "TEAWIRE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

// By hand, so that no log and no panic ever shows the token.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Remote").field("url", &self.url).field("token", &token).finish()
    }
}

/// Why there is no answer to work with. Each text stands by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--url` is none.
    #[error("`{0}` is no address: it should look like http://127.0.0.1:8080")]
    BadUrl(String),
    /// `--token` cannot be sent.
    #[error("the token has characters that no token has; was it copied whole?")]
    BadToken,
    /// Nothing answered.
    #[error("no answer from {url}: {why}")]
    Unreachable {
        /// Where we asked.
        url: String,
        /// What the network said.
        why: String,
    },
    /// Something answered, but not teawire.
    #[error("{url} answered {what}; is that the address of teawire?")]
    NotTeawire {
        /// Where we asked.
        url: String,
        /// What came instead.
        what: String,
    },
    /// The service understood, and said no.
    #[error("{0}")]
    Refused(Problem),
}

/// The service at one address.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    headers: HeaderMap,
    agent: Agent,
}

impl Client {
    /// Does not connect yet.
    pub fn new(remote: &Remote) -> Result<Client, Error> {
        let base = remote.url.trim().trim_end_matches('/').to_owned();
        let bad_url = || Error::BadUrl(printable(&remote.url));
        let uri: Uri = base.parse().map_err(|_| bad_url())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
            return Err(bad_url());
        }
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| {
            value.parse().map(|value| headers.insert(name, value)).map_err(|_| Error::BadToken)
        };
        if let Some(token) = remote.token.as_deref().map(str::trim).filter(|it| !it.is_empty()) {
            add("authorization", &format!("Bearer {token}"))?;
        }
        let chinese = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .is_some_and(|value| value.starts_with("zh"));
        add("accept-language", if chinese { "zh-CN" } else { "en" })?;
        let agent = agent(&uri, Some(SILENCE));
        Ok(Client { base, headers, agent })
    }

    /// `GET`, asked again for as long as `patience` lasts.
    pub fn get(&self, path: &str, patience: &mut Patience) -> Result<Answer, Error> {
        patience.keep(|| self.send(&Method::GET, path, None, None))
    }

    /// A write, asked again for as long as `patience` lasts; `key` makes that safe.
    pub fn write(
        &self,
        method: &Method,
        path: &str,
        content: (&str, &[u8]),
        key: &str,
        patience: &mut Patience,
    ) -> Result<Answer, Error> {
        patience.keep(|| self.send(method, path, Some(content), Some(key)))
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        content: Option<(&str, &[u8])>,
        key: Option<&str>,
    ) -> Result<Answer, Error> {
        let url = format!("{}{path}", self.base);
        let fault = |why| Error::Unreachable { url: self.base.clone(), why };
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let sent = match content {
            Some((kind, bytes)) => {
                let request = request.header("content-type", kind).body(bytes);
                self.agent.run(request.map_err(|err| fault(err.to_string()))?)
            }
            None => self.agent.run(request.body(()).map_err(|err| fault(err.to_string()))?),
        };
        Answer::new(url.clone(), sent.map_err(|err| fault(reason(&err)))?)
    }
}

fn agent(uri: &Uri, silence: Option<Duration>) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect would lose the token; whoever set it up should know.
        .max_redirects(0)
        .user_agent(concat!("teawire/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(silence)
        .timeout_per_write(Some(SILENCE))
        // Shorter than any server's keep-alive: a write on a connection that
        // is just being closed fails for nothing.
        .max_idle_age(Duration::from_secs(3));
    let host = uri.host().unwrap_or_default();
    if host == "localhost" || host == "[::1]" || host.starts_with("127.") {
        // A proxy for the world outside does not know this machine's own.
        config = config.proxy(None);
    }
    config.build().new_agent()
}

/// What the network said, without the library's prefixes.
fn reason(err: &ureq::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut};
    match err {
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::Timeout(_) => "it took too long".to_owned(),
        ureq::Error::Io(err) if err.kind() == ConnectionRefused => {
            "nobody listens there (connection refused)".to_owned()
        }
        ureq::Error::Io(err) if err.kind() == TimedOut => "it took too long".to_owned(),
        ureq::Error::Io(err) => err.to_string(),
        other => other.to_string(),
    }
}

/// Percent-encodes one segment of a path or one value of a query.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
