//! The configuration: what is in `conf/` loads, what is in `bad_config/` says what is wrong with it, and nothing panics.

use std::fs;
use std::path::{Path, PathBuf};

use located_yaml::ConfigErrors;
use proptest::prelude::*;
use tollgate::config::{self, Config};

/// A variable of the tests' own environment.
fn variable(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("hunter2".into()),
        "ZERO" | "EMPTY" => Some(String::new()),
        "LIMIT" => Some("250".into()),
        "STRUCTURE" => Some("{ limit: 1 }".into()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    config::parse("f.yaml", text, Path::new(""), &variable)
}

/// A configuration with this among its settings.
fn with(settings: &str) -> String {
    format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams: {{ a: {{ servers: [{{ address: \"a:1\" }}] }} }}\n\
         routes: [{{ upstream: a }}]\n{settings}\n"
    )
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    files
}

/// The configurations of a gateway in a folder and those below it.
fn gateways_in(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(gateways_in(&path));
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            if text.lines().any(|line| line.starts_with("listeners:")) {
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn every_configuration_that_we_give_out_loads() {
    let files = [gateways_in(Path::new("conf")), gateways_in(Path::new("deploy"))].concat();
    for known in yaml_files("conf").into_iter().chain(["deploy/compose/tollgate.yaml".into()]) {
        assert!(files.iter().any(|(file, _)| *file == known), "{}", known.display());
    }
    for (file, text) in files {
        // those for containers have their secrets from the environment
        let of_container = ["ANTHROPIC_API_KEY", "POSTGRES_PASSWORD"];
        let variable = |name: &str| of_container.contains(&name).then(|| "a-value".to_owned());
        let base = file.parent().unwrap();
        config::parse(&file.display().to_string(), &text, base, &variable).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

/// With `BLESS=1` the texts are written anew, to be read before they are committed.
#[test]
fn every_bad_configuration_says_all_that_is_wrong_with_it_and_where() {
    let files = yaml_files("tests/bad_config");
    assert!(files.len() >= 20);
    let bless = std::env::var_os("BLESS").is_some();
    let mut differ = Vec::new();
    for file in files {
        let yaml = fs::read_to_string(&file).unwrap();
        let name = file.display().to_string();
        let errors = config::parse(&name, &yaml, Path::new("tests/bad_config"), &variable);
        let told = format!("{}\n", errors.expect_err(&name));
        assert!(!told.contains("hunter2"), "{told}");
        let expected = file.with_extension("txt");
        if bless {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            differ.push(told);
        }
    }
    assert!(differ.is_empty(), "these say something else now:\n{}", differ.join("\n"));
}

#[test]
fn the_first_line_of_an_error_is_file_line_column_where_and_what() {
    let errors = parse(&with("plugins:\n  - max_tokens: { limit: 1, limt: 4096 }")).unwrap_err();
    let expected = "f.yaml:5:29: plugins[0].max_tokens: unknown key `limt`; did you mean `limit`? \
                    known are `limit`, `models`, `mode`, `default`, `default_as`, `error_format`";
    assert_eq!(errors.one_line(), expected);
    let error = errors.iter().next().unwrap();
    assert_eq!((error.location.line, error.location.column), (5, 29));
    assert_eq!(error.path, "plugins[0].max_tokens");
    let shown = format!(
        "{expected}\n  |\n5 |   - max_tokens: {{ limit: 1, limt: 4096 }}\n  |                             ^^^^"
    );
    assert_eq!(errors.to_string(), shown);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_of_its_first_line() {
    let errors = config::load(Path::new("tests/no_such.yaml")).unwrap_err().to_string();
    assert!(errors.starts_with("tests/no_such.yaml:1:1: file: cannot be read: No such file"), "{errors}");
}

#[test]
fn files_that_are_not_there_are_told_where_they_are_named() {
    let text = "listeners:\n\
                \x20 - address: 127.0.0.1:0\n\
                \x20   tls: { certificates: [{ certificate: no_such_cert.pem, private_key: no_such_key.pem }] }\n\
                upstreams:\n\
                \x20 a: { servers: [{ address: \"https://a\" }], tls: { ca: no_such_ca.pem } }\n\
                routes: [{ upstream: a }]";
    let errors = config::parse("f.yaml", text, Path::new("no_such_folder"), &variable).unwrap_err();
    let told: Vec<_> = errors.iter().map(|error| (error.location.line, error.path.as_str())).collect();
    assert!(told.contains(&(3, "listeners[0].tls.certificates[0].certificate")), "{errors}");
    assert!(told.contains(&(5, "upstreams.a.tls.ca")), "{errors}");
}

#[test]
fn variables_fill_texts_numbers_and_parts_of_either_in_any_style() {
    let limit = |written: &str| {
        let config = parse(&with(&format!("plugins: [{{ max_tokens: {{ limit: {written} }} }}]"))).unwrap();
        serde_json::to_value(&config.plugins[0].value).unwrap()["max_tokens"]["limit"].clone()
    };
    for (written, value) in [
        ("${LIMIT}", 250),
        ("${NO:-4000}", 4000),
        ("\"${NO:-4000}\"", 4000),
        ("'${LIMIT}0'", 2500),
        ("${EMPTY:-1}${LIMIT}", 1250),
    ] {
        assert_eq!(limit(written), value, "{written}");
    }
    let block = parse(&with("plugins:\n  - max_tokens:\n      limit: ${LIMIT:-1}")).unwrap();
    assert_eq!(serde_json::to_value(&block.plugins[0].value).unwrap()["max_tokens"]["limit"], 250);
}

#[test]
fn what_a_variable_holds_never_becomes_structure() {
    for written in ["${STRUCTURE}", "\"${STRUCTURE}\""] {
        let errors = parse(&with(&format!("plugins: [{{ max_tokens: {written} }}]"))).unwrap_err();
        assert_eq!(
            errors.one_line(),
            "f.yaml:4:25: plugins[0].max_tokens: found `${STRUCTURE}`, wanted its settings, or `off`"
        );
    }
}

#[test]
fn the_smallest_configuration_needs_neither_admin_nor_hosts_nor_paths() {
    let config = parse(&with("")).unwrap();
    assert!(config.admin.is_none() && config.plugins.is_empty());
    assert!(config.routes[0].hosts.is_empty() && config.routes[0].paths.is_empty());
    assert_eq!((config.routes[0].at.line, config.routes[0].at.column), (3, 10));
    let upstream = &config.routes[0].target.upstream().unwrap().upstream;
    assert_eq!((upstream.at.line, upstream.at.column), (3, 22));
}

#[test]
fn on_is_a_key_and_off_a_word_as_in_yaml_1_2() {
    let text = "listeners: [{ address: \"127.0.0.1:0\" }]\n\
                upstreams: { off: { servers: [{ address: \"a:1\" }], retry: { on: [timeout] } } }\n\
                plugins: [{ max_tokens: { limit: 1 } }]\n\
                routes: [{ upstream: off, hosts: [yes, no], plugins: [{ max_tokens: off }] }]";
    let config = parse(text).unwrap();
    assert_eq!(config.upstreams["off"].retry.on.len(), 1);
    assert!(config.routes[0].plugins[0].is_off());
}

#[test]
fn a_setting_without_quotes_may_look_like_another_type() {
    let config = parse(&with("server: { max_body: 512, drain_timeout: 0 }")).unwrap();
    assert_eq!((config.server.max_body.get(), config.server.drain_timeout.get().as_secs()), (512, 0));
}

#[test]
fn an_alias_repeats_a_value() {
    let text = "listeners: [{ address: \"127.0.0.1:0\" }]\n\
                upstreams: { a: &a { servers: &s [{ address: \"a:1\" }, { address: \"b:1\" }] }, b: *a, c: { servers: *s } }\n\
                routes: [{ upstream: c }]";
    let config = parse(text).unwrap();
    assert!(config.upstreams.values().all(|upstream| upstream.servers.len() == 2));
}

#[test]
fn a_section_whose_settings_are_all_commented_out_is_as_if_it_were_not_there() {
    let config = parse(&with("server:\n  #threads: 1\nplugins:\nlog:\nadmin:")).unwrap();
    assert!(config.plugins.is_empty() && config.admin.is_none());
}

#[test]
fn what_nobody_writes_is_refused_before_it_takes_time_or_memory() {
    let repeat = |piece: &str, times: usize| piece.repeat(times);
    let laughs: String = (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
    for (text, says) in [
        (format!("a0: &a0 [x]\n{laughs}"), "more than 200000 values"),
        (repeat("[", 100_000), "nested more than"),
        (repeat("{a: ", 100_000), "nested more than"),
        ((0..2000).map(|n| format!("{}a:\n", repeat(" ", n))).collect(), "nested more than"),
        (repeat("- ", 100_000), "nested more than"),
        (repeat("&a ", 1000), ""),
        (format!("a: &a {}{}\nb: [[[[[[[[[[*a]]]]]]]]]]", repeat("[", 60), repeat("]", 60)), "nested more than"),
        (with(&format!("server: {{ threads: {} }}", repeat("9", 100_000))), "whole number"),
        (repeat("a", 1_000_000), "wanted a mapping"),
        (with(&repeat("${", 10_000)), ""),
        (with(&format!("plugins: [{}]", repeat("{ max_tokens: 1 }, ", 5000))), "there may be more errors"),
        (with(&(0..9000).map(|n| format!("k{n}: 1\n")).collect::<String>()), "there may be more errors"),
    ] {
        let errors = parse(&text).unwrap_err().to_string();
        assert!(errors.contains(says), "{}", &errors[..errors.len().min(300)]);
        assert!(errors.len() < 100_000);
    }
}

/// Pieces of which almost-configurations are made.
const PIECES: [&str; 40] = [
    "listeners",
    "upstreams",
    "routes",
    "servers",
    "address",
    "max_tokens",
    "on",
    "off",
    ": ",
    ":\n  ",
    "\n",
    "\n  ",
    "\n- ",
    "  - ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "&a ",
    "*a",
    "!t ",
    "<<: *a",
    "${",
    "}",
    "${SECRET}",
    "${NO:-1}",
    "$${",
    "|\n  ",
    "~",
    "-1",
    "4000",
    "1e9",
    "0x",
    "é\u{feff}",
    "\t",
    "\r\n",
    "# ",
];

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_mix_of_what_configurations_hold_makes_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60),
    ) {
        if let Err(errors) = parse(&pieces.concat()) {
            prop_assert!(errors.iter().count() > 0);
            for line in errors.one_line().split(" | ") {
                prop_assert!(!line.contains('\n'));
            }
        }
    }

    #[test]
    fn no_change_to_a_good_configuration_makes_the_reader_panic(
        at in 0.0..1.0_f64,
        cut in 0..20_usize,
        piece in prop::sample::select(&PIECES[..]),
    ) {
        let mut text: Vec<char> = include_str!("../../conf/tollgate.yaml").chars().collect();
        let from = (at * text.len() as f64) as usize;
        let to = (from + cut).min(text.len());
        text.splice(from..to, piece.chars());
        if let Err(errors) = parse(&text.into_iter().collect::<String>()) {
            prop_assert!(errors.iter().count() > 0);
        }
    }
}
