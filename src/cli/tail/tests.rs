use std::net::TcpStream;

use super::*;
use crate::cli::client::toy::{Toy, json};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

fn write(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_ok()
}

fn hello(id: &str) -> String {
    format!(
        "{HEAD}retry: 20\n\nid: {id}\nevent: hello\ndata: {{\"cursor\":\"{id}\",\"heartbeat_ms\":80}}\n\n"
    )
}

fn event(id: &str) -> String {
    format!(
        "id: {id}\nevent: price.changed\ndata: {{\"id\":\"{id}\",\"type\":\"price.changed\"}}\n\n"
    )
}

fn args(toy: &Toy, count: u64) -> TailArgs {
    TailArgs {
        topics: vec!["price/green".into(), "market/*".into()],
        remote: toy.remote.clone(),
        json: true,
        from: Some("earliest".into()),
        kinds: vec!["price.changed".into()],
        product: vec![],
        count: Some(count),
        cursor_file: None,
    }
}

/// What was printed, what was said, how it ended.
fn follow(args: &TailArgs) -> (Vec<String>, Vec<String>, Result<(), Error>) {
    let (mut out, mut said) = (Vec::new(), Vec::new());
    let outcome = Tail::new(args)
        .and_then(|mut tail| tail.follow(&mut out, &mut |text| said.push(text.to_owned())));
    let text = String::from_utf8(out).expect("UTF-8");
    let ids = text.lines().map(|line| {
        let told: Value = serde_json::from_str(line).expect("a line of JSON");
        told["id"].as_str().expect("an id").to_owned()
    });
    (ids.collect(), said, outcome)
}

#[test]
fn it_goes_on_after_the_last_event_whatever_ends_a_connection() {
    let toy = Toy::start(|_, number, stream| match number {
        // Cut in the middle of a frame: half an event is none.
        0 => {
            write(stream, &format!("{}{}id: e-2\ndata: {{\"id\"", hello("e-0"), event("e-1")));
            false
        }
        1 => json(stream, 503, "retry-after: 0\r\n", ""),
        2 => false,
        3 => {
            let bye = "event: bye\ndata: {\"code\":\"shutdown\",\"retry_after_ms\":30,\"cursor\":\"e-3\"}\n\n";
            write(stream, &format!("{}{}{}{bye}", hello("e-1"), event("e-1"), event("e-2")))
        }
        4 => {
            // Silence: two and a half beats later it is given up.
            write(stream, &hello("e-3")) && {
                thread::sleep(Duration::from_secs(3));
                false
            }
        }
        5 => {
            let reset = "event: reset\ndata: {\"reason\":\"expired\",\"cursor\":\"e-8\"}\n\n";
            write(stream, &format!("{}{reset}{}", hello("e-3"), event("e-9")));
            false
        }
        _ => write(stream, &format!("{}{}", hello("e-9"), event("e-10"))),
    });
    let dir = tempfile::tempdir().expect("a folder");
    let mut args = args(&toy, 4);
    args.cursor_file = Some(dir.path().join("cursor"));
    let (ids, said, outcome) = follow(&args);

    outcome.expect("it ends after four");
    assert_eq!(ids, ["e-1", "e-2", "e-9", "e-10"]);
    let asked = toy.asked();
    let resumed: Vec<_> =
        asked.iter().map(|it| it.headers.get("last-event-id").map(String::as_str)).collect();
    let (e1, e3) = (Some("e-1"), Some("e-3"));
    assert_eq!(resumed, [None, e1, e1, e1, e3, e3, Some("e-9")]);
    assert_eq!(
        asked[0].target,
        "/v1/stream?topic=price%2Fgreen&topic=market%2F%2A&type=price.changed&cursor=earliest"
    );
    assert!(!asked[1].target.contains("cursor"), "{}", asked[1].target);
    for words in [
        "bye: shutdown, reconnecting in",
        "nothing heard for 0.2 s",
        "reset: expired",
        "(503, http_503)",
    ] {
        assert!(said.iter().any(|line| line.contains(words)), "{words}: {said:#?}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("cursor")).expect("kept"), "e-10\n");

    // The next start goes on from the file, whatever --from says.
    let toy =
        Toy::start(|_, _, stream| write(stream, &format!("{}{}", hello("e-10"), event("e-11"))));
    args.remote = toy.remote.clone();
    args.count = Some(1);
    let (ids, ..) = follow(&args);
    assert_eq!(ids, ["e-11"]);
    assert_eq!(toy.asked()[0].headers["last-event-id"], "e-10");
}

#[test]
fn what_will_not_change_by_asking_again_ends_it() {
    for status in [401, 403, 404, 422] {
        let toy = Toy::start(move |_, _, stream| {
            json(stream, status, "", r#"{"code":"no","detail":"Not for you."}"#)
        });
        let (_, _, outcome) = follow(&args(&toy, 1));
        assert_eq!(
            outcome.expect_err("refused").to_string(),
            format!("Not for you. ({status}, no)")
        );
        assert_eq!(toy.asked().len(), 1);
    }
    let toy = Toy::start(|_, _, stream| json(stream, 200, "", "{}"));
    let (_, _, outcome) = follow(&args(&toy, 1));
    assert!(outcome.expect_err("no stream").to_string().contains("200 with application/json"));
}

#[test]
fn a_file_that_holds_no_cursor_is_left_alone() {
    let toy = Toy::start(|_, _, _| false);
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("prices.csv");
    std::fs::write(&path, "id,price\n").expect("written");
    let (_, _, outcome) = follow(&TailArgs { cursor_file: Some(path.clone()), ..args(&toy, 1) });
    assert!(matches!(outcome, Err(Error::CursorFile { .. })));
    assert_eq!(std::fs::read_to_string(path).expect("still there"), "id,price\n");
}

#[test]
fn a_reader_that_leaves_ends_it() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let toy =
        Toy::start(|_, _, stream| write(stream, &format!("{}{}", hello("e-0"), event("e-1"))));
    let args = args(&toy, 2);
    let outcome = Tail::new(&args).and_then(|mut tail| tail.follow(&mut Gone, &mut |_| {}));
    assert!(matches!(outcome, Err(Error::Output(err)) if err.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn ids_are_remembered_for_long_but_not_for_ever() {
    let mut seen = Seen::default();
    assert!((0..=REMEMBERED).all(|it| seen.is_new(&it.to_string())));
    assert!(!seen.is_new("5"));
    assert!(seen.is_new("0"));
}
