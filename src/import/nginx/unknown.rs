//! What an import cannot know: files that are not there, variables of a template in the place of directives, and directives of modules that
//! may decide who gets in. Where one of them holds, nobody is let in.

use super::directive::Directive;
use super::known::is_known;
use super::level::Level;
use super::parser::PLACEHOLDER;
use super::tree::Halt;

/// Files of which everybody has the same.
const WELL_KNOWN: [&str; 6] =
    ["mime.types", "options-ssl-nginx.conf", "fastcgi_params", "fastcgi.conf", "scgi_params", "uwsgi_params"];
/// Directives that change nothing about who is let in, and where requests go. `set` does what its variable does.
const HARMLESS: [&str; 22] = [
    "access_log",
    "add_header",
    "add_trailer",
    "brotli",
    "charset",
    "default_type",
    "error_log",
    "etag",
    "expires",
    "gzip",
    "gzip_types",
    "limit_rate",
    "limit_rate_after",
    "log_not_found",
    "log_subrequest",
    "proxy_buffering",
    "proxy_cache_bypass",
    "proxy_hide_header",
    "proxy_no_cache",
    "proxy_read_timeout",
    "set",
    "sub_filter",
];

/// The first directive at a place that may decide who gets in: one that is not [known](is_known) and whose last value is not `off`.
pub(super) fn guard<'t>(level: &Level<'t>) -> Option<&'t Directive> {
    let all = level.all_by(|name| !is_known(name));
    let counts = |directive: &&Directive| {
        all.iter().rfind(|other| other.name == directive.name).is_some_and(|last| last.first() != "off")
    };
    all.iter().copied().find(counts)
}

/// Whether a directive in the block of an `if` may be left out with it.
pub(super) fn is_harmless(directive: &Directive) -> bool {
    let changes_query = directive.name == "set" && matches!(directive.first(), "$args" | "$query_string");
    HARMLESS.contains(&directive.name.as_str()) && !changes_query
}

/// Halts at what may be any directives.
///
/// # Errors
/// That nobody knows who gets in.
pub(super) fn here(directive: &Directive) -> Result<(), Halt> {
    match directive.name.as_str() {
        "include" if !is_well_known(directive) => {
            Err(Halt::Never(format!("who may call may be decided by `{}`, which is not there", directive.first())))
        }
        PLACEHOLDER => Err(Halt::Never(format!(
            "who may call may be decided by what `{}` holds; import the finished file",
            directive.first()
        ))),
        _ => Ok(()),
    }
}

/// Halts where there are such directives in one of the blocks around a place, or where a script runs before all others.
///
/// # Errors
/// That nobody knows who gets in.
pub(super) fn any_around(level: &Level<'_>) -> Result<(), Halt> {
    level.each().try_for_each(here)?;
    match level.all_by(|name| name.starts_with("server_rewrite_by")).first() {
        Some(script) => Err(Halt::Never(format!("who may call may be decided by `{}`", script.name))),
        None => Ok(()),
    }
}

/// Whether an `include` is a file that everybody has, and that says nothing of who gets in: media types, parameters of other protocols, and
/// certbot's settings of TLS.
pub(super) fn is_well_known(include: &Directive) -> bool {
    let name = include.first().rsplit('/').next().unwrap_or_default();
    WELL_KNOWN.contains(&name)
}
