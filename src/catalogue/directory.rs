use super::{Category, store, unknown_market, unknown_product};
use crate::db::Db;
use crate::events::Topic;
use crate::transports::{Directory, DirectoryError, Found};
use std::collections::HashSet;
use std::sync::Mutex;

/// How many names are remembered.
const MOST: usize = 200_000;

/// Says whether a topic's category, market or product exists. What was found
/// is remembered, so that streams that come back need no database; nothing
/// that exists ever ceases to (a product that is withdrawn still has a past).
pub struct Names {
    db: Db,
    found: Mutex<HashSet<Topic>>,
}

impl Names {
    /// The names in `db`.
    pub fn new(db: Db) -> Names {
        Names { db, found: Mutex::default() }
    }

    async fn look_up(&self, topic: &Topic) -> Result<(), DirectoryError> {
        let (kind, name) = (topic.kind().to_owned(), topic.name().unwrap_or_default().to_owned());
        self.db
            .read(move |conn| match &*kind {
                "market" if store::market(conn, &name)?.is_none() => {
                    let known = store::markets(conn)?;
                    Err(unknown_market("topic", &name, &known).into())
                }
                "product" if store::find(conn, &name)?.is_none() => {
                    Err(unknown_product(conn, "topic", &name)?.into())
                }
                _ => Ok(()),
            })
            .await
    }
}

impl Directory for Names {
    fn check<'a>(&'a self, topic: &'a Topic) -> Found<'a> {
        Box::pin(async move {
            match (topic.kind(), topic.name()) {
                (_, Some("*")) => Ok(()),
                ("price", Some(category)) => match Category::find(category) {
                    Ok(_) => Ok(()),
                    Err(refusal) => {
                        Err(crate::refusal::Refusal { field: Some("topic".into()), ..refusal }
                            .into())
                    }
                },
                ("market" | "product", Some(_)) => {
                    if self.found.lock().is_ok_and(|found| found.contains(topic)) {
                        return Ok(());
                    }
                    self.look_up(topic).await?;
                    if let Ok(mut found) = self.found.lock()
                        && found.len() < MOST
                    {
                        found.insert(topic.clone());
                    }
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }
}
