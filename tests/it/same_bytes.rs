use crate::harness::Service;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// A poll or a page of history, its events left as they came.
#[derive(Deserialize)]
struct Answer {
    events: Vec<Box<RawValue>>,
}

#[tokio::test]
async fn a_stream_a_poll_and_history_tell_the_same_bytes() {
    let service = Service::start().await;
    service.product("longjing").await;
    let start = service.head().await;
    let topics = "product/longjing,room/x,arrivals";
    let mut follower = service.follow(topics).await;

    let name = "明前龙井 🍵 \"特级\" \\ </script> é";
    service.product_with("dahongpao", json!({ "name": name })).await;
    service.set_price("longjing", "128.00").await;
    let odd = "\u{2028}\u{2029}\u{85}\u{7f}\u{feff}\t\n\r\u{1b} 🧧 \"quoted\" data: x\n\nevent: y";
    let data = json!({ "text": odd, "深": [1, -2.5, 1e300, true, null, { "": "" }] });
    let said = service.say("x", data.clone()).await.ok();

    let mut streamed = Vec::new();
    loop {
        let event = follower.next().await;
        let last = event.id() == said["receipt"]["id"];
        streamed.push(event.raw.clone());
        if last {
            assert_eq!(*event.data(), data);
            break;
        }
    }
    let polled = format!("/v1/poll?topic={topics}&cursor={start}&wait=0");
    let kept = format!("/v1/events?topic={topics}&order=asc&limit=100&after={start}");
    for path in [polled, kept] {
        let answer: Answer = serde_json::from_str(&service.get(&path).await.text).unwrap();
        let events: Vec<&str> = answer.events.iter().map(|event| event.get()).collect();
        assert_eq!(events, streamed, "{path}");
    }
    for text in &streamed {
        // Readers that cut lines at these, and there are some, must find none.
        assert!(!text.contains(['\u{2028}', '\u{2029}', '\u{85}']), "{text}");
    }
}

#[tokio::test]
async fn history_has_pages_that_stand_still_while_new_events_arrive() {
    let service = Service::start().await;
    for n in 0..7 {
        service.say("x", json!({ "n": n })).await;
    }
    let numbers = |page: &serde_json::Value| -> Vec<u64> {
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["data"]["n"].as_u64().unwrap()).collect()
    };

    let newest = service.history("topic=room/x&limit=3").await;
    assert_eq!(numbers(&newest), [6, 5, 4]);
    service.say("x", json!({ "n": 7 })).await;
    let next = newest["next"].as_str().unwrap();
    let older = service.history(&format!("topic=room/x&limit=3&before={next}")).await;
    assert_eq!(numbers(&older), [3, 2, 1]);
    let next = older["next"].as_str().unwrap();
    let oldest = service.history(&format!("topic=room/x&limit=3&before={next}")).await;
    assert_eq!(numbers(&oldest), [0]);
    assert!(oldest["next"].is_null());

    let after = oldest["events"][0]["id"].as_str().unwrap();
    let ascending = service.history(&format!("topic=room/x&limit=3&after={after}")).await;
    assert_eq!(numbers(&ascending), [1, 2, 3]);
}
