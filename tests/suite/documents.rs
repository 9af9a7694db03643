//! The documents tell the truth where it can be checked: configurations load, links lead somewhere, tests and metrics that are
//! named exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tollgate::config;

use crate::harness::{Authority, Folder, answer, body, gateway, http1, origin};

/// Sections that every configuration has, for those that leave them out because they are about something else.
const SECTIONS: [(&str, &str); 3] = [
    ("listeners", "listeners: [{ address: \"127.0.0.1:0\" }]\n"),
    ("upstreams", "upstreams: { example: { servers: [{ address: \"a:1\" }] } }\n"),
    ("routes", "routes: [{ upstream: example }]\n"),
];

/// The files below a folder whose names end like this, but for what is built or installed.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = !name.to_string_lossy().starts_with('.') && name != "target" && name != "node_modules";
        if path.is_dir() && is_ours {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<(PathBuf, String)> {
    let found = files(Path::new("."), ".md");
    assert!(found.len() >= 10, "{found:?}");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of a document whose fence says this language and nothing else, each with the number of its first line.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.starts_with("```") {
            let inside: Vec<&'a str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            if line == format!("```{language}") {
                found.push((number + 2, inside.join("\n") + "\n"));
            }
        }
    }
    found
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let folder = Folder::new();
    let authority = Authority::new();
    for name in ["edge", "other"] {
        let issued = authority.issue(&["example.com"]);
        fs::write(folder.path().join(format!("{name}.pem")), issued.certificate).unwrap();
        fs::write(folder.path().join(format!("{name}.key")), issued.key).unwrap();
    }
    for name in ["ca.pem", "clients.pem"] {
        fs::write(folder.path().join(name), authority.pem()).unwrap();
    }
    fs::write(folder.path().join("anthropic.secret"), "sk-example\n").unwrap();
    let mut checked = 0;
    for (path, text) in documents() {
        for (line, mut yaml) in blocks(&text, "yaml") {
            let lacks = |key: &str| !yaml.lines().any(|line| line.starts_with(&format!("{key}:")));
            let missing: String = SECTIONS.iter().filter(|(key, _)| lacks(key)).map(|(_, section)| *section).collect();
            yaml.push_str(&missing);
            let name = format!("{} line {line}", path.display());
            config::parse(&name, &yaml, folder.path(), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn every_law_names_tests_that_exist() {
    let text = fs::read_to_string("CONTRIBUTING.md").unwrap();
    let (_, table) = text.split_once("## The laws and their tests").unwrap();
    let laws: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| law")).collect();
    assert_eq!(laws.len(), 12, "{laws:?}");
    let sources: String = sources();
    let mut missing = Vec::new();
    for law in laws {
        let tests: Vec<&str> = quoted(law.rsplit_once(" | ").unwrap().1).collect();
        assert!(!tests.is_empty(), "{law}");
        missing.extend(tests.into_iter().filter(|test| !sources.contains(&format!("fn {test}("))));
    }
    assert!(missing.is_empty(), "no test is called so: {missing:?}");
}

/// All of our Rust.
fn sources() -> String {
    let folders = ["src", "plugins", "libs", "tests"].map(Path::new);
    folders.iter().flat_map(|folder| files(folder, ".rs")).map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_exists() {
    let page = fs::read_to_string("docs/metrics.md").unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    // a row may be of two metrics
    let names = rows.flat_map(|row| row.split(" | ").next().unwrap_or_default().split("`, `"));
    let documented: BTreeSet<&str> = names.map(|name| name.trim_end_matches('`')).collect();
    let origin = origin().await;
    let usage = r#""usage":{"input_tokens":3,"output_tokens":5}"#;
    origin.answers_with(move |_| {
        answer(200)
            .body(format!(r#"{{"id":"m","type":"message","model":"m","content":[],"stop_reason":"end_turn",{usage}}}"#))
    });
    let plugins = "plugins:\n  - response_cache: {}\n  \
                   - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";
    let gateway = gateway().upstream(&origin).settings(plugins).start().await;
    let call = hyper::Request::post("/v1/messages")
        .header("host", "a")
        .header("x-api-key", "k")
        .body(body("{\"model\":\"m\"}"));
    assert_eq!(http1(gateway.address()).await.call(call.unwrap()).await.status, 200);
    let shown = String::from_utf8(gateway.ask("GET", "/metrics").await.body).unwrap();
    let names: BTreeSet<&str> =
        shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 30, "{names:?}");
    let ours = |name: &&&str| !name.starts_with("process_");
    let undocumented: Vec<_> = names.iter().filter(ours).filter(|name| !documented.contains(**name)).collect();
    assert!(undocumented.is_empty(), "docs/metrics.md lacks {undocumented:?}");
    let sources = sources();
    let exists = |name: &str| names.contains(name) || sources.contains(&format!("\"{name}\""));
    let unknown: Vec<_> = documented.iter().filter(ours).filter(|name| !exists(name)).collect();
    assert!(unknown.is_empty(), "docs/metrics.md knows {unknown:?}");
}

#[test]
fn every_decision_is_listed_with_its_title_in_the_order_of_the_numbers() {
    let folder = Path::new("docs/decisions");
    let list = fs::read_to_string(folder.join("README.md")).unwrap();
    let listed: Vec<&str> = list.lines().filter(|line| line.starts_with("| [")).collect();
    let wanted: Vec<String> = files(folder, ".md")
        .into_iter()
        .filter(|path| !path.ends_with("README.md"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let heading = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
            let (number, title) = heading.split_once(": ").unwrap_or_else(|| panic!("{}: {heading}", path.display()));
            format!("| [{number}]({}) | {title} | ", path.file_name().unwrap().display())
        })
        .collect();
    assert_eq!(listed.len(), wanted.len(), "docs/decisions/README.md lists {listed:#?}, and there are {wanted:#?}");
    for (row, begin) in listed.iter().zip(&wanted) {
        assert!(row.starts_with(begin), "{row} should begin with {begin}");
    }
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_file_that_the_documents_name_exists() {
    const FOLDERS: [&str; 9] =
        ["src/", "plugins/", "libs/", "tests/", "conf/", "fuzz/", "benches/", "migrations/", "examples/"];
    // A page that teaches how to write a plugin names files that the reader makes.
    let made_by_the_reader = ["plugins/allow_models", "fuzz/corpus/TARGET"];
    let mut lost = Vec::new();
    for (path, text) in documents() {
        if path.ends_with("CHANGELOG.md") {
            continue;
        }
        for name in quoted(&text) {
            let names_a_file = FOLDERS.iter().any(|folder| name.starts_with(folder))
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let is_the_readers = made_by_the_reader.iter().any(|made| name.starts_with(made));
            let is_there = Path::new(name).exists() || Path::new(name).with_extension("rs").exists();
            if names_a_file && !is_the_readers && !is_there {
                lost.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut lost = Vec::new();
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let headings = fs::read_to_string(&target).unwrap_or_default();
            let mut headings = headings.lines().filter(|line| line.starts_with('#'));
            let has_heading =
                heading.is_empty() || headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
            if !target.exists() || !has_heading {
                lost.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}
