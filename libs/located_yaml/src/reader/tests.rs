//! A sample configuration: what is read from it, and what is reported of a wrong one.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{Located, redact, unknown};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    servers: Vec<Server>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    limits: Limits,
    home: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Server {
    address: String,
    #[serde(default)]
    weight: Option<u8>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Fast,
    Careful {
        retries: u8,
    },
    Named(String),
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    #[serde(alias = "longest")]
    max_time: u64,
    open: bool,
}

const RENAMED: &[RenamedKey] = &[RenamedKey { old: "longest", new: "max_time" }];

fn variable(name: &str) -> Option<String> {
    match name {
        "WEIGHT" => Some("7".into()),
        "SECRET" => Some("hunter2".into()),
        "STRUCTURE" => Some("{ retries: 1 }".into()),
        _ => None,
    }
}

fn check(sample: &Sample, report: &mut Report<'_>) {
    let known: Vec<&str> = sample.servers.iter().map(|server| server.address.as_str()).collect();
    if let Some(home) =
        report.root().get("home").filter(|home| !report.is_wrong(home) && !known.contains(&&*sample.home))
    {
        report.add_at(home, redact(unknown("server", &sample.home, &sample.home, &known), home));
    }
}

fn read(text: &str) -> Result<Document<Sample>, ConfigErrors> {
    Reader::new(&variable).renamed(RENAMED).read("f.yaml", text, check)
}

/// The lines of the errors, without the file's name.
fn errors(text: &str) -> Vec<String> {
    let errors = read(text).expect_err(text);
    errors.iter().map(|error| error.to_string().trim_start_matches("f.yaml:").to_owned()).collect()
}

#[test]
fn a_file_becomes_its_types() {
    let text = "servers: [{ address: a, weight: ${WEIGHT} }, &b { address: \"b\" }, *b]\n\
                mode: { careful: { retries: 0x10 } }\n\
                limits:\n  # max_time: 1\n\
                home: ${HOME:-a}\n";
    let server = |address: &str, weight| Server { address: address.into(), weight };
    let document = read(text).unwrap();
    assert_eq!(
        document.value,
        Sample {
            servers: vec![server("a", Some(7)), server("b", None), server("b", None)],
            mode: Mode::Careful { retries: 16 },
            limits: Limits::default(),
            home: "a".into(),
        }
    );
    assert!(document.warnings.is_empty());
    assert_eq!(
        read("servers: [{ address: 512 }]\nhome: 512\nmode: { named: on }").unwrap().value.mode,
        Mode::Named("on".into())
    );
}

/// YAML 1.2.2 §7.1: an alias stands for the last node before it that has the anchor.
#[test]
fn an_alias_stands_for_the_latest_anchor_of_its_name() {
    let text = "servers: [{ address: &x a }, { address: &y b }, { address: &x c }, { address: &z d }, { address: *x }]\nhome: *y";
    let sample = read(text).unwrap().value;
    let addresses: Vec<_> = sample.servers.iter().map(|server| server.address.as_str()).collect();
    assert_eq!((addresses, sample.home.as_str()), (vec!["a", "b", "c", "d", "c"], "b"));
}

#[test]
fn every_error_is_reported_at_its_place_with_what_was_found_and_what_was_wanted() {
    assert_eq!(
        errors(
            "servers:\n  - { adress: a, weight: 300 }\n  - { weight: \"5\" }\n  - b\nmode: carful\nlimits: { open: yes, open: no }\nhom: a\n"
        ),
        [
            "2:7: servers[0]: unknown key `adress`; did you mean `address`? known are `address`, `weight`",
            "2:26: servers[0].weight: found number `300`, wanted a whole number of 0 to 255",
            "3:5: servers[1]: `address` is missing; it has no default",
            "3:15: servers[1].weight: found text `5`, wanted a whole number of 0 to 255; leave out the quotes",
            "4:5: servers[2]: found text `b`, wanted a mapping",
            "5:7: mode: unknown value `carful`; did you mean `careful`? known are `fast`, `careful`, `named`",
            "6:17: limits.open: found text `yes`, wanted `true` or `false`",
            "6:22: limits: the key `open` stands here a second time; the first is on line 6",
            "7:1: top level: unknown key `hom`; did you mean `home`? known are `servers`, `mode`, `limits`, `home`",
        ]
        .map(str::to_owned)
    );
}

#[test]
fn features_that_a_configuration_has_no_use_for_are_errors() {
    for (text, error) in [
        ("servers: !x []\nhome: a", "1:10: servers: tags (`!name`) have no meaning in a configuration; leave it out"),
        ("<<: {}\nhome: a", "1:1: top level: merge keys (`<<`) are not read; an alias can stand for a whole value"),
        ("${A}: 1", "1:1: top level: variables are read in values, not in keys"),
        ("home: a\n---\nhome: b", "2:1: yaml: a second document begins here; a configuration is one"),
        ("home: *a", "1:7: yaml: the alias stands for nothing; no `&anchor` of that name comes before it"),
        ("", "1:1: yaml: there is nothing in the file, wanted `servers` and `home`"),
        ("[a]: 1", "1:1: yaml: a key has to be plain text"),
    ] {
        let errors = errors(text);
        assert!(errors.iter().any(|line| line == error), "{text}: {errors:#?}");
    }
    let deep = format!("home: {}{}", "[".repeat(80), "]".repeat(80));
    assert!(errors(&deep)[0].ends_with("values are nested more than 64 deep"));
}

#[test]
fn what_a_variable_holds_is_neither_structure_nor_shown() {
    assert_eq!(
        errors("servers: [{ address: a }]\nhome: ${SECRET}\nmode: ${STRUCTURE}\nlimits: { open: ${NO} }"),
        [
            "2:7: home: unknown server `${SECRET}`; the only one is `a`",
            "3:7: mode: unknown value `${STRUCTURE}`; known are `fast`, `careful`, `named`",
            "4:17: limits.open: the variable `NO` is not set; set it, or write `${NO:-default}`",
        ]
        .map(str::to_owned)
    );
}

#[test]
fn an_old_name_of_a_key_is_read_with_a_warning_that_names_the_new_one() {
    let document = read("servers: [{ address: a }]\nhome: a\nlimits: { longest: 5 }").unwrap();
    assert_eq!(document.value.limits.max_time, 5);
    let warnings: Vec<String> = document.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["f.yaml:3:11: limits: `longest` is now called `max_time`; the old name will not be read by the next release"]
    );
    let shown = document.warnings[0].with_line().to_string();
    assert!(shown.ends_with("\n3 | limits: { longest: 5 }\n  |           ^^^^^^^"), "{shown}");
}

/// Settings, or a word in their place.
#[derive(Debug, PartialEq)]
enum LimitsOrOff {
    Limits(Limits),
    Off,
}

impl<'de> Deserialize<'de> for LimitsOrOff {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = LimitsOrOff;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("limits, or `off`")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<LimitsOrOff, E> {
                Ok(LimitsOrOff::Off)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<LimitsOrOff, A::Error> {
                Limits::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(LimitsOrOff::Limits)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[test]
fn an_old_name_is_read_with_a_warning_where_the_kind_of_value_decides_what_it_is() {
    let reader = Reader::new(&variable).renamed(RENAMED);
    let read = |text| reader.read::<std::collections::BTreeMap<String, LimitsOrOff>>("f.yaml", text, |_, _| {});
    let document = read("a: { longest: 5 }\nlongest: off").unwrap();
    assert_eq!(document.value["a"], LimitsOrOff::Limits(Limits { max_time: 5, open: false }));
    let warnings: Vec<String> = document.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "a key of a map has no other name: {warnings:?}");
    assert!(warnings[0].starts_with("f.yaml:1:6: a: `longest` is now called `max_time`"), "{warnings:?}");
    assert!(read("a: { lngest: 5 }").is_err());
}

#[test]
fn an_old_name_is_known_only_where_its_new_one_is_and_is_not_offered() {
    assert_eq!(
        errors("servers: [{ address: a, longest: 5 }]\nhome: a\nlimits: { lngest: 5 }"),
        [
            "1:25: servers[0]: unknown key `longest`; known are `address`, `weight`",
            "3:11: limits: unknown key `lngest`; known are `max_time`, `open`",
        ]
        .map(str::to_owned)
    );
    let both = errors("servers: [{ address: a }]\nhome: a\nlimits: { longest: 5, max_time: 5 }");
    assert_eq!(both, ["3:9: limits: `max_time` stands here twice, once by an old name".to_owned()]);
}

/// A type that is read without its types being known: every value of it passes through trait objects.
struct Erased<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Erased<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        erased_serde::deserialize(&mut erased).map(Self).map_err(serde::de::Error::custom)
    }
}

#[test]
fn an_error_keeps_its_place_and_its_words_on_its_way_through_trait_objects() {
    for text in [
        "a:\n  servers:\n    - { adress: a, weight: 300 }\n    - { weight: \"5\" }\n    - b\n  mode: carful\n  limits: { open: yes }\n  hom: a\n",
        "a: { servers: [{ address: [] }], mode: { careful: { retry: 1 } }, home: a }",
        "a: { servers: [{ weight: ${WEIGHT} }], mode: named, limits: { longest: 5, max_time: 5 }, home: a }",
        "a: { servers: 1, mode: { careful: }, home: }",
        "a: []",
    ] {
        let reader = Reader::new(&variable).renamed(RENAMED);
        let typed = reader.read::<std::collections::BTreeMap<String, Sample>>("f.yaml", text, |_, _| {}).unwrap_err();
        let erased = reader.read::<std::collections::BTreeMap<String, Erased<Sample>>>("f.yaml", text, |_, _| {});
        assert_eq!(erased.map(|_| ()).unwrap_err().to_string(), typed.to_string());
    }
}

#[test]
fn a_text_that_is_not_utf_8_says_where() {
    let errors = Reader::new(&variable).text("f.yaml", b"a: b\nc: \xff").unwrap_err();
    assert_eq!(errors.one_line(), "f.yaml:2:4: file: this is not UTF-8 text");
}

#[test]
fn errors_found_later_show_the_line_and_no_variable() {
    let fault = (Location::new(1, 7), "home".to_owned(), "cannot connect to hunter2".to_owned());
    let errors = Reader::new(&variable).errors_at("f.yaml", "home: ${SECRET}", vec![fault]);
    assert_eq!(
        errors.to_string(),
        "f.yaml:1:7: home: cannot connect to ${SECRET}\n  |\n1 | home: ${SECRET}\n  |       ^"
    );
}

#[test]
fn a_list_of_errors_ends_somewhere_and_says_so() {
    let text = format!("home: a\nservers:\n{}", "  - { address: [] }\n".repeat(1000));
    let errors = read(&text).unwrap_err();
    assert_eq!(errors.iter().count(), 100);
    assert!(errors.one_line().ends_with("there may be more errors; they show when these are gone"));
}

proptest! {
    /// Whatever is written, there is a value or a list of errors, each on a line of its own with a place within the text.
    #[test]
    fn no_text_makes_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "servers", "home", "limits", "longest", "address", "mode", "careful", ": ", ":", "\n", "  ", "- ", "[", "]", "{", "}",
            ", ", "&a ", "*a", "!t ", "<<", "|", ">", "#", "\"", "'", "${", "WEIGHT", "}", ":-", "1", "é", "\t", "~", "?", "---\n",
        ]), 0..40),
    ) {
        let text = pieces.concat();
        if let Err(errors) = read(&text) {
            prop_assert!(errors.iter().count() > 0);
            for error in errors.iter() {
                prop_assert!(!error.to_string().contains('\n'));
                prop_assert!(error.location.line <= text.lines().count().max(1) + 1);
            }
        }
    }

    #[test]
    fn scalars_come_back_as_they_were_written(number in any::<u64>(), text in "[a-z ]{1,20}") {
        let unchanged = |_: &str| None;
        let yaml = format!("- {number}\n- '{text}'\n");
        let read = Reader::new(&unchanged).read::<(Located<u64>, Located<String>)>("f.yaml", &yaml, |_, _| {}).unwrap().value;
        prop_assert_eq!((*read.0, read.1.as_str()), (number, text.as_str()));
        prop_assert_eq!((read.1.at.line, read.1.at.column), (2, 3));
    }
}
