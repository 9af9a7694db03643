//! `rewrite`: redirects, and paths that are written anew.

use super::directive::Directive;
use super::interpreter::{Host, Run};
use super::notes::summary;
use super::path::Paths;
use super::replies;
use super::route::Action;
use super::subset::are_apart;
use super::text::{Piece, Text};
use super::tree::Halt;

impl<'t> Run<'_, 't> {
    /// What a `rewrite` comes to; nothing where the request goes on.
    ///
    /// # Errors
    /// What must be asked first, or why it cannot be said.
    pub(super) fn rewrite(&mut self, directive: &'t Directive, is_server: bool) -> Result<Option<Action>, Halt> {
        let [expression, replacement, flags @ ..] = &*directive.done().args else {
            return Err(Halt::Never("`rewrite` has no replacement".to_owned()));
        };
        let flag = flags.first().map_or("", String::as_str);
        let is_address = ["http://", "https://", "$scheme"].iter().any(|start| replacement.starts_with(start));
        let is_redirect = is_address || matches!(flag, "redirect" | "permanent");
        // all of a path is a variable of its own
        let whole = match expression.as_str() {
            "^(.*)$" | "^(.*)" | "(.*)" | "^(.+)$" | "(.+)" => Some(replacement.replace("$1", "$uri")),
            "^/(.*)$" | "^/(.*)" | "/(.*)" => Some(replacement.replace("/$1", "$uri")),
            _ => None,
        };
        let whole = whole.filter(|replacement| !replacement.contains("$1"));
        if whole.is_none() && !self.rewrites(expression)? {
            return Ok(None);
        }
        let goes_on = is_server || flag != "break";
        if !is_redirect && goes_on && !self.stays_here(expression, replacement, is_server) {
            return Err(Halt::Never(format!("`{}` goes on to another location", summary(directive))));
        }
        if self.rewritten.is_some() {
            return Err(Halt::Never(format!("`{}` changes a path for the second time", summary(directive))));
        }
        let replacement = whole.unwrap_or_else(|| replacement.clone());
        if is_redirect {
            let status = if flag == "permanent" { 301 } else { 302 };
            return replies::of_rewrite(self, &replacement, status).map(Some);
        }
        let mut template = self.template(&replacement)?;
        if let Some((path, args)) = template.split_once('?') {
            template = if args.is_empty() { path.to_owned() + "?" } else { format!("{path}?{args}&$args") };
            self.host.world.notes.remark(
                "A path that is written anew with a query of its own ends with ? or & where the client sent none.",
            );
        }
        template = self.host.world.notes.without_secrets(&template);
        if !template.starts_with(['/', '$']) {
            return Err(Halt::Never(format!("what `{}` makes is no path", summary(directive))));
        }
        self.rewritten = Some(template);
        self.is_over = matches!(flag, "last" | "break");
        Ok(None)
    }

    /// Whether a rewrite changes the path.
    fn rewrites(&mut self, expression: &str) -> Result<bool, Halt> {
        if self.rewritten.is_some() {
            return Err(Halt::Never(format!("`{expression}` looks at a path that was written anew before")));
        }
        self.matches(expression, false)
    }

    /// Whether a path that is written anew still belongs to the location, whose directives do with it what they do after `break`.
    fn stays_here(&self, expression: &str, replacement: &str, is_server: bool) -> bool {
        let is_only = matches!(&self.paths, Paths::Prefix(prefix) if prefix == "/") && self.host.locations() == 1;
        // those of the location run once more for the new path
        let is_settled = || !self.answers.ask_for_paths() && is_apart(replacement, expression);
        is_only && !self.is_named && replacement.starts_with('/') && (is_server || is_settled())
    }
}

impl Host<'_, '_> {
    /// How many locations it has.
    fn locations(&self) -> usize {
        count_locations(self.level.own())
    }
}

fn count_locations(block: &[Directive]) -> usize {
    let locations =
        block.iter().filter(|directive| directive.name == "location" && !directive.first().starts_with('@'));
    locations.map(|location| 1 + count_locations(location.children())).sum()
}

/// Whether a path that `rewrite` makes is certain not to be matched by an expression.
fn is_apart(replacement: &str, expression: &str) -> bool {
    let path = replacement.split('?').next().unwrap_or_default();
    let made = Text::parse(path).pieces().iter().fold("^".to_owned(), |all, piece| match piece {
        Piece::Literal(text) => all + &regex::escape(text),
        _ => all + "(?s:.*)",
    });
    are_apart(&(made + "$"), expression)
}
