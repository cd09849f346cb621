//! No text that anyone can write breaks the frames of a stream.

use crate::harness::Service;
use serde_json::{Value, json};

/// What would end a line or a frame, or begin another, if it got through.
const HOSTILE: [&str; 12] = [
    "a\n\nevent: bye\ndata: {\"code\":\"shutdown\"}\n\n",
    "a\r\rid: forged\revent: reset\rdata: {}\r\r",
    "a\r\n\r\nid: \r\n\r\n",
    "\n",
    "\r",
    "a\u{0}b",
    "a\u{2028}\u{2028}data: x\u{2029}",
    "a\u{85}\u{85}data: x",
    "a\u{b}\u{c}\u{1c}\u{1d}\u{1e}data: x",
    "\u{feff}data: x",
    "data: x\\n\\ndata: y",
    ": heartbeat",
];

#[tokio::test]
async fn a_message_arrives_as_it_was_sent_in_one_frame() {
    let service = Service::start().await;
    let mut follower = service.follow("room/x").await;
    for text in HOSTILE {
        let data = json!({ "text": text, text: text });
        let said = service.say("x", data.clone()).await;
        if said.status != 201 {
            said.code();
            continue;
        }
        let event = follower.next().await;
        assert_eq!((event.kind.as_str(), event.data()), ("room.message", &data), "{text:?}");
        assert_eq!(event.id(), said.json["receipt"]["id"], "{text:?}");
    }
    let end = service.say("x", json!("the end")).await.ok();
    assert_eq!(follower.next().await.id(), end["receipt"]["id"]);
}

#[tokio::test]
async fn a_text_of_a_product_or_a_market_breaks_no_frame() {
    let service = Service::start().await;
    service.product("longjing").await;
    let topics = "product/longjing,market/*,arrivals,clearance,room/end";
    let mut follower = service.follow(topics).await;
    let (merchant, admin) = (service.merchant("m1"), service.admin());
    let mut expected = 0;
    for text in HOSTILE {
        for field in ["name", "name_en", "brand", "origin", "grade", "harvest", "storage", "note"] {
            let mut body = json!({
                "name": "龙井", "category": "green", "market": "fangcun", "unit": "jin",
            });
            body[field] = json!(text);
            let answer = service.put(&merchant, "/v1/products/longjing", body).await;
            expected += usize::from(counts(&answer.json, answer.status));
        }
        let note = json!({ "quantity": expected, "note": text });
        let stock = service.put(&merchant, "/v1/products/longjing/stock", note).await;
        expected += usize::from(counts(&stock.json, stock.status));
        for field in ["title", "body", "period"] {
            let mut body = json!({ "title": "周报" });
            body[field] = json!(text);
            let answer = service.post(&admin, "/v1/markets/anxi/updates", body).await;
            expected += usize::from(counts(&answer.json, answer.status));
        }
    }
    let end = service.say("end", json!({})).await.ok();

    // The follower checks every frame; here, that there are neither more nor fewer.
    let events = follower.collect(expected + 1).await;
    assert_eq!(events[expected].id(), end["receipt"]["id"]);
}

/// Whether the answer says that something was told.
fn counts(answer: &Value, status: u16) -> bool {
    match status {
        200 | 201 => answer["receipt"].is_object(),
        400 | 413 | 422 | 404 => false,
        _ => panic!("{status} {answer}"),
    }
}

#[tokio::test]
async fn a_room_or_a_topic_with_a_line_break_does_not_exist() {
    let service = Service::start().await;
    let before = service.head().await;
    for name in ["a\nb", "a\r\rb", "a\u{2028}", "\u{0}", "a,b", "a b", "", "龙井\n"] {
        let answer = service.say(name, json!({})).await;
        answer.code();
    }
    assert_eq!(service.head().await, before);
}
