//! Names every directive that nobody has seen to, and why it was left out.

use super::directive::Directive;
use super::notes::Notes;
use super::parser::PLACEHOLDER;
use super::without_effect::needs_nothing;

/// Directives that are left out, and what becomes of what they say.
const LEFT_OUT: [(&str, &str); 22] = [
    ("alias", "files are not served"),
    ("autoindex", "files are not served"),
    ("dav_methods", "files are not served"),
    ("error_page", "pages for errors are those of Tollgate, in the API of the caller"),
    ("gzip", "responses pass as the servers compress them"),
    ("brotli", "responses pass as the servers compress them"),
    ("include", "its files are not there"),
    ("internal", "locations for requests of nginx itself are not reachable"),
    ("location", "nothing leads to this location"),
    ("mirror", "requests are not copied"),
    ("proxy_cache", "responses are not cached by their paths; see `response_cache` for calls of models"),
    ("proxy_cookie_domain", "cookies pass as they are"),
    ("proxy_cookie_path", "cookies pass as they are"),
    ("proxy_intercept_errors", "responses of servers pass as they are"),
    ("proxy_set_body", "bodies pass as they are"),
    ("proxy_ssl_certificate", "no certificate is presented to servers"),
    ("stub_status", "see `/metrics` of `admin`"),
    ("sub_filter", "bodies pass as they are"),
    ("stream", "only HTTP is spoken"),
    ("mail", "only HTTP is spoken"),
    ("try_files", "files are not served"),
    (PLACEHOLDER, "what this variable holds is not known; import the finished file"),
];

/// Whether it is known what becomes of what directives of this name say.
pub(super) fn has(name: &str) -> bool {
    LEFT_OUT.iter().any(|(known, _)| *known == name)
}

/// Names what is left.
pub(super) fn name_what_is_left(directives: &[Directive], notes: &Notes) {
    for directive in directives {
        if directive.is_done() {
            name_what_is_left(directive.children(), notes);
        } else if !needs_nothing(directive) {
            let known = LEFT_OUT.iter().find(|(name, _)| *name == directive.name);
            notes.leave_out(directive, known.map_or("it has no counterpart here", |(_, why)| why));
        }
    }
}
