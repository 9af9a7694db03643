//! The files that a configuration includes: found by their patterns, in the order of their names, and read.

use std::fs;
use std::path::{Path, PathBuf};

use located_yaml::IncludedFile;

use super::read;

/// The most files that one configuration includes by one entry.
const MOST_FILES: usize = 10_000;

/// The files that patterns name below a folder. `main` is the file that includes them.
pub(super) fn files_below(base: &Path, main: Option<&Path>) -> impl Fn(&str) -> Result<Vec<IncludedFile>, String> {
    let main = main.and_then(|main| fs::canonicalize(main).ok());
    move |pattern| {
        let found = found(base, pattern)?;
        found.into_iter().map(|path| file(&path, main.as_deref())).collect()
    }
}

fn file(path: &Path, main: Option<&Path>) -> Result<IncludedFile, String> {
    let name = path.display().to_string();
    if main.is_some() && fs::canonicalize(path).ok().as_deref() == main {
        return Err(format!("`{name}` would include itself"));
    }
    let bytes = read(path).map_err(|error| format!("the file `{name}` cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the file `{name}` is not UTF-8 text"))?;
    Ok(IncludedFile { name, text })
}

/// The files that a pattern names. One without wildcards names a file, be it there or not; another may name none.
fn found(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if pattern.is_empty() {
        return Err("the name of a file is empty; write `routes/*.yaml`".to_owned());
    }
    let mut found = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { base.to_owned() }];
    let is_wild = pattern.contains(['*', '?']);
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        found = match part.contains(['*', '?']) {
            false => found.into_iter().map(|folder| folder.join(part)).collect(),
            true => found.iter().flat_map(|folder| entries(folder, part)).collect(),
        };
        if found.len() > MOST_FILES {
            return Err(format!("`{pattern}` names more than {MOST_FILES} files"));
        }
    }
    if is_wild {
        found.retain(|path| path.is_file());
        found.sort();
    }
    Ok(found)
}

/// What a folder holds whose name fits; nothing where it cannot be read. Hidden files must be named as such.
fn entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let fits = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.starts_with('.') == pattern.starts_with('.') && fits(pattern.as_bytes(), name.as_bytes())
    };
    names.filter(fits).map(|name| folder.join(name)).collect()
}

/// Whether a name fits a pattern, in which `*` stands for any text and `?` for one byte.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|at| fits(rest, &name[at..])),
        ([b'?', pattern @ ..], [_, name @ ..]) => fits(pattern, name),
        ([wanted, pattern @ ..], [found, name @ ..]) => wanted == found && fits(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    /// A folder of its own with these files, gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn with(name: &str, files: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("tollgate-include-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            for (name, text) in files {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(folder)
        }

        /// What reading this says, without the folder's name.
        fn errors(&self, text: &str) -> String {
            let errors = parse("main.yaml", text, &self.0, &|_| None).unwrap_err().to_string();
            errors.replace(&format!("{}/", self.0.display()), "")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MAIN: &str = "listeners: [{ address: \"127.0.0.1:1\" }]\n\
        upstreams: { a: { servers: [{ address: \"127.0.0.1:1\" }] } }\nroutes: [{ name: first, upstream: a }]\n";

    #[test]
    fn lists_are_appended_in_the_order_of_names_and_sections_are_merged() {
        let folder = Folder::with(
            "merged",
            &[
                ("routes/20.yaml", "routes: [{ name: third, paths: [/b], upstream: b }]"),
                (
                    "routes/10.yaml",
                    "routes:\n  - { name: second, paths: [/${NO:-a}], upstream: a }\nserver: { threads: 2 }",
                ),
                ("routes/.hidden.yaml", "nonsense"),
                ("routes/30.txt", "nonsense"),
                ("routes/empty.yaml", "# nothing\n"),
                ("up.yaml", "upstreams: { b: { servers: [{ address: \"127.0.0.1:2\" }] } }\nroutes:\n"),
            ],
        );
        let text =
            format!("include: [\"routes/*.yaml\", up.yaml, \"none/*.yaml\"]\nserver: {{ max_body: 1MiB }}\n{MAIN}");
        let config = parse("main.yaml", &text, &folder.0, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let names: Vec<_> = config.routes.iter().map(|route| route.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["first", "second", "third"]);
        assert_eq!(config.upstreams.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(config.server.threads.is_some() && config.server.max_body.get() == 1 << 20);
        let at = config.routes[1].at;
        assert_eq!((at.file, at.line, at.column), (1, 2, 5));
        // the first route takes everything, wherever the others stand
        let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings[0].contains("routes/10.yaml:2:5:") && warnings[0].contains("line 5 of main.yaml"),
            "{warnings:?}"
        );
    }

    #[test]
    fn an_error_of_an_included_file_has_its_name_and_its_line() {
        let folder = Folder::with(
            "errors",
            &[
                (
                    "a.yaml",
                    "routes:\n  - { upstrem: a }\n  - { upstream: c }\nupstreams:\n  a: { servers: [] }\nlog: ${NO}\n",
                ),
                ("b.yaml", "include: [c.yaml]\nserver: 7\n"),
                ("list.yaml", "- 1\n"),
                ("broken.yaml", "routes: [\n"),
            ],
        );
        let told = folder.errors(&format!("include: [a.yaml, b.yaml, list.yaml]\nserver: {{}}\n{MAIN}"));
        for wanted in [
            "a.yaml:2:7: routes[1]: unknown key `upstrem`; did you mean `upstream`?",
            "a.yaml:3:17: routes[2].upstream: unknown upstream `c`",
            "a.yaml:5:3: upstreams: the key `a` stands here a second time; the first is on line 4 of main.yaml",
            "5 |   a: { servers: [] }",
            "a.yaml:6:6: log: the variable `NO` is not set",
            "b.yaml:1:1: top level: only the first file includes others",
            "b.yaml:2:1: top level: the key `server` stands here a second time; the first is on line 2 of main.yaml",
            "list.yaml:1:1: top level: an included file holds sections",
        ] {
            assert!(told.contains(wanted), "{wanted}\n{told}");
        }
        let told = folder.errors(&format!("include: [broken.yaml]\n{MAIN}"));
        assert!(told.contains("broken.yaml:1:9: yaml:"), "{told}");
        let told = folder.errors(&format!("include: [gone.yaml, a.yaml, a.yaml, \"\"]\n{MAIN}"));
        assert!(told.contains("main.yaml:1:11: include[0]: the file `gone.yaml` cannot be read"), "{told}");
        assert!(told.contains("main.yaml:1:30: include[2]: `a.yaml` is included by an earlier entry"), "{told}");
        assert!(told.contains("include[3]: the name of a file is empty"), "{told}");
    }

    #[test]
    fn a_file_does_not_include_itself() {
        let folder = Folder::with("self", &[("main.yaml", "include: [\"*.yaml\"]\n")]);
        let told = crate::config::load(&folder.0.join("main.yaml")).unwrap_err().to_string();
        assert!(told.contains("main.yaml:1:11: include[0]:") && told.contains("would include itself"), "{told}");
    }

    #[test]
    fn a_name_fits_by_its_wildcards() {
        for (pattern, name, fit) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", ".yaml", true),
            ("*.yaml", "a.yml", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("A", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), fit, "{pattern} {name}");
        }
    }
}
