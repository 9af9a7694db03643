//! nginx's configuration → ours: its servers and locations become routes, its upstreams upstreams. Every directive is carried over, known
//! to need nothing here, or named as left out with its line.

mod access;
mod condition;
mod content;
mod decision;
mod directive;
mod expires;
mod files;
mod forwarding;
mod headers;
mod interpreter;
mod known;
mod level;
mod lexer;
mod limits;
mod line_ends;
mod listen;
mod listeners;
mod location;
mod location_log;
mod log;
mod map;
mod merge;
mod methods;
mod nested;
mod notes;
mod parser;
mod path;
mod proxy_pass;
mod real_ip;
mod reasons;
mod relaxed;
mod remarks;
mod replies;
mod request_facts;
mod rewrite;
mod route;
mod secrecy;
mod server;
mod sites;
mod subset;
mod text;
mod tree;
mod units;
mod unknown;
mod upstream;
mod whole;
mod without_effect;

use std::path::PathBuf;

use super::{Imported, comments, yaml};
use directive::Directive;
use notes::Notes;

/// Makes a configuration of nginx's files. The first is its main file, or all of them are parts of one `http` block.
///
/// # Errors
/// That one of them cannot be read, or is no configuration of nginx: with its line.
pub(super) fn import(paths: &[PathBuf]) -> Result<Imported, String> {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    of_directives(&names.join(", "), &files::read(paths)?)
}

fn of_directives(names: &str, directives: &[Directive]) -> Result<Imported, String> {
    let notes = Notes::new();
    let config = whole::config(directives, &notes)?;
    reasons::name_what_is_left(directives, &notes);
    let (left_out, remarks) = notes.into_parts();
    let left_out = left_out.into_lines();
    let lines = remarks.lines().iter().chain(&left_out);
    let yaml = comments::with("nginx", names, lines) + &yaml::write(&config);
    Ok(Imported { yaml, left_out })
}

#[cfg(test)]
mod tests;
