use crate::harness::{Api, Service};
use serde_json::{Value, json};

#[tokio::test]
async fn a_service_that_ends_says_goodbye_to_everyone() {
    let mut service = Service::start().await;
    let follower = service.follow("price/green").await;
    let raw_head = format!("/v1/poll?topic=price/green&wait=50&cursor={}", service.head().await);
    let mut poll = service.raw().await;
    poll.write(format!("GET {raw_head} HTTP/1.1\r\nHost: tea\r\nConnection: close\r\n\r\n")).await;
    let waiting = async || (service.get("/v1/status").await.ok()["polls"] == 1).then_some(());
    service.eventually("waiting poll", waiting).await;

    service.signal_end();

    let bye = follower.bye("shutdown").await;
    assert!(bye.json["cursor"].is_string());
    poll.read_to_end().await;
    let answer = String::from_utf8(poll.read).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"events\":[]") && answer.contains("\"cursor\""), "{answer}");
    assert!(service.ended().await.success());
}

#[tokio::test]
async fn a_service_that_ends_is_not_ready() {
    let mut service = Service::start().await;
    let _follower = service.follow("price/green").await;
    let path = format!("{}/readyz", service.ops());
    assert_eq!(service.get(&path).await.status, 200);

    service.signal_end();

    let unready = async || {
        let request = service.request(reqwest::Method::GET, &path);
        match service.try_send(request).await {
            Ok(answer) => (answer.status == 503).then_some(()),
            Err(_) => Some(()),
        }
    };
    service.eventually("unready service", unready).await;
    assert!(service.ended().await.success());
}

/// Writes until it is refused; the ids of what was acknowledged.
async fn write(api: Api, product: String) -> Vec<Value> {
    let token = api.merchant("m1");
    let path = format!("/v1/products/{product}/stock");
    let mut ids = Vec::new();
    for quantity in 1.. {
        let body = json!({ "quantity": quantity });
        let request = api.request(reqwest::Method::PUT, &path).bearer_auth(&token).json(&body);
        match api.try_send(request).await {
            Ok(answer) if answer.status == 200 => ids.push(answer.json["receipt"]["id"].clone()),
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text);
                assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
                break;
            }
            Err(_) => break,
        }
    }
    ids
}

#[tokio::test]
async fn a_restart_loses_nothing_for_writers_or_readers() {
    let mut service = Service::start().await;
    for product in ["p0", "p1", "p2"] {
        service.product(product).await;
    }
    let topics = "product/p0,product/p1,product/p2";
    let mut follower = service.follow(topics).await;
    let writers: Vec<_> =
        (0..3).map(|n| tokio::spawn(write((*service).clone(), format!("p{n}")))).collect();
    let mut seen: Vec<String> =
        follower.collect(20).await.iter().map(|event| event.id().to_owned()).collect();

    assert!(service.terminate().await.success());
    while let Some(frame) = follower.next_frame().await {
        seen.extend((!frame.is_control()).then(|| frame.id().to_owned()));
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    service.restart().await;

    let mut again = service.follow_after(topics, seen.last().map(|id| &**id)).await;
    let last = service.set_stock("p0", 1_000_000).await.ok()["receipt"]["id"].clone();
    while *seen.last().unwrap() != last {
        seen.push(again.next().await.id().to_owned());
    }
    let stocks = service.history(&format!("topic={topics}&order=asc&limit=1")).await;
    assert!(stocks["events"].is_array());
    for id in acknowledged {
        let times = seen.iter().filter(|seen| id == **seen).count();
        assert_eq!(times, 1, "{id} was acknowledged");
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut service = Service::with(|setup| {
        setup.env("TEAWIRE_SHUTDOWN_SECONDS", 300);
        setup.env("TEAWIRE_HTTP__BODY_SECONDS", 300);
    })
    .await;
    // A request that the service would wait for.
    let mut raw = service.raw().await;
    let head = "POST /v1/events HTTP/1.1\r\nHost: tea\r\nContent-Type: application/json\r\n";
    let token = service.merchant("m1");
    raw.write(format!("{head}Authorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n{{")).await;
    service.get("/v1/status").await.ok();

    service.signal_end();
    let path = format!("{}/readyz", service.ops());
    let noted = async || {
        let request = service.request(reqwest::Method::GET, &path);
        let ready = service.try_send(request).await.is_ok_and(|answer| answer.status == 200);
        (!ready).then_some(())
    };
    service.eventually("first signal to be noted", noted).await;
    service.signal_end();

    service.ended().await;
}
