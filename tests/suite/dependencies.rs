//! Every dependency has a licence that is allowed, comes from the registry, and is there once, but for those named here. Asks
//! cargo, and no network.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

/// Licences under which a dependency may be used; of several that it offers, one is enough.
const LICENCES: [&str; 10] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that are there in several versions, and in how many at the most. Each doubles its compile time and its code: the list may
/// get shorter only, unless there is a reason.
const SEVERAL: [(&str, usize); 28] = [
    ("asn1-rs", 2),
    ("asn1-rs-derive", 2),
    ("base64", 2),
    ("block-buffer", 2),
    ("cpufeatures", 2),
    ("crypto-common", 2),
    ("der-parser", 2),
    ("digest", 2),
    ("embedded-io", 2),
    ("getrandom", 3),
    ("hashbrown", 4),
    ("heck", 2),
    ("indexmap", 2),
    ("lock_api", 2),
    ("num-bigint", 2),
    ("oid-registry", 2),
    ("openssl-probe", 2),
    ("parking_lot", 2),
    ("parking_lot_core", 2),
    ("rand", 2),
    ("rand_core", 2),
    ("rustls-native-certs", 2),
    ("sha2", 2),
    ("syn", 3),
    ("synstructure", 2),
    ("thiserror", 2),
    ("thiserror-impl", 2),
    ("x509-parser", 2),
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The packages of a build on Linux, tests included.
fn packages() -> Vec<Value> {
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline"];
    let asked = Command::new(env!("CARGO")).args(arguments).arg("--filter-platform=x86_64-unknown-linux-gnu").output();
    let output = asked.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))).cloned().collect()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed_and_comes_from_the_registry() {
    let allowed: Vec<_> = LICENCES.iter().map(|licence| spdx::Licensee::parse(licence).unwrap()).collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        let offers = Expression::parse_mode(licence, ParseMode::LAX);
        let is_allowed = |offer: &Expression| offer.evaluate(|wanted| allowed.iter().any(|one| one.satisfies(wanted)));
        if !offers.is_ok_and(|offer| is_allowed(&offer)) {
            wrong.push(format!("{} has the licence `{licence}`", name(&package)));
        }
        // ours have none
        if package["source"].as_str().is_some_and(|source| source != REGISTRY) {
            wrong.push(format!("{} comes from {}", name(&package), package["source"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_dependency_is_there_in_more_versions_than_it_may() {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for package in packages() {
        *versions.entry(name(&package).to_owned()).or_default() += 1;
    }
    let most = |name: &str| SEVERAL.iter().find(|(known, _)| *known == name).map_or(1, |(_, most)| *most);
    versions.retain(|name, count| *count > most(name));
    assert!(versions.is_empty(), "{versions:?}: `cargo tree --duplicates` shows who wants them");
}
