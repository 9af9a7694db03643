//! Reads the files, and puts those that they include in their place.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glob::Glob;

use super::directive::Directive;
use super::parser::parse;

/// How deep files may include each other.
const DEEPEST: usize = 16;
/// Where nginx's files usually are; a copy of them elsewhere still names that folder.
const USUAL: &str = "/etc/nginx/";
/// What `envsubst` is given to make a file of nginx's.
const TEMPLATE: &str = ".template";

/// The directives of the `http` block, with those around it. What stands in files of their own beside the first belongs to the same block.
///
/// # Errors
/// That a named file cannot be read, or that one is no configuration of nginx.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Directive>, String> {
    let base = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned();
    let mut all = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        let directives = included(path, &text, &base, 0)?;
        let is_main = directives.iter().any(|directive| directive.name == "http");
        for directive in directives {
            match directive {
                Directive { name, block: Some(block), .. } if name == "http" => all.extend(block),
                // what is not there of modules and the like around the `http` block says nothing of who gets in
                other if is_main && other.name == "include" => {}
                other => all.push(other),
            }
        }
    }
    Ok(all)
}

fn included(path: &Path, text: &str, base: &Path, depth: usize) -> Result<Vec<Directive>, String> {
    let name: Rc<str> = path.display().to_string().into();
    expanded(parse(&name, text)?, base, depth)
}

/// The directives, with those of included files in the place of each `include`. One whose files are not there stays.
fn expanded(directives: Vec<Directive>, base: &Path, depth: usize) -> Result<Vec<Directive>, String> {
    let mut all = Vec::with_capacity(directives.len());
    for mut directive in directives {
        if let Some(block) = directive.block.take() {
            directive.block = Some(expanded(block, base, depth)?);
        } else if directive.name == "include" {
            if depth == DEEPEST {
                return Err(format!("{}: files include each other more than {DEEPEST} deep", directive.place));
            }
            let found = matching(directive.first(), base);
            for path in &found {
                let text = fs::read_to_string(path)
                    .map_err(|error| format!("{}: {} cannot be read: {error}", directive.place, path.display()))?;
                all.extend(included(path, &text, base, depth + 1)?);
            }
            if !found.is_empty() || is_empty_folder(directive.first(), base) {
                continue;
            }
        }
        all.push(directive);
    }
    Ok(all)
}

/// Whether an `include` names files of a folder that is there and has none: to nginx that is nothing.
fn is_empty_folder(pattern: &str, base: &Path) -> bool {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    name.contains(['*', '?']) && !folder.contains(['*', '?']) && places(folder, base).iter().any(|place| place.is_dir())
}

/// Where a path of a configuration may be.
fn places(path: &str, base: &Path) -> Vec<PathBuf> {
    let mut places = vec![base.join(path)];
    places.extend(path.strip_prefix(USUAL).map(|below| base.join(below)));
    places
}

/// The files that an `include` names, in the order of their names.
fn matching(pattern: &str, base: &Path) -> Vec<PathBuf> {
    let places = places(pattern, base);
    let found = places.iter().map(|place| files_at(place)).find(|found| !found.is_empty());
    let templates = || places.iter().map(|place| files_at(&with_ending(place))).find(|found| !found.is_empty());
    found.or_else(templates).unwrap_or_default()
}

fn with_ending(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPLATE);
    name.into()
}

/// The files whose path matches this one, which may have `*` and `?` in each of its parts.
fn files_at(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !text.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let pattern = Glob::new(&text);
        found = found.iter().flat_map(|folder| entries(folder, &pattern)).collect();
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

/// What is in a folder by such a name. A name that begins with a dot is hidden, as it is to nginx.
fn entries(folder: &Path, pattern: &Glob) -> Vec<PathBuf> {
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names = names.filter(|name| name.to_str().is_some_and(|name| !name.starts_with('.') && pattern.matches(name)));
    names.map(|name| folder.join(name)).collect()
}
