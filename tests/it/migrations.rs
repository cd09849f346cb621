use crate::harness::{Service, on_postgres};
use serde_json::json;

#[tokio::test]
async fn two_nodes_that_find_an_empty_database_at_once_both_come_up() {
    let (one, two) = Service::pair().await;

    one.product("longjing").await;
    two.product("keemun").await;

    assert_eq!(one.shown("keemun").await, two.shown("keemun").await);
    assert_eq!(two.set_price("longjing", "128.00").await, 200);
    assert_eq!(one.shown("longjing").await["price"], "128.00");
    let epoch = async |node: &Service| node.get("/v1/status").await.ok()["epoch"].clone();
    assert_eq!(epoch(&one).await, epoch(&two).await);
}

#[tokio::test]
async fn a_database_that_has_been_used_is_taken_up_again() {
    let mut service = Service::start().await;
    service.product("longjing").await;
    let before = service.whole_history("product/longjing").await;

    assert!(service.terminate().await.success());
    service.restart().await;

    assert_eq!(service.whole_history("product/longjing").await, before);
    assert_eq!(service.set_price("longjing", "128.00").await, 200);
}

#[tokio::test]
async fn what_one_node_writes_the_readers_of_another_are_told() {
    if !on_postgres() {
        return; // SQLite serves one node.
    }
    let one = Service::start().await;
    let two = one.second_node().await;
    one.product("longjing").await;
    let mut follower = two.follow("room/x").await;

    for n in 0..20 {
        let node = if n % 2 == 0 { &one } else { &two };
        node.say("x", json!({ "n": n })).await.ok();
    }

    for n in 0..20 {
        assert_eq!(follower.next().await.data()["n"], n);
    }
}
