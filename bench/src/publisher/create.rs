//! Making the topics, for servers where they must exist before anything is said of them.

use crate::http::whole_response;
use crate::profile::{self, Profile};
use crate::topics::Topics;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

/// Makes every topic, one request after another over one connection.
pub fn create_topics(
    profile: &Profile,
    addr: SocketAddrV4,
    topics: &Topics,
    timeout: f64,
) -> Result<(), String> {
    let Some(create) = &profile.create else { return Ok(()) };
    let broken = |e: std::io::Error| format!("{addr}: {e}");
    let mut stream = TcpStream::connect(addr).map_err(broken)?;
    stream.set_read_timeout(Some(Duration::from_secs_f64(timeout.max(0.1)))).map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    for some in topics.names().chunks(create.a_request.max(1)) {
        let fill = |template: &str, topic: &str| {
            profile::fill(template, &|n| (n == "topic").then(|| topic.to_string()))
                .ok_or_else(|| format!("'{template}' has a place that [create] cannot fill"))
        };
        let mut body = create.prefix.clone();
        for topic in some {
            body += &fill(&create.item, topic)?;
        }
        let headers: String = create.headers.iter().map(|h| format!("{h}\r\n")).collect();
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {addr}\r\n{headers}Content-Length: {}\r\n\r\n",
            create.method,
            fill(&create.path, &some[0])?,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).map_err(broken)?;
        let (status, answer) = answer(&mut stream).map_err(broken)?;
        // 207 is the answer to a file of which some rows were refused.
        if !matches!(status, 200 | 201 | 204) {
            return Err(format!("the topics could not be made: {status} {answer}"));
        }
    }
    Ok(())
}

/// The status and the beginning of the body of the next response.
fn answer(stream: &mut TcpStream) -> std::io::Result<(u16, String)> {
    let mut got = Vec::new();
    let mut buf = [0; 16 * 1024];
    loop {
        match whole_response(&got) {
            Ok(Some((head, body))) => {
                let text = String::from_utf8_lossy(&body).chars().take(300).collect();
                return Ok((head.status, text));
            }
            Ok(None) => {}
            Err(_) => return Err(std::io::Error::other("the answer is not HTTP")),
        }
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        got.extend_from_slice(&buf[..n]);
    }
}
