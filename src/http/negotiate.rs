use actix_web::http::header::{ACCEPT, HeaderMap};

/// Whether `Accept` allows any of `types` (`application/json`). No header
/// allows everything. See RFC 9110, section 12.5.1; a quality of zero excludes.
pub fn accepts(headers: &HeaderMap, types: &[&str]) -> bool {
    let mut any = false;
    for line in headers.get_all(ACCEPT) {
        for part in line.to_str().unwrap_or_default().split(',') {
            any = true;
            let mut parts = part.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default().to_ascii_lowercase();
            let zero = parts.any(|option| {
                option.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0))
            });
            let fits = |kind: &&str| {
                range == "*/*"
                    || range == **kind
                    || range
                        .strip_suffix("/*")
                        .is_some_and(|main| kind.split('/').next() == Some(main))
            };
            if !zero && types.iter().any(fits) {
                return true;
            }
        }
    }
    !any
}

/// Whether the request names `text/event-stream`: then an EventSource may be
/// behind it, which gives up for good at every status but 200.
pub fn wants_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .any(|line| line.to_str().unwrap_or_default().contains("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_media_range_is_matched_and_zero_excludes() {
        let with = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            accepts(&headers, &["application/json"])
        };
        assert!(accepts(&HeaderMap::new(), &["application/json"]));
        assert!(with("*/*") && with("application/*;q=0.5") && with("text/html, application/json"));
        assert!(!with("text/event-stream") && !with("application/json;q=0"));
    }
}
