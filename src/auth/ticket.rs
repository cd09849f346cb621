use super::key::hash;
use super::store::{self, TicketRow};
use super::{Caller, Identity, Role};
use crate::clock::Millis;
use crate::db::{self, Conn, Db};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// How long a ticket is good, in milliseconds.
const LIFETIME: Millis = 30_000;

/// Stands in for a token where none can be sent: an `EventSource` has no
/// headers, and a token in a URL ends up in logs. Good once, for 30 s.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ticket {
    /// What goes into `?ticket=`.
    pub ticket: String,
    /// When it ends (ms).
    #[serde(skip)]
    pub expires: Millis,
}

/// Gives `identity` a ticket for `topics`.
pub fn issue_ticket(
    conn: &mut Conn,
    identity: &Identity,
    topics: &[String],
    now: Millis,
) -> db::Result<Ticket> {
    store::drop_tickets(conn, now)?;
    let ticket = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
    let expires = now + LIFETIME;
    let row = TicketRow {
        hash: hash(&ticket),
        sub: identity.sub.clone(),
        role: identity.role.as_str().to_owned(),
        merchant: identity.merchant.clone(),
        key_id: identity.key_id.clone(),
        caller_expires: identity.expires,
        topics: topics.join(" "),
        expires,
    };
    store::add_ticket(conn, &row)?;
    Ok(Ticket { ticket, expires })
}

/// Takes a ticket back for the caller it was given to, who may read with it
/// the topics it was given for. `None` if it was used, is old, or never was.
pub async fn redeem_ticket(db: &Db, ticket: &str, now: Millis) -> db::Result<Option<Caller>> {
    let hash = hash(ticket);
    let wanted = hash.clone();
    // Made-up tickets are many and cost a look; only a real one is worth a write.
    if !db.read(move |conn| store::has_ticket(conn, &wanted)).await? {
        return Ok(None);
    }
    let taken = db.write(move |conn| store::take_ticket(conn, &hash)).await?;
    let Some(row) = taken.filter(|row| row.expires > now) else { return Ok(None) };
    let role: Role =
        row.role.parse().map_err(|_| db::Error::Corrupt("a ticket's role".to_owned()))?;
    Ok(Some(Caller::Known(Identity {
        sub: row.sub,
        role,
        merchant: row.merchant,
        expires: row.caller_expires,
        key_id: row.key_id,
        topics: Some(row.topics.split(' ').map(str::to_owned).collect()),
    })))
}
