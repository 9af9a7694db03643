//! Merges the files that a text includes into its tree. Reads none itself.

use crate::located::Location;
use crate::node::{Entry, Id, Kind, Mark, Node, Problem};
use crate::parse::{self, NotYaml, Parsed};
use crate::source::Source;
use crate::variables::{self, Sources};

/// The key at the top level whose list names the files.
const INCLUDE: &str = "include";

/// A file that is included.
#[derive(Clone, Debug)]
pub struct IncludedFile {
    /// Its name in errors.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Gives the files that an entry of `include` names, in order, or why it cannot.
pub type Include<'a> = &'a dyn Fn(&str) -> Result<Vec<IncludedFile>, String>;

/// Appends the lists of the files that the tree includes to its own, and merges their mappings into its own. What is wrong with them
/// is added to the problems of the tree.
///
/// # Errors
/// The first place where one of them is not YAML.
pub(crate) fn merge(
    parsed: &mut Parsed,
    unset: &mut Vec<Problem>,
    include: Include<'_>,
    sources: Sources<'_>,
    source: &mut Source,
) -> Result<(), NotYaml> {
    let listed = parsed.root.get(INCLUDE).map_or(&[][..], Node::items);
    let patterns: Vec<(Id, Mark, String)> =
        listed.iter().filter_map(|node| Some((node.id, node.mark, node.scalar()?.text.clone()))).collect();
    let mut names: Vec<String> = Vec::new();
    for (node, mark, pattern) in patterns {
        let files = match include(&pattern) {
            Ok(files) => files,
            Err(message) => {
                parsed.problems.push(Problem { node, mark, message });
                continue;
            }
        };
        for IncludedFile { name, text } in files {
            if names.contains(&name) {
                let message = format!("`{name}` is included by an earlier entry, too");
                parsed.problems.push(Problem { node, mark, message });
                continue;
            }
            let file = source.add(&name, &text);
            names.push(name);
            let mut included = match parse::parse(&text, file, parsed.last) {
                Ok(included) => included,
                Err(NotYaml::Empty) => continue,
                Err(error) => return Err(error),
            };
            variables::fill(&mut included.root, sources, unset);
            add(parsed, included, source);
        }
    }
    Ok(())
}

/// Adds the sections of a file.
fn add(parsed: &mut Parsed, included: Parsed, source: &Source) {
    parsed.last = included.last;
    parsed.problems.extend(included.problems);
    parsed.unreadable.extend(included.unreadable);
    let root = parsed.root.id;
    let mark = included.root.mark;
    let (Kind::Mapping(sections), Kind::Mapping(added)) = (&mut parsed.root.kind, included.root.kind) else {
        let message = "an included file holds sections, as the one that includes it".to_owned();
        parsed.problems.push(Problem { node: root, mark, message });
        return;
    };
    for entry in added {
        if entry.key.text == INCLUDE {
            let message = "only the first file includes others; name them there".to_owned();
            parsed.problems.push(Problem { node: root, mark: entry.key.mark, message });
            continue;
        }
        let Some(section) = sections.iter_mut().find(|section| section.key.text == entry.key.text) else {
            sections.push(entry);
            continue;
        };
        merge_section(section, entry, root, &mut parsed.problems, source);
    }
}

fn merge_section(section: &mut Entry, added: Entry, root: Id, problems: &mut Vec<Problem>, source: &Source) {
    if added.value.is_nothing() {
        return;
    }
    if section.value.is_nothing() {
        *section = added;
        return;
    }
    match (&mut section.value.kind, added.value.kind) {
        (Kind::List(items), Kind::List(more)) => items.extend(more),
        (Kind::Mapping(entries), Kind::Mapping(more)) => {
            for entry in more {
                match entries.iter().find(|known| known.key.text == entry.key.text) {
                    Some(first) => {
                        let message = twice(&entry, first.key.mark.at, source);
                        problems.push(Problem { node: section.value.id, mark: entry.key.mark, message });
                    }
                    None => entries.push(entry),
                }
            }
        }
        (_, kind) => {
            let entry = Entry { key: added.key, value: Node { kind, ..added.value } };
            let message = twice(&entry, section.key.mark.at, source);
            problems.push(Problem { node: root, mark: entry.key.mark, message });
        }
    }
}

fn twice(entry: &Entry, first: Location, source: &Source) -> String {
    let first = source.line_of(first, entry.key.mark.at);
    format!("the key `{}` stands here a second time; the first is on {first}", entry.key.text)
}
