//! Several monitors on one database, ends in mid-work, and what cannot be judged.

use crate::alerts::{inbox, inbox_of, judged, make};
use crate::harness::{Api, Service};
use diesel::connection::SimpleConnection;
use serde_json::json;
use teawire::db::{Conn, Url};

fn rearm(product: &str) -> serde_json::Value {
    json!({"product":product,"op":"lte","price":"98.00","mode":"rearm","cooldown_s":60,"margin":"1.00"})
}

/// Speaks to the database past the service.
fn execute(service: &Service, sql: &str) {
    let url = service.database();
    let mut conn = url.parse::<Url>().unwrap().connect().unwrap();
    match &mut conn {
        Conn::Postgres(conn) => conn.batch_execute(sql).unwrap(),
        Conn::Sqlite(conn) => conn.batch_execute(sql).unwrap(),
    }
}

async fn fall(api: &Api, products: &[String]) {
    for product in products {
        assert_eq!(api.set_price(product, "97.00").await, 200);
    }
}

#[tokio::test]
async fn two_nodes_fire_once() {
    let (one, two) = Service::pair().await;
    let products: Vec<String> = (0..30).map(|n| format!("p{n}")).collect();
    for product in &products {
        one.product(product).await;
        make(&one, product, rearm(product)).await;
    }
    let (first, second) = products.split_at(15);
    tokio::join!(fall(&one, first), fall(&two, second));
    for product in &products {
        inbox_of(&two, product, 1).await;
    }
    judged(&one).await;
    judged(&two).await;
    for product in &products {
        inbox_of(&one, product, 1).await;
    }
}

#[tokio::test]
async fn when_the_node_that_judges_is_killed_the_other_takes_over() {
    let (mut one, mut two) = Service::pair().await;
    one.product("a").await;
    make(&one, "lin", rearm("a")).await;
    one.set_price("a", "97.00").await;
    inbox_of(&one, "lin", 1).await;
    // Whichever it was: kill one, ask the other.
    one.kill().await;
    two.product("b").await;
    make(&two, "lin", rearm("b")).await;
    two.set_price("b", "97.00").await;
    inbox_of(&two, "lin", 2).await;
    one.restart().await;
    two.kill().await;
    one.product("c").await;
    make(&one, "lin", rearm("c")).await;
    one.set_price("c", "97.00").await;
    inbox_of(&one, "lin", 3).await;
}

#[tokio::test]
async fn what_happened_before_a_kill_is_judged_after_it_once() {
    let mut service = Service::start().await;
    let products: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    for product in &products {
        service.product(product).await;
        make(&service, product, rearm(product)).await;
    }
    for round in products.chunks(10) {
        fall(&service, round).await;
        service.kill().await;
        service.restart().await;
    }
    for product in &products {
        inbox_of(&service, product, 1).await;
    }
    judged(&service).await;
    for product in &products {
        assert_eq!(inbox(&service, product).await.len(), 1, "{product}");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_judged_is_set_aside_and_those_after_it_are_judged() {
    let mut service = Service::start().await;
    for product in ["a", "b"] {
        service.product(product).await;
        make(&service, product, rearm(product)).await;
    }
    judged(&service).await;
    service.kill().await;
    // As a price.changed that no code of ours writes.
    execute(
        &service,
        "UPDATE log_head SET seq = seq + 1;
         INSERT INTO events (seq, time, kind, topics, data)
         SELECT seq, (SELECT max(time) FROM events), 'price.changed', 'product/a', '{\"product\":7}' FROM log_head;",
    );
    service.restart().await;
    service.set_price("a", "97.00").await;
    inbox_of(&service, "a", 1).await;
    service.metric_is("teawire_alerts_poison_total", 1).await;
    assert!(service.log().contains("an event cannot be judged and is set aside"));
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_set_aside_and_the_others_fire() {
    let mut service = Service::start().await;
    service.product("a").await;
    let bad = make(&service, "bad", rearm("a")).await;
    make(&service, "good", rearm("a")).await;
    judged(&service).await;
    service.kill().await;
    let id = &bad["alert"]["id"];
    execute(&service, &format!("UPDATE alert_rules SET spec = '{{' WHERE id = {id};"));
    service.restart().await;
    service.set_price("a", "97.00").await;
    inbox_of(&service, "good", 1).await;
    service.metric_is("teawire_alerts_poison_total", 1).await;
    assert!(inbox(&service, "bad").await.is_empty());
}
