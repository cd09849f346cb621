//! A merchant's key, from the command line to its revocation.

use crate::harness::Service;
use serde_json::json;

/// A new key of `merchant`, as `(key, id)`.
pub fn create_key(service: &Service, merchant: &str) -> (String, String) {
    let printed = service.run(&["key", "create", "--merchant", merchant, "--note", "till"]);
    let words: Vec<&str> = printed
        .split(|c: char| !c.is_ascii_alphanumeric() && !"_-.~".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let key = words.iter().find(|word| word.starts_with("twk_"));
    let id = words.windows(2).find(|pair| pair[0] == "id").map(|pair| pair[1]);
    match (key, id) {
        (Some(key), Some(id)) => (key.to_string(), id.to_owned()),
        _ => panic!("no `twk_…` or no `id …` in {printed:?}"),
    }
}

#[tokio::test]
async fn a_key_speaks_for_its_merchant_until_it_is_revoked() {
    let service = Service::with(|setup| {
        setup.env("TEAWIRE_STREAMS__HEARTBEAT_SECONDS", 1);
    })
    .await;
    service.product("longjing").await;
    let (key, id) = create_key(&service, "m1");
    let path = "/v1/products/longjing/price";
    let price = |price: &str| json!({ "price": price });

    assert_eq!(service.put(&key, path, price("101.00")).await.status, 200);
    let mut follower = service.follow_as(&key, "merchant/m1").await;
    service.set_stock("longjing", 7).await.ok();
    assert_eq!(follower.next().await.data()["quantity"], 7);
    assert!(service.run(&["key", "list"]).contains(&id));

    service.run(&["key", "revoke", &id]);

    follower.bye("forbidden").await;
    let gone = async || {
        let answer = service.put(&key, path, price("102.00")).await;
        (answer.status == 401).then_some(())
    };
    service.eventually("revocation", gone).await;
}

#[tokio::test]
async fn a_key_of_another_merchant_writes_nothing_here() {
    let service = Service::start().await;
    service.product("longjing").await;
    let (key, _) = create_key(&service, "m2");

    let path = "/v1/products/longjing/price";
    let answer = service.put(&key, path, json!({ "price": "101.00" })).await;

    assert_eq!(answer.status, 403, "{}", answer.text);
    let updates = "/v1/markets/fangcun/updates";
    assert_eq!(service.post(&key, updates, json!({ "title": "x" })).await.status, 403);
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_nowhere() {
    let service = Service::start().await;
    let (key, id) = create_key(&service, "m1");
    let secret = key.strip_prefix("twk_").unwrap();

    assert_eq!(service.get_as(&key, "/v1/me").await.status, 200);

    let list = service.run(&["key", "list"]);
    assert!(list.contains(&id) && list.contains("till") && !list.contains(secret), "{list}");
    for entry in std::fs::read_dir(service.directory()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "the key stands in {}", path.display());
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_cannot_be_revoked() {
    let service = Service::start().await;
    assert!(!service.cli(&["key", "revoke", "none"]).status.success());
}
