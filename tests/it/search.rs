//! Whoever looks for a tea finds it, as it is now, and every page of it.

use crate::harness::{Api, Service};
use serde_json::{Value, json};

/// The ids in the answer to a search.
async fn found(api: &Api, query: &str) -> Vec<String> {
    ids(&search(api, query).await)
}

async fn search(api: &Api, query: &str) -> Value {
    api.get(&path(query)).await.ok()
}

/// The path of a search, of parameters as they are read.
fn path(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap());
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("/v1/products?{encoded}")
}

async fn filters(api: &Api, query: &str) -> Value {
    api.get(&format!("/v1/filters?{query}")).await.ok()
}

fn ids(page: &Value) -> Vec<String> {
    let products = page["products"].as_array().unwrap().iter();
    products.map(|product| product["id"].as_str().unwrap().to_owned()).collect()
}

fn count(filters: &Value, filter: &str, value: &str) -> Value {
    let options = filters["filters"][filter].as_array().unwrap().iter();
    let option = options.clone().find(|option| option["value"] == value);
    option.map_or(Value::Null, |option| option["count"].clone())
}

/// A shop with a little of everything.
async fn shop() -> Service {
    let service = Service::start().await;
    let teas = [
        (
            "dhp",
            json!({ "name": "武夷山大红袍", "category": "oolong", "market": "wuyishan",
            "origin": "武夷山", "grade": "特级", "price": "800.00", "stock": 500 }),
        ),
        (
            "lagp",
            json!({ "name": "六安瓜片", "category": "green", "origin": "安徽六安",
            "grade": "特级", "price": "300.00" }),
        ),
        (
            "puer-7542",
            json!({ "name": "大益 7542 青饼", "name_en": "Dayi raw cake", "category": "dark.puer",
            "recipe": "7542", "vintage": 2003, "form": "饼", "unit": "piece", "grams_per_unit": 357,
            "price": "1000.00", "stock": 3 }),
        ),
        (
            "liubao",
            json!({ "name": "六堡茶", "category": "dark", "vintage": 2015, "unit": "kg",
            "price": "400.00", "stock": 0 }),
        ),
        (
            "wulong",
            json!({ "name": "凍頂烏龍", "category": "oolong", "origin": "台湾",
            "price": null }),
        ),
    ];
    for (id, fields) in teas {
        service.product_with(id, fields).await;
    }
    service
}

#[tokio::test]
async fn a_tea_is_found_by_characters_pinyin_initials_and_numbers() {
    let service = shop().await;
    for (q, id) in [
        ("大红袍", "dhp"),
        ("dahongpao", "dhp"),
        ("ＤＨＰ", "dhp"),
        ("大hp", "dhp"),
        ("特级 wuyi", "dhp"),
        ("luan", "lagp"),
        ("liuan guapian", "lagp"),
        ("7542", "puer-7542"),
        ("dy7542", "puer-7542"),
        ("raw CAKE", "puer-7542"),
        ("冻顶乌龙", "wulong"),
        ("wulong", "wulong"),
        ("puercha", "puer-7542"),
        ("绿茶", "lagp"),
        ("lbc", "liubao"),
        ("2015 茶", "liubao"),
    ] {
        assert_eq!(found(&service, &format!("q={q}")).await.first().unwrap(), id, "{q}");
    }
    for q in ["红大袍", "dhpx", "542", "大红袍 绿茶"] {
        assert_eq!(found(&service, &format!("q={q}")).await, [""; 0], "{q}");
    }
    // What is called so comes before what holds it elsewhere.
    assert_eq!(found(&service, "q=六").await.len(), 2);
    let page = search(&service, "q=六安").await;
    assert_eq!((&page["total"], &page["total_is"]), (&json!(1), &json!("exact")));
}

#[tokio::test]
async fn every_filter_and_order_holds() {
    let service = shop().await;
    let cleared = json!({ "price": "700.00" });
    service.put(&service.merchant("m1"), "/v1/products/dhp/clearance", cleared).await.ok();
    for (query, wanted) in [
        ("", "dhp lagp liubao puer-7542 wulong"),
        ("order=desc", "wulong puer-7542 liubao lagp dhp"),
        ("category=dark", "liubao puer-7542"),
        ("category=green,dark.puer", "lagp puer-7542"),
        ("category=green&category=oolong", "dhp lagp wulong"),
        ("market=wuyishan", "dhp"),
        ("origin=武夷山,安徽六安", "dhp lagp"),
        ("grade=特级&vintage=2003", ""),
        ("vintage=2003,2015&form=饼", "puer-7542"),
        ("merchant=m1&price_type=wholesale&in_stock=true", "dhp puer-7542"),
        ("in_stock=false", "lagp liubao wulong"),
        ("on_clearance=true", "dhp"),
        ("status=withdrawn", ""),
        ("price_min=300.00&price_max=400.00", "lagp liubao"),
        // 400 a kilo are 200 for 500 g; 1000 a cake of 357 g are 1400.56.
        ("price_max=200&basis=per_500g", "liubao"),
        ("price_min=1400.56&basis=per_500g", "puer-7542"),
        ("price_min=1400.57&basis=per_500g", ""),
        ("sort=price", "lagp liubao dhp puer-7542 wulong"),
        ("sort=price&order=desc", "puer-7542 dhp liubao lagp wulong"),
        ("sort=price&basis=per_500g", "liubao lagp dhp puer-7542 wulong"),
        ("sort=stock", "dhp puer-7542 liubao lagp wulong"),
    ] {
        assert_eq!(found(&service, query).await.join(" "), wanted, "{query}");
    }
    // Listed today: there was no yesterday to compare with.
    assert_eq!(service.set_price("lagp", "330.00").await, 200);
    let page = search(&service, "sort=change").await;
    assert_eq!(ids(&page), ["dhp", "lagp", "liubao", "puer-7542", "wulong"]);
    assert_eq!(page["products"][1]["change_bp"], Value::Null);
}

#[tokio::test]
async fn an_answered_write_is_found_at_once_and_elsewhere_within_a_second() {
    let service = shop().await;
    let other = service.second_node().await;
    let elsewhere = async |query: &str, wanted: &[&str]| {
        other
            .eventually(query, async || (found(&other, query).await == wanted).then_some(()))
            .await;
    };
    for price in ["310.00", "305.00", "320.00"] {
        assert_eq!(service.set_price("lagp", price).await, 200);
        let query = format!("price_min={price}&price_max={price}");
        assert_eq!(found(&service, &query).await, ["lagp"]);
        elsewhere(&query, &["lagp"]).await;
    }
    service.set_stock("liubao", 5).await.ok();
    assert_eq!(found(&service, "category=dark&in_stock=true").await, ["liubao", "puer-7542"]);

    let anew = json!({ "id": "lagp", "name": "黄山毛峰", "category": "green", "market": "fangcun", "unit": "jin" });
    service.put(&service.merchant("m1"), "/v1/products/lagp", anew).await.ok();
    assert_eq!(found(&service, "q=hsmf").await, ["lagp"]);
    assert_eq!(found(&service, "q=lagp&origin=安徽六安").await, [""; 0]);
    elsewhere("q=hsmf", &["lagp"]).await;

    service.delete(&service.merchant("m1"), "/v1/products/lagp").await.ok();
    assert_eq!(found(&service, "q=hsmf&status=listed").await, [""; 0]);
    elsewhere("q=hsmf&status=withdrawn", &["lagp"]).await;
    service.product_with("new", json!({ "name": "安吉白茶" })).await;
    assert_eq!(found(&service, "q=ajbc").await, ["new"]);
    elsewhere("q=ajbc", &["new"]).await;
}

#[tokio::test]
async fn pages_are_of_one_moment_though_prices_and_stock_move() {
    let service = Service::start().await;
    for n in 0..25 {
        let fields = json!({ "price": format!("{}.00", 100 + n % 7), "stock": 5 });
        service.product_with(&format!("t{n:02}"), fields).await;
    }
    let other = service.second_node().await;
    let queries =
        ["sort=price&in_stock=true", "sort=price&order=desc", "sort=stock", "sort=change"];
    for (round, query) in queries.into_iter().enumerate() {
        let whole = found(&service, query).await;
        let mut page = search(&service, &format!("{query}&limit=4")).await;
        let (mut shown, mut turn) = (ids(&page), 0);
        while let Some(next) = page["next"].as_str().map(str::to_owned) {
            for n in [turn, turn + 7, turn + 13] {
                let id = format!("t{:02}", n % 25);
                let price = format!("{}.{:02}", 90 + (n * 5) % 40, turn);
                assert_eq!(service.set_price(&id, &price).await, 200);
                service.set_stock(&id, (n % 3) as i64).await.ok();
            }
            service.product(&format!("late-{round}-{turn}")).await;
            // Whichever node is asked.
            let node = if turn % 2 == 0 { &service } else { &other };
            page = search(node, &format!("{query}&limit=4&after={next}")).await;
            assert_eq!((&page["stable"], &page["total"]), (&json!(true), &json!(whole.len())));
            shown.extend(ids(&page));
            turn += 1;
        }
        assert_eq!(shown, whole, "{query}");
        for n in 0..25 {
            service.set_stock(&format!("t{n:02}"), 5).await.ok();
        }
    }
}

#[tokio::test]
async fn a_page_goes_on_after_a_restart_and_says_that_it_is_of_another_moment() {
    let service = shop().await;
    let page = search(&service, "sort=price&limit=2").await;
    let next = page["next"].as_str().unwrap().to_owned();
    assert_eq!(service.set_price("dhp", "810.00").await, 200);
    // A node that has not been there.
    let other = service.second_node().await;
    let page = search(&other, &format!("sort=price&limit=2&after={next}")).await;
    assert_eq!(
        (ids(&page).join(" "), &page["stable"]),
        ("dhp puer-7542".to_owned(), &json!(false))
    );
}

#[tokio::test]
async fn filters_count_what_they_would_leave() {
    let service = shop().await;
    let all = filters(&service, "").await;
    assert_eq!((&all["total"], &all["products"]), (&json!(5), &json!(5)));
    for (filter, value, wanted) in [
        ("category", "dark", 2),
        ("category", "dark.puer", 1),
        ("category", "white", 0),
        ("market", "fangcun", 4),
        ("grade", "特级", 2),
        ("vintage", "2003", 1),
        ("form", "饼", 1),
        ("merchant", "m1", 5),
        ("status", "listed", 5),
        ("in_stock", "true", 2),
        ("on_clearance", "false", 5),
        ("price_type", "wholesale", 5),
    ] {
        assert_eq!(count(&all, filter, value), wanted, "{filter} {value}");
    }
    assert_eq!((&all["price"]["min"], &all["price"]["max"]), (&json!("300.00"), &json!("1000.00")));

    // A filter's own counts are as if it were not set.
    let some = filters(&service, "category=dark&in_stock=true").await;
    assert_eq!(some["total"], 1);
    assert_eq!(count(&some, "category", "oolong"), 1);
    assert_eq!(count(&some, "in_stock", "false"), 1);
    assert_eq!(count(&some, "market", "wuyishan"), 0);
    let selected = |option: &Value| option["selected"] == true;
    let chosen = some["filters"]["category"].as_array().unwrap().iter().filter(|it| selected(it));
    assert_eq!(chosen.map(|it| it["value"].as_str().unwrap()).collect::<Vec<_>>(), ["dark"]);

    let weighed = filters(&service, "q=7542&basis=per_500g").await;
    assert_eq!(weighed["price"]["min_fen"], 140_056);
    assert_eq!(weighed["price"]["max_fen"], 140_057);
}

#[tokio::test]
async fn a_search_that_makes_no_sense_is_refused_and_says_why() {
    let service = shop().await;
    let page = search(&service, "limit=2&sort=price").await;
    let next = page["next"].as_str().unwrap();
    let of_another = format!("sort=stock&after={next}");
    let forged = format!("sort=price&after={}", next.replacen("_", "_x", 1));
    let long = format!("q={}", "a".repeat(61));
    for (query, field) in [
        ("colour=red", "colour"),
        ("category=tea", "category"),
        ("category=", "category"),
        ("market=nowhere", "market"),
        ("vintage=12", "vintage"),
        ("price_min=x", "price_min"),
        ("price_min=2&price_max=1", "price_min"),
        ("sort=random", "sort"),
        ("sort=relevance", "sort"),
        ("sort=price&sort=stock", "sort"),
        ("order=asc&order=desc", "order"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("in_stock=maybe", "in_stock"),
        ("q=", "q"),
        ("q=a b c d e f g", "q"),
        (&long, "q"),
        ("after=nonsense", "after"),
        (&of_another, "after"),
        (&forged, "after"),
        ("after=p1_0123456789abcdef_9_0_0_1_0_dhp", "after"),
    ] {
        let answer = service.get(&path(query)).await;
        assert_eq!(answer.status, 422, "{query} {}", answer.text);
        answer.code();
        assert_eq!(answer.json["field"], field, "{query}");
    }
    for query in
        ["limit=5", "sort=price", "colour=red", "price_min=2&price_max=1", "market=nowhere"]
    {
        assert_eq!(service.get(&format!("/v1/filters?{query}")).await.status, 422, "{query}");
    }
}
