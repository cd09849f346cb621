use super::{Allowance, Problem};
use crate::refusal::{Class, Refusal, shorten};
use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

/// Reads a body, as far as `allowance` goes. actix cuts a head that takes too
/// long but waits for a body for ever, so the deadline is ours.
///
/// # Errors
/// 413 if it is larger, 408 if it takes longer.
pub async fn read_body(
    headers: &HeaderMap,
    payload: &mut Payload,
    allowance: Allowance,
) -> Result<Bytes, Problem> {
    let Allowance { bytes: limit, time } = allowance;
    let too_large = || {
        Problem::new(
            413,
            "body_too_large",
            format!("a body may have {limit} bytes here"),
            format!("请求体最多 {limit} 字节"),
        )
    };
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > limit) {
        return Err(too_large().hang_up_on(payload));
    }
    let read = async {
        let mut body = BytesMut::with_capacity(declared.unwrap_or(0).min(limit));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|err| {
                Problem::new(400, "bad_body", format!("the body broke off: {err}"), "请求体中断")
            })?;
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let read = tokio::time::timeout(time, read).await.unwrap_or_else(|_| {
        let seconds = time.as_secs();
        Err(Problem::new(
            408,
            "body_too_slow",
            format!("the body took more than {seconds} s"),
            format!("请求体传输超过 {seconds} 秒"),
        ))
    });
    read.map_err(|problem: Problem| problem.hang_up_on(payload))
}

/// Reads a `T` from a JSON or form body.
///
/// # Errors
/// 415 for another content type; 400 for what is not UTF-8, JSON or a form;
/// 422 with the field for what does not fit a `T`.
pub fn read_form_or_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = std::str::from_utf8(body).map_err(|err| {
        Refusal::new(
            Class::Malformed,
            "bad_encoding",
            format!("the body is not UTF-8 (byte {})", err.valid_up_to()),
            format!("请求体不是 UTF-8（第 {} 字节）", err.valid_up_to()),
        )
    })?;
    match kind.as_str() {
        "application/json" => Ok(json(text)?),
        // curl -d sends JSON under the name of a form unless it is told otherwise.
        "application/x-www-form-urlencoded" if text.trim_start().starts_with(['{', '[']) => {
            Ok(json(text)?)
        }
        "application/x-www-form-urlencoded" => Ok(form(text)?),
        _ => Err(Problem::new(
            415,
            "bad_content_type",
            "send application/json or application/x-www-form-urlencoded",
            "请使用 application/json 或 application/x-www-form-urlencoded",
        )
        .header("Accept-Post", "application/json, application/x-www-form-urlencoded")),
    }
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|err| {
        let path = err.path().to_string();
        let cause = err.into_inner();
        match cause.classify() {
            serde_json::error::Category::Data => misfit(&path, &cause.to_string()),
            _ => malformed(&cause),
        }
    })?;
    reader.end().map_err(|err| malformed(&err))?;
    Ok(value)
}

fn malformed(err: &serde_json::Error) -> Refusal {
    Refusal::new(
        Class::Malformed,
        "bad_json",
        format!("the body is not JSON: {err}"),
        format!("请求体不是有效的 JSON：{err}"),
    )
}

fn form<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(reader).map_err(|err| {
        let path = err.path().to_string();
        misfit(&path, &err.into_inner().to_string())
    })
}

/// Says in our words what serde says of a value that does not fit.
pub(super) fn misfit(path: &str, message: &str) -> Refusal {
    let named = message.split('`').nth(1).map(shorten).unwrap_or_default();
    let within = |name: &str| match path {
        "." | "" | "?" => name.to_owned(),
        path if path.ends_with(name) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    if message.starts_with("unknown field") {
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let field = within(&named);
        let known = known.join(", ");
        return Refusal::invalid(
            field,
            "unknown_field",
            format!("there is no field `{named}` here; known: {known}"),
            format!("没有字段“{named}”；可用：{known}"),
        );
    }
    if message.starts_with("missing field") {
        return Refusal::invalid(
            within(&named),
            "missing_field",
            format!("the field `{named}` is needed"),
            format!("缺少字段“{named}”"),
        );
    }
    if message.starts_with("duplicate field") {
        return Refusal::invalid(
            within(&named),
            "duplicate_field",
            format!("the field `{named}` is given twice"),
            format!("字段“{named}”重复"),
        );
    }
    let message = shorten(message.split(" at line ").next().unwrap_or(message));
    let field = if path == "." || path == "?" { String::new() } else { path.to_owned() };
    Refusal::invalid(
        field.clone(),
        "bad_value",
        format!("`{field}` cannot be read: {message}"),
        format!("“{field}”无法读取：{message}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Stock {
        quantity: i64,
        note: Option<String>,
    }

    fn field_and_code(text: &str) -> (Option<String>, &'static str) {
        let refusal = json::<Stock>(text).expect_err("refused");
        (refusal.field, &*refusal.code.into_owned().leak())
    }

    #[test]
    fn a_body_that_does_not_fit_is_refused_with_the_field() {
        assert_eq!(field_and_code(r#"{"quantity":"x"}"#), (Some("quantity".into()), "bad_value"));
        assert_eq!(field_and_code(r#"{"quantity":1,"a":2}"#), (Some("a".into()), "unknown_field"));
        assert_eq!(field_and_code("{}"), (Some("quantity".into()), "missing_field"));
        let twice = r#"{"quantity":1,"quantity":2}"#;
        assert_eq!(field_and_code(twice), (Some("quantity".into()), "duplicate_field"));
        assert_eq!(field_and_code(r#"{"quantity":1} x"#), (None, "bad_json"));
        assert_eq!(field_and_code("nonsense"), (None, "bad_json"));
        assert_eq!(field_and_code(&"[".repeat(100_000)).1, "bad_value");
    }

    #[test]
    fn a_form_is_as_good_as_json() {
        let stock: Stock = form("quantity=40&note=%E6%96%B0").expect("a form");
        assert_eq!((stock.quantity, stock.note.as_deref()), (40, Some("新")));
        assert_eq!(form::<Stock>("quantity=4x").expect_err("refused").code, "bad_value");
        assert_eq!(
            form::<Stock>("quantity=4&quantity=4").expect_err("refused").code,
            "duplicate_field"
        );
    }
}
