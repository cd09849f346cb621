//! `kill -9` in the middle of it all. (That says nothing of a power failure:
//! the operating system lives on and writes what it was given.)

use crate::harness::{Api, Service};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const WRITERS: usize = 8;

/// What one writer knows after its service is gone.
struct Account {
    product: String,
    /// Quantity and event id of every write that was acknowledged.
    acknowledged: Vec<(i64, String)>,
    /// The last quantity it tried to set.
    tried: i64,
}

/// Sets higher and higher quantities until there is nobody to answer.
async fn write(api: Api, product: String, from: i64, done: Arc<AtomicUsize>) -> Account {
    let token = api.merchant("m1");
    let path = format!("/v1/products/{product}/stock");
    let mut account = Account { product, acknowledged: Vec::new(), tried: from };
    loop {
        account.tried += 1;
        let body = json!({ "quantity": account.tried });
        let request = api.request(reqwest::Method::PUT, &path).bearer_auth(&token).json(&body);
        let Ok(answer) = api.try_send(request).await else { return account };
        let id = answer.ok()["receipt"]["id"].as_str().unwrap().to_owned();
        account.acknowledged.push((account.tried, id));
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_once_after_a_kill() {
    let rounds = std::env::var("TEAWIRE_TEST_ROUNDS").ok().and_then(|n| n.parse().ok());
    let mut service = Service::start().await;
    for n in 0..WRITERS {
        service.product(&format!("p{n}")).await;
    }
    let mut next = 0;
    for round in 0..rounds.unwrap_or(2) {
        let done = Arc::new(AtomicUsize::new(0));
        let mut follower = service.follow("product/p0,product/p1").await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| tokio::spawn(write((*service).clone(), format!("p{n}"), next, done.clone())))
            .collect();
        let enough = 100 + rand::random_range(0..60);
        let busy = async || (done.load(Ordering::Relaxed) >= enough).then_some(());
        service.eventually("load", busy).await;

        service.kill().await;
        let mut accounts = Vec::new();
        for writer in writers {
            accounts.push(writer.await.unwrap());
        }
        service.restart().await;
        // PostgreSQL may still be committing what was on its way. Whoever writes next
        // waits for that, and after them nothing changes any more.
        service.product(&format!("after-{round}")).await;

        for account in &accounts {
            check(&service, account, next).await;
        }
        let mut seen = Vec::new();
        while let Some(frame) = follower.next_frame().await {
            seen.extend((!frame.is_control()).then(|| frame.id().to_owned()));
        }
        check_follower(&service, seen, &accounts[..2]).await;
        next = accounts.iter().map(|account| account.tried).max().unwrap() + 1000 * (round + 1);
    }
}

/// History has what was acknowledged exactly once, with the id that was told,
/// and what was not acknowledged at most once; the product is as its last event.
async fn check(service: &Service, account: &Account, from: i64) {
    let events = service.whole_history(&format!("product/{}", account.product)).await;
    let mut kept: HashMap<i64, Vec<&str>> = HashMap::new();
    for event in events.iter().filter(|event| event["type"] == "stock.changed") {
        let quantity = event["data"]["quantity"].as_i64().unwrap();
        kept.entry(quantity).or_default().push(event["id"].as_str().unwrap());
    }
    kept.retain(|quantity, _| *quantity > from);
    for (quantity, id) in &account.acknowledged {
        assert_eq!(kept.remove(quantity).unwrap_or_default(), [id], "{quantity} was acknowledged");
    }
    assert!(kept.len() <= 1, "{kept:?} were not acknowledged");
    for (quantity, ids) in kept {
        assert_eq!((quantity, ids.len()), (account.tried, 1));
    }
    let last = events.iter().rev().find(|event| event["type"] == "stock.changed").unwrap();
    let stock = &service.shown(&account.product).await["stock"];
    assert_eq!(*stock, last["data"]["quantity"], "{}", account.product);
}

/// A reader that lost the service in the middle goes on as if nothing had been.
async fn check_follower(service: &Service, mut seen: Vec<String>, accounts: &[Account]) {
    let all = service.whole_history("product/p0,product/p1").await;
    let all: Vec<&str> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
    let Some(first) = seen.first() else { return };
    let start = all.iter().position(|id| id == first).unwrap();
    let mut again =
        service.follow_after("product/p0,product/p1", seen.last().map(|id| &**id)).await;
    while seen.len() < all.len() - start {
        seen.push(again.next().await.id().to_owned());
    }
    assert_eq!(seen, all[start..]);
    for (_, id) in accounts.iter().flat_map(|account| &account.acknowledged) {
        assert!(seen.contains(id), "{id} was acknowledged and not told");
    }
}
