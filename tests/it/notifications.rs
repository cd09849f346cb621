use crate::harness::Service;
use serde_json::json;

#[tokio::test]
async fn an_inbox_is_for_whoever_shows_who_they_are() {
    let service = Service::start().await;
    let lin = service.shopper("lin");

    let nobody = service.get("/v1/notifications").await;
    let empty = service.get_as(&lin, "/v1/notifications?unread=true&type=price_alert").await;

    assert_eq!((nobody.status, nobody.code()), (401, "unauthorized"));
    assert_eq!(empty.ok(), json!({ "notifications": [], "next": null }));
}

#[tokio::test]
async fn what_an_inbox_does_not_know_is_refused() {
    let service = Service::start().await;
    let lin = service.shopper("lin");
    for (query, field) in
        [("type=letter", "type"), ("unread=yes", "unread"), ("after=x", "after"), ("x=1", "x")]
    {
        let answer = service.get_as(&lin, &format!("/v1/notifications?{query}")).await;
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!(field)), "{query}");
        answer.code();
    }
}
