//! Modules of the gateway import each other one way, without circles, and each knows only what the map in `src/lib.rs` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The modules that each module names, its tests left out.
fn imports() -> Imports {
    let mut imports = Imports::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if ["tests", "properties", "main", "lib"].contains(&&*name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let module = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_string_lossy().replace(".rs", "");
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines();
            let code: String = code.filter(|line| !line.trim_start().starts_with("//")).collect();
            let named = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(',').map(first_word).collect(),
                None => vec![first_word(rest)],
            });
            imports
                .entry(module.clone())
                .or_default()
                .extend(named.filter(|other| !other.is_empty() && *other != module));
        }
    }
    imports
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
}

#[test]
fn modules_import_each_other_without_circles() {
    let mut left = imports();
    assert!(left["engine"].contains("exchange") && left.len() > 15, "{left:?}");
    // whoever imports nothing that is left can be taken away; a circle stays
    while let Some(leaf) = left.iter().find(|(_, others)| !others.iter().any(|other| left.contains_key(other))) {
        let leaf = leaf.0.clone();
        left.remove(&leaf);
    }
    assert!(left.is_empty(), "in or above a circle: {left:#?}");
}

#[test]
fn the_rules_of_the_map_hold() {
    let imports = imports();
    let importers = |of: &str| {
        let importers = imports.iter().filter(|(_, others)| others.contains(of)).map(|(module, _)| module.as_str());
        importers.collect::<Vec<_>>()
    };
    assert_eq!(importers("server"), ["cli", "demo"]);
    assert_eq!(importers("engine"), ["explain", "server"]);
    assert_eq!(importers("exchange"), ["engine"]);
    assert_eq!(importers("config"), ["cli", "engine", "explain", "server"]);
    for pure in ["exchange", "balance", "chain", "routes", "dialect", "attribution"] {
        for forbidden in ["engine", "server", "config", "metrics", "admin"] {
            assert!(!imports.get(pure).is_some_and(|others| others.contains(forbidden)), "{pure} → {forbidden}");
        }
    }
}
