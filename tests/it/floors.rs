//! Holds the code to the floor plan in `src/lib.rs`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Files and folders that may name diesel, wherever else a store is one too.
const SQL: [&str; 6] = [
    "db/",
    "events/log.rs",
    "events/blocks.rs",
    "events/publisher.rs",
    "events/writer.rs",
    "catalogue/rows.rs",
];

/// Files and folders that may name actix, besides every routes.rs and extract.rs.
const HTTP: [&str; 7] = [
    "http/",
    "transports/",
    "limits/guard.rs",
    "server.rs",
    "app.rs",
    "dashboard.rs",
    "openapi.rs",
];

/// The modules of `lib.rs` in the order they stand there.
fn floors() -> Vec<String> {
    let plan = fs::read_to_string(Path::new(SRC).join("lib.rs")).unwrap();
    let modules = plan.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

pub fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// Every file below `src` but the floor plan itself and those with nothing but
/// tests, as `(module, path, text)`.
fn files() -> Vec<(String, String, String)> {
    let mut paths = Vec::new();
    rust_files(Path::new(SRC), &mut paths);
    let file = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let inner = path.strip_prefix(SRC).unwrap().to_str().unwrap().replace('\\', "/");
        let module = inner.split('/').next().unwrap().trim_end_matches(".rs");
        (module.to_owned(), inner, text)
    };
    let built = |(module, path, _): &(String, String, String)| {
        module != "lib" && module != "main" && !path.ends_with("/tests.rs")
    };
    paths.into_iter().map(file).filter(built).collect()
}

/// The name at the beginning of `text`.
fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The modules named by `crate::a`, `crate::{a, b::{c, d}}` in `text`.
fn modules_used(text: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let path = &text[at + "crate::".len()..];
        let Some(group) = path.strip_prefix('{') else {
            used.push(ident(path));
            continue;
        };
        let (mut depth, mut first) = (0, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => first = true,
                _ if first && !c.is_whitespace() => {
                    used.push(ident(&group[at..]));
                    first = false;
                }
                _ => {}
            }
        }
    }
    used
}

/// Whether `path` is, or is below, one of `places`.
fn stands_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path == *place || (place.ends_with('/') && path.starts_with(place)))
}

#[test]
fn every_use_of_a_module_is_found() {
    let text = "use crate::{db, events::{Log, Tail}, http};\nfn f(_: crate::auth::Caller) {}";
    assert_eq!(modules_used(text), ["db", "events", "http", "auth"]);
}

#[test]
fn a_module_uses_only_the_modules_below_it() {
    let floors: HashMap<String, usize> =
        floors().into_iter().enumerate().map(|(floor, module)| (module, floor)).collect();
    for (module, path, text) in files() {
        let Some(own) = floors.get(&module) else { panic!("{path} has no floor in lib.rs") };
        for used in modules_used(&text) {
            let Some(below) = floors.get(used) else { continue };
            assert!(below <= own, "{path} reaches up to `{used}`");
        }
    }
}

#[test]
fn a_subject_knows_http_and_sql_only_at_its_edges() {
    for (_, path, text) in files() {
        let name = path.rsplit('/').next().unwrap();
        let serves_http = stands_in(&path, &HTTP) || ["routes.rs", "extract.rs"].contains(&name);
        let speaks_sql = stands_in(&path, &SQL) || name == "store.rs";
        assert!(serves_http || !text.contains("actix_web::"), "{path} speaks HTTP");
        assert!(speaks_sql || !text.contains("diesel::"), "{path} speaks SQL");
    }
}
