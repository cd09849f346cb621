use crate::refusal::{Class, Refusal};

/// What a writer believes to be the present version of what it changes
/// (`If-Match`, RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: that it is there at all.
    Any,
    /// One of these. A weak tag matches nothing, and so is not among them, nor
    /// is a tag that is no version of ours.
    OneOf(Vec<i64>),
}

impl IfMatch {
    /// Reads the header, all of its lines.
    ///
    /// # Errors
    /// `bad_if_match` for what is not a list of entity tags.
    pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Option<IfMatch>, Refusal> {
        let lines: Vec<&str> = lines.collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let text = lines.join(",");
        if text.trim() == "*" {
            return Ok(Some(IfMatch::Any));
        }
        let mut versions = Vec::new();
        let mut tags = 0;
        let mut rest = text.as_str();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let inner = quoted.strip_prefix('"').and_then(|inner| inner.split_once('"'));
            let Some((tag, after)) = inner.filter(|(tag, after)| is_tag(tag) && ends(after)) else {
                return Err(malformed());
            };
            tags += 1;
            // `"017"` is no version that anybody was ever told.
            let version = tag.parse::<i64>().ok().filter(|version| version.to_string() == tag);
            versions.extend(version.filter(|_| !weak));
            rest = after;
        }
        if tags == 0 {
            return Err(malformed());
        }
        Ok(Some(IfMatch::OneOf(versions)))
    }

    /// Passes if `version`, the present one, is what was believed.
    ///
    /// # Errors
    /// `stale_version`.
    pub fn check(&self, version: i64) -> Result<(), Refusal> {
        match self {
            IfMatch::Any => Ok(()),
            IfMatch::OneOf(believed) if believed.contains(&version) => Ok(()),
            IfMatch::OneOf(_) => Err(stale(Some(version))),
        }
    }
}

fn is_tag(tag: &str) -> bool {
    tag.bytes().all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80)
}

/// Whether what follows a tag is another one or nothing.
fn ends(after: &str) -> bool {
    let after = after.trim_start_matches([' ', '\t']);
    after.is_empty() || after.starts_with(',')
}

/// The answer to whoever believes another version than `version` to be the
/// present one; none if there is nothing yet.
pub fn stale(version: Option<i64>) -> Refusal {
    let refusal = |en: String, zh: String| Refusal {
        field: Some("If-Match".to_owned()),
        ..Refusal::new(Class::Stale, "stale_version", en, zh)
    };
    match version {
        Some(version) => refusal(
            format!("it was changed meanwhile and is at version {version}; look at it and send If-Match: \"{version}\""),
            format!("数据已被修改，当前版本为 {version}；请查看后以 If-Match: \"{version}\" 重试"),
        )
        .with("version", version),
        None => refusal(
            "If-Match asks for a version of what is not there; send it without".to_owned(),
            "If-Match 所指的对象不存在；请去掉该头重试".to_owned(),
        )
        .with("version", serde_json::Value::Null),
    }
}

fn malformed() -> Refusal {
    Refusal {
        field: Some("If-Match".to_owned()),
        ..Refusal::new(
            Class::Malformed,
            "bad_if_match",
            "If-Match is `*` or a list of versions in quotes, as in \"17\"",
            "If-Match 应为 * 或带引号的版本号，例如 \"17\"",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Option<IfMatch>, Refusal> {
        IfMatch::parse([line].into_iter())
    }

    fn versions(line: &str) -> Vec<i64> {
        match parse(line) {
            Ok(Some(IfMatch::OneOf(versions))) => versions,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn versions_are_read_as_entity_tags_are_written() {
        assert_eq!(IfMatch::parse(std::iter::empty()), Ok(None));
        assert_eq!(parse(" * "), Ok(Some(IfMatch::Any)));
        assert_eq!(versions("\"17\""), [17]);
        assert_eq!(versions("\"17\", \"18\""), [17, 18]);
        assert_eq!(versions(",\"17\",, \"18\" ,"), [17, 18]);
        // They are tags, and match nothing.
        assert_eq!(versions("W/\"17\", \"a,b\", \"\", \"017\", \"+1\""), Vec::<i64>::new());
        assert_eq!(IfMatch::parse(["\"1\"", "\"2\""].into_iter()), parse("\"1\",\"2\""));
        for bad in
            ["", ",", "17", "\"17", "17\"", "\"17\" \"18\"", "*, \"17\"", "w/\"17\"", "\"1 7\""]
        {
            assert_eq!(parse(bad).expect_err(bad).code, "bad_if_match", "{bad}");
        }
    }

    #[test]
    fn what_is_believed_passes_and_nothing_else() {
        assert!(IfMatch::Any.check(3).is_ok());
        assert!(IfMatch::OneOf(vec![2, 3]).check(3).is_ok());
        let refusal = IfMatch::OneOf(vec![2]).check(3).expect_err("stale");
        assert_eq!((refusal.class, &refusal.more["version"]), (Class::Stale, &3.into()));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_fall(line in "\\PC*") {
            let _ = parse(&line);
        }

        #[test]
        fn every_list_of_versions_comes_back(list in proptest::collection::vec(0..i64::MAX, 1..6)) {
            let line = list.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(" , ");
            prop_assert_eq!(parse(&line), Ok(Some(IfMatch::OneOf(list))));
        }
    }
}
